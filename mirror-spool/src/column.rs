//! Columns: a kind for each sort of value, and the macro that makes the columns of a record kind from one list.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow_array::builder::{ArrayBuilder, BinaryBuilder, BooleanBuilder, PrimitiveBuilder, StringBuilder};
use arrow_array::types::{ArrowPrimitiveType, TimestampNanosecondType, UInt16Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, DictionaryArray, PrimitiveArray, RecordBatch, StringArray,
    UInt16Array, new_null_array,
};
use arrow_schema::DataType;

use crate::error::ReadError;

/// A sort of column.
pub(crate) trait Column {
    /// Builds it, value by value.
    type Builder: ArrayBuilder;
    /// Holds its values.
    type Array: Array + Clone + 'static;

    /// Its type in record batches.
    fn data_type() -> DataType;

    /// Its type in the file's schema.
    fn declared_type() -> DataType {
        Self::data_type()
    }

    /// A builder with room for this many values.
    fn builder(rows: usize) -> Self::Builder;

    /// The values of `array`, if it has this type.
    fn read(array: &dyn Array) -> Option<Self::Array> {
        array.as_any().downcast_ref::<Self::Array>().cloned()
    }
}

/// Numbers.
pub(crate) struct Number<T>(PhantomData<T>);
/// Points in time, in nanoseconds since 1970.
pub(crate) struct Time;
/// Text.
pub(crate) struct Text;
/// Bytes.
pub(crate) struct Bytes;
/// Truth values.
pub(crate) struct Flag;
/// Keys into a dictionary of hosts or tunnels, whose values are written at the end of the file.
pub(crate) struct Interned<D>(PhantomData<D>);

/// The type of a dictionary's values.
pub(crate) trait Values {
    /// The type.
    fn data_type() -> DataType;
}

impl<T: ArrowPrimitiveType> Column for Number<T> {
    type Builder = PrimitiveBuilder<T>;
    type Array = PrimitiveArray<T>;

    fn data_type() -> DataType {
        T::DATA_TYPE
    }

    fn builder(rows: usize) -> Self::Builder {
        PrimitiveBuilder::with_capacity(rows)
    }
}

impl Column for Time {
    type Builder = PrimitiveBuilder<TimestampNanosecondType>;
    type Array = PrimitiveArray<TimestampNanosecondType>;

    fn data_type() -> DataType {
        DataType::Timestamp(arrow_schema::TimeUnit::Nanosecond, Some("UTC".into()))
    }

    fn builder(rows: usize) -> Self::Builder {
        PrimitiveBuilder::with_capacity(rows).with_data_type(Self::data_type())
    }
}

/// Bytes of text that a batch has room for before its buffer grows, by row.
const TEXT_PER_ROW: usize = 4;

impl Column for Text {
    type Builder = StringBuilder;
    type Array = StringArray;

    fn data_type() -> DataType {
        DataType::Utf8
    }

    fn builder(rows: usize) -> Self::Builder {
        StringBuilder::with_capacity(rows, rows * TEXT_PER_ROW)
    }
}

impl Column for Bytes {
    type Builder = BinaryBuilder;
    type Array = BinaryArray;

    fn data_type() -> DataType {
        DataType::Binary
    }

    fn builder(rows: usize) -> Self::Builder {
        BinaryBuilder::with_capacity(rows, rows * TEXT_PER_ROW)
    }
}

impl Column for Flag {
    type Builder = BooleanBuilder;
    type Array = BooleanArray;

    fn data_type() -> DataType {
        DataType::Boolean
    }

    fn builder(rows: usize) -> Self::Builder {
        BooleanBuilder::with_capacity(rows)
    }
}

impl<D: Values> Column for Interned<D> {
    type Builder = PrimitiveBuilder<UInt16Type>;
    type Array = UInt16Array;

    fn data_type() -> DataType {
        DataType::UInt16
    }

    fn declared_type() -> DataType {
        DataType::Dictionary(DataType::UInt16.into(), D::data_type().into())
    }

    fn builder(rows: usize) -> Self::Builder {
        PrimitiveBuilder::with_capacity(rows)
    }

    fn read(array: &dyn Array) -> Option<Self::Array> {
        let any = array.as_any();
        let dictionary = any.downcast_ref::<DictionaryArray<UInt16Type>>();
        dictionary.map(|array| array.keys().clone()).or_else(|| any.downcast_ref::<UInt16Array>().cloned())
    }
}

/// The column `name` of a batch. A nullable one that an older file does not have is null throughout.
pub(crate) fn read<C: Column>(
    batch: &RecordBatch,
    name: &'static str,
    nullable: bool,
) -> Result<C::Array, ReadError> {
    let array = match batch.column_by_name(name) {
        Some(array) => Arc::clone(array),
        None if nullable => new_null_array(&C::data_type(), batch.num_rows()),
        None => return Err(ReadError::NoColumn { name }),
    };
    C::read(&array).ok_or_else(|| ReadError::ColumnType { name, found: array.data_type().clone() })
}

/// Takes what a builder holds, and leaves one with as much room.
pub(crate) fn take<C: Column>(builder: &mut C::Builder, rows: usize) -> ArrayRef {
    let array = ArrayBuilder::finish(builder);
    *builder = C::builder(rows);
    array
}

/// Makes, from one list of columns: builders, arrays that are looked up by name, and fields.
macro_rules! columns {
    ($(#[$doc:meta])* $builders:ident, $arrays:ident {
        $($(#[doc = $column_doc:literal])+ $name:ident: $nullable:literal $kind:ty $(, $legend:expr)?;)+
    }) => {
        $(#[$doc])*
        pub(crate) struct $builders {
            $(pub(crate) $name: <$kind as Column>::Builder,)+
        }

        impl $builders {
            /// Builders with room for this many rows.
            pub(crate) fn new(rows: usize) -> Self {
                Self { $($name: <$kind as Column>::builder(rows),)+ }
            }

            /// Takes what was built.
            pub(crate) fn take(&mut self, rows: usize) -> Vec<arrow_array::ArrayRef> {
                vec![$($crate::column::take::<$kind>(&mut self.$name, rows),)+]
            }

            /// The fields, with the types that record batches have (`stored`) or that the schema declares.
            pub(crate) fn fields(stored: bool) -> Vec<arrow_schema::Field> {
                vec![$({
                    let data_type =
                        if stored { <$kind as Column>::data_type() } else { <$kind as Column>::declared_type() };
                    let mut metadata = std::collections::HashMap::new();
                    metadata.insert("doc".to_owned(), concat!($($column_doc),+).trim().to_owned());
                    $(metadata.insert("codes".to_owned(), $legend.trim().to_owned());)?
                    arrow_schema::Field::new(stringify!($name), data_type, $nullable).with_metadata(metadata)
                },)+]
            }
        }

        /// The columns of one batch.
        pub(crate) struct $arrays {
            $(pub(crate) $name: <$kind as Column>::Array,)+
        }

        impl $arrays {
            /// The columns of `batch`, by their names.
            pub(crate) fn of(
                batch: &arrow_array::RecordBatch,
            ) -> Result<Self, $crate::error::ReadError> {
                Ok(Self { $($name: $crate::column::read::<$kind>(batch, stringify!($name), $nullable)?,)+ })
            }
        }
    };
}
pub(crate) use columns;

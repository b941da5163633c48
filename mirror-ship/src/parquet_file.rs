//! Parquet files from a table.

use std::io::Write;
use std::sync::Arc;

use arrow_array::builder::{ArrayBuilder, BooleanBuilder, ListBuilder, PrimitiveBuilder, StringBuilder};
use arrow_array::types::{Int32Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array as _, ArrayRef, RecordBatch, StructArray};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use crate::table::{Cell, Kind, Leaf, Record, tcp_flags, write_text};

/// Rows that are gathered before they go to the encoder.
const BATCH_ROWS: usize = 8192;
/// Rows of a row group.
const GROUP_ROWS: usize = 262_144;
/// Zstandard level: the default of most readers' own writers.
const LEVEL: i32 = 3;

/// Fields that hardly ever repeat: a dictionary of them is work for nothing.
const WITHOUT_DICTIONARY: [&str; 7] = [
    "event.id",
    "metadata.uid",
    "community_id",
    "community_uid",
    "flow_cookie",
    "first_flow_cookie",
    "handshake",
];

/// Whether objects become structures, or each field a column of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A column for each field, named by its path.
    Flat,
    /// Structures, as OCSF has them.
    Nested,
}

enum Builder {
    Int(PrimitiveBuilder<Int32Type>),
    Long(PrimitiveBuilder<Int64Type>),
    Flag(BooleanBuilder),
    Time(PrimitiveBuilder<TimestampNanosecondType>),
    Text(StringBuilder),
    Texts(ListBuilder<StringBuilder>),
}

fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

impl Builder {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Int => Self::Int(PrimitiveBuilder::new()),
            Kind::Long => Self::Long(PrimitiveBuilder::new()),
            Kind::Flag => Self::Flag(BooleanBuilder::new()),
            Kind::Time => Self::Time(PrimitiveBuilder::new().with_data_type(time_type())),
            Kind::Text => Self::Text(StringBuilder::new()),
            Kind::Texts => Self::Texts(ListBuilder::new(StringBuilder::new())),
        }
    }

    /// Appends a value; one of another type than the column's is null (a test looks for those).
    fn push(&mut self, cell: Cell<'_>) {
        match self {
            Self::Int(builder) => builder.append_option(match cell {
                Cell::Int(number) => Some(number),
                _ => None,
            }),
            Self::Long(builder) => builder.append_option(match cell {
                Cell::Long(number) => Some(number),
                _ => None,
            }),
            Self::Flag(builder) => builder.append_option(match cell {
                Cell::Flag(flag) => Some(flag),
                _ => None,
            }),
            Self::Time(builder) => builder.append_option(match cell {
                Cell::Time(nanoseconds) => i64::try_from(nanoseconds).ok(),
                _ => None,
            }),
            Self::Text(builder) => match cell {
                Cell::Null => builder.append_null(),
                Cell::Text(text) => builder.append_value(text),
                other => {
                    write_text(other, builder);
                    builder.append_value("");
                }
            },
            Self::Texts(builder) => match cell {
                Cell::Texts(texts) => {
                    texts.iter().for_each(|text| builder.values().append_value(text));
                    builder.append(true);
                }
                Cell::TcpFlags(bits) => {
                    tcp_flags(bits).for_each(|name| builder.values().append_value(name));
                    builder.append(true);
                }
                _ => builder.append(false),
            },
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Int(builder) => ArrayBuilder::finish(builder),
            Self::Long(builder) => ArrayBuilder::finish(builder),
            Self::Flag(builder) => ArrayBuilder::finish(builder),
            Self::Time(builder) => ArrayBuilder::finish(builder),
            Self::Text(builder) => ArrayBuilder::finish(builder),
            Self::Texts(builder) => ArrayBuilder::finish(builder),
        }
    }
}

/// Structures from columns whose paths begin with the same names; fields of one structure follow each other.
fn nest(columns: &[(&str, ArrayRef)]) -> Result<(Vec<Field>, Vec<ArrayRef>), ArrowError> {
    let mut fields = Vec::new();
    let mut arrays = Vec::new();
    let mut rest = columns;
    while let Some((path, array)) = rest.first() {
        let Some((object, _)) = path.split_once('.') else {
            fields.push(Field::new(*path, array.data_type().clone(), true));
            arrays.push(Arc::clone(array));
            rest = &rest[1..];
            continue;
        };
        let within = |path: &str| path.strip_prefix(object).is_some_and(|path| path.starts_with('.'));
        let count = rest.iter().take_while(|(path, _)| within(path)).count();
        let members: Vec<_> = rest[..count]
            .iter()
            .map(|(path, array)| (&path[object.len() + 1..], Arc::clone(array)))
            .collect();
        rest = &rest[count..];
        let (member_fields, member_arrays) = nest(&members)?;
        // A structure is null where every member is.
        let mut some = vec![false; array.len()];
        for array in &member_arrays {
            for (row, some) in some.iter_mut().enumerate() {
                *some |= array.is_valid(row);
            }
        }
        let structure = StructArray::try_new(Fields::from(member_fields), member_arrays, Some(some.into()))?;
        fields.push(Field::new(object, structure.data_type().clone(), true));
        arrays.push(Arc::new(structure));
    }
    Ok((fields, arrays))
}

/// A Parquet file that is being written.
pub struct ParquetFile<W: Write + Send> {
    table: &'static [Leaf],
    shape: Shape,
    builders: Vec<Builder>,
    schema: SchemaRef,
    writer: ArrowWriter<W>,
    pending: usize,
    rows: u64,
}

impl<W: Write + Send> ParquetFile<W> {
    /// Begins a file.
    ///
    /// # Errors
    ///
    /// When the table makes no schema that Parquet takes.
    pub fn new(table: &'static [Leaf], shape: Shape, output: W) -> Result<Self, ParquetError> {
        let mut builders: Vec<_> = table.iter().map(|leaf| Builder::new(leaf.kind)).collect();
        let empty = batch(table, shape, &mut builders)?;
        let schema = empty.schema();
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(LEVEL)?))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_created_by(concat!("mirror-ship ", env!("CARGO_PKG_VERSION")).to_owned());
        for leaf in table {
            let parts = match shape {
                Shape::Flat => vec![leaf.path.to_owned()],
                Shape::Nested => leaf.path.split('.').map(str::to_owned).collect(),
            };
            let path = ColumnPath::new(parts);
            if leaf.kind == Kind::Time || leaf.path.ends_with("time") {
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            } else if WITHOUT_DICTIONARY.iter().any(|name| leaf.path.ends_with(name)) {
                properties = properties.set_column_dictionary_enabled(path, false);
            }
        }
        let writer = ArrowWriter::try_new(output, Arc::clone(&schema), Some(properties.build()))?;
        Ok(Self { table, shape, builders, schema, writer, pending: 0, rows: 0 })
    }

    /// Adds a record.
    ///
    /// # Errors
    ///
    /// When a full row group cannot be written.
    pub fn push(&mut self, record: &Record<'_>) -> Result<(), ParquetError> {
        for (leaf, builder) in self.table.iter().zip(&mut self.builders) {
            builder.push((leaf.value)(record));
        }
        self.pending += 1;
        self.rows += 1;
        if self.pending >= BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        self.pending = 0;
        let batch = batch(self.table, self.shape, &mut self.builders)?;
        self.writer.write(&batch)
    }

    /// Rows so far.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Its schema.
    pub const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Ends the file, and returns what it was written to.
    ///
    /// # Errors
    ///
    /// When it cannot be written to its end.
    pub fn finish(mut self) -> Result<W, ParquetError> {
        if self.pending > 0 {
            self.flush()?;
        }
        self.writer.into_inner()
    }
}

/// What was built, as a batch.
fn batch(table: &[Leaf], shape: Shape, builders: &mut [Builder]) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<(&str, ArrayRef)> =
        table.iter().zip(builders).map(|(leaf, builder)| (leaf.path, builder.finish())).collect();
    let (fields, arrays) = match shape {
        Shape::Nested => nest(&columns)?,
        Shape::Flat => columns
            .into_iter()
            .map(|(path, array)| (Field::new(path, array.data_type().clone(), true), array))
            .unzip(),
    };
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

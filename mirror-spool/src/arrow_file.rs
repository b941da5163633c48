//! Arrow IPC files whose dictionaries are written last and found by the footer.
//!
//! arrow-ipc's own writer sends a dictionary before the first batch that uses it, and refuses one that has grown since. Here
//! the batches carry their keys as plain numbers, which has the same bytes as a dictionary's keys; the dictionaries follow at
//! the end, and the footer, which readers of the file format go by, points to both. Writing deltas instead is a part of the format that several readers do
//! not take, and holding back a whole file takes twenty times the memory.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::Arc;

use arrow_array::types::UInt16Type;
use arrow_array::{ArrayRef, DictionaryArray, RecordBatch, StructArray, UInt16Array};
use arrow_ipc::convert::IpcSchemaEncoder;
use arrow_ipc::writer::{
    DictionaryTracker, EncodedData, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message,
};
use arrow_ipc::{Block, CompressionType, FooterBuilder, MetadataVersion, root_as_message};
use arrow_schema::{ArrowError, DataType, Schema, SchemaRef};
use flatbuffers::FlatBufferBuilder;

/// Magic number of Arrow files ("IPC File Format" in Arrow's columnar format).
const MAGIC: [u8; 6] = *b"ARROW1";
/// The marker that begins each message, and the end of the stream with a length of 0.
const CONTINUATION: u32 = u32::MAX;
/// Alignment of messages.
const ALIGNMENT: usize = 64;
/// The longest metadata of a message that is taken for one: ours have some kilobytes.
const LONGEST_METADATA: usize = 1 << 20;

/// Compression of the buffers in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard at level 1: the smallest.
    #[default]
    Zstd,
    /// LZ4: a third quicker, and half as large again.
    Lz4,
    /// None.
    None,
}

/// A file that is being written.
pub(crate) struct ArrowWriter<W> {
    writer: W,
    /// The schema as declared, with dictionaries.
    declared: SchemaRef,
    /// The schema of the batches, in which keys are numbers.
    stored: SchemaRef,
    options: IpcWriteOptions,
    tracker: DictionaryTracker,
    context: IpcWriteContext,
    blocks: Vec<Block>,
    offset: usize,
}

impl<W: Write> ArrowWriter<W> {
    /// Begins a file.
    pub(crate) fn new(
        mut writer: W,
        declared: SchemaRef,
        stored: SchemaRef,
        compression: Compression,
    ) -> Result<Self, ArrowError> {
        let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)?;
        let options = match compression {
            Compression::None => options,
            Compression::Lz4 => options.try_with_compression(Some(CompressionType::LZ4_FRAME))?,
            Compression::Zstd => options
                .try_with_compression(Some(CompressionType::ZSTD))?
                .try_with_compression_level(Some(1))?,
        };
        let mut start = [0; ALIGNMENT];
        start[..MAGIC.len()].copy_from_slice(&MAGIC);
        writer.write_all(&start)?;
        let mut tracker = DictionaryTracker::new(true);
        let schema = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(
            &declared,
            &mut tracker,
            &options,
        );
        let (metadata, body) = write_message(&mut writer, schema, &options)?;
        let offset = ALIGNMENT + metadata + body;
        let context = IpcWriteContext::default();
        Ok(Self { writer, declared, stored, options, tracker, context, blocks: Vec::new(), offset })
    }

    /// Appends a batch, whose keys are numbers.
    pub(crate) fn write(&mut self, columns: Vec<ArrayRef>) -> Result<(), ArrowError> {
        let batch = RecordBatch::try_new(Arc::clone(&self.stored), columns)?;
        // The stored schema has no dictionaries, so this tracker stays empty.
        let mut none = DictionaryTracker::new(true);
        let (_, message) =
            IpcDataGenerator::default().encode(&batch, &mut none, &self.options, &mut self.context)?;
        let block = self.message(message)?;
        self.blocks.push(block);
        Ok(())
    }

    fn message(&mut self, message: EncodedData) -> Result<Block, ArrowError> {
        let (metadata, body) = write_message(&mut self.writer, message, &self.options)?;
        let out_of_range =
            |_| ArrowError::IpcError("a message of this size does not fit the footer".to_owned());
        let block = Block::new(
            i64::try_from(self.offset).map_err(out_of_range)?,
            i32::try_from(metadata).map_err(out_of_range)?,
            i64::try_from(body).map_err(out_of_range)?,
        );
        self.offset += metadata + body;
        Ok(block)
    }

    /// Appends the dictionaries, in the order of their columns, and the footer. Returns the writer and the file's length in
    /// bytes.
    pub(crate) fn finish(mut self, dictionaries: Vec<StructArray>) -> Result<(W, u64), ArrowError> {
        let mut values = dictionaries.into_iter();
        // A batch without rows, but with the dictionaries: only those are written.
        let columns = self.declared.fields().iter().map(|field| match field.data_type() {
            DataType::Dictionary(_, _) => {
                let values = values
                    .next()
                    .ok_or_else(|| ArrowError::IpcError("a dictionary is missing".to_owned()))?;
                let keys = UInt16Array::from(Vec::<u16>::new());
                Ok(Arc::new(DictionaryArray::<UInt16Type>::try_new(keys, Arc::new(values))?) as ArrayRef)
            }
            other => Ok(arrow_array::new_empty_array(other)),
        });
        let columns = columns.collect::<Result<Vec<_>, ArrowError>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.declared), columns)?;
        let (messages, _) = IpcDataGenerator::default().encode(
            &batch,
            &mut self.tracker,
            &self.options,
            &mut self.context,
        )?;
        let mut dictionaries = Vec::with_capacity(messages.len());
        for message in messages {
            dictionaries.push(self.message(message)?);
        }
        self.footer(&dictionaries)
    }

    fn footer(mut self, dictionaries: &[Block]) -> Result<(W, u64), ArrowError> {
        let mut builder = FlatBufferBuilder::new();
        let dictionaries = builder.create_vector(dictionaries);
        let batches = builder.create_vector(&self.blocks);
        self.tracker.clear();
        let schema = IpcSchemaEncoder::new()
            .with_dictionary_tracker(&mut self.tracker)
            .schema_to_fb_offset(&mut builder, &self.declared);
        let mut footer = FooterBuilder::new(&mut builder);
        footer.add_version(MetadataVersion::V5);
        footer.add_schema(schema);
        footer.add_dictionaries(dictionaries);
        footer.add_recordBatches(batches);
        let footer = footer.finish();
        builder.finish(footer, None);
        let footer = builder.finished_data();
        let length = i32::try_from(footer.len())
            .map_err(|_| ArrowError::IpcError("the footer is too long".to_owned()))?;

        let mut end = Vec::with_capacity(footer.len() + 18);
        end.extend_from_slice(&CONTINUATION.to_le_bytes());
        end.extend_from_slice(&0_u32.to_le_bytes());
        end.extend_from_slice(footer);
        end.extend_from_slice(&length.to_le_bytes());
        end.extend_from_slice(&MAGIC);
        self.writer.write_all(&end)?;
        self.writer.flush()?;
        Ok((self.writer, (self.offset + end.len()) as u64))
    }
}

/// The schema of a record kind.
pub(crate) fn schema(fields: Vec<arrow_schema::Field>, kind: &str, version: u32) -> SchemaRef {
    let metadata: HashMap<_, _> =
        [(KIND.to_owned(), kind.to_owned()), (VERSION.to_owned(), version.to_string())].into();
    Arc::new(Schema::new_with_metadata(fields, metadata))
}

/// Key of the record kind in a schema's metadata.
pub(crate) const KIND: &str = "mirror.kind";
/// Key of the schema's version.
pub(crate) const VERSION: &str = "mirror.version";

/// Rows in the whole batches of a file that was not finished: what its messages say, up to where it ends.
pub(crate) fn rows_in_unfinished(mut file: impl Read) -> io::Result<u64> {
    let mut start = [0; ALIGNMENT];
    let mut rows = 0;
    if !take(&mut file, &mut start)? || !start.starts_with(&MAGIC) {
        return Ok(rows);
    }
    loop {
        let mut prefix = [0; 8];
        if !take(&mut file, &mut prefix)? {
            return Ok(rows);
        }
        let [a, b, c, d, e, f, g, h] = prefix;
        let length = u32::from_le_bytes([e, f, g, h]) as usize;
        if u32::from_le_bytes([a, b, c, d]) != CONTINUATION || length == 0 || length > LONGEST_METADATA {
            return Ok(rows);
        }
        let mut metadata = vec![0; length];
        if !take(&mut file, &mut metadata)? {
            return Ok(rows);
        }
        let Ok(message) = root_as_message(&metadata) else { return Ok(rows) };
        let Ok(body) = u64::try_from(message.bodyLength()) else { return Ok(rows) };
        if io::copy(&mut file.by_ref().take(body), &mut io::sink())? < body {
            return Ok(rows);
        }
        if let Some(batch) = message.header_as_record_batch() {
            rows += u64::try_from(batch.length()).unwrap_or_default();
        }
    }
}

/// Fills `buffer`; `false` if the file ends before.
fn take(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

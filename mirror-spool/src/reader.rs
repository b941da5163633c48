//! Reading a file of the spool.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::UInt16Type;
use arrow_array::{Array as _, DictionaryArray, RecordBatch, StructArray};
use arrow_ipc::reader::FileReader;
use arrow_schema::ArrowError;
use sha2::{Digest as _, Sha256};

use crate::arrow_file;
use crate::error::ReadError;
use crate::flow::{self, Dictionaries, FlowBatch};
use crate::intern::{read_hosts, read_tunnels};
use crate::manifest;

/// A finished file, from which batches of flow records are read.
pub struct Reader {
    path: PathBuf,
    file: FileReader<BufReader<File>>,
    dictionaries: Option<Arc<Dictionaries>>,
}

impl Reader {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is no whole Arrow file, or of a version that is not known.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        let file = FileReader::try_new_buffered(file, None)
            .map_err(|source| ReadError::Arrow { path: path.to_owned(), source })?;
        let schema = file.schema();
        let version = schema.metadata().get(arrow_file::VERSION).and_then(|text| text.parse::<u32>().ok());
        match version {
            None => return Err(ReadError::NoVersion { key: arrow_file::VERSION }),
            Some(found) if found > flow::VERSION => {
                return Err(ReadError::Version { found, known: flow::VERSION });
            }
            Some(_) => {}
        }
        Ok(Self { path: path.to_owned(), file, dictionaries: None })
    }

    /// The number of batches.
    pub fn batches(&self) -> usize {
        self.file.num_batches()
    }

    /// Goes on with the batch of this number, from 0.
    ///
    /// # Errors
    ///
    /// When there are fewer.
    pub fn seek(&mut self, batch: usize) -> Result<(), ReadError> {
        self.file.set_index(batch).map_err(|source| ReadError::Arrow { path: self.path.clone(), source })
    }

    fn read(&mut self, batch: Result<RecordBatch, ArrowError>) -> Result<FlowBatch, ReadError> {
        let batch = batch.map_err(|source| ReadError::Arrow { path: self.path.clone(), source })?;
        let dictionaries = match &self.dictionaries {
            Some(dictionaries) => Arc::clone(dictionaries),
            None => Arc::clone(self.dictionaries.insert(Arc::new(dictionaries(&batch)?))),
        };
        FlowBatch::new(&batch, dictionaries)
    }
}

impl Iterator for Reader {
    type Item = Result<FlowBatch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.file.next()?;
        Some(self.read(batch))
    }
}

/// The dictionaries that the columns of a batch refer to, which are those of the whole file.
fn dictionaries(batch: &RecordBatch) -> Result<Dictionaries, ReadError> {
    let values = |name: &'static str| -> Result<Option<StructArray>, ReadError> {
        let Some(array) = batch.column_by_name(name) else { return Ok(None) };
        let values = array
            .as_any()
            .downcast_ref::<DictionaryArray<UInt16Type>>()
            .and_then(|array| array.values().as_any().downcast_ref::<StructArray>());
        match values {
            Some(values) => Ok(Some(values.clone())),
            None => Err(ReadError::ColumnType { name, found: array.data_type().clone() }),
        }
    };
    let tunnels = values("tunnel")?.ok_or(ReadError::NoColumn { name: "tunnel" })?;
    let hosts = |name| values(name)?.map_or_else(|| Ok(Vec::new()), |values| read_hosts(&values));
    Ok(Dictionaries {
        tunnels: read_tunnels(&tunnels)?,
        source_hosts: hosts("source_host")?,
        destination_hosts: hosts("destination_host")?,
    })
}

/// SHA-256 of a file in hexadecimal digits, and its length.
///
/// # Errors
///
/// When it cannot be read.
pub fn hash_file(path: &Path) -> Result<(String, u64), ReadError> {
    let failed = |source| ReadError::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut length = 0;
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            return Ok((manifest::hexadecimal(hash.finalize()), length));
        }
        length += read as u64;
        hash.update(&buffer[..read]);
    }
}

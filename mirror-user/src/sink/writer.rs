//! The loop of a sink thread: encodes a batch and writes it.

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam::channel::{Receiver, RecvTimeoutError};
use tracing::{error, info};

use super::counters::{Loss, SinkCounters, Unfinished};
use super::encoder::Encoder;
use super::error::{SinkError, remedy};
use super::format::Format;
use super::handle::contain;
use super::output::{Output, PartialWrite};
use super::queue::{Consumer, Filled};
use super::time_slice;
use crate::enrichment::Reader;
use crate::record::{Amount, Batch};
use crate::time::Timestamp;

/// Interval at which the age of a file is checked while no batches come.
const CHECK: Duration = Duration::from_millis(250);

/// A sink thread's state.
pub(super) struct Writer {
    consumer: Consumer,
    format: Format,
    output: Box<dyn Output>,
    /// Belongs to the output's current file.
    encoder: Encoder,
    /// Enriches the records that it encodes itself.
    reader: Option<Reader>,
    /// The encoded batch; used again for each.
    buffer: Vec<u8>,
    counters: Arc<SinkCounters>,
    /// The batch that is being written.
    current: Option<Filled>,
    /// The rest of a record whose first part is written.
    rest: Option<RecordRest>,
    /// The records in the output's current file.
    unfinished: Unfinished,
    /// The error that the output is in, which was logged when it began.
    failure: Option<io::Error>,
}

/// The rest of a line or block that a pipe took in part. It is written first, or further records would be unreadable.
struct RecordRest {
    bytes: Vec<u8>,
    slot: usize,
    /// The record; nothing where it is a header.
    amount: Amount,
}

impl Writer {
    pub fn new(
        consumer: Consumer,
        format: Format,
        output: Box<dyn Output>,
        reader: Option<Reader>,
        counters: Arc<SinkCounters>,
    ) -> Self {
        let mut buffer = Vec::with_capacity(Encoder::longest_batch(format, reader.is_some()));
        let encoder = Encoder::begin(format, &mut buffer);
        let unfinished = consumer.new_file();
        Self {
            consumer,
            format,
            output,
            encoder,
            reader,
            buffer,
            counters,
            current: None,
            rest: None,
            unfinished,
            failure: None,
        }
    }

    /// When the capture begins, writes until the last producer is gone and its last batch is written, then finishes the
    /// output. A start that fails drops the other end of `begun`, and the output is left as it is.
    pub fn run(mut self, begun: &Receiver<()>) -> Result<(), SinkError> {
        if begun.recv().is_err() {
            return Ok(());
        }
        time_slice::shorten();
        let counters = Arc::clone(&self.counters);
        let path = self.output.path().to_owned();
        let ended = contain(&path, &counters, || self.work());
        if matches!(ended, Err(SinkError::Panicked { .. })) {
            self.discard();
        }
        ended
    }

    fn work(&mut self) -> Result<(), SinkError> {
        let mut timeout = Some(CHECK);
        if self.output.is_single() {
            timeout = None;
            // Only the header, so that a reader can begin, and a file without packets is valid as well.
            self.write_next();
        }
        loop {
            match self.consumer.receive(timeout) {
                Ok(filled) => {
                    self.current = Some(filled);
                    self.write_next();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.output.is_due(now())
                && let Err(error) = self.finish()
            {
                error!("{error}");
            }
        }
        if let Err(error) = self.write_rest() {
            self.failure = Some(error);
        }
        if let Some(RecordRest { slot, amount, .. }) = self.rest.take() {
            self.consumer.lose(slot, amount, Loss::WriteFailed);
        }
        let path = self.output.path().to_owned();
        self.finish()?;
        self.failure.take().map_or(Ok(()), |error| Err(SinkError::Write { path, error }))
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        let unfinished = mem::replace(&mut self.unfinished, self.consumer.new_file());
        self.output.finish(unfinished)
    }

    /// Writes the current batch, counts its records, those that the output took as recorded and the others as lost, and
    /// gives it back. Without a batch, writes only the header of a new file.
    fn write_next(&mut self) {
        let (slot, amount) = self
            .current
            .as_ref()
            .map_or_else(Default::default, |filled| (filled.slot, filled.batch.amount()));
        let mut recorded = amount;
        let mut incomplete = Amount::default();
        let written = self.write();
        if let Err(PartialWrite { taken, .. }) = &written {
            (recorded, incomplete) = self.split(*taken);
        }
        self.consumer.record(slot, recorded);
        self.consumer.lose(slot, amount - recorded - incomplete, Loss::WriteFailed);
        if self.output.is_file() {
            self.unfinished.add(slot, recorded);
        }
        if let Some(filled) = self.current.take() {
            self.consumer.give_back(filled);
        }
        self.log_state(written.map_err(|torn| torn.error));
    }

    /// Encodes and writes the current batch.
    fn write(&mut self) -> Result<(), PartialWrite> {
        self.buffer.clear();
        self.write_rest()?;
        let mut encoder = self.encoder;
        if self.output.prepare(now())? {
            encoder = Encoder::begin(self.format, &mut self.buffer);
        }
        match &mut self.current {
            Some(Filled { encoded: Some(encoded), .. }) => encoded.append_to(&mut self.buffer),
            Some(filled) => encoder.encode(&filled.batch, self.reader.as_mut(), &mut self.buffer),
            None => encoder.encode(&Batch::default(), None, &mut self.buffer),
        }
        self.output.write(&self.buffer)?;
        self.encoder = encoder;
        self.counters.add_bytes(self.buffer.len());
        Ok(())
    }

    /// Splits the current batch where the output took only the first `taken` of the encoded bytes: into the records that are
    /// written, and the one that is still to be completed.
    fn split(&mut self, taken: usize) -> (Amount, Amount) {
        let cut = self.format.cut(&self.buffer, taken);
        self.encoder = self.encoder.after(self.buffer.get(..cut.end).unwrap_or_default());
        self.counters.add_bytes(taken);
        let Some(Filled { slot, batch, .. }) = &self.current else {
            self.keep_rest(taken, cut.end, 0, Amount::default());
            return Default::default();
        };
        let recorded = batch.amount_of_first(cut.records);
        let next = batch.amount_of_first(cut.records + usize::from(cut.is_record)) - recorded;
        let slot = *slot;
        self.keep_rest(taken, cut.end, slot, next);
        (recorded, next)
    }

    /// Keeps the bytes of a record that are still to be written.
    fn keep_rest(&mut self, taken: usize, end: usize, slot: usize, amount: Amount) {
        if let Some(bytes) = self.buffer.get(taken..end).filter(|bytes| !bytes.is_empty()) {
            self.rest = Some(RecordRest { bytes: bytes.to_vec(), slot, amount });
        }
    }

    /// Writes the rest of a record whose first part is written.
    fn write_rest(&mut self) -> io::Result<()> {
        let Some(rest) = &mut self.rest else { return Ok(()) };
        if let Err(PartialWrite { taken, error }) = self.output.write(&rest.bytes) {
            rest.bytes.drain(..taken.min(rest.bytes.len()));
            self.counters.add_bytes(taken);
            return Err(error);
        }
        self.counters.add_bytes(rest.bytes.len());
        self.consumer.record(rest.slot, rest.amount);
        self.rest = None;
        Ok(())
    }

    /// After a panic: counts the current batch and all later ones as lost, so that nobody waits for this thread, and finishes
    /// the file, which has whole records.
    fn discard(mut self) {
        if let Some(RecordRest { slot, amount, .. }) = self.rest.take() {
            self.consumer.lose(slot, amount, Loss::Panicked);
        }
        let mut next = self.current.take();
        loop {
            if let Some(filled) = next.take() {
                self.consumer.lose(filled.slot, filled.batch.amount(), Loss::Panicked);
                self.consumer.give_back(filled);
            }
            match self.consumer.receive(None) {
                Ok(filled) => next = Some(filled),
                Err(_) => break,
            }
        }
        let path = self.output.path().to_owned();
        let counters = Arc::clone(&self.counters);
        if let Err(error) = contain(&path, &counters, || self.finish()) {
            error!("{error}");
        }
    }

    /// Logs a change of the output's state. A reader of standard output that has gone is no fault.
    fn log_state(&mut self, written: io::Result<()>) {
        let before = self.failure.as_ref().map(io::Error::kind);
        self.failure = written.err();
        match &self.failure {
            Some(failure) if before != Some(failure.kind()) && !self.counters.closed() => error!(
                "cannot write to {}: {failure}; {}. Records are dropped as sink_write_failed; \
                 each batch tries again",
                self.output.path().display(),
                remedy(failure),
            ),
            None if before.is_some() => info!("writing to {} works again", self.output.path().display()),
            _ => {}
        }
    }
}

fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}

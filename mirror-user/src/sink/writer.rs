//! The loop of a sink thread: encodes a batch and writes it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam::channel::RecvTimeoutError;
use tracing::{error, info};

use super::Format;
use super::counters::SinkCounters;
use super::encoder::Encoder;
use super::error::{SinkError, remedy};
use super::output::Output;
use super::queue::Consumer;
use super::turns;
use crate::record::Batch;
use crate::source::Timestamp;

/// How often the age of a file is looked at while no batches come.
const TICK: Duration = Duration::from_millis(250);

/// A sink thread's state.
pub(super) struct Writer {
    consumer: Consumer,
    format: Format,
    output: Box<dyn Output>,
    /// Belongs to the output's current file.
    encoder: Encoder,
    /// The encoded batch; used again for each.
    buffer: Vec<u8>,
    counters: Arc<SinkCounters>,
    /// The error that the output is in, which was logged when it began.
    failure: Option<io::Error>,
}

impl Writer {
    pub fn new(
        consumer: Consumer,
        format: Format,
        output: Box<dyn Output>,
        counters: Arc<SinkCounters>,
    ) -> Self {
        let mut buffer = Vec::with_capacity(Encoder::longest_batch(format));
        let encoder = Encoder::begin(format, &mut buffer);
        Self { consumer, format, output, encoder, buffer, counters, failure: None }
    }

    /// Writes until the last producer is gone and its last batch is written, then finishes the output.
    pub fn run(mut self) -> Result<(), SinkError> {
        turns::shorten();
        let mut timeout = Some(TICK);
        if self.output.is_single() {
            timeout = None;
            // Only the header, so that a reader can begin, and a file without packets is valid as well.
            let written = self.write(&Batch::default());
            self.note(written);
        }
        loop {
            match self.consumer.receive(timeout) {
                Ok(filled) => {
                    let written = self.write(&filled.batch);
                    self.consumer.settle(filled, written.is_ok());
                    self.note(written);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if let Err(error) = self.output.rotate(now()) {
                error!("{error}. Its records are still there and are recovered at the next start");
            }
        }
        let path = self.output.path().to_owned();
        self.output.finish()?;
        self.failure.map_or(Ok(()), |error| Err(SinkError::Write { path, error }))
    }

    /// Writes all of the batch or nothing.
    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        self.buffer.clear();
        let mut encoder = self.encoder;
        if self.output.prepare(now())? {
            encoder = Encoder::begin(self.format, &mut self.buffer);
        }
        encoder.encode(batch, &mut self.buffer);
        self.output.write(&self.buffer)?;
        self.encoder = encoder;
        self.counters.add_bytes(self.buffer.len());
        Ok(())
    }

    /// Logs where the state of the output changes.
    fn note(&mut self, written: io::Result<()>) {
        let before = self.failure.as_ref().map(io::Error::kind);
        self.failure = written.err();
        match &self.failure {
            Some(failure) if before != Some(failure.kind()) => error!(
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

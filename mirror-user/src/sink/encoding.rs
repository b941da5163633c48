//! Threads that encode before the sink thread, which then only writes: one for each worker, where several workers share one output.
//!
//! The batches of a worker stay in their order. A batch whose encoding panics goes on as it is: the sink thread panics at it as
//! well, and counts it.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use crossbeam::channel::{self, Receiver, Sender};

use super::encoder::Encoder;
use super::error::SinkError;
use super::format::Format;
use super::queue::{Filled, Producer};
use super::time_slice;
use crate::enrichment::Reader;
use crate::record::Batch;

/// Buffers of an encoding thread: one to encode into, while others wait or are written.
pub(super) const BUFFERS: usize = 3;

/// The bytes of a batch. Dropped, their buffer goes back to the thread that encoded them.
#[derive(Debug)]
pub(super) struct EncodedBatch {
    bytes: Vec<u8>,
    home: Sender<Vec<u8>>,
}

impl EncodedBatch {
    /// Moves the bytes to the end of `out`, as their whole content where it is empty.
    pub fn append_to(&mut self, out: &mut Vec<u8>) {
        if out.is_empty() {
            mem::swap(&mut self.bytes, out);
        } else {
            out.extend_from_slice(&self.bytes);
        }
    }
}

impl Drop for EncodedBatch {
    fn drop(&mut self) {
        // A thread that is gone needs no buffer.
        let _ = self.home.try_send(mem::take(&mut self.bytes));
    }
}

/// Starts a thread that encodes the batches of `producer`. It ends when the producer is gone and its last batch passed on.
pub(super) fn start(
    producer: &mut Producer,
    number: usize,
    format: Format,
    mut reader: Option<Reader>,
) -> Result<(), SinkError> {
    let (batches, onward) = producer.insert_stage();
    let work = move || {
        time_slice::shorten();
        let mut encoder = Encoder::begin(format, &mut Vec::new());
        let longest = Encoder::longest_batch(format, reader.is_some());
        run(&batches, &onward, longest, |batch, bytes| encoder.encode(batch, reader.as_mut(), bytes));
    };
    // Nobody joins it: the sink thread, which is joined, receives until every such thread has ended.
    thread::Builder::new().name(format!("sink-encode-{number}")).spawn(work).map_err(SinkError::Thread)?;
    Ok(())
}

/// Passes on what comes in, as `encode` encodes it into `capacity` bytes at most.
fn run(
    batches: &Receiver<Filled>,
    onward: &Sender<Filled>,
    capacity: usize,
    mut encode: impl FnMut(&Batch, &mut Vec<u8>),
) {
    let (home, buffers) = channel::bounded(BUFFERS);
    for _ in 0..BUFFERS {
        let _ = home.try_send(Vec::with_capacity(capacity));
    }
    for mut filled in batches {
        // This thread holds a sender itself, so that there will be one.
        let Ok(mut bytes) = buffers.recv() else { return };
        bytes.clear();
        let result = catch_unwind(AssertUnwindSafe(|| encode(&filled.batch, &mut bytes)));
        let encoded = EncodedBatch { bytes, home: home.clone() };
        filled.encoded = result.is_ok().then_some(encoded);
        // The queue has room for every batch, and its other end stays until this thread ends.
        let _ = onward.send(filled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_encoded_in_their_order_and_one_that_panics_goes_on_as_it_is() {
        const BATCHES: usize = 3 * BUFFERS;
        let (sender, batches) = channel::bounded(BATCHES);
        let (onward, encoded) = channel::bounded(BATCHES);
        let thread = thread::spawn(move || {
            let mut number = 0;
            run(&batches, &onward, 10, |_, bytes| {
                number += 1;
                bytes.push(number);
                assert_ne!(number, 4, "a test asked for it");
            });
        });
        for slot in 0..BATCHES {
            sender.send(Filled { slot, batch: Batch::default(), encoded: None }).unwrap();
        }
        drop(sender);
        // There are more batches than buffers: those that are written go home.
        for (slot, mut filled) in encoded.iter().enumerate() {
            assert_eq!(filled.slot, slot);
            let mut out = Vec::with_capacity(10);
            if let Some(encoded) = &mut filled.encoded {
                encoded.append_to(&mut out);
            }
            assert_eq!(out, if slot == 3 { vec![] } else { vec![u8::try_from(slot + 1).unwrap()] });
            assert_eq!(out.capacity(), 10, "no buffer is made anew");
        }
        thread.join().unwrap();
    }

    #[test]
    fn bytes_come_behind_what_is_there() {
        let (home, buffers) = channel::bounded(1);
        let mut batch = EncodedBatch { bytes: b"record".to_vec(), home };
        let mut out = b"header ".to_vec();
        batch.append_to(&mut out);
        assert_eq!(out, b"header record");
        drop(batch);
        assert!(buffers.try_recv().is_ok());
    }
}

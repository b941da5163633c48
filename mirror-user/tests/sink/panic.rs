//! Sink threads that panic.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use mirror_user::counters::WorkerCounters;
use mirror_user::ledger::Ledger;
use mirror_user::sink::{self, Loss, Output, PartialWrite, SinkConfig, SinkError, Unfinished};
use mirror_user::snapshot::{QueueSnapshot, Snapshot};
use mirror_user::time::Timestamp;

use crate::support::{push, read_records, wait_until};

/// The place at which an output panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Write,
    Finish,
}

/// Keeps what is written, and panics where it is told to; in a write, after the first.
struct Faulty {
    written: Arc<Mutex<Vec<u8>>>,
    fault: Fault,
}

impl Output for Faulty {
    fn path(&self) -> &Path {
        Path::new("faulty")
    }

    fn is_single(&self) -> bool {
        false
    }

    fn is_file(&self) -> bool {
        true
    }

    fn prepare(&mut self, _now: Timestamp) -> io::Result<bool> {
        Ok(self.written.lock().unwrap().is_empty())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PartialWrite> {
        let mut written = self.written.lock().unwrap();
        assert!(self.fault != Fault::Write || written.is_empty(), "the write went wrong");
        written.extend_from_slice(bytes);
        Ok(())
    }

    fn is_due(&self, _now: Timestamp) -> bool {
        false
    }

    fn finish(&mut self, unfinished: Unfinished) -> Result<(), SinkError> {
        assert!(self.fault != Fault::Finish, "the end went wrong");
        unfinished.keep();
        Ok(())
    }
}

#[test]
fn a_panic_is_contained_and_the_other_sinks_go_on() {
    for fault in [Fault::Write, Fault::Finish] {
        let written: Vec<_> = (0..2).map(|_| Arc::default()).collect();
        let outputs = [fault, Fault::None].into_iter().zip(&written);
        let outputs = outputs
            .map(|(fault, written)| {
                Box::new(Faulty { written: Arc::clone(written), fault }) as Box<dyn Output>
            })
            .collect();
        let config = SinkConfig { queue_batches: 2, ..SinkConfig::default() };
        let (mut producers, sinks) = sink::start_with(&config, 2, outputs).unwrap();
        let counters = Arc::clone(sinks.counters());
        let [faulty, sound] = counters.workers() else { panic!() };

        for (worker, producer) in (0..).zip(&mut producers) {
            assert_eq!(push(producer, worker, 0..100), 0);
            producer.flush();
        }
        wait_until("both have written", || {
            counters.workers().iter().all(|worker| worker.recorded().packets == 100)
        });
        assert_eq!(push(&mut producers[0], 0, 100..300), 0);
        producers[0].flush();
        if fault == Fault::Write {
            wait_until("it is said while the capture goes on", || counters.panicked());
        }
        // Nobody waits for the thread in vain, though the pool has two batches only.
        for (worker, producer) in (0..).zip(&mut producers) {
            for number in 300..10_000 {
                let batch = producer.wait_for_batch().unwrap();
                crate::support::add(batch, &crate::support::record(worker, number), &[]);
            }
        }
        drop(producers);
        let errors = sinks.join().unwrap_err();
        let [error @ SinkError::Panicked { .. }] = errors.as_slice() else { panic!("{errors:?}") };
        let message = error.to_string();
        assert!(message.contains("faulty") && message.contains("went wrong"), "{message}");
        assert!(counters.panicked());

        let recorded = if fault == Fault::Write { 100 } else { 0 };
        assert_eq!(faulty.recorded().packets, recorded, "{fault:?}");
        assert_eq!(faulty.lost(Loss::Panicked).packets, 10_000 - recorded, "{fault:?}");
        assert_eq!(faulty.all_lost(), faulty.lost(Loss::Panicked));
        assert_eq!((sound.recorded().packets, sound.all_lost().packets), (9_800, 0));
        let rows = [(faulty, 10_000), (sound, 9_800)].map(|(sink, packets)| {
            let worker = WorkerCounters::default();
            worker.received.add(packets);
            worker.decapsulated.add(packets);
            QueueSnapshot::of(&worker, sink)
        });
        let ledger = Ledger::new(&Snapshot { queues: rows.into(), ..Snapshot::default() });
        assert!(ledger.balanced, "{}", ledger.table());
        assert_eq!(ledger.dropped["sink_panicked"], 10_000 - recorded);
        assert_eq!(read_records(&written[1].lock().unwrap()).len(), 9_800);
    }
}

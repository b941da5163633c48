//! Workers that are faster than their sink.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use mirror_user::DropReason;
use mirror_user::batch::BATCH_RECORDS;
use mirror_user::sink::{self, Loss, Output, PartialWrite, Producer, SinkConfig, SinkError, Unfinished};
use mirror_user::time::Timestamp;

use crate::support::{add, read_records, record};

const WORKERS: u32 = 4;
const BATCHES: usize = 4;
const RECORDS: u64 = 60_000;

/// Takes its time for each write, and refuses every fifth.
struct Slow {
    written: Arc<Mutex<Vec<u8>>>,
    writes: u32,
    /// Where the first write waits until every worker has had to drop a packet.
    pressure: Option<Arc<Barrier>>,
}

impl Output for Slow {
    fn path(&self) -> &Path {
        Path::new("slow")
    }

    fn is_single(&self) -> bool {
        true
    }

    fn prepare(&mut self, _now: Timestamp) -> io::Result<bool> {
        Ok(self.written.lock().unwrap().is_empty())
    }

    fn is_file(&self) -> bool {
        false
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PartialWrite> {
        if let Some(pressure) = self.pressure.take() {
            pressure.wait();
        }
        thread::sleep(Duration::from_millis(1));
        self.writes += 1;
        if self.writes.is_multiple_of(5) {
            return Err(io::Error::from(io::ErrorKind::StorageFull).into());
        }
        self.written.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }

    fn is_due(&self, _now: Timestamp) -> bool {
        false
    }

    fn finish(&mut self, unfinished: Unfinished) -> Result<(), SinkError> {
        unfinished.keep();
        Ok(())
    }
}

/// The counts of a worker.
struct Pushed {
    dropped: u64,
    batches: usize,
}

/// Pushes in bursts, with idle times in between in which partly filled batches are handed over.
fn work(worker: u32, mut producer: Producer, pressure: &Barrier) -> Pushed {
    let mut dropped = 0;
    let mut batches = HashSet::new();
    for number in 0..RECORDS {
        match producer.batch() {
            Ok(batch) => {
                assert!(batch.packets().len() < BATCH_RECORDS);
                add(batch, &record(worker, number), &[]);
                batches.insert(batch.packets().as_ptr() as usize);
            }
            Err(reason) => {
                assert_eq!(reason, DropReason::SinkQueueFull);
                dropped += 1;
                if dropped == 1 {
                    pressure.wait();
                }
            }
        }
        if number % 700 == 0 {
            producer.flush();
            thread::sleep(Duration::from_micros(300));
        }
    }
    Pushed { dropped, batches: batches.len() }
}

#[test]
fn every_record_is_recorded_or_counted_as_dropped() {
    let written = Arc::new(Mutex::new(Vec::new()));
    let config = SinkConfig { queue_batches: BATCHES, ..SinkConfig::default() };
    let pressure = Arc::new(Barrier::new(WORKERS as usize + 1));
    let slow = Slow { written: Arc::clone(&written), writes: 0, pressure: Some(Arc::clone(&pressure)) };
    let (producers, sinks) = sink::start_with(&config, WORKERS as usize, vec![Box::new(slow)]).unwrap();
    let counters = Arc::clone(sinks.counters());

    let workers: Vec<_> = (0..WORKERS)
        .zip(producers)
        .map(|(worker, producer)| {
            let pressure = Arc::clone(&pressure);
            thread::spawn(move || work(worker, producer, &pressure))
        })
        .collect();
    let pushed: Vec<_> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
    // Refusals that went by before the end are no error of the end.
    let _ = sinks.join();

    let written = written.lock().unwrap();
    assert_eq!(counters.bytes(), written.len() as u64);
    assert!(counters.workers().iter().map(|worker| worker.all_lost().packets).sum::<u64>() > 0);
    let records = read_records(&written);
    for ((worker, pushed), counters) in pushed.iter().enumerate().zip(counters.workers()) {
        let (recorded, failed) = (counters.recorded().packets, counters.lost(Loss::WriteFailed).packets);
        assert_eq!(recorded + failed + pushed.dropped, RECORDS, "worker {worker}");
        assert!(recorded > 0 && pushed.dropped > 0, "worker {worker}: {recorded}, {}", pushed.dropped);
        let numbers: Vec<_> =
            records.iter().filter(|record| record.0 == worker as u64).map(|record| record.1).collect();
        assert_eq!(numbers.len() as u64, recorded, "worker {worker}");
        assert!(numbers.is_sorted_by(|earlier, later| earlier < later), "worker {worker}");
        assert!(pushed.batches <= BATCHES, "worker {worker} saw {} batches", pushed.batches);
    }
}

#[test]
fn a_sink_for_each_worker_records_only_its_own() {
    let written: Vec<_> = (0..WORKERS).map(|_| Arc::new(Mutex::new(Vec::new()))).collect();
    let outputs = written
        .iter()
        .map(|written| {
            Box::new(Slow { written: Arc::clone(written), writes: 0, pressure: None }) as Box<dyn Output>
        })
        .collect();
    let (producers, sinks) = sink::start_with(&SinkConfig::default(), WORKERS as usize, outputs).unwrap();
    for (worker, mut producer) in (0..WORKERS).zip(producers) {
        add(producer.batch().unwrap(), &record(worker, 1), &[]);
    }
    sinks.join().unwrap();
    for (worker, written) in written.iter().enumerate() {
        assert_eq!(read_records(&written.lock().unwrap()), [(worker as u64, 1)]);
    }
}

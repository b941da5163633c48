//! Nanoseconds per packet and per record, by the time stamp counter: medians of several runs.

use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mirror_user::batch::BATCH_FRAMES;
use mirror_user::batch::BATCH_RECORDS;
use mirror_user::decap::{self, decapsulate};
use mirror_user::flow::FlowRecord;
use mirror_user::number::QueueId;
use mirror_user::packet::Packet;
use mirror_user::sink::{self, Destination, Producer, SinkConfig, Sinks};
use mirror_user::source::{FrameSource, Received};
use mirror_user::time::Timestamp;
use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::{Deserialize, Serialize};

use super::setup::{DECAP, flow_table, traffic, worker};
use super::synthetic::Synthetic;
use super::{MicroError, Observer};
use crate::measure::thread_times;
use crate::receiver::meter::{Busy, Meter};
use crate::receiver::tsc::ticks;
use crate::receiver::{Records, output};
use crate::statistics::Summary;

/// Numbers of flows at which anything with a flow table is measured.
pub const FLOWS: [u64; 3] = [1_000, 64_000, 1_000_000];

/// Nanoseconds per item.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Time {
    /// The part of the pipeline.
    pub name: String,
    /// The item: `packet` or `record`.
    pub item: String,
    /// Nanoseconds, over several runs.
    pub nanoseconds: Summary,
}

/// The amount of work.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Packets in a run, besides those that open the flows.
    pub packets: u64,
    /// Runs.
    pub runs: usize,
}

impl Time {
    fn new(
        name: impl Into<String>,
        item: &'static str,
        amount: Amount,
        observer: &Observer,
        mut run: impl FnMut() -> Result<f64, MicroError>,
    ) -> Result<Self, MicroError> {
        let name = name.into();
        let mut values = Vec::with_capacity(amount.runs);
        for _ in 0..amount.runs {
            observer.interrupt.check()?;
            observer.progress.set_message(name.clone());
            values.push(run()?);
            observer.progress.inc(1);
        }
        Ok(Self { name, item: item.to_owned(), nanoseconds: Summary::of(values).unwrap_or_default() })
    }
}

/// Number of runs of [`measure`].
pub(super) const fn steps(amount: Amount) -> usize {
    (6 + 3 * FLOWS.len()) * amount.runs
}

/// Measures everything.
pub(super) fn measure(observer: &Observer, amount: Amount) -> Result<Vec<Time>, MicroError> {
    let mut times = vec![Time::new("decapsulation", "packet", amount, observer, || parse(amount.packets))?];
    for flows in FLOWS {
        let name = format!("flow update, {flows} flows");
        times.push(Time::new(name, "packet", amount, observer, || update(flows, amount.packets))?);
    }
    for records in [Records::Flow, Records::Packet] {
        for flows in FLOWS {
            let name = format!("worker, {} records, {flows} flows", records.name());
            let run = || whole(records, flows, amount.packets);
            times.push(Time::new(name, "packet", amount, observer, run)?);
        }
    }
    let (packet, flow) = samples()?;
    let add_packet = |producer: &mut Producer| add_packet(producer, &packet);
    let add_flow = |producer: &mut Producer| add_flow(producer, &flow);
    let records = amount.packets;
    let mut record = |name, run: &mut dyn FnMut() -> Result<f64, MicroError>| {
        Time::new(name, "record", amount, observer, run).map(|time| times.push(time))
    };
    record("hand-off of packet records", &mut || hand_off(add_packet))?;
    record("hand-off of flow records", &mut || hand_off(add_flow))?;
    record("NDJSON of packet records, to memory", &mut || encode(add_packet, records))?;
    record("NDJSON of flow records, to memory", &mut || encode(add_flow, records))?;
    record("NDJSON of flow records, to a file", &mut || encode_to_file(add_flow, records))?;
    Ok(times)
}

/// Decapsulation alone.
fn parse(packets: u64) -> Result<f64, MicroError> {
    let mut source = Synthetic::new(&traffic(1000)?, 0, packets, Arc::default());
    let mut busy = Busy::default();
    while let Received::Frames(count) = source.receive()? {
        let start = ticks();
        for index in 0..count {
            black_box(decap::find(&source.frame(index), &DECAP));
        }
        busy.add(count, start);
    }
    Ok(busy.nanoseconds_per_packet().unwrap_or_default())
}

/// The flow table alone, when every flow is in it.
fn update(flows: u64, packets: u64) -> Result<f64, MicroError> {
    let mut source = Synthetic::new(&traffic(flows)?, 0, flows + packets, Arc::default());
    let mut table = flow_table()?;
    let mut found: Vec<(Timestamp, Packet)> = Vec::with_capacity(BATCH_FRAMES);
    let mut busy = Busy::default();
    while let Received::Frames(count) = source.receive()? {
        found.clear();
        found.extend((0..count).filter_map(|index| {
            let frame = source.frame(index);
            Some((frame.timestamp, decapsulate(&frame, &DECAP).ok()?))
        }));
        let start = ticks();
        table.update(found.iter().map(|(timestamp, packet)| (*timestamp, packet)), &mut |record| {
            black_box(record);
        });
        if source.handed_out() >= flows {
            busy.add(count, start);
        }
    }
    Ok(busy.nanoseconds_per_packet().unwrap_or_default())
}

/// Everything that a worker does between two queries of its ring.
fn whole(records: Records, flows: u64, packets: u64) -> Result<f64, MicroError> {
    let meter = Arc::new(Meter::default());
    let source = Synthetic::new(&traffic(flows)?, flows, flows + packets, Arc::clone(&meter));
    let (worker, sinks) = worker(source, records, 64)?;
    worker.run(|| false).1?;
    sinks.join().map_err(MicroError::Output)?;
    Ok(meter.read().nanoseconds_per_packet().unwrap_or_default())
}

/// One packet and one flow of the traffic.
fn samples() -> Result<((Timestamp, Packet), FlowRecord), MicroError> {
    let mut source = Synthetic::new(&traffic(1)?, 0, 10, Arc::default());
    let mut table = flow_table()?;
    source.receive()?;
    let frame = source.frame(9);
    let packet = decapsulate(&frame, &DECAP).map_err(MicroError::Traffic)?;
    let mut flow = None;
    table.update([(frame.timestamp, &packet)], &mut |_| {});
    table.drain(frame.timestamp, &mut |record| flow = Some(record.clone()));
    Ok(((frame.timestamp, packet), flow.ok_or(MicroError::NoFlow)?))
}

fn add_packet(producer: &mut Producer, (timestamp, packet): &(Timestamp, Packet)) {
    if let Ok(batch) = producer.wait_for_batch() {
        batch.push(*timestamp, QueueId(0), *packet, |_, _| {});
    }
}

fn add_flow(producer: &mut Producer, record: &FlowRecord) {
    if let Ok(batch) = producer.wait_for_batch() {
        batch.push_flow(record);
    }
}

/// Processor time that a record costs the worker, from a batch with room to a full one that is handed over; in
/// nanoseconds. The sink keeps up, as it must in the long run, so the batch that came back last is still in the cache.
fn hand_off(add: impl Fn(&mut Producer)) -> Result<f64, MicroError> {
    const WARM_UP: usize = 16;
    const BATCHES: usize = 128;
    let (mut producers, sinks) = sink::start_with(&SinkConfig::default(), 1, vec![output::discarding()])?;
    let mut producer = producers.remove(0);
    let mut spent = Duration::ZERO;
    for batch in 0..WARM_UP + BATCHES {
        let before = processor_time();
        (0..BATCH_RECORDS).for_each(|_| add(&mut producer));
        if batch >= WARM_UP {
            spent += processor_time() - before;
        }
        // A full batch is handed over with the record after it.
        while written(&sinks) < (batch * BATCH_RECORDS) as u64 {
            thread::yield_now();
        }
    }
    drop(producer);
    sinks.join().map_err(MicroError::Output)?;
    Ok(spent.as_nanos() as f64 / (BATCHES * BATCH_RECORDS) as f64)
}

/// Processor time of the calling thread so far.
fn processor_time() -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(tv_sec.cast_unsigned(), u32::try_from(tv_nsec).unwrap_or(0))
}

/// Processor time of the sink's thread for a record, in nanoseconds.
fn encode(add: impl Fn(&mut Producer), records: u64) -> Result<f64, MicroError> {
    let (mut producers, sinks) = sink::start_with(&SinkConfig::default(), 1, vec![output::discarding()])?;
    let mut producer = producers.remove(0);
    let before = sink_seconds()?;
    (0..records).for_each(|_| add(&mut producer));
    while written(&sinks) < records {
        producer.flush();
        thread::sleep(Duration::from_millis(1)); // also for the thread to come to rest: then its time is exact
    }
    let seconds = sink_seconds()? - before;
    drop(producer);
    sinks.join().map_err(MicroError::Output)?;
    Ok(seconds * 1e9 / records as f64)
}

/// Records that were written so far.
fn written(sinks: &Sinks) -> u64 {
    let workers = sinks.counters().workers().iter();
    workers.map(|worker| worker.recorded()).map(|sum| sum.packet_records + sum.flow_records).sum()
}

/// Processor time of the sink's threads so far.
fn sink_seconds() -> Result<f64, MicroError> {
    let threads = thread_times("/proc/self/task")?;
    Ok(threads.into_iter().filter(|(name, _)| name.starts_with("sink-")).map(|(_, seconds)| seconds).sum())
}

/// Time for a record until everything is in the file, in nanoseconds.
fn encode_to_file(add: impl Fn(&mut Producer), records: u64) -> Result<f64, MicroError> {
    let directory = tempfile::tempdir()?;
    let destination = Destination::File(directory.path().join("records"));
    let config = SinkConfig { destination, ..SinkConfig::default() };
    let (mut producers, sinks) = sink::start(&config, 1)?;
    let mut producer = producers.remove(0);
    let start = Instant::now();
    (0..records).for_each(|_| add(&mut producer));
    drop(producer);
    sinks.join().map_err(MicroError::Output)?;
    Ok(start.elapsed().as_secs_f64() * 1e9 / records as f64)
}

impl Busy {
    /// Adds a batch of `count` that was begun at `start`.
    fn add(&mut self, count: usize, start: u64) {
        self.ticks += ticks().wrapping_sub(start);
        self.packets += count as u64;
        self.batches += 1;
    }
}

use std::cell::Cell;

use super::*;
use crate::decap::tests::frames::mirrored_web;
use crate::degrade::{DegradeConfig, DegradeMode};
use crate::flow::FlowConfig;
use crate::number::QueueId;
use crate::sink::{self, Destination, SinkConfig};
use crate::source::{Backlog, Frame, LinkType};

/// Batches of one frame, a millisecond apart, that lose packets during the first second.
struct Busy {
    frame: Vec<u8>,
    milliseconds: u64,
    most: u64,
}

impl FrameSource for Busy {
    fn receive(&mut self) -> io::Result<Received> {
        self.milliseconds += 1;
        Ok(if self.milliseconds > self.most { Received::End } else { Received::Frames(1) })
    }

    fn now(&self) -> Option<Timestamp> {
        None
    }

    fn frame(&self, _: usize) -> Frame<'_> {
        Frame {
            data: &self.frame,
            captured_length: u32::try_from(self.frame.len()).unwrap(),
            original_length: u32::try_from(self.frame.len()).unwrap(),
            timestamp: Timestamp(1_000_000_000_000 + self.milliseconds * 1_000_000),
            link_type: LinkType::Ethernet,
        }
    }

    fn append(&self, _: usize, from: usize, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.frame[from..]);
    }

    fn backlog(&mut self) -> Backlog {
        Backlog { fill: 0.0, dropped: self.milliseconds.min(1000) }
    }

    fn release(&mut self) {}
}

/// Nothing at first; a frame, and the wish to stop, come while the worker waits for one.
struct Late<'stop> {
    busy: Busy,
    stop: &'stop Cell<bool>,
}

impl FrameSource for Late<'_> {
    fn receive(&mut self) -> io::Result<Received> {
        if self.stop.replace(true) {
            self.busy.receive().map(|received| match received {
                Received::End => Received::Idle,
                other => other,
            })
        } else {
            Ok(Received::Idle)
        }
    }

    fn now(&self) -> Option<Timestamp> {
        None
    }

    fn frame(&self, index: usize) -> Frame<'_> {
        self.busy.frame(index)
    }

    fn append(&self, index: usize, from: usize, bytes: &mut Vec<u8>) {
        self.busy.append(index, from, bytes);
    }

    fn release(&mut self) {}
}

#[test]
fn what_arrives_while_the_worker_waits_is_received_before_it_stops() {
    let config = SinkConfig { destination: Destination::File("/dev/null".into()), ..SinkConfig::default() };
    let (mut producers, sinks) = sink::start(&config, 1).unwrap();
    let counters = Arc::new(WorkerCounters::new(QueueId(0)));
    let stop = Cell::new(false);
    let source = Late { busy: Busy { frame: mirrored_web(), milliseconds: 0, most: 1 }, stop: &stop };
    let degradation = Degradation::new(DegradeConfig::default()).unwrap();
    let decap = DecapConfig { geneve_port: 6081, vxlan_port: 4789, max_depth: 2 };
    let producer = producers.remove(0);
    let worker = Worker::new(
        source,
        decap,
        Rules::default(),
        degradation,
        producer,
        WhenFull::Wait,
        Arc::clone(&counters),
    );
    worker.run(|| stop.get()).1.unwrap();
    sinks.join().unwrap();
    assert_eq!(counters.received.get(), 1);
}

#[test]
fn a_worker_that_only_counts_takes_up_its_work_again_under_load() {
    let config = SinkConfig { destination: Destination::File("/dev/null".into()), ..SinkConfig::default() };
    let (mut producers, sinks) = sink::start(&config, 1).unwrap();
    let counters = Arc::new(WorkerCounters::new(QueueId(0)));
    let auto = DegradeConfig { mode: DegradeMode::Auto, ..DegradeConfig::default() };
    let decap = DecapConfig { geneve_port: 6081, vxlan_port: 4789, max_depth: 2 };
    let source = Busy { frame: mirrored_web(), milliseconds: 0, most: 120_000 };
    let worker = Worker::new(
        source,
        decap,
        Rules::default(),
        Degradation::new(auto).unwrap(),
        producers.remove(0),
        WhenFull::Wait,
        Arc::clone(&counters),
    );
    worker.with_flows(FlowTable::new(FlowConfig::default()).unwrap()).run(|| false).1.unwrap();
    sinks.join().unwrap();
    assert!(counters.dropped(DropReason::CountersOnly) > 0, "it went all the way down");
    assert_eq!(counters.level_changes.get(), 8, "four steps down and four up");
    let [(full, packets), ..] = counters.levels().collect::<Vec<_>>()[..] else { panic!() };
    assert!(full > Duration::from_secs(60) && packets > 60_000, "{full:?} {packets}");
}

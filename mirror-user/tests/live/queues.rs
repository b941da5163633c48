//! Several queues: each with its worker, on its processor, with memory of its own.

use std::fs;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mirror_testkit::generator::{self, Source};
use mirror_testkit::root::skipped_without_root;
use mirror_testkit::traffic::Profile;
use mirror_testkit::veth::{VethOptions, VethPair};
use mirror_user::config::Config;
use mirror_user::pipeline::preflight::allowed_cpus;
use mirror_user::pipeline::{Instrument, Observer, Outputs, Pipeline};
use mirror_user::shutdown::Shutdown;
use mirror_user::sink::Destination;
use mirror_user::value::{List, Switch};

use crate::daemon::{self, send_all, settings};

fn pair() -> VethPair {
    VethPair::new(VethOptions { queues: 2, ..VethOptions::default() }).unwrap()
}

/// A veth receives on the queue that has the number of the sending processor, so that two generators load both.
#[test]
fn two_workers_are_loaded_at_once_and_the_sums_are_right() {
    if skipped_without_root() || allowed_cpus().len() < 2 {
        return;
    }
    const PACKETS: [u64; 2] = [60_000, 40_000];
    let pair = pair();
    let daemon = daemon::start(&pair, &["--cpus", "0,1", "--rx-ring", "16384"]);
    let reports = thread::scope(|scope| {
        let generators = [0, 1].map(|cpu| {
            let few = settings(PACKETS[cpu], Source::Live);
            let one = generator::Settings { rate: Some(50_000), cpu: Some(cpu), ..few };
            let (pair, profile) = (&pair, Profile { flows: 500, ..Profile::default() });
            scope.spawn(move || send_all(pair, &profile, &one))
        });
        generators.map(|generator| generator.join().unwrap())
    });
    let ended = daemon.stop();
    let [mut report, other] = reports;
    assert_eq!([report.sent, other.sent], PACKETS);
    for (queue, sent) in PACKETS.into_iter().enumerate() {
        let row = &ended.ledger["queues"][queue];
        let refused =
            ["rx_ring_full", "fill_ring_empty"].map(|reason| row["dropped"][reason].as_u64().unwrap());
        let received = row["received"].as_u64().unwrap();
        assert_eq!(row["cpu"], queue, "{row:#}");
        assert_eq!(received + refused.iter().sum::<u64>(), sent, "{row:#}");
        assert!(received > sent / 2, "{row:#}");
    }
    report.sent += other.sent;
    ended.assert_accounts_for(&report);
}

/// The thread that an instrument saw a worker on.
#[derive(Debug)]
struct Seen {
    thread: String,
    cpus: Vec<usize>,
    /// Pages that the thread had touched first, when it had its socket, and when it had its flow table too.
    pages: u64,
    pages_at_work: Option<u64>,
}

/// Looks at the threads of the workers.
#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Vec<Seen>>>);

/// Notes at the first query of a worker that it is complete.
struct FirstQuery {
    witness: Witness,
    number: Option<usize>,
}

impl Instrument for Witness {
    type Observer = FirstQuery;

    fn observer(&self) -> FirstQuery {
        let mut seen = self.0.lock().unwrap();
        seen.push(Seen {
            thread: thread::current().name().unwrap_or_default().to_owned(),
            cpus: allowed_cpus(),
            pages: pages_touched(),
            pages_at_work: None,
        });
        FirstQuery { witness: self.clone(), number: Some(seen.len() - 1) }
    }
}

impl Observer for FirstQuery {
    fn before_receive(&mut self) {
        if let Some(number) = self.number.take() {
            self.witness.0.lock().unwrap()[number].pages_at_work = Some(pages_touched());
        }
    }
}

/// Page faults of the calling thread so far: pages that it was the first to touch (field `minflt` of proc_pid_stat(5)).
fn pages_touched() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    let (_, behind_name) = stat.rsplit_once(')').unwrap();
    behind_name.split_ascii_whitespace().nth(7).unwrap().parse().unwrap()
}

/// Linux gives a page the memory of the node on which it is touched first: packet buffers and flow table must be touched by
/// the thread that works with them, when it is pinned.
#[test]
fn a_worker_touches_its_memory_first_itself_on_its_processor() {
    const FRAMES: u32 = 4096;
    if skipped_without_root() {
        return;
    }
    let pair = pair();
    let mut config = Config::default();
    config.capture.interface = Some(VethPair::RECEIVING.to_owned());
    config.capture.zero_copy = Switch::Off;
    config.capture.huge_pages = Switch::Off;
    config.capture.frames = Some(FRAMES);
    // An index of 51 MB, which is written when the table is made: 24 pages, even if they are huge.
    config.flow.max_flows = 8_000_000;
    let last = *allowed_cpus().last().unwrap();
    config.capture.cpus = Some(List(vec![last, 0]));
    config.only_sink_mut().unwrap().destination = Destination::File("/dev/null".into());
    let config = config.check().unwrap();
    let witness = Witness::default();
    let pipeline = pair
        .receiver
        .enter(|| Pipeline::capture_with(&config, &Shutdown::default(), Outputs::Configured, &witness))
        .unwrap()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let are_at_work = || witness.0.lock().unwrap().iter().all(|seen| seen.pages_at_work.is_some());
    while !are_at_work() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(pipeline.stop().failures.is_empty());
    let seen = witness.0.lock().unwrap();
    assert_eq!(seen.len(), 2);
    for (seen, (name, cpu)) in seen.iter().zip([("worker-0", last), ("worker-1", 0)]) {
        assert_eq!((seen.thread.as_str(), &*seen.cpus), (name, &[cpu][..]));
        assert!(seen.pages >= FRAMES.into(), "its packet buffers: {seen:?}");
        assert!(seen.pages_at_work.unwrap() >= seen.pages + 24, "its flow table: {seen:?}");
    }
}

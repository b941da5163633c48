//! Tunnel packets that do not reach a worker, found by the XDP program's counters and the workers' while the capture runs.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mirror_common::verdict::{Counts, Verdict};
use tracing::warn;

use super::workers::RunningWorker;
use crate::number::QueueId;
use crate::xdp::Verdicts;

/// Looks in a row in which a queue's packets do not reach its worker, before its socket is made again.
const LOOKS: u32 = 2;
/// Looks after which it is made again where that has not helped.
const AGAIN: u32 = 20;
/// Interval between warnings of packets that pass to the kernel unseen.
const REPEAT: Duration = Duration::from_secs(60);

/// Watches all queues.
#[derive(Default)]
pub(super) struct Served {
    queues: Vec<Watched>,
    unseen: Unseen,
}

/// Packets on the interface that the program did not see, since it has more queues than when the program was attached:
/// some drivers (veth) run it on the queues of then only.
#[derive(Default)]
struct Unseen {
    /// Packets on the interface and packets that the program saw, when the queues became more.
    since: Option<(u64, u64)>,
    packets: u64,
    told: Option<Instant>,
}

impl Unseen {
    /// Takes note of how many packets came, and of how many the program saw; how many it has missed, when it is time to
    /// say so. What came must be read before what was seen, or packets in between would look missed.
    fn note(&mut self, came: u64, seen: u64, now: Instant) -> Option<u64> {
        let (first_came, first_seen) = self.since?;
        let missed = came.saturating_sub(first_came).saturating_sub(seen.saturating_sub(first_seen));
        let is_due = self.told.is_none_or(|told| now.duration_since(told) >= REPEAT);
        let is_more = missed > self.packets;
        self.packets = self.packets.max(missed);
        (is_more && is_due).then(|| {
            self.told = Some(now);
            missed
        })
    }
}

/// A queue with what was seen of it last.
#[derive(Default)]
struct Watched {
    last: Sample,
    /// Looks in a row in which packets came, and not to the worker.
    unreached: u32,
    told: Option<Instant>,
    told_packets: u64,
}

/// Counters of one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sample {
    redirected: u64,
    passed_no_socket: u64,
    /// Frames that the worker received.
    received: u64,
}

impl Watched {
    /// Takes note of a queue that a worker serves. `true` where its socket is to be made again, because packets have not
    /// reached the worker for too long; `false` where that is not needed any more.
    fn served(&mut self, now: Sample) -> Option<bool> {
        let before = std::mem::replace(&mut self.last, now);
        let sent = now.redirected > before.redirected || now.passed_no_socket > before.passed_no_socket;
        let all_passed =
            now.passed_no_socket > before.passed_no_socket && now.redirected == before.redirected;
        let reached = now.received > before.received && !all_passed;
        if reached || !sent {
            let asked = self.unreached >= LOOKS;
            self.unreached = 0;
            return asked.then_some(false);
        }
        self.unreached += 1;
        let is_due = self.unreached.checked_sub(LOOKS).is_some_and(|more| more.is_multiple_of(AGAIN));
        is_due.then_some(true)
    }

    /// Takes note of a queue that no worker serves; how many packets have passed, when it is time to say so.
    fn unserved(&mut self, passed_no_socket: u64, now: Instant) -> Option<u64> {
        let is_due = self.told.is_none_or(|told| now.duration_since(told) >= REPEAT);
        (passed_no_socket > self.told_packets && is_due).then(|| {
            self.told = Some(now);
            self.told_packets = passed_no_socket;
            passed_no_socket
        })
    }
}

impl Served {
    /// The interface has got more queues, when it had received `came` packets.
    pub(super) fn queues_were_added(&mut self, came: u64, verdicts: &Verdicts) {
        self.unseen.since.get_or_insert((came, verdicts.total().iter().sum()));
    }

    /// Says how many of the `came` packets on the interface came by queues on which the driver does not run the program.
    pub(super) fn compare(&mut self, came: u64, verdicts: &Verdicts, interface: &str) {
        let seen = verdicts.total().iter().sum();
        if let Some(packets) = self.unseen.note(came, seen, Instant::now()) {
            warn!(
                "{packets} packets on {interface} so far came by queues that were added meanwhile, on which its driver \
                 does not run the capture program: start again to capture from them"
            );
        }
    }

    /// Packets that came by queues on which the driver does not run the program.
    pub(super) fn unseen(&self) -> u64 {
        self.unseen.packets
    }

    /// Compares the counters, has sockets made again that receive nothing of what is sent to them, and says where packets
    /// pass by.
    pub(super) fn look(&mut self, verdicts: &Verdicts, workers: &[RunningWorker], interface: &str) {
        self.queues.resize_with(verdicts.queues.len() + 1, Watched::default);
        let count = |counts: &Counts, verdict| counts.get(verdict as usize).copied().unwrap_or(0);
        let queues = (0..).map(QueueId).zip(verdicts.queues.iter().chain([&verdicts.other_queues]));
        for ((queue, counts), watched) in queues.zip(&mut self.queues) {
            let passed_no_socket = count(counts, Verdict::PassedNoSocket);
            match workers.iter().find(|worker| worker.counters.queue == queue) {
                Some(worker) => {
                    let redirected = count(counts, Verdict::Redirected);
                    let received = worker.counters.received.get();
                    let rebind_request = watched.served(Sample { redirected, passed_no_socket, received });
                    if let (Some(rebind_request), Some(socket)) = (rebind_request, &worker.socket) {
                        socket.rebind_request.store(rebind_request, Ordering::Relaxed);
                    }
                }
                None => {
                    if let Some(packets) = watched.unserved(passed_no_socket, Instant::now()) {
                        let last = queue.0 as usize == verdicts.queues.len();
                        let and_later = if last { " and later ones" } else { "" };
                        warn!(
                            "queue {queue}{and_later} of {interface}: {packets} tunnel packets so far have passed to the \
                             kernel unseen, for no worker serves it; start again with all queues (see --queues, `ethtool \
                             -L {interface}`)"
                        );
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_receives_nothing_of_what_is_sent_is_made_again() {
        let mut watched = Watched::default();
        for (redirected, passed_no_socket, received, expected) in [
            (100, 0, 100, None),
            // Nothing comes.
            (100, 0, 100, None),
            (100, 0, 100, None),
            // One look may fall between redirecting and receiving.
            (200, 0, 100, None),
            (300, 0, 300, None),
            // The socket is unbound, or another one stands in the map.
            (400, 0, 300, None),
            (500, 0, 300, Some(true)),
            (600, 0, 300, None),
            (700, 0, 400, Some(false)),
            // The socket is not in the map any more; the worker empties its ring.
            (700, 50, 410, None),
            (700, 90, 410, Some(true)),
            (800, 90, 500, Some(false)),
            (900, 90, 600, None),
        ] {
            let sample = Sample { redirected, passed_no_socket, received };
            assert_eq!(watched.served(sample), expected, "{sample:?}");
        }
        let asked = (0..=LOOKS + AGAIN).filter_map(|look| {
            watched.served(Sample {
                redirected: 1_000 + u64::from(look),
                passed_no_socket: 90,
                received: 600,
            })
        });
        assert_eq!(asked.collect::<Vec<_>>(), [true, true], "again after a while, where it has not helped");
    }

    #[test]
    fn packets_that_the_program_does_not_see_are_counted_from_when_queues_were_added() {
        let mut unseen = Unseen::default();
        let start = Instant::now();
        let second = |number| start + Duration::from_secs(number);
        assert_eq!(unseen.note(1_000, 10, second(0)), None, "before that, other things explain a difference");
        unseen.since = Some((1_000, 10));
        for (seconds, came, seen, told, packets) in [
            (1, 1_500, 512, None, 0),
            (2, 1_600, 560, Some(50), 50),
            // Packets arrived between the two readings.
            (3, 1_600, 580, None, 50),
            (4, 2_000, 600, None, 410),
            (62, 2_100, 600, Some(510), 510),
        ] {
            assert_eq!(unseen.note(came, seen, second(seconds)), told, "{seconds}");
            assert_eq!(unseen.packets, packets, "{seconds}");
        }
    }

    #[test]
    fn packets_that_pass_by_are_told_of_at_once_and_then_now_and_then() {
        let mut watched = Watched::default();
        let start = Instant::now();
        for (seconds, packets, expected) in [
            (0, 0, None),
            (1, 5, Some(5)),
            (2, 9, None),
            (60, 9, None),
            (61, 9, Some(9)),
            (200, 9, None),
            (201, 10, Some(10)),
        ] {
            assert_eq!(
                watched.unserved(packets, start + Duration::from_secs(seconds)),
                expected,
                "{seconds}"
            );
        }
    }
}

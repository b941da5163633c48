use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::*;
use crate::number::QueueId;
use crate::source::LinkType;

/// A device, as far as a socket sees it.
#[derive(Default)]
struct Device {
    /// Packets in the ring of the socket that is open.
    ring: usize,
    /// The socket that is open is bound.
    bound: bool,
    /// Packets come to the socket, and not to the kernel.
    admitted: bool,
    /// The XDP program's count of redirected packets.
    redirected: u64,
    /// Answers to the next attempts to open a socket; after that they succeed.
    refusals: VecDeque<OpenError>,
    /// The kernel's answers to the next calls of receive, and to the next probes.
    receive: VecDeque<i32>,
    probe: VecDeque<i32>,
    /// Sockets that are open, and those that were opened so far.
    open: usize,
    opened: usize,
    /// Packets that each socket counts as refused.
    refused: u64,
}

#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Device>>);

struct FakeSocket {
    device: Shared,
    refused: u64,
}

impl Shared {
    /// Packets arrive.
    fn packets(&self, count: usize) {
        let mut device = self.0.borrow_mut();
        if !device.admitted {
            return;
        }
        device.redirected += count as u64;
        if device.bound {
            device.ring += count;
        }
    }

    fn with<R>(&self, work: impl FnOnce(&mut Device) -> R) -> R {
        work(&mut self.0.borrow_mut())
    }
}

impl QueueControl for Shared {
    type Socket = FakeSocket;

    fn open(&mut self) -> Result<FakeSocket, OpenError> {
        self.with(|device| {
            assert_eq!(device.open, 0, "a queue has one socket at a time");
            if let Some(refusal) = device.refusals.pop_front() {
                return Err(refusal);
            }
            device.open += 1;
            device.opened += 1;
            device.bound = true;
            Ok(device.refused)
        })
        .map(|refused| FakeSocket { device: self.clone(), refused })
    }

    fn set_socket(&mut self, _: &FakeSocket) -> io::Result<()> {
        self.with(|device| device.admitted = true);
        Ok(())
    }

    fn clear_socket(&mut self) -> io::Result<()> {
        self.with(|device| device.admitted = false);
        Ok(())
    }

    fn redirected(&self) -> io::Result<u64> {
        Ok(self.with(|device| device.redirected))
    }
}

impl Drop for FakeSocket {
    fn drop(&mut self) {
        self.device.with(|device| {
            device.open -= 1;
            device.bound = false;
        });
    }
}

fn answer(answers: &mut VecDeque<i32>) -> io::Result<()> {
    answers.pop_front().map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
}

impl Socket for FakeSocket {
    fn probe(&self) -> io::Result<()> {
        self.device.with(|device| {
            answer(&mut device.probe)?;
            if device.bound { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ENXIO)) }
        })
    }

    fn statistics(&self) -> io::Result<XskStatistics> {
        Ok(XskStatistics { rx_ring_full: self.refused, ..XskStatistics::default() })
    }

    fn interpolated(&self) -> u64 {
        1
    }

    fn wall_clock_steps(&self) -> u64 {
        3
    }
}

impl FrameSource for FakeSocket {
    fn receive(&mut self) -> io::Result<Received> {
        self.device.with(|device| {
            answer(&mut device.receive)?;
            Ok(match std::mem::take(&mut device.ring) {
                0 => Received::Idle,
                count => Received::Frames(count),
            })
        })
    }

    fn now(&self) -> Option<Timestamp> {
        Some(Timestamp(1))
    }

    fn frame(&self, _: usize) -> Frame<'_> {
        Frame {
            data: &[],
            captured_length: 0,
            original_length: 0,
            timestamp: Timestamp(1),
            link_type: LinkType::Ethernet,
        }
    }

    fn append(&self, _: usize, _: usize, _: &mut Vec<u8>) {}

    fn backlog(&mut self) -> Backlog {
        Backlog { fill: 0.0, dropped: self.refused }
    }

    fn release(&mut self) {}
}

fn source() -> (Shared, RebindingSource<Shared>, Arc<WorkerCounters>) {
    let mut device = Shared::default();
    let socket = device.open().unwrap();
    device.set_socket(&socket).unwrap();
    let counters = Arc::new(WorkerCounters::new(QueueId(3)));
    let source = RebindingSource::new(device.clone(), socket, Arc::clone(&counters));
    (device, source, counters)
}

/// Receives until `done`, or for longer than any of this takes; the frames that came.
fn receive_until(source: &mut RebindingSource<Shared>, done: impl Fn() -> bool) -> io::Result<usize> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut frames = 0;
    while !done() && Instant::now() < deadline {
        if let Received::Frames(count) = source.receive()? {
            frames += count;
            source.release();
        }
    }
    Ok(frames)
}

/// A receive or a poll of a real socket is answered with these, and by what the device has gone through.
#[test]
fn answers_of_the_kernel() {
    for (errno, expected) in [
        (libc::EINTR, SocketState::Bound),
        (libc::EAGAIN, SocketState::Bound),
        (libc::ENETDOWN, SocketState::Down),
        (libc::ENXIO, SocketState::Unbound),
        (libc::EBADF, SocketState::Broken),
        (libc::ENOTSOCK, SocketState::Broken),
        (libc::EFAULT, SocketState::Broken),
    ] {
        assert_eq!(SocketState::of(&io::Error::from_raw_os_error(errno)), expected, "{errno}");
    }
    assert_eq!(SocketState::of(&io::Error::other("no errno")), SocketState::Broken);
}

#[test]
fn a_device_that_is_down_and_interruptions_are_waited_for() {
    let (device, mut source, counters) = source();
    device.with(|device| {
        device.receive.extend([libc::ENETDOWN, libc::EINTR, libc::ENETDOWN]);
        device.probe.push_back(libc::ENETDOWN);
    });
    device.packets(5);
    assert_eq!(receive_until(&mut source, || device.with(|device| device.ring == 0)).unwrap(), 5);
    assert_eq!((device.with(|device| device.opened), counters.rebinds.get()), (1, 0));
}

#[test]
fn an_answer_that_cannot_be_helped_is_an_error() {
    let (device, mut source, _) = source();
    device.with(|device| device.receive.push_back(libc::EBADF));
    assert_eq!(source.receive().unwrap_err().raw_os_error(), Some(libc::EBADF));
}

/// The kernel unbinds the socket; what arrives until it is noticed is lost, and counted.
#[test]
fn a_socket_that_was_unbound_is_made_again_and_the_loss_is_counted() {
    for (by_receive, lost) in [(true, 0), (false, 7)] {
        let (device, mut source, counters) = source();
        device.with(|device| device.refused = 2);
        device.packets(10);
        assert_eq!(receive_until(&mut source, || device.with(|device| device.ring == 0)).unwrap(), 10);
        device.with(|device| {
            device.bound = false;
            if by_receive {
                device.receive.push_back(libc::ENXIO);
            }
            device.refusals.push_back(OpenError::NotReady("the network is down".into()));
            device.refusals.push_back(OpenError::Busy("the queue is still released".into()));
        });
        device.packets(lost);
        receive_until(&mut source, || device.with(|device| device.opened == 2 && device.admitted)).unwrap();
        device.packets(4);
        assert_eq!(receive_until(&mut source, || device.with(|device| device.ring == 0)).unwrap(), 4);
        assert_eq!(counters.rebinds.get(), 1);
        assert_eq!(counters.dropped(DropReason::SocketLost), lost as u64);
        assert_eq!(source.received(), 14);
        // The second socket has counted two packets as refused that were never sent here.
        assert_eq!(source.statistics().unwrap().rx_ring_full, 2);
        assert_eq!((source.interpolated(), source.wall_clock_steps()), (2, 6));
        assert_eq!(source.backlog().dropped, 2);
    }
}

#[test]
fn a_healthy_socket_is_made_again_without_a_loss() {
    let (device, mut source, counters) = source();
    source.rebind_request().store(true, Ordering::Relaxed);
    device.packets(6);
    let looks = std::cell::Cell::new(0);
    let packets = receive_until(&mut source, || {
        // What comes to the last moment is received; from then on it passes to the kernel.
        looks.set(looks.get() + 1);
        device.packets(usize::from(looks.get() % 80 == 10));
        device.with(|device| device.opened == 2)
    });
    assert!(packets.unwrap() > 6);
    let before = device.with(|device| device.redirected);
    receive_until(&mut source, || device.with(|device| device.ring == 0)).unwrap();
    assert_eq!((source.received(), counters.dropped(DropReason::SocketLost)), (before, 0));
    assert!(!source.rebind_request().load(Ordering::Relaxed));
    receive_until(&mut source, || device.with(|device| device.probe.is_empty())).unwrap();
    assert_eq!(device.with(|device| device.opened), 2, "once is enough");
}

#[test]
fn a_queue_that_is_not_released_ends_the_source() {
    let (device, mut source, _) = source();
    device.with(|device| {
        device.bound = false;
        device.receive.push_back(libc::ENXIO);
        device.refusals.extend((0..1000).map(|_| OpenError::Busy("held by another".into())));
    });
    let began = Instant::now();
    let error = receive_until(&mut source, || false).unwrap_err();
    assert_eq!(error.to_string(), "held by another");
    assert!((RELEASE..RELEASE * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[test]
fn a_device_that_is_gone_ends_the_source_at_once() {
    let (device, mut source, _) = source();
    device.with(|device| {
        device.receive.push_back(libc::ENXIO);
        device.refusals.push_back(OpenError::Gone("veth-rx was deleted".into()));
    });
    let began = Instant::now();
    assert_eq!(receive_until(&mut source, || false).unwrap_err().to_string(), "veth-rx was deleted");
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[test]
fn the_loss_is_also_counted_where_the_capture_ends_first() {
    let (device, mut source, counters) = source();
    device.with(|device| device.bound = false);
    device.packets(9);
    assert_eq!(source.receive().unwrap(), Received::Idle);
    source.finish().unwrap();
    assert_eq!(counters.dropped(DropReason::SocketLost), 9);
    source.finish().unwrap();
    assert_eq!(counters.dropped(DropReason::SocketLost), 9, "once");
}

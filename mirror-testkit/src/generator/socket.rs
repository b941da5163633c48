//! Frames through an `AF_PACKET` socket: about 1 Mpps, in any size that the MTU allows, and without eBPF.

use std::io::IoSlice;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mirror_traffic::Position;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, MMsgHdr, SendAncillaryBuffer, SendFlags, SocketType, sendmmsg, socket};
use thiserror::Error;

use super::cpu::{CpuError, pin};
use super::interface::Interface;
use super::pace::Pacer;
use super::report::Report;
use super::settings::{Settings, Source};
use super::sys;
use crate::traffic::Traffic;

/// Frames in one system call.
const BATCH: usize = 64;
/// Longest wait for the next packet to be due; shorter ones are spent looking at the clock.
const NAP: Duration = Duration::from_millis(1);

/// A failure to send through the socket.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SocketError {
    /// The process may not open packet sockets.
    #[error("opening a packet socket is not permitted: run as root or with CAP_NET_RAW")]
    NotPermitted,
    /// The CPU to send from cannot be used.
    #[error(transparent)]
    Cpu(#[from] CpuError),
    /// The kernel refused something else.
    #[error("the packet socket on {interface} failed to {action}: {error}")]
    Failed {
        /// Name of the interface.
        interface: String,
        /// The action that failed.
        action: &'static str,
        /// The kernel's answer.
        error: Errno,
    },
}

/// Sends `traffic` out of `interface`.
pub(super) fn send(
    traffic: &Traffic,
    interface: &Interface,
    settings: &Settings,
    stop: &AtomicBool,
) -> Result<Report, SocketError> {
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            if let Some(cpu) = settings.cpu {
                pin(cpu)?; // a thread of its own, so that the caller's stays where it is
            }
            let socket = open(interface, settings.source == Source::Spread)?;
            run(traffic, interface, settings, stop, &socket)
        });
        sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Past the queueing discipline, the kernel takes the queue of the CPU; `spread` lets it choose by the headers.
fn open(interface: &Interface, spread: bool) -> Result<OwnedFd, SocketError> {
    let failed = |action| {
        move |error| match error {
            Errno::PERM | Errno::ACCESS => SocketError::NotPermitted,
            error => SocketError::Failed { interface: interface.name.clone(), action, error },
        }
    };
    let socket = socket(AddressFamily::PACKET, SocketType::RAW, None).map_err(failed("open"))?;
    if !spread {
        sys::bypass_queueing(&socket).map_err(failed("bypass the queueing discipline"))?;
    }
    sys::bind_packet_socket(&socket, interface.index).map_err(failed("bind"))?;
    Ok(socket)
}

fn run(
    traffic: &Traffic,
    interface: &Interface,
    settings: &Settings,
    stop: &AtomicBool,
    socket: &OwnedFd,
) -> Result<Report, SocketError> {
    let flows = traffic.mix().flows;
    let mut buffers: Vec<_> = (0..BATCH).map(|_| traffic.buffer()).collect();
    let mut position = Position::new(0, flows);
    let mut pacer = Pacer::new(settings.rate);
    let mut sent: Vec<_> = traffic.kinds().map(|kind| (kind, 0)).collect();
    let mut bytes = 0;
    let packets = settings.packets.unwrap_or(u64::MAX);
    let start = Instant::now();
    let mut last = Duration::ZERO;
    while position.number < packets && !stop.load(Ordering::Relaxed) {
        let now = start.elapsed();
        if settings.duration.is_some_and(|duration| now >= duration) {
            break;
        }
        let due = pacer.take(now, (packets - position.number).min(BATCH as u64));
        let count = usize::try_from(due).unwrap_or(BATCH);
        if count == 0 {
            wait(settings.rate);
            continue;
        }
        let mut frames = Vec::with_capacity(BATCH);
        for buffer in &mut buffers[..count] {
            frames.push(traffic.frame(&position, buffer));
            position.advance(flows);
        }
        let slices: Vec<_> = frames.iter().map(|frame| [IoSlice::new(frame.bytes)]).collect();
        let accepted = transmit(socket, &slices).map_err(|error| SocketError::Failed {
            interface: interface.name.clone(),
            action: "send",
            error,
        })?;
        for (frame, _) in frames.iter().zip(accepted).filter(|(_, accepted)| *accepted) {
            sent[frame.kind].1 += 1;
            bytes += frame.bytes.len() as u64;
        }
        last = start.elapsed();
    }
    Ok(Report::new("socket", traffic, position.number, bytes, last.as_secs_f64(), sent))
}

/// Sends one frame after the other, and says of each whether the driver took it.
fn transmit(socket: &OwnedFd, frames: &[[IoSlice<'_>; 1]]) -> Result<[bool; BATCH], Errno> {
    let mut accepted = [false; BATCH];
    let mut controls: [_; BATCH] = std::array::from_fn(|_| SendAncillaryBuffer::default());
    let mut messages: Vec<_> =
        frames.iter().zip(&mut controls).map(|(frame, control)| MMsgHdr::new(frame, control)).collect();
    let mut next = 0;
    while next < messages.len() {
        match sendmmsg(socket, &mut messages[next..], SendFlags::empty()) {
            Ok(count) => {
                accepted[next..next + count].fill(true);
                next += count;
            }
            Err(Errno::INTR) => {}
            // The driver refused the first of them: its ring is full.
            Err(Errno::NOBUFS) => next += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(accepted)
}

/// Waits for less than the time from packet to packet.
fn wait(rate: Option<u64>) {
    let interval = Duration::from_nanos(1_000_000_000 / rate.unwrap_or(u64::MAX).max(1));
    if interval > NAP {
        std::thread::sleep(NAP);
    } else {
        std::hint::spin_loop();
    }
}

//! Captures in memory, for the tests of the readers.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::input::Input;
use super::slot::Slot;
use super::step::Step;
use super::window::Window;
use super::{pcap, pcapng};
use crate::source::LinkType;

/// A packet that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) bytes: Vec<u8>,
    pub(super) original_length: u32,
    pub(super) timestamp: u64,
    pub(super) link_type: LinkType,
}

/// Reads all packets of a capture. Returns them, and everything else that came of it, to the end.
pub(super) fn read_all(bytes: &[u8]) -> (Vec<Packet>, Vec<Step>) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    read_file(file.path())
}

/// Reads all packets of the capture at `path`.
pub(super) fn read_file(path: &Path) -> (Vec<Packet>, Vec<Step>) {
    let mut window = Window::new(Input::open(path, Arc::default()).unwrap());
    let mut magic = [0; 4];
    window.fill(4, Duration::ZERO);
    magic.iter_mut().zip(window.bytes()).for_each(|(byte, read)| *byte = *read);
    let mut pcapng = pcapng::Reader::default();
    let mut pcap = pcap::Reader::default();
    let (mut packets, mut steps) = (Vec::new(), Vec::new());
    loop {
        let mut slot = Slot::default();
        let step = if pcapng::is_magic(magic) {
            pcapng.next(&mut window, &mut slot, Duration::ZERO)
        } else {
            pcap.next(&mut window, &mut slot, Duration::ZERO)
        };
        match step {
            Step::Packet => packets.push(Packet {
                bytes: slot.bytes,
                original_length: slot.original_length,
                timestamp: slot.timestamp.0,
                link_type: slot.link_type,
            }),
            Step::Wait => {}
            Step::Unread(_) => steps.push(step),
            Step::End | Step::Fault(_) => {
                steps.push(step);
                return (packets, steps);
            }
        }
    }
}

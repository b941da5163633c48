//! Pipes and directories: a stream is live, and a directory stands for the captures in it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use pcap_file::{DataLink, Endianness};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::capture;
use crate::golden;
use crate::program::{command, replay};

/// The time that a packet may take from the pipe to its record, and a signal to the end. Both are milliseconds on an idle machine.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn standard_input_is_live_and_a_signal_ends_it() {
    let directory = TempDir::new().unwrap();
    let ledger = directory.path().join("ledger.json");
    let whole = fs::read(golden::sizes().capture()).unwrap();
    let mut child = command()
        .arg("--ledger")
        .arg(&ledger)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (lines, received) = mpsc::channel();
    let output = BufReader::new(child.stdout.take().unwrap());
    let reader = thread::spawn(move || {
        for line in output.lines() {
            lines.send(line.unwrap()).unwrap();
        }
    });
    let mut input: ChildStdin = child.stdin.take().unwrap();
    // The header and one packet, then another one, with nothing behind it.
    let length = |at: usize| 16 + u32::from_le_bytes(whole[at + 8..at + 12].try_into().unwrap()) as usize;
    let second = 24 + length(24);
    let third = second + length(second);
    for (number, part) in [&whole[..second], &whole[second..third]].into_iter().enumerate() {
        input.write_all(part).unwrap();
        let line = received.recv_timeout(SOON).unwrap_or_else(|_| panic!("no record of packet {number}"));
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
    }
    // The pipe stays open while the read waits.
    let stopped = Instant::now();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(stopped.elapsed() < SOON);
    drop(input);
    reader.join().unwrap();
    assert!(received.try_recv().is_err(), "no record of what did not come");
    let ledger: Value = serde_json::from_slice(&fs::read(&ledger).unwrap()).unwrap();
    assert_eq!(
        (&ledger["balanced"], &ledger["seen"], &ledger["recorded"]),
        (&true.into(), &2.into(), &2.into())
    );
}

#[test]
fn a_directory_is_read_in_the_order_of_its_names() {
    let directory = TempDir::new().unwrap();
    let packets = capture::read(&golden::sizes().capture());
    let file = |packet: &capture::Packet| {
        capture::pcap(DataLink::ETHERNET, Endianness::Little, std::slice::from_ref(packet))
    };
    let mut expected = String::new();
    for (name, packet) in ["out.pcap0", "out.pcap1.zst", "out.pcap2", "out.pcap10"].into_iter().zip(&packets)
    {
        let path = directory.path().join(name);
        let bytes = file(packet);
        let bytes = if name.ends_with(".zst") { zstd::encode_all(&bytes[..], 0).unwrap() } else { bytes };
        fs::write(&path, bytes).unwrap();
        expected += &replay(&[&path], |_| {}).succeeded().records;
    }
    fs::write(directory.path().join("notes.txt"), "no capture").unwrap();
    let replayed = replay(&[directory.path()], |_| {}).succeeded();
    assert_eq!(replayed.records, expected);
    assert!(replayed.messages.contains("notes.txt"), "{}", replayed.messages);
}

/// The advice fits what is in the capture.
#[test]
fn a_capture_without_tunnels_is_told_of() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("other.pcap");
    let ethernet =
        |ethertype: u16, payload: &[u8]| [&[2; 12], &ethertype.to_be_bytes()[..], payload].concat();
    let udp = |port: u16| {
        let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 4, 0];
        packet.extend(port.to_be_bytes());
        packet.extend([0, 8, 0, 0]);
        ethernet(0x0800, &packet)
    };
    for (frame, told) in [
        (udp(5353), &["UDP port 5353", "link type 1"][..]),
        (ethernet(0x0806, &[0; 28]), &["not IP", "Is it a capture of the interface"]),
    ] {
        fs::write(&path, capture::pcap(DataLink::ETHERNET, Endianness::Little, &capture::packets([frame])))
            .unwrap();
        let replayed = replay(&[Path::new(&path)], |_| {}).succeeded();
        for told in told.iter().chain(&["no tunnel packet"]) {
            assert!(replayed.messages.contains(told), "{told}: {}", replayed.messages);
        }
    }
    // A file with a header and nothing else, and one with nothing at all.
    fs::write(&path, capture::pcap(DataLink::ETHERNET, Endianness::Little, &[])).unwrap();
    assert!(replay(&[&path], |_| {}).succeeded().messages.contains("no packets"));
    fs::write(&path, b"").unwrap();
    let replayed = replay(&[&path], |_| {});
    assert_eq!(replayed.code, 1);
    assert!(replayed.messages.contains("is empty"), "{}", replayed.messages);
}

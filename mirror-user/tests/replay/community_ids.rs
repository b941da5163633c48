//! Community IDs are those of Wireshark, for every kind of packet.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use pcap_file::{DataLink, Endianness};
use serde_json::Value;
use tempfile::TempDir;

use crate::capture::{self, Packet};
use crate::crafted;
use crate::program::replay;

/// Pause between two frames, beyond the idle timeout: each frame is a flow of its own.
const PAUSE: Duration = Duration::from_secs(1000);

/// Packets that tshark takes otherwise: it gives the first two the identifier of the packet in them, and of the third,
/// whose further fragments are missing, it reads no ports.
const APART: [&str; 3] = ["GRE", "an overlay of its own", "first fragment"];

/// tshark's Community ID of each frame, by its time in seconds; [`None`] where there is no tshark.
fn tshark(path: &Path) -> Option<BTreeMap<u64, String>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "--enable-protocol", "communityid", "-T", "fields", "-e", "frame.time_epoch"]);
    command.args(["-e", "communityid", "-r"]).arg(path).stdin(Stdio::null());
    let output = match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("SKIPPED: tshark is not installed");
            return None;
        }
        output => output.unwrap(),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let frame = |line: &str| {
        let (time, id) = line.split_once('\t').unwrap();
        let (seconds, _) = time.split_once('.').unwrap();
        // Of a tunnel in a tunnel it tells all: the innermost stands last.
        let id = id.rsplit(',').next().unwrap();
        (seconds.parse().unwrap(), id.to_owned())
    };
    Some(text.lines().map(frame).collect())
}

/// Writes frames, each at its own time.
fn write(path: &Path, frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Packet> {
    let packets: Vec<Packet> = (0..)
        .zip(capture::packets(frames))
        .map(|(number, packet)| Packet { time: packet.time + number * PAUSE, ..packet })
        .collect();
    fs::write(path, capture::pcap(DataLink::ETHERNET, Endianness::Little, &packets)).unwrap();
    packets
}

#[test]
fn every_kind_of_packet_has_that_of_wireshark() {
    let directory = TempDir::new().unwrap();
    let (names, frames): (Vec<_>, Vec<_>) =
        crafted::bare().into_iter().chain(crafted::icmp_of_all_types()).unzip();
    // In tunnels, tshark gives a packet without ports the identifier of the tunnel: it is shown the packets themselves.
    let path = directory.path().join("bare.pcap");
    write(&path, frames.clone());
    let Some(expected) = tshark(&path) else { return };
    let path = directory.path().join("mirrored.pcap");
    let packets = write(&path, frames.iter().map(|frame| crafted::mirrored(frame)));
    let replayed = replay(&[&path], |command| {
        command.args(["--records", "flow"]);
    });
    let mut compared = 0;
    for line in replayed.succeeded().records.lines() {
        let flow: Value = serde_json::from_str(line).unwrap();
        let start = flow["event"]["start"].as_str().unwrap();
        let position = packets.iter().position(|packet| start.starts_with(&date_and_time(packet.time)));
        let position = position.unwrap_or_else(|| panic!("no frame at {start}"));
        let found = flow["network"]["community_id"].as_str().unwrap_or_default();
        let seconds = packets[position].time.as_secs();
        let expected = &expected[&seconds];
        // tshark gives none to a packet whose payload it finds malformed, which is none of the identifier's business.
        if !expected.is_empty() && !APART.contains(&names[position]) {
            assert_eq!(found, expected, "{} {}", names[position], flow["mirror"]["icmp"]);
            compared += 1;
        }
    }
    assert!(compared > 1000, "{compared} flows with a Community ID");
}

/// Date and time to the second.
fn date_and_time(since_1970: Duration) -> String {
    let time = std::time::UNIX_EPOCH + Duration::from_secs(since_1970.as_secs());
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.trim_end_matches('Z').to_owned()
}

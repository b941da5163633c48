//! Flows of public captures against the conversation statistics of tshark.
//!
//! Where they or tshark are absent, each test prints a line that begins with `SKIPPED: ` and passes.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mirror_user::decap::{DecapConfig, decapsulate};
use mirror_user::flow::{Action, EndReason, FlowRecord, FlowTransport};
use mirror_user::number::IpProtocol;
use mirror_user::packet::Packet;
use mirror_user::source::{Frame, LinkType};
use mirror_user::time::Timestamp;
use pcap_file::pcap::PcapReader;

use crate::public_captures;
use crate::support::{Run, config};

const CONFIG: DecapConfig = DecapConfig { geneve_port: 6081, vxlan_port: 4789, max_depth: 2 };

/// A capture as the pipeline reads it.
struct Capture {
    path: PathBuf,
    /// Numbers of the frames that hold a mirrored packet, from 1 as tshark counts them.
    numbers: Vec<usize>,
    packets: Vec<(Timestamp, Packet)>,
    first: Timestamp,
}

impl Capture {
    /// The capture `name`; none where it is absent.
    fn open(name: &str) -> Option<Self> {
        let path = public_captures::path(name)?;
        let mut reader = PcapReader::new(File::open(&path).unwrap()).unwrap();
        let mut capture = Self { path, numbers: Vec::new(), packets: Vec::new(), first: Timestamp(0) };
        let mut number = 0;
        while let Some(captured) = reader.next_packet() {
            let captured = captured.unwrap();
            number += 1;
            let timestamp = Timestamp(captured.timestamp().as_nanos().try_into().unwrap());
            if number == 1 {
                capture.first = timestamp;
            }
            let frame = Frame {
                data: captured.data(),
                captured_length: captured.len(),
                original_length: captured.orig_len(),
                timestamp,
                link_type: LinkType::Ethernet,
            };
            if let Ok(packet) = decapsulate(&frame, &CONFIG) {
                // tshark counts the bytes of whole frames.
                let packet = Packet { original_length: captured.orig_len(), ..packet };
                capture.numbers.push(number);
                capture.packets.push((timestamp, packet));
            }
        }
        Some(capture)
    }

    /// The records, each of the first and last packet of a flow.
    fn flows(&self) -> Vec<FlowRecord> {
        let mut run = Run::new(config());
        run.packets(&self.packets);
        let (records, table) = run.finish();
        assert_eq!(records.iter().map(FlowRecord::packets).sum::<u64>(), self.packets.len() as u64);
        assert_eq!(table.counters().attributed, self.packets.len() as u64);
        assert!(
            records
                .iter()
                .all(|record| matches!(record.action, Action::End(reason) if reason != EndReason::Evicted))
        );
        records
    }

    /// The output of tshark with `arguments` for the frames that hold a mirrored packet; none where it is
    /// absent.
    fn tshark(&self, arguments: impl Fn(&str) -> Vec<String>) -> Option<String> {
        let numbers: Vec<String> = self.numbers.iter().map(usize::to_string).collect();
        let filter = format!("frame.number in {{{}}}", numbers.join(","));
        tshark(&self.path, &arguments(&filter))
    }
}

fn tshark(path: &Path, arguments: &[String]) -> Option<String> {
    let Ok(output) = Command::new("tshark").arg("-r").arg(path).args(arguments).output() else {
        println!("SKIPPED: tshark is absent; install it to compare flows with its conversations");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// A conversation as tshark sees it.
#[derive(Debug, PartialEq)]
struct Conversation {
    /// Frames, and bytes where tshark prints them to the last one, from the first end to the second one.
    there: (u64, Option<u64>),
    /// The same from the second end to the first one.
    back: (u64, Option<u64>),
    /// From the first frame of the capture.
    start: Duration,
    /// To the tenth of a millisecond.
    duration: Duration,
}

type Ends = [(IpAddr, u16); 2];

/// The lines of `tshark -z conv`, but for those of the tunnels themselves.
fn conversations(output: &str) -> BTreeMap<Ends, Conversation> {
    let end = |text: &str| {
        let (address, port) = text.rsplit_once(':').unwrap();
        (address.trim_matches(['[', ']']).parse().unwrap(), port.parse().unwrap())
    };
    let traffic = |fields: &[&str]| {
        (fields[0].parse().unwrap(), (fields[2] == "bytes").then(|| fields[1].parse().unwrap()))
    };
    let time = |text: &str| Duration::from_secs_f64(text.parse().unwrap());
    output
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.get(1) == Some(&"<->"))
        .map(|fields| {
            let conversation = Conversation {
                back: traffic(&fields[3..6]),
                there: traffic(&fields[6..9]),
                start: time(fields[12]),
                duration: time(fields[13]),
            };
            ([end(fields[0]), end(fields[2])], conversation)
        })
        .filter(|(ends, _)| ends.iter().all(|(_, port)| ![4789, 6081].contains(port)))
        .collect()
}

/// A flow, as tshark would see it.
fn conversation(record: &FlowRecord, first: Timestamp) -> (Ends, Conversation) {
    let FlowTransport::Ports { source, destination } = record.transport else { panic!("{record:?}") };
    let conversation = Conversation {
        there: (record.forward.packets, Some(record.forward.bytes)),
        back: (record.reverse.packets, Some(record.reverse.bytes)),
        start: Duration::from_nanos(record.start.0 - first.0),
        duration: record.duration(),
    };
    ([(record.source, source), (record.destination, destination)], conversation)
}

/// Compares every flow of a protocol with ports, and returns how many there are.
fn compare(capture: &Capture, protocol: IpProtocol, name: &str) -> Option<usize> {
    let output = capture.tshark(|filter| vec!["-q".into(), "-z".into(), format!("conv,{name},{filter}")])?;
    let mut theirs = conversations(&output);
    let flows = capture.flows();
    let ours: Vec<_> = flows.iter().filter(|record| record.protocol == protocol).collect();
    for record in &ours {
        let ([source, destination], our) = conversation(record, capture.first);
        let their = theirs
            .remove(&[source, destination])
            .or_else(|| {
                let their = theirs.remove(&[destination, source])?;
                Some(Conversation { there: their.back, back: their.there, ..their })
            })
            .unwrap_or_else(|| panic!("tshark has no conversation for {record:?}"));
        for (our, their) in [(our.there, their.there), (our.back, their.back)] {
            assert_eq!(our.0, their.0, "packets of {record:?}");
            assert!(their.1.is_none() || their.1 == our.1, "bytes of {record:?}: tshark has {their:?}");
        }
        assert!(
            our.start.abs_diff(their.start) < Duration::from_nanos(100),
            "start of {record:?}: {their:?}"
        );
        assert!(
            our.duration.abs_diff(their.duration) <= Duration::from_micros(51),
            "duration of {record:?}: {their:?}"
        );
    }
    assert!(theirs.is_empty(), "tshark has further conversations: {theirs:?}");
    Some(ours.len())
}

#[test]
fn conversations_agree() {
    for (name, tcp, udp) in [
        ("aws-mirror-vxlan.pcap", 4, 9),
        ("vxlan-reserved-bits.pcap", 1, 0),
        ("geneve-options.pcap", 1, 0),
        ("geneve-gcp-options.pcap", 1, 0),
    ] {
        let Some(capture) = Capture::open(name) else { continue };
        let Some(flows) = compare(&capture, IpProtocol::TCP, "tcp") else { return };
        assert_eq!(flows, tcp, "{name}");
        let Some(flows) = compare(&capture, IpProtocol::UDP, "udp") else { return };
        assert_eq!(flows, udp, "{name}");
    }
}

#[test]
fn echo_requests_are_one_flow() {
    let Some(capture) = Capture::open("geneve-options.pcap") else { return };
    let flows = capture.flows();
    let icmp: Vec<_> = flows.iter().filter(|record| record.protocol == IpProtocol::ICMP).collect();
    let [ping] = icmp[..] else { panic!("{icmp:?}") };
    // tshark: id=0x2952, and the three replies are in frames that are recorded.
    assert_eq!(ping.transport, FlowTransport::Icmp { kind: 8, code: 0, identifier: Some(0x2952) });
    assert_eq!(ping.source, "30.0.0.1".parse::<IpAddr>().unwrap());
    assert_eq!((ping.forward.packets, ping.reverse.packets), (0, 3));
}

/// Round trips of handshakes and segments out of turn are those that tshark finds in whole connections.
#[test]
fn tcp_analysis_agrees() {
    for name in ["aws-mirror-vxlan.pcap", "vxlan-reserved-bits.pcap"] {
        let Some(capture) = Capture::open(name) else { continue };
        let fields = ["ip.src", "tcp.srcport", "tcp.analysis.initial_rtt"];
        let Some(output) = capture.tshark(|_| {
            let mut arguments = vec!["-Y".into(), "tcp.flags.syn == 0 && tcp.analysis.initial_rtt".into()];
            arguments.extend(["-T", "fields", "-E", "occurrence=l"].map(String::from));
            arguments.extend(fields.into_iter().flat_map(|field| ["-e".into(), field.into()]));
            arguments
        }) else {
            return;
        };
        let flows = capture.flows();
        let mut compared = 0;
        for line in output.lines() {
            let [address, port, round_trip] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let ends = (address.parse::<IpAddr>().unwrap(), port.parse::<u16>().unwrap());
            let Some(flow) = flows.iter().find(|flow| {
                matches!(flow.transport, FlowTransport::Ports { source, .. } if (flow.source, source) == ends)
            }) else {
                continue;
            };
            let round_trip = Duration::from_secs_f64(round_trip.parse().unwrap());
            let ours = flow.handshake.unwrap_or_else(|| panic!("no handshake in {flow:?}"));
            assert!(ours.abs_diff(round_trip) <= Duration::from_micros(1), "{ours:?}, tshark {round_trip:?}");
            compared += 1;
        }
        assert!(compared > 0, "{name}: {output}");
        let output = capture
            .tshark(|_| vec!["-Y".into(), "tcp.analysis.retransmission || tcp.analysis.out_of_order".into()])
            .unwrap();
        let theirs = output.lines().count();
        let ours: usize = flows
            .iter()
            .flat_map(|flow| [flow.forward, flow.reverse])
            .map(|traffic| usize::from(traffic.retransmissions) + usize::from(traffic.out_of_order))
            .sum();
        assert_eq!(ours, theirs, "{name}: {output}");
    }
}

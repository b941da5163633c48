//! The records say what Wireshark's dissection says, field by field, and what was dropped was dropped for a reason
//! that Wireshark sees as well.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use mirror_user::DropReason;
use pcap_file::{DataLink, Endianness};
use serde_json::Value;
use tempfile::TempDir;

use crate::capture;
use crate::crafted;
use crate::dissection::{Dissection, Layer, dissect};
use crate::golden;
use crate::mirrored::{IP, Mirrored, TUNNELS, fragment};
use crate::pipeline::decapsulate_all;
use crate::program::replay;

#[test]
fn own_captures() {
    for golden in golden::all() {
        let Some(compared) = compare(&golden.capture()) else { return };
        let dropped: usize = compared.dropped.values().sum();
        assert_eq!((compared.recorded + dropped) as u64, golden.packets());
    }
}

#[test]
fn own_captures_cut_by_a_snap_length() {
    let directory = TempDir::new().unwrap();
    let packets = capture::read(&golden::mixed().capture());
    for snap_length in [60, 90, 96, 112, 128, 140, 150, 156, 160, 180] {
        let cut: Vec<_> = packets.iter().map(|packet| packet.cut(snap_length)).collect();
        let path = directory.path().join(format!("cut-{snap_length}.pcap"));
        fs::write(&path, capture::pcap(DataLink::ETHERNET, Endianness::Little, &cut)).unwrap();
        let Some(compared) = compare(&path) else { return };
        assert_eq!(compared.recorded > 0, snap_length >= 112, "{compared:?}");
    }
}

#[test]
fn crafted_frames() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("crafted.pcap");
    let (names, frames): (Vec<_>, Vec<_>) = crafted::frames().into_iter().unzip();
    let packets = capture::packets(frames);
    fs::write(&path, capture::pcap(DataLink::ETHERNET, Endianness::Little, &packets)).unwrap();
    for (number, name) in names.iter().enumerate() {
        println!("frame {}: {name}", number + 1);
    }
    let Some(compared) = compare(&path) else { return };
    assert_eq!(compared.recorded, crafted::recorded().len());
}

#[test]
fn crafted_frames_cut_anywhere() {
    let directory = TempDir::new().unwrap();
    for (number, (name, frame)) in crafted::frames().into_iter().enumerate() {
        // What all of them begin with is cut once.
        const SHARED: usize = 118;
        let packets = capture::packets([frame]);
        let shared = if number == 0 || packets[0].bytes.len() <= SHARED { 1 } else { SHARED };
        let lengths = shared..packets[0].bytes.len();
        let cut: Vec<_> = lengths.map(|length| packets[0].cut(length)).collect();
        let path = directory.path().join("cut.pcap");
        fs::write(&path, capture::pcap(DataLink::ETHERNET, Endianness::Little, &cut)).unwrap();
        println!("{name}");
        if compare(&path).is_none() {
            return;
        }
    }
}

/// Captures of others, which are not part of the project. They are looked for in `MIRROR_PCAPS`, and without that in
/// `shared/pcaps` beside the workspace.
#[test]
fn captures_of_others() {
    let folder = env::var_os("MIRROR_PCAPS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/pcaps"), PathBuf::from);
    let Ok(entries) = fs::read_dir(&folder) else {
        println!("SKIPPED: {} is absent; set MIRROR_PCAPS to the folder of the captures", folder.display());
        return;
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    for path in paths.filter(|path| path.extension().is_some_and(|extension| extension == "pcap")) {
        let Some(compared) = compare(&path) else { return };
        println!("{}: {compared:?}", path.display());
        if path.ends_with("geneve-options.pcap") {
            let critical = BTreeMap::from([(DropReason::GeneveCriticalOption.name(), 19)]);
            assert_eq!((compared.recorded, compared.dropped), (20, critical));
        }
    }
}

/// The number of packets that agree.
#[derive(Debug, Default)]
struct Compared {
    recorded: usize,
    dropped: BTreeMap<&'static str, usize>,
}

/// Compares what the program makes of each packet of the capture at `path` with tshark's dissection; [`None`] where
/// there is no tshark.
fn compare(path: &Path) -> Option<Compared> {
    let frames = dissect(path)?;
    let results = decapsulate_all(path);
    let replayed = replay(&[path], |_| {}).succeeded();
    let mut records = replayed.records.lines();
    assert_eq!(frames.len(), results.len());
    let mut compared = Compared::default();
    for (number, (frame, result)) in (1..).zip(frames.iter().zip(&results)) {
        let place = format!("{}, frame {number}", path.display());
        match result {
            Ok(packet) => {
                let Some(seen) = Mirrored::new(frame) else { panic!("{place}: no tunnel in {frame:#?}") };
                let mut record: Value = serde_json::from_str(records.next().unwrap()).unwrap();
                let mut expected = seen.record();
                if seen.transport_is_cut_off() {
                    forget_transport(&mut record);
                    forget_transport(&mut expected);
                }
                assert_eq!(record, expected, "{place}\nrecord on the left, {seen:#?} on the right");
                seen.check_packet(packet, &place);
                compared.recorded += 1;
            }
            Err(reason) => {
                assert!(is_true(*reason, frame), "{place}: {} of {frame:#?}", reason.name());
                *compared.dropped.entry(reason.name()).or_default() += 1;
            }
        }
    }
    assert_eq!(records.next(), None);
    assert_eq!(replayed.ledger["recorded"], compared.recorded);
    for (reason, count) in &compared.dropped {
        assert_eq!(replayed.ledger["dropped"][reason], *count, "{}", path.display());
    }
    Some(compared)
}

/// Takes out what a record says of the transport header.
fn forget_transport(record: &mut Value) {
    for (object, member) in [("source", "port"), ("destination", "port"), ("mirror", "icmp")] {
        record[object].as_object_mut().unwrap().remove(member);
    }
}

/// True where tshark sees the reason for which a frame was dropped.
fn is_true(reason: DropReason, frame: &Dissection) -> bool {
    let outer = frame.layer(&IP);
    let geneve = frame.layer(&["geneve"]);
    let udp = frame.layer(&["udp"]);
    let innermost = frame.layers.iter().rev().find(|layer| IP.contains(&layer.name.as_str()));
    let mut inner = frame.layers.iter().skip_while(|layer| !TUNNELS.contains(&layer.name.as_str()));
    let faulty_inner = inner.any(|layer| IP.contains(&layer.name.as_str()) && layer.has("_ws.expert"));
    let faulty = |layer: Option<&Layer>| layer.is_none_or(|layer| layer.has("_ws.expert"));
    match reason {
        DropReason::GeneveTruncated | DropReason::VxlanTruncated => frame.cut_off(),
        // An IP header that contradicts itself may be cut off as well; then tshark tells of the former.
        DropReason::OuterTruncated => frame.cut_off() || faulty(outer),
        DropReason::InnerTruncated => frame.cut_off() || faulty_inner,
        DropReason::OuterNotIp => outer.is_none(),
        DropReason::OuterIpHeader => faulty(outer),
        DropReason::OuterFragment => outer.is_some_and(|ip| fragment(ip).is_some()),
        DropReason::NotTunnel => frame.layer(&TUNNELS).is_none(),
        DropReason::OuterUdpLength => faulty(udp),
        DropReason::GeneveVersion => geneve.is_some_and(|layer| layer.number("geneve.version") != Some(0)),
        DropReason::GeneveOptionLength => geneve.is_some() && frame.cut_off() || faulty(geneve),
        DropReason::GeneveControl => geneve.is_some_and(|layer| layer.flag("geneve.flags.oam")),
        DropReason::GeneveCriticalOption => {
            geneve.is_some_and(|layer| layer.all("geneve.option.type.critical").contains(&"1"))
        }
        DropReason::GeneveProtocol => geneve.is_some_and(|layer| {
            !matches!(layer.number("geneve.proto_type"), Some(0x0800 | 0x86dd | 0x6558))
        }),
        DropReason::GwlbOptionLength => geneve.is_some_and(|layer| {
            let lengths = [("01:08:01:", 12), ("01:08:02:", 12), ("01:08:03:", 8)];
            let wrong = |option: &&str| {
                let bytes = option.split(':').count();
                lengths.iter().any(|(header, length)| option.starts_with(header) && bytes != *length)
            };
            layer.all("geneve.option").iter().any(wrong)
        }),
        DropReason::VxlanFlags => frame.layer(&["vxlan"]).is_some_and(|layer| !layer.flag("vxlan.flag_i")),
        DropReason::InnerIpHeader => faulty_inner,
        DropReason::InnerExtensionHeaders => innermost.is_some_and(|ip| ip.all_ending_with(".nxt").len() > 8),
        DropReason::SourceNotAllowed
        | DropReason::NoHeadroom
        | DropReason::NotCut
        | DropReason::FillRingEmpty
        | DropReason::RxRingFull
        | DropReason::SocketLost
        | DropReason::FileLinkType
        | DropReason::FileInterface
        | DropReason::FileLength
        | DropReason::FileCutOff
        | DropReason::PolicyExcluded
        | DropReason::FlowNotIp
        | DropReason::FlowFragment
        | DropReason::FlowTunnels
        | DropReason::NotSampled
        | DropReason::CountersOnly
        | DropReason::WorkerPanicked
        | DropReason::SinkQueueFull
        | DropReason::SinkWriteFailed
        | DropReason::SinkSyncFailed
        | DropReason::SinkPublishFailed
        | DropReason::SinkPanicked
        | DropReason::SinkStalled => panic!("{} cannot come out of decapsulation", reason.name()),
    }
}

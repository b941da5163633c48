//! The two directions of a conversation on different receive queues.

use std::collections::BTreeMap;
use std::fs;

use mirror_testkit::generator::Source;
use mirror_testkit::root::skipped_without_root;
use mirror_testkit::traffic::{FrameSize, Profile, Share};
use mirror_testkit::veth::{VethOptions, VethPair};
use serde_json::Value;

use crate::daemon::{self, mixed, send_all, settings};

const FLOWS: u64 = 64;
/// Of each flow, half of them in each direction.
const PACKETS: u64 = 20;
/// Bytes of a frame, and those in front of the mirrored packet.
const FRAME: u64 = 256;
const ENCAPSULATION: u64 = 118;

/// A record of one conversation.
#[derive(Debug)]
struct Part {
    queue: u64,
    transport: String,
    source: String,
    /// Packets from source and from destination.
    packets: [u64; 2],
    bytes: u64,
}

#[test]
fn half_flows_on_different_queues_have_one_community_id() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions { queues: 2, ..VethOptions::default() }).unwrap();
    let daemon = daemon::start(&pair, &["--records", "flow"]);
    let profile = Profile {
        flows: FLOWS,
        frame_size: FrameSize::Bytes(FRAME.try_into().unwrap()),
        vxlan: Share::ALL,
        ipv6: Share::NONE,
        icmp: Share::NONE,
        malformed: Share::NONE,
        ..mixed()
    };
    let report = send_all(&pair, &profile, &settings(FLOWS * PACKETS, Source::Spread));
    assert_eq!(report.sent, FLOWS * PACKETS, "{report}");
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_eq!(ended.ledger["balanced"], true, "{:#}", ended.ledger);
    assert_eq!((ended.number("seen"), ended.number("recorded")), (report.sent, report.sent));

    let mut conversations: BTreeMap<String, Vec<Part>> = BTreeMap::new();
    for line in fs::read_to_string(ended.records()).unwrap().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let packets = ["source", "destination"].map(|end| record[end]["packets"].as_u64().unwrap());
        assert_eq!(record["network"]["packets"], packets.iter().sum::<u64>());
        let id = record["network"]["community_id"].as_str().unwrap().to_owned();
        conversations.entry(id).or_default().push(Part {
            queue: record["mirror"]["queue"].as_u64().unwrap(),
            transport: record["network"]["transport"].as_str().unwrap().to_owned(),
            source: record["source"]["ip"].as_str().unwrap().to_owned(),
            packets,
            bytes: record["network"]["bytes"].as_u64().unwrap(),
        });
    }
    assert_eq!(conversations.len() as u64, FLOWS);

    let mut apart = 0;
    for (id, parts) in &conversations {
        let packets: u64 = parts.iter().flat_map(|part| part.packets).sum();
        let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
        assert_eq!(packets, PACKETS, "{id}: {parts:#?}");
        assert_eq!(bytes, PACKETS * (FRAME - ENCAPSULATION), "{id}: {parts:#?}");
        match parts.as_slice() {
            [whole] => assert_eq!(whole.packets, [PACKETS / 2; 2], "{id}: {parts:#?}"),
            [one, other] => {
                apart += 1;
                assert_ne!(one.queue, other.queue, "{id}: {parts:#?}");
                for half in parts {
                    let mut packets = half.packets;
                    packets.sort_unstable();
                    assert_eq!(packets, [0, PACKETS / 2], "{id}: {parts:#?}");
                }
                if one.transport == "tcp" {
                    // SYN and its answer say who the client is, each for itself.
                    assert_eq!(one.source, other.source, "{id}: {parts:#?}");
                }
            }
            _ => panic!("{id}: {parts:#?}"),
        }
    }
    // The kernel's hash is another one each time; for all or none of 64 to be apart is as good as impossible.
    assert!(apart > 0 && apart < conversations.len(), "{apart} of {FLOWS} have their directions apart");
}

//! The packets that come out as pcapng are the ones that went in.

use std::fs;
use std::process::{Command, Stdio};

use mirror_user::packet::{Packet, Tunnel};
use pcap_file::pcapng::PcapNgReader;
use pcap_file::pcapng::blocks::Block;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::{DataLink, Endianness};
use tempfile::TempDir;

use crate::dissection::dissect;
use crate::pipeline::decapsulate_all;
use crate::program::replay;
use crate::{capture, crafted, golden};

/// The comment that the packet must have.
fn comment(tunnel: &Tunnel) -> String {
    let members = [
        tunnel.endpoint.map(|id| format!("gwlbe_id=vpce-0{:016x}", id.0)),
        tunnel.attachment.map(|id| format!("attachment_id={:016x}", id.0)),
        tunnel.cookie.map(|cookie| format!("flow_cookie={:08x}", cookie.0)),
        tunnel.geneve_vni.map(|vni| format!("geneve_vni={}", vni.get())),
        tunnel.vxlan_vni.map(|vni| format!("vxlan_vni={}", vni.get())),
        Some(format!("outer={}>{}", tunnel.outer_source, tunnel.outer_destination)),
        Some("queue=0".to_owned()),
    ];
    members.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[test]
fn packets_are_parts_of_their_frames() {
    let directory = TempDir::new().unwrap();
    let crafted = capture::packets(crafted::frames().into_iter().map(|(_, frame)| frame));
    let own = capture::read(&golden::mixed().capture());
    let cut: Vec<_> = own.iter().map(|packet| packet.cut(150)).collect();
    for packets in [own, cut, crafted] {
        let input = directory.path().join("frames.pcap");
        let output = directory.path().join("packets.pcapng");
        fs::write(&input, capture::pcap(DataLink::ETHERNET, Endianness::Little, &packets)).unwrap();
        let replayed = replay(&[&input], |command| {
            command.args(["--format", "pcapng", "--output"]).arg(&output);
        });
        let replayed = replayed.succeeded();

        let results = decapsulate_all(&input);
        let mut expected =
            packets.iter().zip(results).filter_map(|(frame, packet)| Some((frame, packet.ok()?)));
        let file = fs::read(&output).unwrap();
        assert_eq!(replayed.ledger["run"]["output_bytes"], file.len());
        let mut reader = PcapNgReader::new(&file[..]).unwrap();
        let mut count = 0;
        while let Some(block) = reader.next_block() {
            let (Block::EnhancedPacket(block), state) = block.unwrap() else { continue };
            let (frame, packet): (_, Packet) = expected.next().expect("no more packets than there were");
            let start = packet.offset as usize;
            assert_eq!(block.data, &frame.bytes[start..start + packet.captured_length as usize]);
            assert_eq!(block.original_len, packet.original_length);
            assert_eq!(block.timestamp, frame.time);
            let link = state.interfaces()[block.interface_id as usize].linktype;
            assert_eq!(link, if packet.link.is_some() { DataLink::ETHERNET } else { DataLink::RAW });
            let identity =
                EnhancedPacketOption::Common(CommonOption::Comment(comment(&packet.tunnel).into()));
            assert_eq!(block.options, [identity]);
            count += 1;
        }
        assert!(expected.next().is_none());
        assert_eq!(replayed.ledger["recorded"], count);
    }
}

#[test]
fn tshark_reads_it_without_a_complaint() {
    let directory = TempDir::new().unwrap();
    for golden in golden::all() {
        let output = directory.path().join("packets.pcapng");
        let capture = golden.capture();
        replay(&[&capture], |command| {
            command.args(["--format", "pcapng", "--output"]).arg(&output);
        })
        .succeeded();
        let Some(frames) = dissect(&output) else { return };
        let recorded: Vec<_> = decapsulate_all(&capture).into_iter().flatten().collect();
        assert_eq!(frames.len(), recorded.len());
        for (frame, packet) in frames.iter().zip(recorded) {
            assert!(!frame.cut_off(), "{frame:#?}");
            let shown = frame.layers.iter().find_map(|layer| layer.text("frame.comment"));
            assert_eq!(shown, Some(&*comment(&packet.tunnel)));
        }
        filter_by_endpoint(&output);
    }
}

/// A display filter on the comment finds the packets of an endpoint, as the manual says.
fn filter_by_endpoint(file: &std::path::Path) {
    let mut command = Command::new("tshark");
    command.args(["-n", "-Y", "frame.comment contains \"gwlbe_id=vpce-00e5d000000000001\"", "-r"]).arg(file);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stdout.is_empty());
}

#[test]
fn its_own_output_can_be_read_again() {
    let directory = TempDir::new().unwrap();
    let output = directory.path().join("packets.pcapng");
    replay(&[&golden::sizes().capture()], |command| {
        command.args(["--format", "pcapng", "--output"]).arg(&output);
    })
    .succeeded();
    let again = replay(&[&output], |_| {}).succeeded();
    assert_eq!(again.records, "");
    let packets = golden::sizes().packets();
    assert_eq!(again.ledger["dropped"]["not_tunnel"], packets, "the tunnels are off");
}

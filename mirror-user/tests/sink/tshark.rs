//! The pcapng as Wireshark reads it.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use etherparse::PacketBuilder;
use mirror_user::packet::Network;
use mirror_user::sink::{self, Destination, Format, SinkConfig};

use crate::support::{add, record};

/// Fields of each frame of the file, or `None` where there is no tshark.
fn fields(file: &Path, names: &[&str]) -> Option<Vec<Vec<String>>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-T", "fields", "-r"]).arg(file);
    for name in names {
        command.args(["-e", name]);
    }
    let output = match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        output => output.unwrap(),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

#[test]
fn tshark_shows_packets_lengths_and_tunnel_identity() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("capture.pcapng");
    let config = SinkConfig {
        destination: Destination::File(file.clone()),
        format: Format::Pcapng,
        ..SinkConfig::default()
    };
    let (mut producers, sinks) = sink::start(&config, 1).unwrap();
    assert!(producers[0].wants_bytes());

    let udp = PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64).udp(5000, 53);
    let mut ip = Vec::new();
    udp.write(&mut ip, &[0; 13]).unwrap();
    let ethernet = [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0], ip.as_slice()].concat();
    for number in 0..3 {
        let mut record = record(4, 1_795_251_852_123_456_789 + number);
        let bytes = match number {
            0 => &ethernet[..],
            1 => &ethernet[..40],
            _ => &ip[..],
        };
        if number == 2 {
            record.packet.link = None;
            record.packet.tunnel.vxlan_vni = None;
        }
        record.packet.captured_length = u32::try_from(bytes.len()).unwrap();
        record.packet.original_length =
            if number == 2 { ip.len() } else { ethernet.len() }.try_into().unwrap();
        assert!(matches!(record.packet.network, Network::Ip(_)));
        add(producers[0].batch().unwrap(), &record, bytes);
    }
    drop(producers);
    sinks.join().unwrap();

    let names = [
        "frame.comment",
        "frame.time_epoch",
        "frame.cap_len",
        "frame.len",
        "frame.encap_type",
        "ip.src",
        "udp.dstport",
    ];
    let Some(frames) = fields(&file, &names) else {
        println!("SKIPPED: tshark is not installed");
        return;
    };
    let identity =
        "gwlbe_id=vpce-00123456789abcdef attachment_id=fedcba9876543210 flow_cookie=01234567 geneve_vni=0";
    let outer = "outer=10.1.0.1>10.1.0.2 queue=4";
    let mirrored = format!("{identity} vxlan_vni=7 {outer}");
    let plain = format!("{identity} {outer}");
    // Encapsulations of Wireshark: 1 Ethernet, 7 raw IP.
    assert_eq!(
        frames,
        [
            [&mirrored, "1795251852.123456789", "55", "55", "1", "192.0.2.1", "53"],
            [&mirrored, "1795251852.123456790", "40", "55", "1", "192.0.2.1", "53"],
            [&plain, "1795251852.123456791", "41", "41", "7", "192.0.2.1", "53"],
        ]
    );
}

#[test]
fn a_file_without_packets_is_valid() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("empty.pcapng");
    let config = SinkConfig {
        destination: Destination::File(file.clone()),
        format: Format::Pcapng,
        ..SinkConfig::default()
    };
    let (producers, sinks) = sink::start(&config, 1).unwrap();
    drop(producers);
    sinks.join().unwrap();
    match fields(&file, &["frame.number"]) {
        Some(frames) => assert!(frames.is_empty(), "{frames:?}"),
        None => println!("SKIPPED: tshark is not installed"),
    }
}

//! SSH, DHCP and the changes to TLS: any bytes, and tshark.

use mirror_app::starttls::Opening;
use mirror_app::{dhcp, ssh};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::packets;
use crate::tshark;

/// A request for an address, with everything that is read.
fn dhcp_request() -> Vec<u8> {
    let mut bytes = vec![0; 236];
    bytes[..8].copy_from_slice(&[1, 1, 6, 0, 0x12, 0x34, 0x56, 0x78]);
    bytes[12..16].copy_from_slice(&[192, 0, 2, 5]);
    bytes[16..20].copy_from_slice(&[192, 0, 2, 7]);
    bytes[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    bytes.extend(b"\x63\x82\x53\x63\x35\x01\x03\x0c\x04web1\x32\x04\xc0\0\x02\x08\x3c\x08MSFT 5.0");
    bytes.extend(b"\x51\x10\x05\0\0\x03web\x07example\0\xff");
    bytes
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_bounded(
        start in prop::sample::select(vec![
            "", "SSH-2.0-", "hello\r\n", "EHLO a\r\n", "220 a\r\n", "a STARTTLS\r\n", "* OK\r\n", "S", "\0\0\0\u{8}\u{4}",
            " \0\0\u{1}", "J\0\0\0\n8.4.0",
        ]),
        bytes in vec(any::<u8>(), 0..300),
    ) {
        let bytes = [start.as_bytes(), &bytes].concat();
        if let Ok(Some(banner)) = ssh::read(&bytes) {
            prop_assert!(banner.length <= bytes.len() && banner.software.len() < 255);
            // What is found does not depend on what follows.
            prop_assert_eq!(ssh::read(&bytes[..banner.length]), Ok(Some(banner)));
            prop_assert_eq!(ssh::read(&bytes[..banner.length - 1]), Ok(None));
        }
        for opening in Opening::ALL {
            opening.begins(&bytes);
            if let Ok(Some(length)) = opening.read(&bytes) {
                prop_assert_eq!(bytes.get(length), Some(&22));
            }
        }
    }

    #[test]
    fn damaged_dhcp_is_refused_or_bounded(damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut bytes = dhcp_request();
        for (index, value) in damage {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(message) = dhcp::parse(&bytes) {
            let texts = [message.host_name, message.full_name, message.vendor_class];
            prop_assert!(texts.into_iter().flatten().all(|text| text.chars().count() <= 255));
        }
    }
}

#[test]
fn tshark_reads_banners_alike() {
    let mut banners = 0;
    for name in ["aws-mirror-vxlan.pcap", "geneve-options.pcap"] {
        let Some(capture) = packets::public(name) else { return };
        let Some(seen) = tshark::fields(&capture, "ssh.protocol", &["tcp.payload", "ssh.protocol"]) else {
            return;
        };
        for fields in &seen {
            let payload = tshark::bytes(fields[0].last().unwrap());
            let banner = ssh::read(&payload).unwrap().unwrap();
            assert_eq!(ssh::begins(&payload), Some(true));
            let comments = banner.comments.map_or(String::new(), |comments| format!(" {comments}"));
            let line = format!("SSH-{}-{}{comments}", banner.protocol, banner.software);
            assert_eq!(line, fields[1][0].trim_end());
            banners += 1;
        }
    }
    assert!(banners >= 4, "{banners}");
}

#[test]
fn tshark_reads_dhcp_alike() {
    let folder = TempDir::new().unwrap();
    let bytes = dhcp_request();
    let capture =
        packets::write(folder.path(), &[packets::udp(dhcp::CLIENT_PORT, dhcp::SERVER_PORT, &bytes)]);
    let names = [
        "dhcp.option.dhcp",
        "dhcp.id",
        "dhcp.hw.mac_addr",
        "dhcp.ip.client",
        "dhcp.ip.your",
        "dhcp.option.requested_ip_address",
        "dhcp.option.hostname",
        "dhcp.fqdn.name",
        "dhcp.option.vendor_class_id",
    ];
    let Some(seen) = tshark::fields(&capture, "dhcp", &names) else { return };
    let message = dhcp::parse(&bytes).unwrap();
    let mac = message.client_mac.unwrap().map(|byte| format!("{byte:02x}")).join(":");
    let ours = [
        (message.message_type as u8).to_string(),
        format!("0x{:08x}", message.transaction),
        mac,
        message.client_address.unwrap().to_string(),
        message.assigned_address.unwrap().to_string(),
        message.requested_address.unwrap().to_string(),
        message.host_name.unwrap().into_string(),
        message.full_name.unwrap().into_string(),
        message.vendor_class.unwrap().into_string(),
    ];
    let theirs: Vec<_> =
        seen[0].iter().map(|values| values.concat().trim_end_matches('.').to_owned()).collect();
    assert_eq!(theirs, ours);
}

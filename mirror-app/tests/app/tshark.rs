//! Handshakes against tshark's reading of the same captures, field by field.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

use mirror_app::tls::{CipherSuite, Status, Version};

use crate::flows::Tuple;
use crate::{captures, flows};

const CAPTURES: [&str; 10] = [
    "chrome-cloudflare-quic-with-secrets.pcapng",
    "http1-with-cookies.pcapng",
    "http1.pcapng",
    "https3-301-get.pcap",
    "quic-tls-handshake.pcapng",
    "quic-with-several-tls-frames.pcapng",
    "tls-alpn-h2.pcap",
    "tls-handshake.pcapng",
    "tls-sni.pcapng",
    "tls12.pcap",
];

const FIELDS: [&str; 14] = [
    "ip.src",
    "ipv6.src",
    "ip.dst",
    "ipv6.dst",
    "tcp.srcport",
    "udp.srcport",
    "tcp.dstport",
    "udp.dstport",
    "tls.handshake.version",
    "tls.handshake.extensions.supported_version",
    "tls.handshake.extensions_server_name",
    "tls.handshake.extensions_alpn_str",
    "tls.handshake.ciphersuite",
    "tls.handshake.extension.type",
];

/// What tshark says of one hello; its lists of values as they stand.
struct Hello {
    version: String,
    supported_versions: String,
    server_name: String,
    protocols: String,
    ciphers: String,
    extensions: String,
}

impl Hello {
    fn extensions(&self) -> Vec<u16> {
        self.extensions.split(',').filter_map(|kind| kind.parse().ok()).collect()
    }
}

/// The first hello of each sender, by the type of the message; [`None`] where there is no tshark.
fn hellos(path: &Path, kind: u8) -> Option<HashMap<Tuple, Hello>> {
    let filter = format!("tls.handshake.type == {kind}");
    let mut command = Command::new("tshark");
    command
        .args(["-n", "-Y", &filter, "-T", "fields", "-E", "aggregator=,", "-E", "separator=|", "-r"])
        .arg(path);
    for field in FIELDS {
        command.args(["-e", field]);
    }
    let Ok(output) = command.stdin(Stdio::null()).output() else {
        println!("SKIPPED: tshark is absent");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut hellos = HashMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let fields: Vec<&str> = line.split('|').collect();
        let [
            v4_source,
            v6_source,
            v4,
            v6,
            tcp_source,
            udp_source,
            tcp,
            udp,
            version,
            versions,
            name,
            alpn,
            ciphers,
            extensions,
        ] = fields[..]
        else {
            panic!("{line}");
        };
        let address = |v4: &str, v6: &str| if v4.is_empty() { v6 } else { v4 }.parse().unwrap();
        let port = |tcp: &str, udp: &str| if tcp.is_empty() { udp } else { tcp }.parse().unwrap();
        let tuple = (
            address(v4_source, v6_source),
            port(tcp_source, udp_source),
            address(v4, v6),
            port(tcp, udp),
            if tcp.is_empty() { 17 } else { 6 },
        );
        hellos.entry(tuple).or_insert(Hello {
            version: version.to_owned(),
            supported_versions: versions.to_owned(),
            server_name: name.to_owned(),
            protocols: alpn.to_owned(),
            ciphers: ciphers.to_owned(),
            extensions: extensions.to_owned(),
        });
    }
    Some(hellos)
}

fn number(text: &str) -> u16 {
    u16::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or_else(|_| panic!("{text:?} is no number"))
}

/// The highest version of a list that is not GREASE, else the version of the message itself.
fn version(hello: &Hello) -> Version {
    let listed = hello.supported_versions.split(',').filter(|version| !version.is_empty()).map(number);
    let highest = listed.filter(|version| version & 0x0f0f != 0x0a0a).max();
    Version(highest.unwrap_or_else(|| number(&hello.version)))
}

#[test]
fn every_hello() {
    let (mut clients, mut servers) = (0, 0);
    for name in CAPTURES {
        let Some(path) = captures::path(name) else { return };
        let (Some(mut client_hellos), Some(mut server_hellos)) = (hellos(&path, 1), hellos(&path, 2)) else {
            return;
        };
        let (flows, _) = flows::inspect(&flows::packets(&path), |_| {});
        for flow in flows {
            let Some(tls) = flow.summary.and_then(|summary| summary.tls) else { continue };
            let (source, source_port, destination, destination_port, transport) = flow.tuple;
            let reverse = (destination, destination_port, source, source_port, transport);
            let take = |hellos: &mut HashMap<Tuple, Hello>| {
                hellos.remove(&flow.tuple).or_else(|| hellos.remove(&reverse))
            };
            let (expected_client, expected_server) = (take(&mut client_hellos), take(&mut server_hellos));
            let at = format!("{name}: {:?}", flow.tuple);
            let status = match (&expected_client, &expected_server) {
                (Some(_), Some(_)) => Status::Complete,
                (Some(_), None) => Status::ClientOnly,
                (None, Some(_)) => Status::ServerOnly,
                (None, None) => Status::Incomplete,
            };
            assert_eq!(tls.status(), status, "{at}");
            if let Some(expected) = expected_client {
                let client = tls.client.as_ref().unwrap();
                assert_eq!(client.server_name.as_deref().unwrap_or_default(), expected.server_name, "{at}");
                assert_eq!(client.protocols.join(","), expected.protocols, "{at}");
                assert_eq!(client.version, version(&expected), "{at}");
                let extensions = expected.extensions();
                assert_eq!(client.ech, extensions.contains(&0xfe0d), "{at}");
                // One digit for each cipher and each extension that is not GREASE.
                let grease = |value: &u16| value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff;
                let count = extensions.iter().filter(|value| !grease(value)).count();
                assert_eq!(client.ja4.as_str()[6..8], format!("{count:02}"), "{at}");
                let ciphers = expected.ciphers.split(',').map(number).filter(|value| !grease(value)).count();
                assert_eq!(client.ja4.as_str()[4..6], format!("{ciphers:02}"), "{at}");
                clients += 1;
            }
            if let Some(expected) = expected_server {
                assert_eq!(tls.version(), Some(version(&expected)), "{at}");
                assert_eq!(tls.cipher(), Some(CipherSuite(number(&expected.ciphers))), "{at}");
                assert_eq!(tls.protocol().unwrap_or_default(), expected.protocols, "{at}");
                if tls.version() == Some(Version::TLS_1_3) {
                    assert_eq!(
                        tls.resumed().unwrap_or_default(),
                        expected.extensions().contains(&41),
                        "{at}"
                    );
                }
                servers += 1;
            }
        }
        assert!(client_hellos.is_empty(), "{name}: not found: {:?}", client_hellos.keys());
        assert!(server_hellos.is_empty(), "{name}: not found: {:?}", server_hellos.keys());
    }
    assert!(clients > 150 && servers > 50, "{clients} and {servers} hellos were compared");
}

/// The names of cipher suites that tshark knows by IANA's.
#[test]
fn names_of_cipher_suites() {
    let Ok(output) = Command::new("tshark").args(["-G", "values"]).stdin(Stdio::null()).output() else {
        println!("SKIPPED: tshark is absent");
        return;
    };
    let mut compared = 0;
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let Some(value) = line.strip_prefix("V\ttls.handshake.ciphersuite\t") else { continue };
        let (number, name) = value.split_once('\t').unwrap();
        if let Some(known) = CipherSuite(number.parse().unwrap()).name() {
            assert_eq!(known, name);
            compared += 1;
        }
    }
    assert!(compared > 300, "{compared} names were compared");
}

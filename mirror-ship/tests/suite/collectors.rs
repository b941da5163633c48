//! Collectors: a syslog receiver over TCP and TLS, and nfcapd for IPFIX.

use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mirror_ship::command;
use mirror_spool::sample::Samples;
use mirror_testkit::process;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::support::{Place, assert_balance, once, only};

/// Messages of a stream with octet counting.
fn messages(mut bytes: &[u8]) -> Vec<String> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ').unwrap();
        let length: usize = std::str::from_utf8(&bytes[..space]).unwrap().parse().unwrap();
        let end = space + 1 + length;
        messages.push(String::from_utf8(bytes[space + 1..end].to_vec()).unwrap());
        bytes = &bytes[end..];
    }
    messages
}

/// Checks the messages against the samples that were sent.
fn assert_messages(received: &[String], seed: u64, count: usize) {
    assert_eq!(received.len(), count);
    let mut samples = Samples::new(seed);
    for message in received {
        let flow = samples.next_flow();
        let (header, json) = message.split_once(" - flow - ").unwrap();
        let mut header = header.split(' ');
        assert_eq!(header.next(), Some("<134>1"));
        let time = header.next().unwrap();
        assert_eq!(time, format!("{}Z", &mirror_ship::time::rfc3339(flow.end)[..26]));
        assert_eq!(header.collect::<Vec<_>>(), ["here", "mirror-ship"]);
        let document: Value = serde_json::from_str(json).unwrap();
        assert_eq!(document["source"]["ip"], flow.source.to_string());
        assert_eq!(document["network"]["bytes"], flow.bytes());
    }
}

fn destination(address: &str, more: &str) -> String {
    format!(
        "[[destination]]\nname = 'log'\nkind = 'syslog'\naddress = '{address}'\nhostname = 'here'\n{more}"
    )
}

#[test]
fn syslog_over_tcp_is_sent_again_after_a_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let receiver = std::thread::spawn(move || {
        // The first connection ends amid the transfer.
        let (mut first, _) = listener.accept().unwrap();
        first.read_exact(&mut [0; 5000]).unwrap();
        drop(first);
        let mut received = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
        received
    });
    let place = Place::new();
    place.write(1, 900);
    let config = place.config(&destination(&address, ""));
    once(&config);
    assert_messages(&messages(&receiver.join().unwrap()), 1, 900);
    let cursor = only(&config).cursor;
    assert_balance(&cursor, 900);
    assert_eq!((cursor.delivered.records, cursor.retries), (900, 1));
}

/// A certificate of its own authority, by openssl.
fn certificate(directory: &Path) -> bool {
    if process::find("openssl").is_none() {
        println!("SKIPPED: openssl is not installed");
        return false;
    }
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=collector", "-addext", "subjectAltName=DNS:collector.test"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    true
}

#[test]
fn syslog_over_tls_checks_who_receives() {
    let place = Place::new();
    let state = place.state();
    if !certificate(&state) {
        return;
    }
    let certificates =
        CertificateDer::pem_file_iter(state.join("cert.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(state.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    let server = Arc::new(server);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let receiver = std::thread::spawn(move || {
        let mut all = Vec::new();
        // One that is refused, one that is checked only, and one that delivers.
        for _ in 0..3 {
            let stream = listener.accept().unwrap().0;
            let connection = ServerConnection::new(Arc::clone(&server)).unwrap();
            let mut received = Vec::new();
            // Ends with an error where the client does.
            let _ = StreamOwned::new(connection, stream).read_to_end(&mut received);
            all.push(received);
        }
        all
    });
    place.write(2, 300);
    let ca = format!("ca-file = {:?}\n", state.join("cert.pem"));
    let other = place.config(&destination(&address, &format!("{ca}server-name = 'other.test'\n")));
    assert!(!command::check(&other).unwrap());
    let config = place.config(&destination(&address, &format!("{ca}server-name = 'collector.test'\n")));
    assert!(command::check(&config).unwrap());
    once(&config);
    let received = receiver.join().unwrap();
    assert_eq!((received[0].len(), received[1].len()), (0, 0));
    assert_messages(&messages(&received[2]), 2, 300);
}

/// nfcapd as collector, and nfdump to read what it has collected.
#[test]
fn nfcapd_collects_ipfix() {
    if process::find("nfcapd").is_none() {
        println!("SKIPPED: nfcapd is not installed");
        return;
    }
    let place = Place::new();
    // A port that was free just now.
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::fs::create_dir(place.lake()).unwrap();
    let mut collector = Command::new("nfcapd")
        .args(["-b", "127.0.0.1", "-p", &port.to_string(), "-B", "8000000", "-w"])
        .arg(place.lake())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(1));
    place.write(3, 2000);
    let config = place.config(&format!(
        "[[destination]]\nname = 'ipfix'\nkind = 'ipfix'\naddress = '127.0.0.1:{port}'\ndatagrams-per-second = 2000\n"
    ));
    once(&config);
    assert_balance(&only(&config).cursor, 2000);
    std::thread::sleep(Duration::from_secs(1));
    // It writes its file when it is told to end.
    let told = Command::new("kill").args(["-INT", &collector.id().to_string()]).status().unwrap();
    assert!(told.success() && collector.wait().is_ok());
    let dump = Command::new("nfdump")
        .args(["-q", "-N", "-o", "fmt:%sa %sp %da %dp %pr %pkt %byt", "-R"])
        .arg(place.lake())
        .output()
        .unwrap();
    let text = String::from_utf8(dump.stdout).unwrap();
    let mut found: Vec<Vec<String>> = text
        .lines()
        .map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.len() == 7)
        .collect();
    let mut samples = Samples::new(3);
    let mut expected = Vec::new();
    for _ in 0..2000 {
        let flow = samples.next_flow();
        if let (true, mirror_spool::Transport::Ports { source, destination }) =
            (flow.source.is_ipv4(), flow.transport)
        {
            let (packets, bytes) = (flow.forward.packets, flow.forward.bytes);
            expected.push(
                [
                    flow.source.to_string(),
                    source.to_string(),
                    flow.destination.to_string(),
                    destination.to_string(),
                    flow.protocol.to_string(),
                    packets.to_string(),
                    bytes.to_string(),
                ]
                .to_vec(),
            );
        }
    }
    found.sort();
    let missing: Vec<_> = expected.iter().filter(|row| found.binary_search(row).is_err()).collect();
    assert!(
        missing.is_empty(),
        "{} of {} are missing, as {:?}; nfdump has {:?}",
        missing.len(),
        expected.len(),
        missing[0],
        found.first()
    );
}

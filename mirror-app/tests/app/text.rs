//! Protocols of text through an inspector, in two pieces at every byte: the same findings.

use mirror_app::http::write::Request;
use mirror_app::tls::Status;
use mirror_app::{Event, Inspector, InspectorConfig, Protocol, Segment, Side, Summary};

use crate::hellos::{client_hello, records, server_hello};

const CLIENT: Side = Side::High;
const SERVER: Side = Side::Low;

/// What HTTP tells: the host and the status of each exchange.
type Exchanges = Vec<(Option<String>, Option<u16>)>;

/// Hands over the pieces of both directions, the second before the first where `reversed`.
fn deliver(client: [&[u8]; 2], server: &[u8], reversed: bool) -> (Exchanges, Option<Summary>) {
    let mut inspector = Inspector::new(InspectorConfig::default());
    let mut exchanges = Vec::new();
    let mut out = |_, event: Event<'_>| {
        if let Event::Http { client, request, response } = event {
            assert_eq!(client, CLIENT);
            let host = request.and_then(|request| request.host_name().map(str::to_owned));
            exchanges.push((host, response.map(|response| response.status)));
        }
    };
    let handle = inspector.begin([8080, 50_000], 0, 0).unwrap();
    let second = u32::try_from(client[0].len()).unwrap() + 1;
    let mut pieces = [
        Segment { sequence: 1, syn: false, payload: client[0], cut: false },
        Segment { sequence: second, syn: false, payload: client[1], cut: false },
    ];
    if reversed {
        pieces.reverse();
    }
    for side in [CLIENT, SERVER] {
        inspector.segment(
            handle,
            side,
            Segment { sequence: 0, syn: true, payload: &[], cut: false },
            0,
            &mut out,
        );
    }
    for piece in pieces {
        inspector.segment(handle, CLIENT, piece, 0, &mut out);
    }
    let server = Segment { sequence: 1, syn: false, payload: server, cut: false };
    inspector.segment(handle, SERVER, server, 0, &mut out);
    let summary = inspector.end(handle, &mut out);
    assert_eq!((inspector.flows(), inspector.buffer_bytes().0), (0, 0));
    (exchanges, summary)
}

/// Calls `check` with what is told for every place at which the client's bytes may be divided.
fn everywhere(client: &[u8], server: &[u8], check: impl Fn(Exchanges, Summary)) {
    for at in 1..client.len() {
        let (first, second) = client.split_at(at);
        for reversed in [false, true] {
            let (exchanges, summary) = deliver([first, second], server, reversed);
            check(exchanges, summary.unwrap_or_else(|| panic!("nothing at {at}, {reversed}")));
        }
    }
}

fn request(method: &str, target: &str, host: &str, body: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let content_length = (body > 0).then_some(body);
    Request { method, target, host, user_agent: Some("test/1"), content_length }.append_to(&mut bytes);
    bytes.resize(bytes.len() + body, b'x');
    bytes
}

#[test]
fn pipelined_requests() {
    let client = [
        request("GET", "/", "a.example", 0),
        request("POST", "/", "b.example", 300),
        request("GET", "/", "c.example", 0),
    ];
    // Behind a body the responses are not followed.
    let server = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    everywhere(&client.concat(), server, |exchanges, summary| {
        let host = |name: &str| Some(name.to_owned());
        assert_eq!(
            exchanges,
            [(host("a.example"), Some(200)), (host("b.example"), None), (host("c.example"), None)]
        );
        assert_eq!(summary.protocol, Some(Protocol::Http));
        assert_eq!(summary.server_name().map(|(name, by)| (name, by.name())), Some(("a.example", "http")));
        assert_eq!(summary.given_up, None);
        let http = summary.http.unwrap();
        assert_eq!((http.requests, http.responses), (3, 1));
    });
}

/// TLS in a tunnel through a proxy, whose name is that of the handshake.
#[test]
fn connect() {
    let client = [
        request("CONNECT", "proxied.example:443", "proxied.example:443", 0),
        records(&client_hello(b"inside.example", 32), 16_384),
    ]
    .concat();
    let server = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &records(&server_hello(false), 16_384)].concat();
    everywhere(&client, &server, |exchanges, summary| {
        assert_eq!(exchanges, [(Some("proxied.example".to_owned()), Some(200))]);
        assert_eq!(summary.protocol, Some(Protocol::Tls));
        assert_eq!(summary.tls.as_ref().map(|tls| tls.status()), Some(Status::Complete));
        assert_eq!(summary.server_name().map(|(name, _)| name), Some("inside.example"));
    });
}

#[test]
fn tls_behind_other_protocols() {
    let client_hello = records(&client_hello(b"mail.example", 32), 16_384);
    let server_hello = records(&server_hello(false), 16_384);
    let cases: [(&[u8], &[u8]); 3] = [
        (b"EHLO me\r\nSTARTTLS\r\n", b"220 mail ESMTP\r\n250-mail\r\n250 STARTTLS\r\n220 Go ahead\r\n"),
        (b"a STARTTLS\r\n", b"* OK IMAP4rev2 ready\r\na OK begin\r\n"),
        (&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f], b"S"),
    ];
    for (client, server) in cases {
        let client = [client, &client_hello].concat();
        everywhere(&client, &[server, &server_hello].concat(), |_, summary| {
            assert_eq!(summary.protocol, Some(Protocol::Tls));
            let tls = summary.tls.unwrap();
            assert_eq!((tls.status(), tls.server_name()), (Status::Complete, Some("mail.example")));
        });
    }
}

#[test]
fn ssh() {
    everywhere(b"SSH-2.0-OpenSSH_9.9\r\n\0\0\x01", b"SSH-2.0-dropbear_2024\r\n", |_, summary| {
        assert_eq!(summary.protocol, Some(Protocol::Ssh));
        assert_eq!(summary.ssh[CLIENT as usize].as_deref(), Some("OpenSSH_9.9"));
        assert_eq!(summary.ssh[SERVER as usize].as_deref(), Some("dropbear_2024"));
    });
}

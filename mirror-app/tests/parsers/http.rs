//! Heads of HTTP/1: made, cut, damaged, and read by tshark.

use mirror_app::http::{self, Follows, Options, Reason, Request, Sent, write};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::packets;
use crate::tshark;

const PATHS: Options = Options { paths: true };

fn read(bytes: &[u8]) -> Request {
    match http::read_request(bytes, PATHS) {
        Ok(Some(Sent::Request(request))) => request,
        other => panic!("{other:?}: {}", bytes.escape_ascii()),
    }
}

#[test]
fn targets_and_hosts() {
    type Case = (&'static str, &'static str, Option<&'static str>, Option<u16>, Option<&'static str>);
    let cases: [Case; 12] = [
        ("GET / HTTP/1.1", "Host: Example.COM", Some("example.com"), None, Some("/")),
        ("GET /a?b=c HTTP/1.1", "host:example.com:8080", Some("example.com"), Some(8080), Some("/a")),
        ("GET http://A.example/x?y HTTP/1.1", "Host: other", Some("a.example"), None, Some("/x")),
        ("GET http://a.example:81 HTTP/1.1", "Host: other", Some("a.example"), Some(81), Some("/")),
        ("GET http://a.example?q HTTP/1.1", "Host: other", Some("a.example"), None, Some("/")),
        ("CONNECT a.example:443 HTTP/1.1", "Host: proxy", Some("a.example"), Some(443), None),
        ("CONNECT [2001:db8::1]:443 HTTP/1.1", "A: b", Some("2001:db8::1"), Some(443), None),
        ("OPTIONS * HTTP/1.1", "Host: a.example.", Some("a.example"), None, Some("*")),
        ("GET /?http://x HTTP/1.0", "A: b", None, None, Some("/")),
        ("GET / HTTP/1.1", "Host:", None, None, Some("/")),
        ("GET / HTTP/1.1", "Host: 10.0.0.1:", Some("10.0.0.1"), None, Some("/")),
        ("BREW / HTTP/1.1", "Host: pot", Some("pot"), None, Some("/")),
    ];
    for (line, field, host, port, path) in cases {
        let request = read(format!("{line}\r\n{field}\r\n\r\n").as_bytes());
        assert_eq!(
            (request.host.as_deref(), request.port, request.path.as_deref()),
            (host, port, path),
            "{line}"
        );
        assert_eq!(request.follows == Follows::Tunnel, line.starts_with("CONNECT"));
    }
    let head = b"GET /secret HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n";
    let Ok(Some(Sent::Request(request))) = http::read_request(head, Options::default()) else { panic!() };
    assert_eq!((request.path.as_deref(), request.host_name()), (None, None));
}

#[test]
fn faults_have_names() {
    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(http::MAX_HEAD));
    let fields = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(http::MAX_FIELDS + 1));
    let cases = [
        ("GET / HTTP/3.0\r\n\r\n", Reason::FirstLine),
        ("GET /\0 HTTP/1.1\r\n\r\n", Reason::FirstLine),
        ("GET / HTTP/1.1\r\na b: c\r\n\r\n", Reason::Field),
        (fields.as_str(), Reason::TooManyFields),
        (long.as_str(), Reason::TooLong),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Reason::Host),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Reason::Host),
        ("GET / HTTP/1.1\r\nHost: b\u{fc}cher\r\n\r\n", Reason::Host),
        ("GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", Reason::Host),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", Reason::Host),
        ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", Reason::Host),
        ("POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n", Reason::ContentLength),
        ("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Reason::ContentLength),
    ];
    for (bytes, reason) in cases {
        assert_eq!(http::read_request(bytes.as_bytes(), PATHS), Err(reason), "{bytes:.60}");
    }
}

#[test]
fn pipelined_requests_are_found_behind_bodies() {
    let stream = "POST /1 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\n\r\n\
                  POST /3 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut rest = stream.as_bytes();
    let mut paths = Vec::new();
    loop {
        let request = read(rest);
        paths.push(request.path.unwrap());
        rest = &rest[request.length..];
        if request.follows == Follows::Unknown {
            break;
        }
    }
    assert_eq!((paths.concat().as_str(), rest.len()), ("/1/2/3", 0));
}

#[test]
fn responses_tell_what_follows() {
    for (head, status, follows) in [
        ("HTTP/1.1 100 Continue\r\n\r\n", 100, Follows::Message),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", 101, Follows::Unknown),
        ("HTTP/1.1 200 Connection established\r\n\r\n", 200, Follows::Tunnel),
        ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", 200, Follows::Unknown),
        ("HTTP/1.1 404\r\n\r\n", 404, Follows::Unknown),
    ] {
        let response = http::read_response(head.as_bytes()).unwrap().unwrap();
        assert_eq!(
            (response.status, response.follows, response.length),
            (status, follows, head.len()),
            "{head}"
        );
        for length in 0..head.len() {
            assert_eq!(http::read_response(&head.as_bytes()[..length]), Ok(None), "{head} {length}");
        }
    }
    assert_eq!(http::read_response(b"HTTP/1.1 2x0 OK\r\n\r\n"), Err(Reason::FirstLine));
}

#[test]
fn the_preface_of_http2_is_told() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for length in 0..preface.len() {
        assert_eq!(http::read_request(&preface[..length], PATHS), Ok(None));
        assert_eq!(http::begins_request(&preface[..length]), None);
    }
    assert_eq!(http::read_request(preface, PATHS), Ok(Some(Sent::Http2)));
    assert_eq!(http::begins_request(preface), Some(true));
}

#[test]
fn first_bytes_tell_requests_from_others() {
    for (bytes, expected) in [
        ("", None),
        ("P", None),
        ("PROP", None),
        ("GET", None),
        ("GET /", Some(true)),
        ("PRI x", Some(false)),
        ("EHLO x", Some(false)),
        ("\u{16}\u{3}", Some(false)),
    ] {
        assert_eq!(http::begins_request(bytes.as_bytes()), expected, "{bytes}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        method in "[A-Z]{1,24}",
        host in "[a-z0-9]{1,20}(\\.[a-z0-9-]{1,20}){0,4}",
        port in prop::option::of(1_u16..),
        path in "(/[a-zA-Z0-9._~-]{0,12}){1,5}",
        agent in "[!-~]([ -~]{0,300}[!-~])?",
        body in 0_usize..1_000_000,
    ) {
        prop_assume!(method != "CONNECT");
        let authority = port.map_or(host.clone(), |port| format!("{host}:{port}"));
        let mut head = Vec::new();
        let target = format!("{path}?query");
        let written = write::Request {
            method: &method,
            target: &target,
            host: &authority,
            user_agent: Some(&agent),
            content_length: Some(body),
        };
        written.append_to(&mut head);
        let request = read(&head);
        prop_assert_eq!(&request.method, &method);
        prop_assert_eq!((request.host.as_deref(), request.port), (Some(host.as_str()), port));
        prop_assert_eq!(request.path.as_deref(), Some(path.as_str()));
        let kept = &agent[..agent.len().min(http::MAX_USER_AGENT)];
        prop_assert_eq!(request.user_agent.as_deref(), Some(kept));
        prop_assert_eq!((request.length, request.follows), (head.len() + body, Follows::Message));
        for length in 0..head.len() {
            prop_assert_eq!(http::read_request(&head[..length], PATHS), Ok(None));
        }
    }

    #[test]
    fn any_bytes_are_refused_or_bounded(start in prop::sample::select(vec!["", "GET ", "GET / HTTP/1.1\r\n", "HTTP/1.1 "]), bytes in vec(any::<u8>(), 0..300)) {
        let bytes = [start.as_bytes(), &bytes].concat();
        if let Ok(Some(Sent::Request(request))) = http::read_request(&bytes, PATHS) {
            prop_assert!(request.length >= 16 && request.user_agent.is_none_or(|agent| agent.len() <= http::MAX_USER_AGENT));
        }
        if let Ok(Some(response)) = http::read_response(&bytes) {
            prop_assert!(response.length <= bytes.len());
        }
        let _ = (http::begins_request(&bytes), http::begins_response(&bytes));
    }
}

const FIELDS: [&str; 6] = [
    "tcp.payload",
    "http.request.method",
    "http.host",
    "http.request.uri",
    "http.user_agent",
    "http.response.code",
];

/// Reads each head that tshark shows within one segment, and compares each field. Returns the numbers of requests and responses.
fn assert_tshark(seen: &[Vec<Vec<String>>]) -> (usize, usize) {
    let (mut requests, mut responses) = (0, 0);
    for fields in seen {
        let payload = tshark::bytes(&fields[0].concat());
        if http::begins_request(&payload) == Some(true) {
            let request = read(&payload);
            let of = |field: usize| fields[field].first().cloned().unwrap_or_default();
            assert_eq!(request.method, of(1));
            let authority = request.host.as_deref().unwrap_or_default().to_owned();
            let port = request.port.map_or(String::new(), |port| format!(":{port}"));
            assert_eq!(authority + &port, of(2).to_ascii_lowercase());
            assert_eq!(request.path.unwrap().as_ref(), of(3).split('?').next().unwrap());
            assert_eq!(request.user_agent.as_deref().unwrap_or_default(), of(4));
            requests += 1;
        } else if http::begins_response(&payload) == Some(true)
            && let Some(response) = http::read_response(&payload).unwrap()
        {
            assert_eq!(fields[5], [response.status.to_string()]);
            responses += 1;
        }
    }
    (requests, responses)
}

#[test]
fn tshark_reads_public_heads_alike() {
    for (name, least) in
        [("app/http1.pcapng", 20), ("app/http1-with-cookies.pcapng", 1), ("vxlan-reserved-bits.pcap", 1)]
    {
        let Some(capture) = packets::public(name) else { return };
        let Some(seen) = tshark::fields(&capture, "http", &FIELDS) else { return };
        let (requests, _) = assert_tshark(&seen);
        assert!(requests >= least, "{name}: {requests}");
    }
}

#[test]
fn tshark_reads_made_heads_alike() {
    let folder = TempDir::new().unwrap();
    let heads: Vec<_> = (0..50)
        .map(|number| {
            format!(
                "GET /{number}?x=y HTTP/1.1\r\nUser-Agent: agent/{number} (a; b)\r\nHost: Host-{number}.example:80{number}\r\n\r\n"
            )
        })
        .collect();
    let response = |number: u16| format!("HTTP/1.1 {} X\r\nContent-Length: 0\r\n\r\n", 200 + number);
    let packets: Vec<_> = (0..)
        .zip(&heads)
        .flat_map(|(number, head)| {
            let port = 40_000 + number;
            let request = packets::tcp(port, 80, head.as_bytes());
            request.into_iter().chain(packets::tcp(80, port, response(number).as_bytes()))
        })
        .collect();
    let capture = packets::write(folder.path(), &packets);
    let Some(seen) = tshark::fields(&capture, "http", &FIELDS) else { return };
    assert_eq!(assert_tshark(&seen), (heads.len(), heads.len()));
}

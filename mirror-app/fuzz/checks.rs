//! What must hold for any bytes. The fuzz targets call these, and so do the ordinary tests, with the corpus.

use mirror_app::quic::packet::Initials;
use mirror_app::starttls::Opening;
use mirror_app::tls::{self, Hello};
use mirror_app::{Inspector, InspectorConfig, Interest, Segment, Side, dhcp, dns, http, ssh};

/// A hello is found once enough bytes are there, and more bytes do not change it.
pub fn tls(bytes: &[u8]) {
    let whole = tls::read(bytes);
    if let Ok(Hello::More(needed)) = whole {
        assert!(needed > bytes.len());
    }
    for end in [bytes.len() / 2, bytes.len().saturating_sub(1)] {
        match tls::read(&bytes[..end]) {
            Ok(Hello::More(needed)) => assert!(needed > end),
            answer => assert_eq!(answer, whole),
        }
    }
    let _ = tls::read_crypto(bytes);
}

/// Packets do not run past the end of their datagram.
pub fn quic(bytes: &[u8]) {
    let length: usize = Initials::new(bytes).map(|initial| initial.bytes.len()).sum();
    assert!(length <= bytes.len());
    let mut inspector = Inspector::new(InspectorConfig::default());
    if let Some(handle) = inspector.begin([443, 50_000], 0, 0) {
        for side in [Side::High, Side::Low] {
            inspector.datagram(handle, side, bytes, false, 0, &mut |_, _| {});
        }
        inspector.end(handle, &mut |_, _| {});
    }
    assert_eq!((inspector.flows(), inspector.buffer_bytes().0), (0, 0));
}

/// A message that was read leaves nothing behind in the one that is read next.
pub fn dns(bytes: &[u8]) {
    let mut again = dns::Message::default();
    let _ = again.read(&bytes[..bytes.len() / 2], false);
    let read = again.read(bytes, false);
    assert_eq!(dns::Message::parse(bytes), read.map(|()| again));
}

/// HTTP, SSH, DHCP and the changes to TLS: what is found in the first bytes is found in all of them, and nothing runs past the end.
pub fn openings(bytes: &[u8]) {
    let options = http::Options { paths: true };
    for end in [bytes.len() / 2, bytes.len().saturating_sub(1)] {
        if let Ok(Some(sent)) = http::read_request(&bytes[..end], options) {
            assert_eq!(http::read_request(bytes, options), Ok(Some(sent)));
        }
        if let Ok(Some(response)) = http::read_response(&bytes[..end]) {
            assert!(response.length <= end);
            assert_eq!(http::read_response(bytes), Ok(Some(response)));
        }
        if let Ok(Some(banner)) = ssh::read(&bytes[..end]) {
            assert!(banner.length <= end);
            assert_eq!(ssh::read(bytes), Ok(Some(banner)));
        }
    }
    let _ =
        (http::begins_request(bytes), http::begins_response(bytes), ssh::begins(bytes), dhcp::parse(bytes));
    for opening in Opening::ALL {
        let _ = opening.begins(bytes);
        if let Ok(Some(length)) = opening.read(bytes) {
            assert!(length < bytes.len());
        }
    }
}

/// One flow of segments and datagrams, each behind a byte that tells what it is, its position and its length: all memory comes back.
pub fn flows(bytes: &[u8]) {
    let config =
        InspectorConfig { buffer_bytes: 16_384, direction_bytes: 8192, ..InspectorConfig::default() };
    let mut inspector = Inspector::new(config);
    let Some(handle) = inspector.begin([53, 50_000], 0, 0) else { return };
    let mut rest = bytes;
    while let [kind, position, length, behind @ ..] = rest {
        let (payload, next) = behind.split_at(behind.len().min(usize::from(*length)));
        rest = next;
        let side = if kind & 1 == 0 { Side::Low } else { Side::High };
        let sequence = u32::from(*position).wrapping_sub(16);
        let segment = Segment { sequence, syn: kind & 2 != 0, payload, cut: kind & 4 != 0 };
        let interest = if kind & 8 == 0 {
            inspector.segment(handle, side, segment, 0, &mut |_, _| {})
        } else {
            inspector.datagram(handle, side, payload, kind & 4 != 0, 0, &mut |_, _| {})
        };
        assert!(inspector.buffer_bytes().1 <= config.buffer_bytes);
        if interest == Interest::Released {
            break;
        }
    }
    inspector.end(handle, &mut |_, _| {});
    assert_eq!((inspector.flows(), inspector.buffer_bytes().0), (0, 0));
}

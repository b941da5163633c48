//! Domain names in the one form that they are compared in: lower case, A-labels (RFC 5890, section 2.3.2.1), no final dot.

use std::net::IpAddr;

/// Longest domain name in presentation form without the final dot (RFC 1035, section 3.1: 255 octets with length octets).
pub const MAX_LENGTH: usize = 253;
/// Longest label (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;

/// A name as a connection has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives on the stack for one judgement, which is not to allocate"
)]
pub enum Seen {
    /// There is none; an address in its place is none either.
    Absent,
    /// It is no valid domain name, so that no rule can be for it.
    Invalid,
    /// A domain name.
    Name(Name),
}

impl Seen {
    /// Reads `text`: a name, a name with a port as HTTP has it, or an address.
    pub fn read(text: Option<&str>) -> Self {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Self::Absent };
        let host = without_port(text);
        if host.parse::<IpAddr>().is_ok() || host.starts_with('[') {
            return Self::Absent;
        }
        Name::new(host).map_or(Self::Invalid, Self::Name)
    }

    /// The name, where it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name.as_str()),
            Self::Absent | Self::Invalid => None,
        }
    }
}

/// A domain name in normal form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; MAX_LENGTH],
    length: u8,
}

impl Name {
    /// The normal form of `text`; [`None`] if it is no domain name of letters, digits, hyphens and underscores, after
    /// international labels have become A-labels (UTS 46, non-transitional).
    pub fn new(text: &str) -> Option<Self> {
        if text.is_ascii() {
            return Self::from_ascii(text.as_bytes());
        }
        Self::from_ascii(idna::domain_to_ascii(text).ok()?.as_bytes())
    }

    /// The name in normal form.
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever stored.
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }

    fn from_ascii(text: &[u8]) -> Option<Self> {
        let text = text.strip_suffix(b".").unwrap_or(text);
        let length = u8::try_from(text.len()).ok().filter(|&length| usize::from(length) <= MAX_LENGTH)?;
        let mut bytes = [0; MAX_LENGTH];
        let mut label = 0;
        for (place, byte) in bytes.iter_mut().zip(text) {
            label = match byte {
                b'.' if label == 0 => return None,
                b'.' => 0,
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' if label < MAX_LABEL => label + 1,
                _ => return None,
            };
            *place = byte.to_ascii_lowercase();
        }
        (label > 0).then_some(Self { bytes, length })
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(formatter)
    }
}

/// The host of `host:port`.
fn without_port(text: &str) -> &str {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_form() {
        let long = format!("{}.{}", "a".repeat(63), "b".repeat(63));
        let longest = format!("{long}.{long}").split_at(253).0.to_owned();
        for (text, expected) in [
            ("example.com", Some("example.com")),
            ("WWW.Example.COM.", Some("www.example.com")),
            ("_sip._tcp.example.com", Some("_sip._tcp.example.com")),
            ("example.com:8080", Some("example.com")),
            ("example.com:", Some("example.com")),
            ("Bücher.example", Some("xn--bcher-kva.example")),
            ("XN--BCHER-KVA.example", Some("xn--bcher-kva.example")),
            ("食狮。中国", Some("xn--85x722f.xn--fiqs8s")),
            ("localhost", Some("localhost")),
            (&longest, Some(&longest)),
        ] {
            assert_eq!(Seen::read(Some(text)).name(), expected, "{text}");
        }
    }

    #[test]
    fn other_text_is_no_name() {
        let long_label = format!("{}.com", "a".repeat(64));
        let too_long = format!("{}com", "a.".repeat(126));
        for text in [
            ".",
            "..",
            ".com",
            "a..b",
            "a b",
            "a/b",
            "*.com",
            "a:b",
            "a\0b",
            "ex\u{fffd}mple.com",
            &long_label,
            &too_long,
            "::ffff:1.2.3.4:x",
        ] {
            assert_eq!(Seen::read(Some(text)), Seen::Invalid, "{text}");
        }
        for text in ["", "192.0.2.1", "192.0.2.1:443", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443"] {
            assert_eq!(Seen::read(Some(text)), Seen::Absent, "{text}");
        }
        assert_eq!(Seen::read(None), Seen::Absent);
    }
}

//! Host names as clients claim them, checked before anything else sees them.

use std::net::Ipv4Addr;

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It has no characters.
    Empty,
    /// It has more than 253 characters (RFC 1035, section 2.3.4).
    TooLong,
    /// A label is empty, such as behind a trailing dot, or has more than 63 characters.
    Label,
    /// A character is neither a letter, a digit, a hyphen nor an underscore.
    Character,
    /// It is an address, which RFC 6066, section 3, forbids.
    Address,
}

impl Reason {
    /// Name for counters and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "name_empty",
            Self::TooLong => "name_too_long",
            Self::Label => "name_label",
            Self::Character => "name_character",
            Self::Address => "name_is_address",
        }
    }
}

/// The host name in `bytes`, in lower case.
///
/// Letters, digits and hyphens in labels of at most 63 characters (RFC 1123, section 2.1); underscores as well, since names with
/// them are in use.
pub fn parse(bytes: &[u8]) -> Result<String, Reason> {
    if bytes.is_empty() {
        return Err(Reason::Empty);
    }
    if bytes.len() > 253 {
        return Err(Reason::TooLong);
    }
    if bytes.contains(&b':') || bytes.first() == Some(&b'[') {
        return Err(Reason::Address);
    }
    let mut name = String::with_capacity(bytes.len());
    let mut label = 0;
    for &byte in bytes {
        match byte {
            b'.' if label == 0 => return Err(Reason::Label),
            b'.' => label = 0,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' if label == 63 => {
                return Err(Reason::Label);
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => label += 1,
            _ => return Err(Reason::Character),
        }
        name.push(char::from(byte.to_ascii_lowercase()));
    }
    if label == 0 {
        return Err(Reason::Label);
    }
    if name.parse::<Ipv4Addr>().is_ok() {
        return Err(Reason::Address);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_reasons() {
        let long_label = [b'a'; 64];
        let longest = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
        let cases: [(&[u8], Result<&str, Reason>); 18] = [
            (b"example.com", Ok("example.com")),
            (b"WWW.Example.COM", Ok("www.example.com")),
            (b"xn--bcher-kva.example", Ok("xn--bcher-kva.example")),
            (b"_dmarc.a_b.example", Ok("_dmarc.a_b.example")),
            (b"localhost", Ok("localhost")),
            (b"1.2.3.4.5", Ok("1.2.3.4.5")),
            (longest.as_bytes(), Ok(&longest)),
            (b"", Err(Reason::Empty)),
            (b"example.com.", Err(Reason::Label)),
            (b".example.com", Err(Reason::Label)),
            (b"a..b", Err(Reason::Label)),
            (&long_label, Err(Reason::Label)),
            (&[b'a'; 254], Err(Reason::TooLong)),
            (b"10.0.0.1", Err(Reason::Address)),
            (b"2001:db8::1", Err(Reason::Address)),
            (b"a b.example", Err(Reason::Character)),
            (b"a\0.example", Err(Reason::Character)),
            ("b\u{fc}cher.example".as_bytes(), Err(Reason::Character)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(
                parse(bytes).as_deref().map_err(|reason| *reason),
                expected,
                "{}",
                bytes.escape_ascii()
            );
        }
    }
}

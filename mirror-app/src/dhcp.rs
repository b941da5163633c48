//! DHCP for IPv4 (RFC 2131): who a host says it is, and which address it is given.

use std::net::Ipv4Addr;

/// Port of servers.
pub const SERVER_PORT: u16 = 67;
/// Port of clients.
pub const CLIENT_PORT: u16 = 68;

/// Bytes before the options.
const HEADER: usize = 236;
/// The bytes that options begin with (RFC 2131, section 3).
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Positions of the fields that may hold options as well (RFC 2132, section 9.3): `file`, `sname`.
const FILE: std::ops::Range<usize> = 108..236;
const SERVER_NAME: std::ops::Range<usize> = 44..108;
/// Most bytes of a text that are kept; parts of one are put together (RFC 3396).
const MAX_TEXT: usize = 255;

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It is shorter than the fields that every message has.
    Header,
    /// It is neither a request nor a reply, or its options are not those of DHCP.
    NotDhcp,
    /// An option runs past the end.
    End,
    /// An option is longer or shorter than it has to be.
    OptionLength,
    /// There is no message type, or none that is known.
    MessageType,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Header, Self::NotDhcp, Self::End, Self::OptionLength, Self::MessageType];

    /// Name for counters and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::NotDhcp => "not_dhcp",
            Self::End => "end",
            Self::OptionLength => "option_length",
            Self::MessageType => "message_type",
        }
    }
}

/// The kind of a message (RFC 2132, section 9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageType {
    /// DHCPDISCOVER.
    Discover = 1,
    /// DHCPOFFER.
    Offer,
    /// DHCPREQUEST.
    Request,
    /// DHCPDECLINE.
    Decline,
    /// DHCPACK.
    Ack,
    /// DHCPNAK.
    Nak,
    /// DHCPRELEASE.
    Release,
    /// DHCPINFORM.
    Inform,
}

impl MessageType {
    const ALL: [Self; 8] = [
        Self::Discover,
        Self::Offer,
        Self::Request,
        Self::Decline,
        Self::Ack,
        Self::Nak,
        Self::Release,
        Self::Inform,
    ];

    /// Name for records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discover => "discover",
            Self::Offer => "offer",
            Self::Request => "request",
            Self::Decline => "decline",
            Self::Ack => "ack",
            Self::Nak => "nak",
            Self::Release => "release",
            Self::Inform => "inform",
        }
    }
}

/// A message. Texts are what the host says, with what is not printable ASCII replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its kind.
    pub message_type: MessageType,
    /// The number by which a reply finds its request.
    pub transaction: u32,
    /// The MAC address of the client, where it is of Ethernet.
    pub client_mac: Option<[u8; 6]>,
    /// The address that the client has (`ciaddr`).
    pub client_address: Option<Ipv4Addr>,
    /// The address that the client is given (`yiaddr`).
    pub assigned_address: Option<Ipv4Addr>,
    /// The address that the client asks for (option 50).
    pub requested_address: Option<Ipv4Addr>,
    /// The host's name (option 12).
    pub host_name: Option<Box<str>>,
    /// The host's name with its domain (option 81, RFC 4702).
    pub full_name: Option<Box<str>>,
    /// The vendor's class (option 60).
    pub vendor_class: Option<Box<str>>,
}

/// Values of options that are looked at, put together from their parts.
#[derive(Default)]
struct Options {
    message_type: Vec<u8>,
    requested_address: Vec<u8>,
    host_name: Vec<u8>,
    full_name: Vec<u8>,
    vendor_class: Vec<u8>,
    overload: Vec<u8>,
}

impl Options {
    fn read(&mut self, mut bytes: &[u8]) -> Result<(), Reason> {
        while let Some((&code, rest)) = bytes.split_first() {
            match code {
                0 => bytes = rest,
                255 => return Ok(()),
                _ => {
                    let (&length, rest) = rest.split_first().ok_or(Reason::End)?;
                    let (value, rest) = rest.split_at_checked(usize::from(length)).ok_or(Reason::End)?;
                    bytes = rest;
                    let Some(kept) = self.of(code) else { continue };
                    let room = MAX_TEXT.saturating_sub(kept.len());
                    kept.extend(value.iter().take(room));
                }
            }
        }
        // Options end with an option that says so (RFC 2132, section 3.2).
        Err(Reason::End)
    }

    const fn of(&mut self, code: u8) -> Option<&mut Vec<u8>> {
        Some(match code {
            12 => &mut self.host_name,
            50 => &mut self.requested_address,
            52 => &mut self.overload,
            53 => &mut self.message_type,
            60 => &mut self.vendor_class,
            81 => &mut self.full_name,
            _ => return None,
        })
    }
}

/// The message of a datagram.
pub fn parse(bytes: &[u8]) -> Result<Message, Reason> {
    let (header, options) = bytes.split_at_checked(HEADER).ok_or(Reason::Header)?;
    let (cookie, options) = options.split_first_chunk().ok_or(Reason::Header)?;
    let &[operation, hardware, hardware_length, _, t0, t1, t2, t3] =
        header.first_chunk().ok_or(Reason::Header)?;
    if !matches!(operation, 1 | 2) || *cookie != COOKIE {
        return Err(Reason::NotDhcp);
    }
    let mut read = Options::default();
    read.read(options)?;
    let overload = read.overload.first().copied().unwrap_or(0);
    for (bit, range) in [(1, FILE), (2, SERVER_NAME)] {
        if overload & bit != 0 {
            read.read(header.get(range).ok_or(Reason::Header)?)?;
        }
    }
    let message_type = match read.message_type.as_slice() {
        &[number] => MessageType::ALL.into_iter().find(|&kind| kind as u8 == number),
        [] => None,
        _ => return Err(Reason::OptionLength),
    };
    let requested_address = match read.requested_address.as_slice() {
        [] => None,
        value => Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).map_err(|_| Reason::OptionLength)?)),
    };
    let address = |at: usize| {
        let bytes = header.get(at..)?.first_chunk::<4>()?;
        Some(Ipv4Addr::from(*bytes)).filter(|address| !address.is_unspecified())
    };
    Ok(Message {
        message_type: message_type.ok_or(Reason::MessageType)?,
        transaction: u32::from_be_bytes([t0, t1, t2, t3]),
        client_mac: header
            .get(28..)
            .and_then(<[u8]>::first_chunk)
            .copied()
            .filter(|_| (hardware, hardware_length) == (1, 6)),
        client_address: address(12),
        assigned_address: address(16),
        requested_address,
        host_name: text(&read.host_name),
        full_name: full_name(&read.full_name)?,
        vendor_class: text(&read.vendor_class),
    })
}

/// The text of an option; [`None`] where it is empty. Some clients end theirs with a NUL.
fn text(bytes: &[u8]) -> Option<Box<str>> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    let printable =
        |&byte: &u8| if byte == b' ' || byte.is_ascii_graphic() { char::from(byte) } else { '\u{fffd}' };
    (!bytes.is_empty()).then(|| bytes.iter().map(printable).collect::<String>().into_boxed_str())
}

/// The name of option 81, behind flags and two codes: in DNS's format, or in the old one as text.
fn full_name(value: &[u8]) -> Result<Option<Box<str>>, Reason> {
    let Some((&[flags, _, _], name)) = value.split_first_chunk() else {
        return if value.is_empty() { Ok(None) } else { Err(Reason::OptionLength) };
    };
    if flags & 0x04 == 0 {
        return Ok(text(name));
    }
    let mut labels = Vec::new();
    let mut rest = name;
    // A name without the root at its end is not complete (RFC 4702, section 2.3.1).
    while let Some((&length @ 1.., behind)) = rest.split_first() {
        let (label, behind) = behind.split_at_checked(usize::from(length)).ok_or(Reason::OptionLength)?;
        labels.extend(text(label));
        rest = behind;
    }
    Ok((!labels.is_empty()).then(|| labels.join(".").into_boxed_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[..8].copy_from_slice(&[1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef]);
        bytes[16..20].copy_from_slice(&[192, 0, 2, 7]);
        bytes[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        bytes.extend(COOKIE);
        bytes.extend(options);
        bytes
    }

    #[test]
    fn all_fields_are_read() {
        let options = b"\x35\x01\x03\x0c\x05web-\0\x32\x04\xc0\0\x02\x08\0\x3c\x04MSFT\x0c\x021\0\
                        \x51\x10\x05\0\0\x03web\x07example\0\xff";
        let expected = Message {
            message_type: MessageType::Request,
            transaction: 0xdead_beef,
            client_mac: Some([2, 0, 0, 0, 0, 1]),
            client_address: None,
            assigned_address: Some(Ipv4Addr::new(192, 0, 2, 7)),
            requested_address: Some(Ipv4Addr::new(192, 0, 2, 8)),
            host_name: Some("web-\u{fffd}1".into()),
            full_name: Some("web.example".into()),
            vendor_class: Some("MSFT".into()),
        };
        let bytes = message(options);
        assert_eq!(parse(&bytes), Ok(expected));
        for length in 0..bytes.len() {
            assert!(matches!(parse(&bytes[..length]), Err(Reason::Header | Reason::End)), "{length}");
        }
    }

    #[test]
    fn options_may_be_in_other_fields() {
        let mut bytes = message(b"\x35\x01\x01\x34\x01\x03\xff");
        bytes[108..115].copy_from_slice(b"\x0c\x04file\xff");
        bytes[44..52].copy_from_slice(b"\x3c\x05sname\xff");
        let read = parse(&bytes).unwrap();
        assert_eq!((read.host_name.as_deref(), read.vendor_class.as_deref()), (Some("file"), Some("sname")));
    }

    #[test]
    fn faults_have_names() {
        let mut other = message(b"\x35\x01\x01\xff");
        other[0] = 3;
        let mut bootp = message(b"\x35\x01\x01\xff");
        bootp[HEADER] = 0;
        for (bytes, reason) in [
            (other, Reason::NotDhcp),
            (bootp, Reason::NotDhcp),
            (message(b"\xff"), Reason::MessageType),
            (message(b"\x35\x01\x09\xff"), Reason::MessageType),
            (message(b"\x35\x02\x01\x01\xff"), Reason::OptionLength),
            (message(b"\x35\x01\x01\x32\x03abc\xff"), Reason::OptionLength),
            (message(b"\x35\x01\x01\x51\x02ab\xff"), Reason::OptionLength),
            (message(b"\x35\x01\x01\x51\x05\x04\0\0\x05a\xff"), Reason::OptionLength),
            (message(b"\x35\x01\x01"), Reason::End),
            (message(b"\x35\x09\x01\xff"), Reason::End),
        ] {
            assert_eq!(parse(&bytes), Err(reason), "{}", bytes[HEADER..].escape_ascii());
        }
    }
}

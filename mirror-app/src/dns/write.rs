//! Messages as bytes, for tests and for traffic that is made.

use std::net::IpAddr;

use super::numbers::{Class, RecordType};
use super::{Flags, name};

pub use super::name::Invalid;

/// A message to write.
#[derive(Clone, Debug, Default)]
pub struct Message<'a> {
    /// The number by which a response finds its query.
    pub id: u16,
    /// The flags, opcode and response code.
    pub flags: Flags,
    /// The questions: name, in presentation format, and type; all of class IN.
    pub questions: &'a [(&'a str, RecordType)],
    /// The records of the answer section.
    pub answers: &'a [Record<'a>],
    /// The OPT record.
    pub edns: Option<Edns<'a>>,
}

/// A record of class IN to write.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// The owner's name, in presentation format.
    pub name: &'a str,
    /// Time to live in seconds.
    pub ttl: u32,
    /// The data, which the type belongs to.
    pub data: Data<'a>,
}

/// The data of a record to write.
#[derive(Clone, Debug)]
pub enum Data<'a> {
    /// A or AAAA.
    Address(IpAddr),
    /// CNAME.
    Alias(&'a str),
    /// Any other type, with its data as it is.
    Other(RecordType, &'a [u8]),
}

/// An OPT record to write.
#[derive(Clone, Copy, Debug)]
pub struct Edns<'a> {
    /// Most bytes of a datagram that the sender takes.
    pub udp_size: u16,
    /// The upper eight bits of the response code.
    pub response_code: u8,
    /// The sender wants DNSSEC's records.
    pub dnssec_ok: bool,
    /// Options as they are: code, length and value each.
    pub options: &'a [u8],
}

impl Message<'_> {
    /// Appends the message to `bytes`. A name is written once; where it, or its end, comes again, there is a pointer
    /// (RFC 1035, section 4.1.4).
    ///
    /// Data of 64 KiB and more is cut, and so are counts of questions and answers above 65,535.
    pub fn append_to(&self, bytes: &mut Vec<u8>) -> Result<(), Invalid> {
        let count = |length| u16::try_from(length).unwrap_or(u16::MAX);
        let mut writer = Writer { start: bytes.len(), bytes, suffixes: Vec::new() };
        let header = [
            self.id,
            self.flags.0,
            count(self.questions.len()),
            count(self.answers.len()),
            0,
            u16::from(self.edns.is_some()),
        ];
        header.into_iter().for_each(|field| writer.u16(field));
        for &(name, record_type) in self.questions.iter().take(usize::from(u16::MAX)) {
            writer.name(name)?;
            writer.u16(record_type.0);
            writer.u16(Class::IN.0);
        }
        for record in self.answers.iter().take(usize::from(u16::MAX)) {
            writer.name(record.name)?;
            writer.record(record.ttl, &record.data)?;
        }
        if let Some(edns) = self.edns {
            let ttl = [edns.response_code, 0, if edns.dnssec_ok { 0x80 } else { 0 }, 0];
            writer.bytes.push(0);
            writer.u16(RecordType::OPT.0);
            writer.u16(edns.udp_size);
            writer.bytes.extend(ttl);
            writer.with_length(|writer| writer.bytes.extend(edns.options));
        }
        Ok(())
    }

    /// The message behind its length, as it stands in a TCP stream. One of more than 65,535 bytes is cut.
    pub fn append_to_stream(&self, bytes: &mut Vec<u8>) -> Result<(), Invalid> {
        let mut message = Vec::new();
        self.append_to(&mut message)?;
        let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
        bytes.extend(length.to_be_bytes());
        bytes.extend(message.iter().take(usize::from(length)));
        Ok(())
    }
}

struct Writer<'b> {
    bytes: &'b mut Vec<u8>,
    start: usize,
    /// The ends of the names that were written, each with its position.
    suffixes: Vec<(Vec<Vec<u8>>, u16)>,
}

impl Writer<'_> {
    fn u16(&mut self, value: u16) {
        self.bytes.extend(value.to_be_bytes());
    }

    fn name(&mut self, text: &str) -> Result<(), Invalid> {
        let labels = name::labels(text)?;
        let mut rest = labels.as_slice();
        while let Some((label, behind)) = rest.split_first() {
            if let Some(&(_, at)) = self.suffixes.iter().find(|(suffix, _)| suffix == rest) {
                self.u16(0xc000 | at);
                return Ok(());
            }
            // A pointer has 14 bits.
            if let Some(at) = u16::try_from(self.bytes.len() - self.start).ok().filter(|&at| at < 0x4000) {
                self.suffixes.push((rest.to_vec(), at));
            }
            self.bytes.extend(u8::try_from(label.len()));
            self.bytes.extend(label);
            rest = behind;
        }
        self.bytes.push(0);
        Ok(())
    }

    fn record(&mut self, ttl: u32, data: &Data<'_>) -> Result<(), Invalid> {
        let record_type = match data {
            Data::Address(IpAddr::V4(_)) => RecordType::A,
            Data::Address(IpAddr::V6(_)) => RecordType::AAAA,
            Data::Alias(_) => RecordType::CNAME,
            Data::Other(record_type, _) => *record_type,
        };
        self.u16(record_type.0);
        self.u16(Class::IN.0);
        self.bytes.extend(ttl.to_be_bytes());
        self.with_length(|writer| match data {
            Data::Address(IpAddr::V4(address)) => {
                writer.bytes.extend(address.octets());
                Ok(())
            }
            Data::Address(IpAddr::V6(address)) => {
                writer.bytes.extend(address.octets());
                Ok(())
            }
            Data::Alias(name) => writer.name(name),
            Data::Other(_, data) => {
                writer.bytes.extend(data.iter().take(usize::from(u16::MAX)));
                Ok(())
            }
        })
    }

    /// Writes a length of 16 bits and what `write` writes behind it.
    fn with_length<T>(&mut self, write: impl FnOnce(&mut Self) -> T) -> T {
        let at = self.bytes.len();
        self.u16(0);
        let result = write(self);
        let length = u16::try_from(self.bytes.len() - at - 2).unwrap_or(u16::MAX);
        if let Some(field) = self.bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *field = length.to_be_bytes();
        }
        result
    }
}

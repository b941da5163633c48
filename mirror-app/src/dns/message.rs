//! A message, whose names are in one text of its own.

use std::net::IpAddr;

use super::edns::Edns;
use super::numbers::{Class, Opcode, RecordType, ResponseCode};
use super::read;
use super::reason::Reason;

/// Most questions that are kept; there is one, but for multicast DNS.
pub const MAX_QUESTIONS: usize = 4;
/// Most answers that are kept.
pub const MAX_ANSWERS: usize = 32;
/// Most addresses that are kept of the hints of SVCB and HTTPS records.
pub const MAX_HINTS: usize = 32;
/// Bytes of names behind which no further answer is kept.
pub const MAX_TEXT: usize = 8 << 10;

/// The flags of a header, with opcode and the lower four bits of the response code between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    /// QR: the message is a response.
    pub const fn is_response(self) -> bool {
        self.0 & 0x8000 != 0
    }

    /// The kind of the query.
    pub const fn opcode(self) -> Opcode {
        Opcode((self.0 >> 11 & 0x0f) as u8)
    }

    /// AA: the answer is authoritative.
    pub const fn authoritative(self) -> bool {
        self.0 & 0x0400 != 0
    }

    /// TC: the message had more than fits.
    pub const fn truncated(self) -> bool {
        self.0 & 0x0200 != 0
    }

    /// RD: recursion is desired.
    pub const fn recursion_desired(self) -> bool {
        self.0 & 0x0100 != 0
    }

    /// RA: recursion is available.
    pub const fn recursion_available(self) -> bool {
        self.0 & 0x0080 != 0
    }

    /// AD: the data is authentic (RFC 4035, section 3.2.3).
    pub const fn authentic_data(self) -> bool {
        self.0 & 0x0020 != 0
    }

    /// CD: checking is disabled (RFC 4035, section 3.2.2).
    pub const fn checking_disabled(self) -> bool {
        self.0 & 0x0010 != 0
    }
}

/// A query or response.
///
/// Names are in lower case and presentation format, without a dot at the end; the root is `.`. In multicast DNS, what would be the
/// class's first bit stands apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub(super) id: u16,
    pub(super) flags: Flags,
    pub(super) edns: Option<Edns>,
    pub(super) trailing: usize,
    pub(super) questions: Vec<StoredQuestion>,
    pub(super) answers: Vec<StoredAnswer>,
    pub(super) questions_left_out: u16,
    pub(super) answers_left_out: u16,
    pub(super) text: String,
    pub(super) hints: Vec<IpAddr>,
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'m> {
    /// The name that is asked for.
    pub name: &'m str,
    /// The type of records that are asked for.
    pub record_type: RecordType,
    /// The class.
    pub class: Class,
    /// Multicast DNS: the response may go to the one who asks alone.
    pub unicast_response: bool,
}

/// A record of the answer section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'m> {
    /// The owner of the record.
    pub name: &'m str,
    /// Its type.
    pub record_type: RecordType,
    /// Its class.
    pub class: Class,
    /// Multicast DNS: the record replaces all others of its name and type.
    pub cache_flush: bool,
    /// Time to live in seconds, as it stands there.
    pub ttl: u32,
    /// The data.
    pub data: Data<'m>,
}

/// The data of a record of class IN, as far as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'m> {
    /// A, AAAA.
    Address(IpAddr),
    /// CNAME, DNAME, NS, PTR: a name.
    Name(&'m str),
    /// SVCB, HTTPS: where a service is to be had.
    Service {
        /// 0 for an alias; of others, the lowest is tried first.
        priority: u16,
        /// The name that has the service; `.` is the owner itself.
        target: &'m str,
        /// Addresses of the target, for use until its own answers are there.
        hints: &'m [IpAddr],
    },
    /// Any other type or class, which is not read.
    Other,
}

/// A part of the text, or of the hints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub from: u16,
    pub to: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredQuestion {
    pub name: Span,
    pub record_type: RecordType,
    pub class: Class,
    pub class_flag: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredAnswer {
    pub name: Span,
    pub record_type: RecordType,
    pub class: Class,
    pub class_flag: bool,
    pub ttl: u32,
    pub data: StoredData,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoredData {
    Address(IpAddr),
    Name(Span),
    Service { priority: u16, target: Span, hints: Span },
    Other,
}

impl Message {
    /// A message of unicast DNS.
    pub fn parse(bytes: &[u8]) -> Result<Self, Reason> {
        let mut message = Self::default();
        message.read(bytes, false)?;
        Ok(message)
    }

    /// Reads another message into this one's memory; after a fault this one is empty. `multicast` is `true` for multicast DNS.
    pub fn read(&mut self, bytes: &[u8], multicast: bool) -> Result<(), Reason> {
        self.clear();
        let result = read::read(bytes, multicast, self);
        if result.is_err() {
            self.clear();
        }
        result
    }

    fn clear(&mut self) {
        self.id = 0;
        self.flags = Flags::default();
        self.edns = None;
        self.trailing = 0;
        self.questions.clear();
        self.answers.clear();
        self.questions_left_out = 0;
        self.answers_left_out = 0;
        self.text.clear();
        self.hints.clear();
    }

    /// The number by which a response finds its query.
    pub const fn id(&self) -> u16 {
        self.id
    }

    /// The flags.
    pub const fn flags(&self) -> Flags {
        self.flags
    }

    /// The response code, with its upper bits from EDNS.
    pub fn response_code(&self) -> ResponseCode {
        let high = self.edns.map_or(0, |edns| u16::from(edns.response_code));
        ResponseCode(high << 4 | self.flags.0 & 0x0f)
    }

    /// The OPT record.
    pub const fn edns(&self) -> Option<Edns> {
        self.edns
    }

    /// Number of bytes behind the last record, which belong to nothing.
    pub const fn trailing(&self) -> usize {
        self.trailing
    }

    /// The first question.
    pub fn question(&self) -> Option<Question<'_>> {
        self.questions().next()
    }

    /// The questions, the first [`MAX_QUESTIONS`] of them.
    pub fn questions(&self) -> impl ExactSizeIterator<Item = Question<'_>> {
        self.questions.iter().map(|question| Question {
            name: self.text(question.name),
            record_type: question.record_type,
            class: question.class,
            unicast_response: question.class_flag,
        })
    }

    /// Number of questions that were not kept.
    pub const fn questions_left_out(&self) -> u16 {
        self.questions_left_out
    }

    /// The records of the answer section, the first [`MAX_ANSWERS`] of them.
    pub fn answers(&self) -> impl ExactSizeIterator<Item = Answer<'_>> {
        self.answers.iter().map(|answer| Answer {
            name: self.text(answer.name),
            record_type: answer.record_type,
            class: answer.class,
            cache_flush: answer.class_flag,
            ttl: answer.ttl,
            data: self.data(answer.data),
        })
    }

    /// Number of answers that were not kept.
    pub const fn answers_left_out(&self) -> u16 {
        self.answers_left_out
    }

    /// Replaces every address, for records that may not have it as it is.
    pub fn rewrite_addresses(&mut self, mut address: impl FnMut(IpAddr) -> IpAddr) {
        for answer in &mut self.answers {
            if let StoredData::Address(stored) = &mut answer.data {
                *stored = address(*stored);
            }
        }
        self.hints.iter_mut().for_each(|hint| *hint = address(*hint));
    }

    /// Replaces every name, for records that may not have it as it is.
    pub fn rewrite_names(&mut self, mut name: impl FnMut(&str) -> String) {
        let old = std::mem::take(&mut self.text);
        let text = &mut self.text;
        let mut replace = |span: &mut Span| {
            let from = text.len();
            text.push_str(&name(old.get(usize::from(span.from)..usize::from(span.to)).unwrap_or_default()));
            *span = match (u16::try_from(from), u16::try_from(text.len())) {
                (Ok(from), Ok(to)) => Span { from, to },
                _ => Span::default(),
            };
        };
        self.questions.iter_mut().for_each(|question| replace(&mut question.name));
        for answer in &mut self.answers {
            replace(&mut answer.name);
            match &mut answer.data {
                StoredData::Name(target) | StoredData::Service { target, .. } => replace(target),
                StoredData::Address(_) | StoredData::Other => {}
            }
        }
    }

    fn text(&self, span: Span) -> &str {
        self.text.get(usize::from(span.from)..usize::from(span.to)).unwrap_or_default()
    }

    fn data(&self, data: StoredData) -> Data<'_> {
        match data {
            StoredData::Address(address) => Data::Address(address),
            StoredData::Name(name) => Data::Name(self.text(name)),
            StoredData::Service { priority, target, hints } => Data::Service {
                priority,
                target: self.text(target),
                hints: self.hints.get(usize::from(hints.from)..usize::from(hints.to)).unwrap_or_default(),
            },
            StoredData::Other => Data::Other,
        }
    }
}

//! A message, whose names are in one text of its own.

use std::net::IpAddr;

use super::edns::Edns;
use super::numbers::{Class, Opcode, RecordType, ResponseCode};
use super::reason::Reason;
use super::{HEADER, name, service};

/// Most questions that are kept; there is one, but for multicast DNS.
pub const MAX_QUESTIONS: usize = 4;
/// Most answers that are kept.
pub const MAX_ANSWERS: usize = 32;
/// Most addresses that are kept of the hints of SVCB and HTTPS records.
pub const MAX_HINTS: usize = 32;
/// Bytes of names behind which no further answer is kept.
pub const MAX_TEXT: usize = 8 << 10;

/// Bytes of the smallest question and record, those of the root.
pub(super) const SMALLEST_QUESTION: usize = 5;
pub(super) const SMALLEST_RECORD: usize = 11;

/// The first bit of a class, which multicast DNS uses for something else (RFC 6762, sections 10.2 and 18.12).
const CLASS_FLAG: u16 = 0x8000;

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
    id: u16,
    flags: Flags,
    edns: Option<Edns>,
    trailing: usize,
    questions: Vec<StoredQuestion>,
    answers: Vec<StoredAnswer>,
    questions_left_out: u16,
    answers_left_out: u16,
    text: String,
    hints: Vec<IpAddr>,
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
struct Span {
    from: u16,
    to: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StoredQuestion {
    name: Span,
    record_type: RecordType,
    class: Class,
    class_flag: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StoredAnswer {
    name: Span,
    record_type: RecordType,
    class: Class,
    class_flag: bool,
    ttl: u32,
    data: StoredData,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StoredData {
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
        let result = Reading { bytes, at: 0, multicast, message: self, known: Known::default() }.message();
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

    /// Replaces every name and every address, for records that may not have them as they are.
    pub fn rewrite(
        &mut self,
        mut name: impl FnMut(&str) -> String,
        mut address: impl FnMut(IpAddr) -> IpAddr,
    ) {
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
                StoredData::Address(stored) => *stored = address(*stored),
                StoredData::Name(target) | StoredData::Service { target, .. } => replace(target),
                StoredData::Other => {}
            }
        }
        self.hints.iter_mut().for_each(|hint| *hint = address(*hint));
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

/// Names that were read last, by their positions: by far most names are a pointer to one of them.
#[derive(Default)]
struct Known {
    names: [Option<(usize, Span)>; 4],
    next: usize,
}

impl Known {
    fn find(&self, at: usize) -> Option<Span> {
        self.names.iter().flatten().find(|&&(known, _)| known == at).map(|&(_, span)| span)
    }

    fn add(&mut self, at: usize, span: Span) {
        if let Some(oldest) = self.names.get_mut(self.next) {
            *oldest = Some((at, span));
        }
        self.next = (self.next + 1) % self.names.len();
    }
}

/// A record's fields before its data.
struct Record {
    record_type: RecordType,
    class: u16,
    ttl: u32,
    /// Positions of its data.
    from: usize,
    to: usize,
}

/// The reading of a message.
struct Reading<'a, 'm> {
    bytes: &'a [u8],
    at: usize,
    multicast: bool,
    message: &'m mut Message,
    known: Known,
}

impl Reading<'_, '_> {
    fn message(mut self) -> Result<(), Reason> {
        if self.bytes.len() < HEADER {
            return Err(Reason::Header);
        }
        self.message.id = self.u16()?;
        self.message.flags = Flags(self.u16()?);
        let [questions, answers, authorities, additional] =
            [self.u16()?, self.u16()?, self.u16()?, self.u16()?];
        let records = [answers, authorities, additional].into_iter().map(usize::from).sum::<usize>();
        let least = usize::from(questions) * SMALLEST_QUESTION + records * SMALLEST_RECORD;
        if least > self.bytes.len() - HEADER {
            return Err(Reason::Count);
        }
        for _ in 0..questions {
            self.question()?;
        }
        for _ in 0..answers {
            self.answer()?;
        }
        for _ in 0..authorities {
            self.skip_name_and_record()?;
        }
        for _ in 0..additional {
            self.additional()?;
        }
        self.message.trailing = self.bytes.len() - self.at;
        Ok(())
    }

    fn question(&mut self) -> Result<(), Reason> {
        let keep = self.message.questions.len() < MAX_QUESTIONS;
        let name = if keep { self.name()? } else { self.skip_name()? };
        let record_type = RecordType(self.u16()?);
        let class = self.u16()?;
        let (class, class_flag) = self.split_class(class);
        if keep {
            self.message.questions.push(StoredQuestion { name, record_type, class, class_flag });
        } else {
            self.message.questions_left_out += 1;
        }
        Ok(())
    }

    fn answer(&mut self) -> Result<(), Reason> {
        if self.message.answers.len() == MAX_ANSWERS || self.message.text.len() > MAX_TEXT {
            self.message.answers_left_out += 1;
            self.skip_name_and_record()?;
            return Ok(());
        }
        let name = self.name()?;
        let record = self.record()?;
        let (class, class_flag) = self.split_class(record.class);
        let data = if class == Class::IN { self.data(&record)? } else { StoredData::Other };
        let Record { record_type, ttl, .. } = record;
        self.message.answers.push(StoredAnswer { name, record_type, class, class_flag, ttl, data });
        Ok(())
    }

    fn additional(&mut self) -> Result<(), Reason> {
        let root = self.bytes.get(self.at) == Some(&0);
        let record = self.skip_name_and_record()?;
        if record.record_type != RecordType::OPT {
            return Ok(());
        }
        if !root || self.message.edns.is_some() {
            return Err(Reason::Opt);
        }
        let options = self.bytes.get(record.from..record.to).ok_or(Reason::End)?;
        self.message.edns = Some(Edns::parse(record.class, record.ttl, options)?);
        Ok(())
    }

    fn data(&mut self, record: &Record) -> Result<StoredData, Reason> {
        let &Record { record_type, from, to, .. } = record;
        let data = self.bytes.get(from..to).ok_or(Reason::End)?;
        Ok(match record_type {
            RecordType::A => {
                StoredData::Address(IpAddr::from(<[u8; 4]>::try_from(data).map_err(|_| Reason::DataLength)?))
            }
            RecordType::AAAA => {
                StoredData::Address(IpAddr::from(<[u8; 16]>::try_from(data).map_err(|_| Reason::DataLength)?))
            }
            RecordType::CNAME | RecordType::DNAME | RecordType::NS | RecordType::PTR => {
                self.at = from;
                let name = self.name()?;
                if self.at != to {
                    return Err(Reason::DataLength);
                }
                StoredData::Name(name)
            }
            RecordType::SVCB | RecordType::HTTPS => {
                let Message { text, hints, .. } = &mut *self.message;
                let (text_from, hints_from) = (text.len(), hints.len());
                let priority = service::read(self.bytes, from, to, text, hints, MAX_HINTS)?;
                let (target, hints) = (span(text_from, text.len()), span(hints_from, hints.len()));
                StoredData::Service { priority, target, hints }
            }
            _ => StoredData::Other,
        })
    }

    /// Takes a name, into the text unless it is there already.
    fn name(&mut self) -> Result<Span, Reason> {
        let start = self.at;
        let target = name::pointer(self.bytes, start).unwrap_or(start);
        if let Some(known) = self.known.find(target).filter(|_| target < start) {
            self.at += 2;
            return Ok(known);
        }
        let text = &mut self.message.text;
        let from = text.len();
        self.at = name::append(self.bytes, start, text)?;
        let span = span(from, text.len());
        self.known.add(target, span);
        Ok(span)
    }

    fn skip_name(&mut self) -> Result<Span, Reason> {
        self.at = name::skip(self.bytes, self.at)?;
        Ok(Span::default())
    }

    fn skip_name_and_record(&mut self) -> Result<Record, Reason> {
        self.skip_name()?;
        self.record()
    }

    /// Takes a record behind its name, and its data with it.
    fn record(&mut self) -> Result<Record, Reason> {
        let record_type = RecordType(self.u16()?);
        let class = self.u16()?;
        let ttl = u32::from(self.u16()?) << 16 | u32::from(self.u16()?);
        let length = usize::from(self.u16()?);
        let from = self.at;
        self.at += length;
        if self.at > self.bytes.len() {
            return Err(Reason::End);
        }
        Ok(Record { record_type, class, ttl, from, to: self.at })
    }

    const fn split_class(&self, class: u16) -> (Class, bool) {
        if self.multicast {
            (Class(class & !CLASS_FLAG), class & CLASS_FLAG != 0)
        } else {
            (Class(class), false)
        }
    }

    fn u16(&mut self) -> Result<u16, Reason> {
        let two = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk).ok_or(Reason::End)?;
        self.at += 2;
        Ok(u16::from_be_bytes(*two))
    }
}

/// A span of positions, which [`MAX_TEXT`] and the length of one name keep below 65,536.
fn span(from: usize, to: usize) -> Span {
    let position = |at| u16::try_from(at).unwrap_or(u16::MAX);
    Span { from: position(from), to: position(to) }
}

//! The reading of a message, section by section.

use std::net::IpAddr;

use super::edns::Edns;
use super::message::{
    Flags, MAX_ANSWERS, MAX_HINTS, MAX_QUESTIONS, MAX_TEXT, Message, Span, StoredAnswer, StoredData,
    StoredQuestion,
};
use super::numbers::{Class, RecordType};
use super::reason::Reason;
use super::{HEADER, name, service};

/// Bytes of the smallest question and record, those of the root.
pub(super) const SMALLEST_QUESTION: usize = 5;
pub(super) const SMALLEST_RECORD: usize = 11;

/// The first bit of a class, which multicast DNS uses for something else (RFC 6762, sections 10.2 and 18.12).
const CLASS_FLAG: u16 = 0x8000;

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

/// Reads a message of unicast or multicast DNS into an empty one.
pub(super) fn read(bytes: &[u8], multicast: bool, message: &mut Message) -> Result<(), Reason> {
    Reading { bytes, at: 0, multicast, message, known: Known::default() }.message()
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

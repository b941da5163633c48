//! A mapping as a table: for each field of the output its path, its type, and how it comes from a record.
//!
//! One table gives lines of JSON, flat Parquet and nested Parquet, so that all forms of a mapping agree.

use std::io::Write as _;
use std::net::IpAddr;

use mirror_spool::Flow;

use crate::time;

/// A record on its way, and its identity.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// The flow.
    pub flow: Flow<'a>,
    /// The manifest line of its file.
    pub sequence: u64,
    /// Its row in the file.
    pub row: u64,
    /// The run that wrote the file, in nanoseconds since 1970: with it the identity is unique where a spool begins anew.
    pub run: u64,
    /// Community ID.
    pub community_id: Option<String>,
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 32 bits, signed.
    Int,
    /// 64 bits, signed.
    Long,
    /// True or false.
    Flag,
    /// Nanoseconds since 1970; text as of RFC 3339 in JSON.
    Time,
    /// Text.
    Text,
    /// A list of text.
    Texts,
}

/// The value of a field in one record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// It has none.
    Null,
    /// For [`Kind::Int`].
    Int(i32),
    /// For [`Kind::Long`].
    Long(i64),
    /// For [`Kind::Flag`].
    Flag(bool),
    /// For [`Kind::Time`].
    Time(u64),
    /// For [`Kind::Text`].
    Text(&'a str),
    /// For [`Kind::Text`].
    Address(IpAddr),
    /// For [`Kind::Text`]: a number in so many hexadecimal digits.
    Hex(u64, u8),
    /// For [`Kind::Text`]: a number in decimal digits.
    Digits(u64),
    /// For [`Kind::Text`]: the record's identity.
    Identity(u64, u64, u64),
    /// For [`Kind::Texts`].
    Texts(&'static [&'static str]),
    /// For [`Kind::Texts`]: the names of TCP flags.
    TcpFlags(u8),
}

impl Cell<'_> {
    /// A count, as far as 63 bits go.
    pub fn count(number: u64) -> Self {
        Self::Long(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// How a field comes from a record.
pub type Value = for<'a> fn(&'a Record<'a>) -> Cell<'a>;

/// A field of the output.
#[derive(Clone, Copy, Debug)]
pub struct Leaf {
    /// Its path, with dots. Fields of one object follow each other in a table.
    pub path: &'static str,
    /// Its type.
    pub kind: Kind,
    /// How it comes from a record.
    pub value: Value,
}

/// A row of a table.
pub const fn leaf(path: &'static str, kind: Kind, value: Value) -> Leaf {
    Leaf { path, kind, value }
}

/// Names of TCP flags by their bits.
pub const TCP_FLAGS: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];

/// Appends a record as a JSON object, without a line feed. Fields without a value are left out.
pub fn write_json(table: &[Leaf], record: &Record<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut open: Vec<&'static str> = Vec::new();
    for leaf in table {
        let cell = (leaf.value)(record);
        if cell == Cell::Null {
            continue;
        }
        let (objects, name) = match leaf.path.rsplit_once('.') {
            Some((objects, name)) => (objects, name),
            None => ("", leaf.path),
        };
        let objects = objects.split('.').filter(|object| !object.is_empty());
        let shared =
            open.iter().copied().zip(objects.clone()).take_while(|(open, object)| open == object).count();
        for _ in shared..open.len() {
            out.push(b'}');
        }
        open.truncate(shared);
        for object in objects.skip(shared) {
            begin_member(object, out);
            out.push(b'{');
            open.push(object);
        }
        begin_member(name, out);
        write_cell(cell, out);
    }
    out.extend(std::iter::repeat_n(b'}', open.len() + 1));
}

fn begin_member(name: &str, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Writing into memory cannot fail, so results are not looked at here.
fn write_cell(cell: Cell<'_>, out: &mut Vec<u8>) {
    match cell {
        Cell::Null => out.extend_from_slice(b"null"),
        Cell::Int(number) => drop(write!(out, "{number}")),
        Cell::Long(number) => drop(write!(out, "{number}")),
        Cell::Flag(flag) => drop(write!(out, "{flag}")),
        Cell::Text(text) => drop(serde_json::to_writer(out, text)),
        Cell::Texts(texts) => drop(serde_json::to_writer(out, texts)),
        Cell::TcpFlags(bits) => drop(serde_json::to_writer(out, &tcp_flags(bits).collect::<Vec<_>>())),
        Cell::Time(_) | Cell::Address(_) | Cell::Hex(..) | Cell::Digits(_) | Cell::Identity(..) => {
            let mut text = String::with_capacity(48);
            write_text(cell, &mut text);
            out.push(b'"');
            out.extend_from_slice(text.as_bytes());
            out.push(b'"');
        }
    }
}

/// Names of the flags that are set.
pub fn tcp_flags(bits: u8) -> impl Iterator<Item = &'static str> {
    TCP_FLAGS.into_iter().enumerate().filter(move |(bit, _)| bits >> bit & 1 != 0).map(|(_, name)| name)
}

/// Appends a value that is text in the output, and nothing for any other.
pub fn write_text(cell: Cell<'_>, out: &mut impl std::fmt::Write) {
    let _ = match cell {
        Cell::Text(text) => out.write_str(text),
        Cell::Address(address) => write!(out, "{address}"),
        Cell::Hex(number, digits) => write!(out, "{number:0width$x}", width = usize::from(digits)),
        Cell::Digits(number) => write!(out, "{number}"),
        Cell::Identity(run, sequence, row) => write!(out, "{run:x}-{sequence}-{row}"),
        Cell::Time(nanoseconds) => out.write_str(&time::rfc3339(nanoseconds)),
        _ => Ok(()),
    };
}

/// The identity of a record in text: the same at every attempt to deliver it.
pub fn identity(record: &Record<'_>) -> String {
    let mut text = String::new();
    write_text(Cell::Identity(record.run, record.sequence, record.row), &mut text);
    text
}

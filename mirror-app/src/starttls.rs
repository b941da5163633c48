//! Protocols that begin in the clear and change to TLS: SMTP (RFC 3207), IMAP (RFC 9051, section 6.2.1), PostgreSQL and MySQL.
//!
//! One direction is enough: bytes that begin a TLS handshake, where the next line or packet would begin, are the change. Nothing
//! that is said before it is kept.

use crate::prefix::{begins_with_any, split_line};
use crate::tls;

/// Most bytes before TLS.
const MAX_BEFORE: usize = 8 << 10;
/// Most bytes of a tag of IMAP.
const MAX_TAG: usize = 32;

/// PostgreSQL's requests for encryption by GSSAPI and by TLS: a length of 8 and a code (PostgreSQL, "Message Formats").
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Length and number of MySQL's SSLRequest, and the capability that it announces (MySQL, "Protocol::SSLRequest").
const MYSQL_SSL_REQUEST: [u8; 4] = [32, 0, 0, 1];
const MYSQL_SSL: u16 = 0x0800;
/// Most bytes of MySQL's first packet, whose length has 24 bits.
const MYSQL_GREETING: usize = 1 << 10;

/// Commands of SMTP that may come before STARTTLS, in upper case.
const SMTP_BEFORE: [&[u8]; 6] = [b"EHLO", b"HELO", b"LHLO", b"NOOP", b"RSET", b"HELP"];
/// Commands of IMAP that may come before STARTTLS, in upper case.
const IMAP_BEFORE: [&[u8]; 3] = [b"CAPABILITY", b"NOOP", b"ID"];

/// The start of a direction, by protocol and side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Opening {
    /// Commands of SMTP.
    SmtpClient,
    /// Replies of SMTP.
    SmtpServer,
    /// Commands of IMAP.
    ImapClient,
    /// Responses of IMAP.
    ImapServer,
    /// PostgreSQL's request for TLS.
    PostgresqlClient,
    /// The single byte by which PostgreSQL agrees.
    PostgresqlServer,
    /// MySQL's request for TLS.
    MysqlClient,
    /// MySQL's first packet.
    MysqlServer,
}

/// The reason why no TLS follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The direction goes on in the clear.
    Clear,
    /// More bytes than are looked at have gone by.
    TooLong,
    /// The bytes are not of the protocol.
    Syntax,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Clear, Self::TooLong, Self::Syntax];

    /// Name for counters and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::TooLong => "too_long",
            Self::Syntax => "syntax",
        }
    }
}

impl Opening {
    /// All openings.
    pub const ALL: [Self; 8] = [
        Self::SmtpClient,
        Self::SmtpServer,
        Self::ImapClient,
        Self::ImapServer,
        Self::PostgresqlClient,
        Self::PostgresqlServer,
        Self::MysqlClient,
        Self::MysqlServer,
    ];

    /// Name of the protocol.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SmtpClient | Self::SmtpServer => "smtp",
            Self::ImapClient | Self::ImapServer => "imap",
            Self::PostgresqlClient | Self::PostgresqlServer => "postgresql",
            Self::MysqlClient | Self::MysqlServer => "mysql",
        }
    }

    /// `Some(true)` where `bytes` begins so, [`None`] where there are too few to tell.
    pub fn begins(self, bytes: &[u8]) -> Option<bool> {
        match self {
            Self::SmtpClient => begins_with_any(
                &bytes.get(..5).unwrap_or(bytes).to_ascii_uppercase(),
                &[b"EHLO ", b"HELO ", b"LHLO "],
            ),
            Self::SmtpServer => begins_with_any(bytes, &[b"220 ", b"220-"]),
            Self::ImapClient => begins_imap_command(bytes),
            Self::ImapServer => begins_with_any(bytes, &[b"* OK", b"* PREAUTH"]),
            Self::PostgresqlClient => begins_with_any(bytes, &[&GSS_REQUEST, &SSL_REQUEST]),
            Self::PostgresqlServer => begins_with_any(bytes, &[b"S\x16\x03", b"NS\x16\x03"]),
            Self::MysqlClient => begins_with_any(bytes, &[&MYSQL_SSL_REQUEST]),
            Self::MysqlServer => begins_mysql_greeting(bytes),
        }
    }

    /// Number of bytes before TLS; [`None`] where the direction must grow to tell.
    pub fn read(self, bytes: &[u8]) -> Result<Option<usize>, Reason> {
        let length = match self {
            Self::SmtpClient => commands(bytes, smtp_command),
            Self::ImapClient => commands(bytes, imap_command),
            Self::SmtpServer => lines(bytes, is_smtp_reply),
            Self::ImapServer => lines(bytes, |line| line.contains(&b' ')),
            Self::PostgresqlClient => {
                let request = bytes.strip_prefix(&GSS_REQUEST).unwrap_or(bytes);
                fixed(request, &SSL_REQUEST)?
                    .map_or(Ok(None), |length| Ok(Some(bytes.len() - request.len() + length)))
            }
            Self::PostgresqlServer => {
                let answer = bytes.strip_prefix(b"N").unwrap_or(bytes);
                fixed(answer, b"S")?.map_or(Ok(None), |length| Ok(Some(bytes.len() - answer.len() + length)))
            }
            Self::MysqlClient => mysql_request(bytes),
            Self::MysqlServer => mysql_greeting(bytes),
        }?;
        match length {
            Some(length) => tls_at(bytes, length),
            None if bytes.len() >= MAX_BEFORE => Err(Reason::TooLong),
            None => Ok(None),
        }
    }
}

/// The position, if a TLS handshake begins there; [`None`] if nothing is there yet.
fn tls_at(bytes: &[u8], at: usize) -> Result<Option<usize>, Reason> {
    match bytes.get(at..) {
        None | Some([]) => Ok(None),
        Some(rest) if tls::may_begin(rest) => Ok(Some(at)),
        Some(_) => Err(Reason::Clear),
    }
}

/// The length of `expected`, which `bytes` has to begin with.
fn fixed(bytes: &[u8], expected: &[u8]) -> Result<Option<usize>, Reason> {
    match begins_with_any(bytes, &[expected]) {
        Some(true) => Ok(Some(expected.len())),
        Some(false) => Err(Reason::Clear),
        None => Ok(None),
    }
}

/// What a command does.
enum Command {
    /// It leads to TLS.
    StartTls,
    /// TLS may be asked for behind it.
    Before,
    /// It is one for which the connection is used, without TLS.
    Other,
}

/// Position behind the line that asks for TLS.
fn commands(bytes: &[u8], read: fn(&[u8]) -> Command) -> Result<Option<usize>, Reason> {
    let mut rest = bytes;
    while let Some((line, behind)) = split_line(rest) {
        rest = behind;
        match read(line) {
            Command::StartTls => return Ok(Some(bytes.len() - rest.len())),
            Command::Before => {}
            Command::Other => return Err(Reason::Clear),
        }
    }
    Ok(None)
}

/// Position behind the last line before bytes of TLS, which no line begins with.
fn lines(bytes: &[u8], is_line: fn(&[u8]) -> bool) -> Result<Option<usize>, Reason> {
    let mut rest = bytes;
    while let Some((line, behind)) = split_line(rest) {
        if rest.first() == Some(&22) {
            break;
        }
        if !is_line(line) {
            return Err(Reason::Syntax);
        }
        rest = behind;
    }
    Ok((rest.first() == Some(&22)).then_some(bytes.len() - rest.len()))
}

fn word(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    let (word, rest) = line.split_at_checked(end).unwrap_or((line, &[]));
    (word, rest.trim_ascii())
}

fn is_any(word: &[u8], words: &[&[u8]]) -> bool {
    words.iter().any(|other| other.eq_ignore_ascii_case(word))
}

fn smtp_command(line: &[u8]) -> Command {
    match word(line) {
        (verb, b"") if verb.eq_ignore_ascii_case(b"STARTTLS") => Command::StartTls,
        (verb, _) if is_any(verb, &SMTP_BEFORE) => Command::Before,
        _ => Command::Other,
    }
}

fn is_smtp_reply(line: &[u8]) -> bool {
    let (code, rest) = line.split_at_checked(3).unwrap_or((line, &[]));
    code.len() == 3 && code.iter().all(u8::is_ascii_digit) && matches!(rest.first(), None | Some(b' ' | b'-'))
}

fn imap_command(line: &[u8]) -> Command {
    let (_, command) = word(line);
    match word(command) {
        (name, b"") if name.eq_ignore_ascii_case(b"STARTTLS") => Command::StartTls,
        // What follows a line that ends so is no line.
        (name, arguments) if is_any(name, &IMAP_BEFORE) && !arguments.ends_with(b"}") => Command::Before,
        _ => Command::Other,
    }
}

/// A tag and one of the commands that a client begins with.
fn begins_imap_command(bytes: &[u8]) -> Option<bool> {
    let tag =
        bytes.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'.').unwrap_or(bytes.len());
    if tag > MAX_TAG {
        return Some(false);
    }
    match bytes.get(tag..)?.split_first() {
        None => None,
        Some((b' ', rest)) if tag > 0 => {
            let rest = rest.get(..12).unwrap_or(rest).to_ascii_uppercase();
            begins_with_any(&rest, &[b"CAPABILITY\r\n", b"STARTTLS\r\n", b"NOOP\r\n", b"ID "])
        }
        Some(_) => Some(false),
    }
}

/// The first packet of MySQL: number 0, protocol version 10, and a server version in printable characters.
fn begins_mysql_greeting(bytes: &[u8]) -> Option<bool> {
    let fits = |at: usize, fits: fn(u8) -> bool| bytes.get(at).is_none_or(|&byte| fits(byte));
    let may_be = fits(1, |length| length < 4)
        && fits(2, |length| length == 0)
        && fits(3, |number| number == 0)
        && fits(4, |version| version == 10)
        && fits(5, |digit| digit.is_ascii_digit());
    if may_be { (bytes.len() > 5).then_some(true) } else { Some(false) }
}

fn mysql_greeting(bytes: &[u8]) -> Result<Option<usize>, Reason> {
    let Some(&[low, middle, high, _]) = bytes.first_chunk() else { return Ok(None) };
    let length = 4 + (usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low));
    if length > MYSQL_GREETING { Err(Reason::TooLong) } else { Ok(Some(length)) }
}

fn mysql_request(bytes: &[u8]) -> Result<Option<usize>, Reason> {
    let Some(rest) = bytes.strip_prefix(&MYSQL_SSL_REQUEST) else {
        return fixed(bytes, &MYSQL_SSL_REQUEST);
    };
    match rest.first_chunk() {
        None => Ok(None),
        Some(&capabilities) if u16::from_le_bytes(capabilities) & MYSQL_SSL == 0 => Err(Reason::Clear),
        Some(_) => Ok(Some(36)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

    /// What is said in the clear before TLS.
    fn examples() -> Vec<(Opening, Vec<u8>)> {
        let mysql_greeting = [b"\x4a\0\0\0\x0a8.4.0\0".as_slice(), &[1; 67]].concat();
        let mysql_request = [b"\x20\0\0\x01\x05\xae\xff\x01\0\0\0\x01\xff".as_slice(), &[0; 23]].concat();
        vec![
            (Opening::SmtpClient, b"EHLO a.example\r\nSTARTTLS\r\n".to_vec()),
            (Opening::SmtpClient, b"ehlo a.example\r\nnoop\r\nStartTLS \r\n".to_vec()),
            (Opening::SmtpServer, b"220 hi\r\n250-a\r\n250 STARTTLS\r\n220 2.0.0 go\r\n".to_vec()),
            (Opening::ImapClient, b"a1 CAPABILITY\r\na2 STARTTLS\r\n".to_vec()),
            (Opening::ImapClient, b". STARTTLS\r\n".to_vec()),
            (
                Opening::ImapServer,
                b"* OK ready\r\n* CAPABILITY STARTTLS\r\na1 OK\r\na2 OK begin\r\n".to_vec(),
            ),
            (Opening::PostgresqlClient, SSL_REQUEST.to_vec()),
            (Opening::PostgresqlClient, [GSS_REQUEST, SSL_REQUEST].concat()),
            (Opening::PostgresqlServer, b"S".to_vec()),
            (Opening::PostgresqlServer, b"NS".to_vec()),
            (Opening::MysqlServer, mysql_greeting),
            (Opening::MysqlClient, mysql_request),
        ]
    }

    #[test]
    fn tls_is_found_behind_what_is_said_in_the_clear() {
        for (opening, clear) in examples() {
            let bytes = [&clear, HELLO].concat();
            assert_eq!(opening.begins(&bytes), Some(true), "{opening:?}");
            for length in 0..bytes.len() {
                let expected = (length > clear.len()).then_some(clear.len());
                assert_eq!(opening.read(&bytes[..length]), Ok(expected), "{opening:?} {length}");
                assert_ne!(opening.begins(&bytes[..length]), Some(false), "{opening:?} {length}");
            }
            let others = Opening::ALL.into_iter().filter(|&other| other != opening);
            for other in others {
                assert_ne!(other.begins(&bytes), Some(true), "{opening:?} as {other:?}");
            }
        }
    }

    #[test]
    fn what_stays_in_the_clear_is_told() {
        for (opening, bytes, reason) in [
            (Opening::SmtpClient, &b"EHLO a\r\nMAIL FROM:<a@b>\r\n"[..], Reason::Clear),
            (Opening::SmtpClient, b"EHLO a\r\nSTARTTLS\r\nMAIL", Reason::Clear),
            (Opening::SmtpClient, b"EHLO a\r\nSTARTTLS now\r\n", Reason::Clear),
            (Opening::SmtpServer, b"220 a\r\nhello\r\n", Reason::Syntax),
            (Opening::ImapClient, b"a ID {5}\r\n", Reason::Clear),
            (Opening::ImapClient, b"a LOGIN x y\r\n", Reason::Clear),
            (Opening::ImapServer, b"* OK\r\nx\r\n", Reason::Syntax),
            (Opening::PostgresqlClient, b"\0\0\0\x08\x04\xd2\x16\x2f\0\0\0\x30", Reason::Clear),
            (Opening::PostgresqlServer, b"NE", Reason::Clear),
            (Opening::MysqlClient, b"\x20\0\0\x01\0\0", Reason::Clear),
            (Opening::MysqlServer, b"\0\x08\0\0", Reason::TooLong),
            (Opening::SmtpServer, &b"220-x\r\n".repeat(MAX_BEFORE), Reason::TooLong),
            (Opening::SmtpServer, &[b'2'; MAX_BEFORE], Reason::TooLong),
        ] {
            assert_eq!(
                opening.read(bytes),
                Err(reason),
                "{opening:?} {:.40}",
                bytes.escape_ascii().to_string()
            );
        }
    }
}

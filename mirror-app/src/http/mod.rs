//! HTTP/1.x (RFC 9112): the heads of requests and responses, and the preface of HTTP/2 (RFC 9113, section 3.4).
//!
//! A head is read when it is whole. What follows it is told as far as the head tells it for certain: behind chunked bodies and
//! behind the bodies of responses, whose length depends on the request's method as well, a direction is followed no further.

mod target;
pub mod write;

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;

use httparse::{Error, Header, Status};

use crate::prefix::begins_with_any;

/// Most bytes of a head.
pub const MAX_HEAD: usize = 16 << 10;
/// Most header fields of a head.
pub const MAX_FIELDS: usize = 96;
/// Most bytes of a user agent that are kept.
pub const MAX_USER_AGENT: usize = 256;
/// Most bytes of a path that are kept.
pub const MAX_PATH: usize = 1024;
/// Most bytes of a method's name.
const MAX_METHOD: usize = 24;
/// Most bytes of a body behind which another message is looked for.
const MAX_SKIPPED: usize = 64 << 20;

/// What the client of a connection with HTTP/2 and prior knowledge sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Methods that a connection is known by (IANA's registry "HTTP Methods", those in use).
const METHODS: [&str; 20] = [
    "GET",
    "POST",
    "HEAD",
    "PUT",
    "DELETE",
    "OPTIONS",
    "CONNECT",
    "PATCH",
    "TRACE",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
    "MERGE",
    "QUERY",
];

/// Settings of what is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Keep the paths of requests, without their queries. They may name persons.
    pub paths: bool,
}

/// What is wrong with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The first line is not that of a request or response of HTTP/1.
    FirstLine,
    /// The line of a header field has not its form.
    Field,
    /// More header fields than [`MAX_FIELDS`].
    TooManyFields,
    /// More bytes than [`MAX_HEAD`].
    TooLong,
    /// There is more than one Host field, or the host is not one (RFC 9112, section 3.2).
    Host,
    /// The length of the body is no number, or there are two (RFC 9112, section 6.3).
    ContentLength,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::FirstLine, Self::Field, Self::TooManyFields, Self::TooLong, Self::Host, Self::ContentLength];

    /// Name for counters and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FirstLine => "first_line",
            Self::Field => "field",
            Self::TooManyFields => "too_many_fields",
            Self::TooLong => "too_long",
            Self::Host => "host",
            Self::ContentLength => "content_length",
        }
    }

    const fn of(error: Error) -> Self {
        match error {
            Error::HeaderName | Error::HeaderValue | Error::NewLine => Self::Field,
            Error::TooManyHeaders => Self::TooManyFields,
            Error::Status | Error::Token | Error::Version => Self::FirstLine,
        }
    }
}

/// What stands behind a head and the body that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// The next message of the direction.
    Message,
    /// Another protocol, inside: behind a CONNECT, and behind the response that grants it, or that has a body up to the
    /// connection's end.
    Tunnel,
    /// That cannot be told, or not cheaply.
    Unknown,
}

/// What a client sends first, or next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// A request.
    Request(Request),
    /// The preface of HTTP/2, which [`Self::PREFACE_LENGTH`] says the length of.
    Http2,
}

impl Sent {
    /// Number of bytes of HTTP/2's preface.
    pub const PREFACE_LENGTH: usize = PREFACE.len();
}

/// A request's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method's name.
    pub method: Cow<'static, str>,
    /// The version, as the digit behind `HTTP/1.`.
    pub minor_version: u8,
    /// The host in lower case: that of the target where it has one, else of the Host field. IPv6 addresses have no brackets.
    pub host: Option<Box<str>>,
    /// The port beside the host.
    pub port: Option<u16>,
    /// The path, without the query and at most [`MAX_PATH`] bytes, where [`Options::paths`] asks for it.
    pub path: Option<Box<str>>,
    /// The user agent, at most [`MAX_USER_AGENT`] bytes of it; what is not UTF-8 is replaced.
    pub user_agent: Option<Box<str>>,
    /// Number of bytes up to what follows.
    pub length: usize,
    /// What follows.
    pub follows: Follows,
}

impl Request {
    /// The host, if it is a name and not an address.
    pub fn host_name(&self) -> Option<&str> {
        let host = self.host.as_deref()?;
        let is_address = host.parse::<Ipv4Addr>().is_ok() || host.contains(':');
        (!is_address).then_some(host)
    }
}

/// A response's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// The version, as the digit behind `HTTP/1.`.
    pub minor_version: u8,
    /// The status code.
    pub status: u16,
    /// Number of bytes up to what follows.
    pub length: usize,
    /// What follows.
    pub follows: Follows,
}

/// `Some(true)` where `bytes` begins with a request or HTTP/2's preface, [`None`] where there are too few to tell.
pub fn begins_request(bytes: &[u8]) -> Option<bool> {
    if begins_with_any(bytes, &[PREFACE]) != Some(false) {
        return begins_with_any(bytes, &[PREFACE]);
    }
    let word = bytes.split(|&byte| byte == b' ').next().unwrap_or_default();
    let ends = word.len() < bytes.len();
    if ends {
        return Some(METHODS.iter().any(|method| method.as_bytes() == word));
    }
    if METHODS.iter().any(|method| method.as_bytes().starts_with(word)) { None } else { Some(false) }
}

/// `Some(true)` where `bytes` begins with a response, [`None`] where there are too few to tell.
pub fn begins_response(bytes: &[u8]) -> Option<bool> {
    begins_with_any(bytes, &[b"HTTP/1."])
}

/// The request or preface at the start of `bytes`; [`None`] where its end is not there.
pub fn read_request(bytes: &[u8], options: Options) -> Result<Option<Sent>, Reason> {
    match begins_with_any(bytes, &[PREFACE]) {
        Some(true) => return Ok(Some(Sent::Http2)),
        None => return Ok(None),
        Some(false) => {}
    }
    let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let Some(length) = head_length(request.parse_with_uninit_headers(bytes, &mut fields), bytes)? else {
        return Ok(None);
    };
    let (Some(method), Some(target), Some(minor_version)) = (request.method, request.path, request.version)
    else {
        return Err(Reason::FirstLine);
    };
    let connect = method == "CONNECT";
    let (authority, path) = target::split(target, connect);
    let fields = Fields::read(request.headers)?;
    let authority = match authority {
        Some(authority) => Some(target::parse_authority(authority.as_bytes())?),
        None => fields.host.filter(|host| !host.is_empty()).map(target::parse_authority).transpose()?,
    };
    let (host, port) = authority.unzip();
    let (body, follows) = match (connect, fields.chunked, fields.content_length.unwrap_or(0)) {
        (true, ..) => (0, Follows::Tunnel),
        (false, false, body) if body <= MAX_SKIPPED => (body, Follows::Message),
        _ => (0, Follows::Unknown),
    };
    Ok(Some(Sent::Request(Request {
        method: known_method(method)?,
        minor_version,
        host,
        port: port.flatten(),
        path: path.filter(|_| options.paths).map(|path| bounded(path.as_bytes(), MAX_PATH)),
        user_agent: fields.user_agent.map(|user_agent| bounded(user_agent, MAX_USER_AGENT)),
        length: length + body,
        follows,
    })))
}

/// The response at the start of `bytes`; [`None`] where its end is not there.
pub fn read_response(bytes: &[u8]) -> Result<Option<Response>, Reason> {
    let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        bytes,
        &mut fields,
    );
    let Some(length) = head_length(parsed, bytes)? else { return Ok(None) };
    let (Some(status), Some(minor_version)) = (response.code, response.version) else {
        return Err(Reason::FirstLine);
    };
    let fields = Fields::read(response.headers)?;
    let follows = match status {
        // The final response is yet to come (RFC 9110, section 15.2), but for a change of protocols.
        100 | 102..=199 => Follows::Message,
        200..=299 if !fields.chunked && fields.content_length.is_none() => Follows::Tunnel,
        _ => Follows::Unknown,
    };
    Ok(Some(Response { minor_version, status, length, follows }))
}

/// The length of a head; [`None`] where it is not whole.
fn head_length(parsed: httparse::Result<usize>, bytes: &[u8]) -> Result<Option<usize>, Reason> {
    match parsed {
        Ok(Status::Complete(length)) if length <= MAX_HEAD => Ok(Some(length)),
        Ok(Status::Partial) if bytes.len() < MAX_HEAD => Ok(None),
        Ok(_) => Err(Reason::TooLong),
        Err(error) => Err(Reason::of(error)),
    }
}

/// The header fields that are looked at.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    user_agent: Option<&'a [u8]>,
    content_length: Option<usize>,
    chunked: bool,
}

impl<'a> Fields<'a> {
    fn read(headers: &[Header<'a>]) -> Result<Self, Reason> {
        let mut fields = Self::default();
        for &Header { name, value } in headers {
            if name.eq_ignore_ascii_case("host") {
                if fields.host.replace(value).is_some() {
                    return Err(Reason::Host);
                }
            } else if name.eq_ignore_ascii_case("user-agent") {
                fields.user_agent.get_or_insert(value);
            } else if name.eq_ignore_ascii_case("content-length") {
                let length = decimal(value).ok_or(Reason::ContentLength)?;
                if fields.content_length.replace(length).is_some_and(|other| other != length) {
                    return Err(Reason::ContentLength);
                }
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                fields.chunked = true;
            }
        }
        Ok(fields)
    }
}

/// A number of decimal digits alone.
fn decimal(value: &[u8]) -> Option<usize> {
    let digits = value.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

fn known_method(method: &str) -> Result<Cow<'static, str>, Reason> {
    if let Some(known) = METHODS.into_iter().find(|&known| known == method) {
        return Ok(Cow::Borrowed(known));
    }
    if method.len() > MAX_METHOD { Err(Reason::FirstLine) } else { Ok(Cow::Owned(method.to_owned())) }
}

/// At most `most` bytes, as text.
fn bounded(bytes: &[u8], most: usize) -> Box<str> {
    let text = String::from_utf8_lossy(bytes.get(..most).unwrap_or(bytes));
    let mut text = text.into_owned();
    // Replacing bytes makes a text longer.
    text.truncate(text.floor_char_boundary(most));
    text.into_boxed_str()
}

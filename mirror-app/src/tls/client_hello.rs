//! The ClientHello (RFC 8446, section 4.1.2).

use super::extension::{self, Extensions};
use super::ja4::{self, Carrier, Ja4};
use super::reason::Reason;
use super::session::SessionId;
use super::version::Version;
use crate::host_name;
use crate::reader::Reader;

/// Type of the message.
pub const TYPE: u8 = 1;

/// Application protocols of one ClientHello that are kept.
const PROTOCOLS_KEPT: usize = 8;

/// The parts of a ClientHello that are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// The server's name, in lower case (RFC 6066, section 3).
    pub server_name: Option<String>,
    /// The reason why the name that is there is not told.
    pub server_name_refused: Option<host_name::Reason>,
    /// The application protocols offered, in the client's order, at most eight; bytes that are not printable ASCII are escaped.
    pub protocols: Vec<String>,
    /// The highest version offered, GREASE ignored.
    pub version: Version,
    /// The JA4 fingerprint.
    pub ja4: Ja4,
    /// An `encrypted_client_hello` extension is there (0xfe0d, RFC 9849). Then the name is that of the server which
    /// shares the key, unless the extension is GREASE: the two are made so that nobody between client and server can tell them apart.
    pub ech: bool,
    /// The client offers to resume a session: by a pre-shared key, a ticket, or, below TLS 1.3, a session id.
    pub resumption_offered: bool,
    pub(super) session_id: SessionId,
}

impl ClientHello {
    /// Reads the body of the message, all of it.
    pub fn parse(body: &[u8], carrier: Carrier) -> Result<Self, Reason> {
        let mut reader = Reader::new(body);
        let legacy_version = Version(reader.u16().ok_or(Reason::FieldLength)?);
        reader.array::<32>().ok_or(Reason::FieldLength)?;
        let session_id = reader.vector8().and_then(SessionId::new).ok_or(Reason::FieldLength)?;
        let ciphers = reader.vector16().ok_or(Reason::FieldLength)?;
        let _compression = reader.vector8().ok_or(Reason::FieldLength)?;
        let extensions = Extensions::take(&mut reader)?;

        let mut hello = Self {
            server_name: None,
            server_name_refused: None,
            protocols: Vec::new(),
            version: legacy_version,
            ja4: Ja4::default(),
            ech: false,
            resumption_offered: false,
            session_id,
        };
        let mut fingerprint = ja4::Fingerprint::new(carrier);
        for cipher in u16s(ciphers)? {
            fingerprint.cipher(cipher)?;
        }
        let mut ticket_or_key = false;
        for (kind, content) in extensions {
            fingerprint.extension(kind)?;
            match kind {
                extension::SERVER_NAME => hello.read_server_name(content)?,
                extension::APPLICATION_PROTOCOLS => {
                    let first = hello.read_protocols(content)?;
                    fingerprint.first_protocol(first);
                }
                extension::SIGNATURE_ALGORITHMS => {
                    fingerprint.signature_algorithms(list(content, Reader::vector16)?)?;
                }
                extension::SUPPORTED_VERSIONS => {
                    let offered = u16s(list(content, Reader::vector8)?)?;
                    if let Some(highest) = offered.filter(|&version| !ja4::is_grease(version)).max() {
                        hello.version = Version(highest);
                    }
                }
                extension::SESSION_TICKET => ticket_or_key |= !content.is_empty(),
                extension::PRE_SHARED_KEY => ticket_or_key = true,
                extension::ENCRYPTED_CLIENT_HELLO => hello.ech = true,
                _ => {}
            }
        }
        // From TLS 1.3 on every client sends a session id, for the sake of middleboxes (RFC 8446, appendix D.4).
        hello.resumption_offered =
            ticket_or_key || (hello.version < Version::TLS_1_3 && !session_id.is_empty());
        hello.ja4 = fingerprint.finish(hello.version);
        Ok(hello)
    }

    fn read_server_name(&mut self, content: &[u8]) -> Result<(), Reason> {
        const HOST_NAME: u8 = 0;
        let mut names = Reader::new(list(content, Reader::vector16)?);
        while !names.is_empty() {
            let kind = names.u8().ok_or(Reason::Extension)?;
            let name = names.vector16().ok_or(Reason::Extension)?;
            if kind == HOST_NAME && self.server_name.is_none() && self.server_name_refused.is_none() {
                match host_name::parse(name) {
                    Ok(name) => self.server_name = Some(name),
                    Err(reason) => self.server_name_refused = Some(reason),
                }
            }
        }
        Ok(())
    }

    /// Keeps the protocols, and returns the first.
    fn read_protocols<'a>(&mut self, content: &'a [u8]) -> Result<&'a [u8], Reason> {
        let mut names = Reader::new(list(content, Reader::vector16)?);
        let mut first = None;
        while !names.is_empty() {
            let name = names.vector8().ok_or(Reason::Extension)?;
            first.get_or_insert(name);
            if self.protocols.len() < PROTOCOLS_KEPT {
                self.protocols.push(name.escape_ascii().to_string());
            }
        }
        Ok(first.unwrap_or_default())
    }
}

/// The list that is all of an extension's content.
fn list<'a>(
    content: &'a [u8],
    vector: impl Fn(&mut Reader<'a>) -> Option<&'a [u8]>,
) -> Result<&'a [u8], Reason> {
    let mut reader = Reader::new(content);
    let list = vector(&mut reader).ok_or(Reason::Extension)?;
    if reader.is_empty() { Ok(list) } else { Err(Reason::Extension) }
}

fn u16s(bytes: &[u8]) -> Result<impl Iterator<Item = u16>, Reason> {
    let (pairs, []) = bytes.as_chunks() else {
        return Err(Reason::FieldLength);
    };
    Ok(pairs.iter().map(|&pair| u16::from_be_bytes(pair)))
}

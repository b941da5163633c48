//! The ServerHello (RFC 8446, section 4.1.3).

use super::cipher::CipherSuite;
use super::extension::{self, Extensions};
use super::reason::Reason;
use super::session::SessionId;
use super::version::Version;
use crate::reader::Reader;

/// Type of the message.
pub const TYPE: u8 = 2;

/// The `random` by which a ServerHello is a HelloRetryRequest: the SHA-256 of that word.
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// The parts of a ServerHello that are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHello {
    /// The version chosen.
    pub version: Version,
    /// The cipher suite chosen.
    pub cipher: CipherSuite,
    /// The application protocol chosen. From TLS 1.3 on it is encrypted, and not here.
    pub protocol: Option<String>,
    /// The server first asked for another ClientHello (a HelloRetryRequest).
    pub retried: bool,
    pub(super) pre_shared_key: bool,
    pub(super) session_id: SessionId,
}

impl ServerHello {
    /// Reads the body of the message, all of it. `retried` is set where this is a HelloRetryRequest.
    pub fn parse(body: &[u8]) -> Result<Self, Reason> {
        let mut reader = Reader::new(body);
        let legacy_version = Version(reader.u16().ok_or(Reason::FieldLength)?);
        let random = reader.array::<32>().ok_or(Reason::FieldLength)?;
        let session_id = reader.vector8().and_then(SessionId::new).ok_or(Reason::FieldLength)?;
        let cipher = CipherSuite(reader.u16().ok_or(Reason::FieldLength)?);
        let _compression = reader.u8().ok_or(Reason::FieldLength)?;
        let extensions = Extensions::take(&mut reader)?;
        let mut hello = Self {
            version: legacy_version,
            cipher,
            protocol: None,
            retried: random == RETRY,
            pre_shared_key: false,
            session_id,
        };
        for (kind, content) in extensions {
            let mut content = Reader::new(content);
            match kind {
                extension::SUPPORTED_VERSIONS => {
                    hello.version = Version(content.u16().ok_or(Reason::Extension)?);
                }
                extension::APPLICATION_PROTOCOLS => {
                    let mut names = Reader::new(content.vector16().ok_or(Reason::Extension)?);
                    let name = names.vector8().ok_or(Reason::Extension)?;
                    hello.protocol = Some(name.escape_ascii().to_string());
                }
                extension::PRE_SHARED_KEY => hello.pre_shared_key = true,
                _ => {}
            }
        }
        Ok(hello)
    }
}

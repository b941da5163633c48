//! The extensions of a hello (RFC 8446, section 4.2), and their numbers at IANA.

use super::reason::Reason;
use crate::reader::Reader;

/// `server_name`
pub const SERVER_NAME: u16 = 0;
/// `signature_algorithms`
pub const SIGNATURE_ALGORITHMS: u16 = 13;
/// `application_layer_protocol_negotiation`
pub const APPLICATION_PROTOCOLS: u16 = 16;
/// `session_ticket`
pub const SESSION_TICKET: u16 = 35;
/// `pre_shared_key`
pub const PRE_SHARED_KEY: u16 = 41;
/// `supported_versions`
pub const SUPPORTED_VERSIONS: u16 = 43;
/// `encrypted_client_hello`
pub const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// Most extensions of one hello: clients send some twenty.
pub const LIMIT: usize = 128;

/// Extensions in the order in which they stand, each by its type and content. Their lengths have been checked.
#[derive(Clone, Copy, Debug)]
pub struct Extensions<'a>(Reader<'a>);

impl<'a> Extensions<'a> {
    /// Takes the extensions with which a hello ends; hellos before TLS 1.2 may end without.
    pub fn take(reader: &mut Reader<'a>) -> Result<Self, Reason> {
        if reader.is_empty() {
            return Ok(Self(*reader));
        }
        let all = reader.vector16().ok_or(Reason::FieldLength)?;
        if !reader.is_empty() {
            return Err(Reason::TrailingBytes);
        }
        let extensions = Self(Reader::new(all));
        extensions.check()?;
        Ok(extensions)
    }

    fn check(self) -> Result<(), Reason> {
        let mut kinds = [0; LIMIT];
        let mut rest = self.0;
        let mut count = 0;
        while !rest.is_empty() {
            let kind = rest.u16().ok_or(Reason::FieldLength)?;
            rest.vector16().ok_or(Reason::FieldLength)?;
            if kinds.iter().take(count).any(|&earlier| earlier == kind) {
                return Err(Reason::DuplicateExtension);
            }
            *kinds.get_mut(count).ok_or(Reason::TooMany)? = kind;
            count += 1;
        }
        Ok(())
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let kind = self.0.u16()?;
        Some((kind, self.0.vector16()?))
    }
}

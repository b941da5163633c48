//! The frames of Initial packets (RFC 9000, section 19).

use super::packet::integer;
use super::reason::Reason;
use crate::reader::Reader;

/// A frame that tells something of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Bytes of the handshake.
    Crypto {
        /// Their offset in the handshake's bytes of this direction.
        offset: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// The sender closes the connection because of a TLS alert.
    Alert(u8),
}

/// Calls `each` with the frames of a packet that tell something; others are skipped.
pub fn each<'a>(packet: &'a [u8], mut each: impl FnMut(Frame<'a>)) -> Result<(), Reason> {
    let mut reader = Reader::new(packet);
    while let Some(kind) = reader.u8() {
        match kind {
            // PADDING is most of a packet.
            0 => {
                let zeros = reader.rest().iter().take_while(|&&byte| byte == 0).count();
                reader.bytes(zeros);
            }
            // PING
            1 => {}
            2 | 3 => skip_acknowledgement(&mut reader, kind == 3).ok_or(Reason::FrameLength)?,
            6 => {
                let offset = integer(&mut reader).ok_or(Reason::FrameLength)?;
                each(Frame::Crypto { offset, bytes: vector(&mut reader).ok_or(Reason::FrameLength)? });
            }
            0x1c => {
                let code = integer(&mut reader).ok_or(Reason::FrameLength)?;
                let _frame_type = integer(&mut reader).ok_or(Reason::FrameLength)?;
                vector(&mut reader).ok_or(Reason::FrameLength)?;
                // CRYPTO_ERROR (RFC 9001, section 4.8).
                if let Some(alert) = code.checked_sub(0x100).and_then(|alert| u8::try_from(alert).ok()) {
                    each(Frame::Alert(alert));
                }
            }
            _ => return Err(Reason::FrameType),
        }
    }
    Ok(())
}

fn skip_acknowledgement(reader: &mut Reader<'_>, counts: bool) -> Option<()> {
    let _largest = integer(reader)?;
    let _delay = integer(reader)?;
    let ranges = integer(reader)?;
    let _first = integer(reader)?;
    for _ in 0..ranges {
        integer(reader)?;
        integer(reader)?;
    }
    if counts {
        for _ in 0..3 {
            integer(reader)?;
        }
    }
    Some(())
}

/// Takes a length of variable size and as many bytes.
fn vector<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = integer(reader)?;
    reader.bytes(usize::try_from(length).ok()?)
}

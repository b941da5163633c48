//! VXLAN (RFC 7348).

use super::reader::Reader;
use crate::DropReason;
use crate::number::Vni;

/// The I flag: the VNI is valid.
const VALID_VNI: u8 = 0x08;

/// A VXLAN header. An Ethernet frame follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The virtual network.
    pub vni: Vni,
}

impl Header {
    /// Bytes of the header.
    pub const LENGTH: usize = 8;

    /// Takes the header. Reserved bits are ignored, as RFC 7348, section 5 asks.
    ///
    /// # Errors
    ///
    /// First [`DropReason::VxlanTruncated`], then [`DropReason::VxlanFlags`].
    #[inline]
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, DropReason> {
        let [flags, _, _, _, v0, v1, v2, _] = reader.array().ok_or(DropReason::VxlanTruncated)?;
        if flags & VALID_VNI == 0 {
            return Err(DropReason::VxlanFlags);
        }
        Ok(Self { vni: Vni::from_bytes([v0, v1, v2]) })
    }

    /// Appends the header, with reserved bits zero.
    pub fn emit(&self, bytes: &mut Vec<u8>) {
        bytes.extend([VALID_VNI, 0, 0, 0]);
        bytes.extend(self.vni.to_bytes());
        bytes.push(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(bytes: &[u8]) -> Result<u32, DropReason> {
        Header::parse(&mut Reader::new(bytes)).map(|header| header.vni.get())
    }

    #[test]
    fn judges_flags_and_length() {
        assert_eq!(parse(&[8, 0, 0, 0, 0x54, 0xfa, 0x11, 0]), Ok(5_569_041));
        assert_eq!(parse(&[0xff, 1, 2, 3, 0, 0, 11, 0xff]), Ok(11), "reserved bits are ignored");
        assert_eq!(parse(&[0xf7, 0, 0, 0, 0, 0, 11, 0]), Err(DropReason::VxlanFlags));
        assert_eq!(parse(&[0, 0, 0, 0, 0, 0, 11]), Err(DropReason::VxlanTruncated));
        assert_eq!(parse(&[]), Err(DropReason::VxlanTruncated));
    }

    proptest! {
        #[test]
        fn parses_what_it_emits(vni in 0..1_u32 << 24) {
            let header = Header { vni: Vni::new(vni).unwrap() };
            let mut bytes = Vec::new();
            header.emit(&mut bytes);
            prop_assert_eq!(Header::parse(&mut Reader::new(&bytes)), Ok(header));
            prop_assert_eq!(bytes.len(), Header::LENGTH);
        }
    }
}

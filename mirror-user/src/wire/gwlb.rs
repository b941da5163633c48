//! The GENEVE options of an AWS Gateway Load Balancer, class 0x0108 (AWS, "Integrating with Gateway Load Balancer";
//! the class is registered with IANA).

use super::geneve::{self, TunnelOption};
use crate::DropReason;
use crate::number::{AttachmentId, EndpointId, FlowCookie};

/// Class of the options.
pub const CLASS: u16 = 0x0108;

const ENDPOINT: u8 = 1;
const ATTACHMENT: u8 = 2;
const COOKIE: u8 = 3;

/// First word of the endpoint option: class, type, and words of its value.
pub const ENDPOINT_HEADER: u32 = header(ENDPOINT, 2);
/// First word of the attachment option.
pub const ATTACHMENT_HEADER: u32 = header(ATTACHMENT, 2);
/// First word of the cookie option.
pub const COOKIE_HEADER: u32 = header(COOKIE, 1);

const fn header(kind: u8, words: u8) -> u32 {
    let [c0, c1] = CLASS.to_be_bytes();
    u32::from_be_bytes([c0, c1, kind, words])
}

/// Identity of a tunnel, as the options give it. Each part may be absent: AWS does not promise that the set stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The endpoint that the packet entered by: type 1, 8 bytes.
    pub endpoint: Option<EndpointId>,
    /// The attachment: type 2, 8 bytes.
    pub attachment: Option<AttachmentId>,
    /// The flow cookie: type 3, 4 bytes.
    pub cookie: Option<FlowCookie>,
}

impl Identity {
    /// Bytes of all three.
    pub const LENGTH: usize = 32;

    /// Reads `options` to their end. The first of repeated options counts. Other options are skipped, unless critical. A
    /// type is all 8 bits, so a critical option of this class is none of the three.
    ///
    /// # Errors
    ///
    /// The fault of the first faulty option: [`DropReason::GeneveOptionLength`] where it is longer than what is left for it,
    /// [`DropReason::GwlbOptionLength`] where its value has not the length that its type asks for,
    /// [`DropReason::GeneveCriticalOption`] where it is critical.
    #[inline]
    pub fn parse(options: geneve::OptionList<'_>) -> Result<Self, DropReason> {
        let mut read = Self::default();
        for option in options.walk() {
            let option = option?;
            let value = option.value;
            match (option.class, option.kind) {
                (CLASS, ENDPOINT) => {
                    read.endpoint.get_or_insert(EndpointId(u64::from_be_bytes(fixed(value)?)));
                }
                (CLASS, ATTACHMENT) => {
                    read.attachment.get_or_insert(AttachmentId(u64::from_be_bytes(fixed(value)?)));
                }
                (CLASS, COOKIE) => {
                    read.cookie.get_or_insert(FlowCookie(u32::from_be_bytes(fixed(value)?)));
                }
                _ if option.is_critical() => return Err(DropReason::GeneveCriticalOption),
                _ => {}
            }
        }
        Ok(read)
    }

    /// Appends the options that are there, in the order of their types.
    pub fn emit(&self, bytes: &mut Vec<u8>) {
        let mut option = |kind, value: &[u8]| TunnelOption { class: CLASS, kind, value }.emit(bytes);
        if let Some(EndpointId(endpoint)) = self.endpoint {
            option(ENDPOINT, &endpoint.to_be_bytes());
        }
        if let Some(AttachmentId(attachment)) = self.attachment {
            option(ATTACHMENT, &attachment.to_be_bytes());
        }
        if let Some(FlowCookie(cookie)) = self.cookie {
            option(COOKIE, &cookie.to_be_bytes());
        }
    }
}

/// A value of `N` bytes.
#[inline]
fn fixed<const N: usize>(value: &[u8]) -> Result<[u8; N], DropReason> {
    value.try_into().map_err(|_| DropReason::GwlbOptionLength)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(options: &[(u16, u8, &[u8])]) -> Result<Identity, DropReason> {
        let mut bytes = Vec::new();
        for (class, kind, value) in options {
            TunnelOption { class: *class, kind: *kind, value }.emit(&mut bytes);
        }
        Identity::parse(geneve::OptionList::new(&bytes).unwrap())
    }

    #[test]
    fn emits_what_a_load_balancer_sends() {
        let options = Identity {
            endpoint: Some(EndpointId(0x0102_0304_0506_0708)),
            attachment: Some(AttachmentId(0x1112_1314_1516_1718)),
            cookie: Some(FlowCookie(0x2122_2324)),
        };
        let mut bytes = Vec::new();
        options.emit(&mut bytes);
        let expected = [
            1, 8, 1, 2, 1, 2, 3, 4, 5, 6, 7, 8, // endpoint
            1, 8, 2, 2, 17, 18, 19, 20, 21, 22, 23, 24, // attachment
            1, 8, 3, 1, 33, 34, 35, 36, // cookie
        ];
        assert_eq!(bytes, expected);
        assert_eq!(bytes.len(), Identity::LENGTH);
    }

    #[test]
    fn judges_options_one_by_one() {
        let endpoint = |id| Ok(Identity { endpoint: Some(EndpointId(id)), ..Identity::default() });
        let one: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 1];
        let two: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 2];
        let length = Err(DropReason::GwlbOptionLength);
        let critical = Err(DropReason::GeneveCriticalOption);
        type Case<'a> = (&'a [(u16, u8, &'a [u8])], Result<Identity, DropReason>);
        let cases: [Case<'_>; 14] = [
            (&[], Ok(Identity::default())),
            (&[(CLASS, 1, one)], endpoint(1)),
            (&[(CLASS, 1, one), (CLASS, 1, two)], endpoint(1)),
            (&[(CLASS, 4, two), (CLASS, 1, one)], endpoint(1)),
            (&[(0x0109, 1, two), (CLASS, 1, one)], endpoint(1)),
            (&[(0x0109, 1, &[]), (CLASS, 0, &[0; 4]), (CLASS, 1, one)], endpoint(1)),
            (&[(CLASS, 1, &[0; 4])], length),
            (&[(CLASS, 2, &[])], length),
            (&[(CLASS, 2, &[0; 12])], length),
            (&[(CLASS, 3, &[0; 8])], length),
            (&[(CLASS, 1, one), (CLASS, 1, &[0; 4])], length),
            (&[(0x0132, 0x81, &[])], critical),
            (&[(CLASS, 0x81, one)], critical),
            (&[(0x0132, 0x81, &[]), (CLASS, 1, &[])], critical),
        ];
        for (options, expected) in cases {
            assert_eq!(parse(options), expected, "{options:x?}");
        }
        let beyond = geneve::OptionList::new(&[1, 8, 1, 2, 0, 0, 0, 0]).unwrap();
        assert_eq!(Identity::parse(beyond), Err(DropReason::GeneveOptionLength));
    }

    proptest! {
        #[test]
        fn parses_what_it_emits(
            endpoint: Option<u64>,
            attachment: Option<u64>,
            cookie: Option<u32>,
        ) {
            let options = Identity {
                endpoint: endpoint.map(EndpointId),
                attachment: attachment.map(AttachmentId),
                cookie: cookie.map(FlowCookie),
            };
            let mut bytes = Vec::new();
            options.emit(&mut bytes);
            prop_assert_eq!(Identity::parse(geneve::OptionList::new(&bytes).unwrap()), Ok(options));
        }
    }
}

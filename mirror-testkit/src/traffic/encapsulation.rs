//! The tunnel headers for which etherparse has no writer: GENEVE with the options of a Gateway Load Balancer, and VXLAN.

use etherparse::EtherType;

/// Bytes of a GENEVE header without options.
pub(super) const GENEVE_HEADER: usize = 8;
/// Bytes of the three options of a Gateway Load Balancer.
pub(super) const GWLB_OPTIONS: usize = 32;
/// Bytes of a VXLAN header.
pub(super) const VXLAN_HEADER: usize = 8;

/// A GENEVE header (RFC 8926, section 3.4) with VNI 0, and the three options of a Gateway Load Balancer with values of 0:
/// endpoint, attachment and flow cookie.
pub(super) fn geneve(protocol: EtherType) -> [u8; GENEVE_HEADER + GWLB_OPTIONS] {
    const OPTION_WORDS: u8 = 8;
    const CLASS: [u8; 2] = [0x01, 0x08];
    let mut bytes = [0; GENEVE_HEADER + GWLB_OPTIONS];
    bytes[0] = OPTION_WORDS;
    bytes[2..4].copy_from_slice(&protocol.0.to_be_bytes());
    let mut offset = GENEVE_HEADER;
    for (kind, words) in [(1, 2), (2, 2), (3, 1)] {
        bytes[offset..offset + 2].copy_from_slice(&CLASS);
        bytes[offset + 2..offset + 4].copy_from_slice(&[kind, words]);
        offset += 4 + 4 * usize::from(words);
    }
    bytes
}

/// A VXLAN header (RFC 7348, section 5) with VNI 0.
pub(super) const fn vxlan() -> [u8; VXLAN_HEADER] {
    const VALID_VNI: u8 = 0x08;
    [VALID_VNI, 0, 0, 0, 0, 0, 0, 0]
}

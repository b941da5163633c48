//! The OPT record (RFC 6891).

use super::reason::Reason;

/// Option code of EDNS Client Subnet (RFC 7871, section 6).
const CLIENT_SUBNET: u16 = 8;

/// An OPT record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// Most bytes of a datagram that the sender takes.
    pub udp_size: u16,
    /// Version of EDNS, of which there is only 0.
    pub version: u8,
    /// The upper eight bits of the response code.
    pub(super) response_code: u8,
    /// The sender wants DNSSEC's records (RFC 3225).
    pub dnssec_ok: bool,
    /// The network of the client is told to the servers that are asked on its behalf (RFC 7871).
    pub client_subnet: bool,
}

impl Edns {
    /// Reads the fields of an OPT record: its class, its time to live and its data.
    pub(super) fn parse(class: u16, ttl: u32, mut options: &[u8]) -> Result<Self, Reason> {
        let [response_code, version, flags, _] = ttl.to_be_bytes();
        let mut client_subnet = false;
        while let Some((&[code_high, code_low, high, low], rest)) = options.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes([high, low]));
            options = rest.get(length..).ok_or(Reason::DataLength)?;
            client_subnet |= u16::from_be_bytes([code_high, code_low]) == CLIENT_SUBNET;
        }
        if !options.is_empty() {
            return Err(Reason::DataLength);
        }
        Ok(Self { udp_size: class, version, response_code, dnssec_ok: flags & 0x80 != 0, client_subnet })
    }
}

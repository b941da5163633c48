//! Community ID, version 1, with the seed 0 that everybody uses: one name for a flow in the records of all
//! tools.
//!
//! <https://github.com/corelight/community-id-spec>

use std::fmt;
use std::net::IpAddr;

use super::icmp;
use super::transport::FlowTransport;
use crate::number::IpProtocol;

/// Length of the text: `1:` and the base64 of a SHA-1 hash.
const LENGTH: usize = 30;

/// A Community ID, as the words of its hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommunityId([u32; 5]);

impl CommunityId {
    /// The Community ID of a flow, the same in both directions. None where the protocol has ports that are
    /// not known.
    pub fn of(
        source: IpAddr,
        destination: IpAddr,
        protocol: IpProtocol,
        transport: FlowTransport,
    ) -> Option<Self> {
        let ports = match transport {
            FlowTransport::Ports { source, destination } => Some((source, destination)),
            FlowTransport::Icmp { kind, code, .. } => {
                let other = icmp::query(protocol, kind)
                    .map_or(code, |query| if kind == query.request { query.reply } else { query.request });
                Some((kind.into(), other.into()))
            }
            FlowTransport::Unread
                if matches!(
                    protocol,
                    IpProtocol::TCP
                        | IpProtocol::UDP
                        | IpProtocol::SCTP
                        | IpProtocol::ICMP
                        | IpProtocol::ICMPV6
                ) =>
            {
                return None;
            }
            FlowTransport::Unread => None,
        };
        let one_way =
            matches!(transport, FlowTransport::Icmp { kind, .. } if icmp::query(protocol, kind).is_none());
        let in_order =
            one_way || (source, ports) < (destination, ports.map(|(first, second)| (second, first)));
        let (low, high) = if in_order { (source, destination) } else { (destination, source) };
        let ports = ports.map(|(first, second)| if in_order { (first, second) } else { (second, first) });

        let mut message = Message::default();
        message.push(SEED.to_be_bytes());
        for address in [low, high] {
            match address {
                IpAddr::V4(address) => message.push(address.octets()),
                IpAddr::V6(address) => message.push(address.octets()),
            }
        }
        message.push([protocol.0, 0]);
        if let Some((first, second)) = ports {
            message.push(first.to_be_bytes());
            message.push(second.to_be_bytes());
        }
        Some(Self(message.hash()))
    }

    /// The text as ASCII: `1:`, and the hash in base64.
    pub fn text(&self) -> [u8; LENGTH] {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut hash = [0; 21];
        let (words, _padding) = hash.as_chunks_mut();
        for (bytes, word) in words.iter_mut().zip(self.0) {
            *bytes = word.to_be_bytes();
        }
        let mut text = *b"1:............................";
        let (_, characters) = text.split_at_mut(2);
        for (characters, bytes) in characters.as_chunks_mut().0.iter_mut().zip(hash.as_chunks().0) {
            let [a, b, c] = *bytes;
            let bits = u32::from_be_bytes([0, a, b, c]);
            *characters = [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift & 0x3f) as usize]);
        }
        text[LENGTH - 1] = b'=';
        text
    }
}

/// Seed of the hash.
const SEED: u16 = 0;

/// The message that is hashed. With its padding it is one block, for which hashing of messages of any length would cost more
/// than the hash.
struct Message {
    block: [u8; 64],
    length: usize,
}

impl Default for Message {
    fn default() -> Self {
        Self { block: [0; 64], length: 0 }
    }
}

impl Message {
    fn push<const BYTES: usize>(&mut self, bytes: [u8; BYTES]) {
        if let Some(room) = self.block.get_mut(self.length..).and_then(<[u8]>::first_chunk_mut) {
            *room = bytes;
            self.length += BYTES;
        }
    }

    /// The words of its SHA-1, by FIPS 180-4, sections 5.1.1 (padding), 5.3.1 (initial value) and 6.1.2.
    fn hash(mut self) -> [u32; 5] {
        let bits = 8 * self.length as u64;
        self.push([0x80]);
        if let Some(end) = self.block.last_chunk_mut() {
            *end = bits.to_be_bytes();
        }
        let mut words = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
        sha1::compress(&mut words, &[self.block.into()]);
        words
    }
}

impl fmt::Display for CommunityId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl fmt::Debug for CommunityId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address() -> impl Strategy<Value = (IpAddr, IpAddr)> {
        // Few values, so that ends are equal now and then.
        let octet = prop_oneof![Just(1_u8), any::<u8>()];
        let v4 = prop::array::uniform4(octet.clone()).prop_map(IpAddr::from);
        let v6 = prop::array::uniform16(octet).prop_map(IpAddr::from);
        prop_oneof![(v4.clone(), v4), (v6.clone(), v6)]
    }

    fn transport() -> impl Strategy<Value = (IpProtocol, FlowTransport)> {
        let port = prop_oneof![Just(80_u16), any::<u16>()];
        let protocol = prop_oneof![Just(6), Just(17), Just(132)];
        let ports = (protocol, port.clone(), port).prop_map(|(protocol, source, destination)| {
            (protocol, FlowTransport::Ports { source, destination })
        });
        let icmp = (prop_oneof![Just(1), Just(58)], any::<u8>(), 0..4_u8, any::<Option<u16>>()).prop_map(
            |(protocol, kind, code, identifier)| (protocol, FlowTransport::Icmp { kind, code, identifier }),
        );
        let other = prop_oneof![Just(2), Just(47), Just(50), Just(255)]
            .prop_map(|protocol| (protocol, FlowTransport::Unread));
        prop_oneof![ports, icmp, other].prop_map(|(protocol, transport)| (IpProtocol(protocol), transport))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn agrees_with_another_implementation(
            (source, destination) in address(),
            (protocol, transport) in transport(),
        ) {
            let ports = match transport {
                FlowTransport::Ports { source, destination } => (Some(source), Some(destination)),
                FlowTransport::Icmp { kind, code, .. } => (Some(kind.into()), Some(code.into())),
                FlowTransport::Unread => (None, None),
            };
            let theirs = community_id::calculate_community_id(
                0, source, destination, ports.0, ports.1, protocol.0, false,
            );
            // It refuses ICMP of one family over the other.
            prop_assume!(theirs.is_ok());
            let ours = CommunityId::of(source, destination, protocol, transport);
            prop_assert_eq!(ours.map(|id| id.to_string()), theirs.ok());
        }

        #[test]
        fn both_directions_have_the_same(
            (source, destination) in address(),
            from in any::<u16>(),
            to in any::<u16>(),
        ) {
            let there = FlowTransport::Ports { source: from, destination: to };
            let back = FlowTransport::Ports { source: to, destination: from };
            prop_assert_eq!(
                CommunityId::of(source, destination, IpProtocol::TCP, there),
                CommunityId::of(destination, source, IpProtocol::TCP, back)
            );
        }
    }

    /// Values of the specification's baseline.
    #[test]
    fn baseline() {
        let [a, b] = ["1.2.3.4", "5.6.7.8"].map(|address| address.parse().unwrap());
        let tcp = FlowTransport::Ports { source: 1122, destination: 3344 };
        for (protocol, transport, expected) in [
            (IpProtocol::TCP, tcp, "1:wCb3OG7yAFWelaUydu0D+125CLM="),
            (IpProtocol::UDP, tcp, "1:0Mu9InQx6z4ZiCZM/7HXi2WMhOg="),
            (IpProtocol(46), FlowTransport::Unread, "1:ikv3kmf89luf73WPz1jOs49S768="),
            (
                IpProtocol::ICMP,
                FlowTransport::Icmp { kind: 8, code: 0, identifier: Some(7) },
                "1:crodRHL2FEsHjbv3UkRrfbs4bZ0=",
            ),
        ] {
            assert_eq!(CommunityId::of(a, b, protocol, transport).unwrap().to_string(), expected);
        }
        assert_eq!(CommunityId::of(a, b, IpProtocol::TCP, FlowTransport::Unread), None);
    }
}

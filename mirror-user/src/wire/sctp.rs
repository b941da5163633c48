//! SCTP (RFC 9260): its ports.

use super::reader::Reader;
use super::udp;
use crate::packet::Ports;

/// Takes the ports; [`None`] where the bytes end within them.
#[inline]
pub fn parse(reader: &mut Reader<'_>) -> Option<Ports> {
    udp::ports(reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_ports_only() {
        let bytes = [0x0b, 0x59, 0x1f, 0x90, 0, 0, 0, 1];
        for end in 0..=bytes.len() {
            let expected = (end >= 4).then_some(Ports { source: 2905, destination: 8080 });
            assert_eq!(parse(&mut Reader::new(&bytes[..end])), expected, "{end} bytes");
        }
    }
}

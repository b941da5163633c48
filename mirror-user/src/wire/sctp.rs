//! SCTP (RFC 9260): its ports.

use super::reader::Reader;
use super::udp;
use crate::packet::Ports;

/// Takes the ports; [`None`] where the bytes end within them.
#[inline]
pub fn parse(reader: &mut Reader<'_>) -> Option<Ports> {
    udp::ports(reader)
}

//! DHCP.

use super::DatagramParser;
use crate::dhcp;
use crate::finding::Finding;
use crate::protocol::Protocol;

pub(super) const PARSER: DatagramParser = DatagramParser {
    protocol: Protocol::Dhcp,
    read: |bytes, ports, _| {
        let between = |port: u16| port == dhcp::SERVER_PORT || port == dhcp::CLIENT_PORT;
        if !ports.into_iter().all(between) {
            return None;
        }
        Some(match dhcp::parse(bytes) {
            Ok(message) => Ok(Finding::Dhcp(Box::new(message))),
            Err(reason) => Err(reason.name()),
        })
    },
};

//! Rules of traffic mirror filters, in the terms of the EC2 API.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A rule of a filter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FilterRule {
    /// Direction, seen from the interface.
    pub direction: Direction,
    /// Order of evaluation within the direction, lowest first.
    pub number: u16,
    /// Action on a packet that matches.
    pub action: FilterAction,
    /// IANA protocol number; `None` for every protocol.
    pub protocol: Option<u8>,
    /// Source addresses.
    pub source: IpNet,
    /// Destination addresses.
    pub destination: IpNet,
    /// Source ports of TCP and UDP; `None` for every port.
    pub source_ports: Option<PortRange>,
    /// Destination ports of TCP and UDP; `None` for every port.
    pub destination_ports: Option<PortRange>,
}

/// Direction of traffic, seen from the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Traffic to the interface.
    Ingress,
    /// Traffic from the interface.
    Egress,
}

/// Action on a packet that matches a filter rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterAction {
    /// Mirror it.
    Accept,
    /// Do not mirror it.
    Reject,
}

/// Range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRange {
    /// The lowest.
    pub from: u16,
    /// The highest.
    pub to: u16,
}

impl fmt::Display for Direction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

impl fmt::Display for FilterAction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Accept => "accept",
            Self::Reject => "reject",
        })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to {
            write!(formatter, "{}", self.from)
        } else {
            write!(formatter, "{}-{}", self.from, self.to)
        }
    }
}

impl fmt::Display for FilterRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            direction,
            number,
            action,
            protocol,
            source,
            destination,
            source_ports,
            destination_ports,
        } = self;
        write!(formatter, "{direction} {number} {action} ")?;
        match protocol {
            Some(protocol) => write!(formatter, "protocol {protocol}")?,
            None => write!(formatter, "any protocol")?,
        }
        for (network, ports, arrow) in [(source, source_ports, " "), (destination, destination_ports, " -> ")]
        {
            write!(formatter, "{arrow}{network}")?;
            if let Some(ports) = ports {
                write!(formatter, " port {ports}")?;
            }
        }
        Ok(())
    }
}

impl std::str::FromStr for PortRange {
    type Err = ();

    /// Parses `443` or `1024-65535`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let (from, to) = (from.trim().parse().map_err(drop)?, to.trim().parse().map_err(drop)?);
        if from <= to { Ok(Self { from, to }) } else { Err(()) }
    }
}

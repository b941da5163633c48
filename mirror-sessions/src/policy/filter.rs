//! What is mirrored of an interface: traffic mirror filters and their rules.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A filter as the policy wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Its rules; at most [`RULES_PER_FILTER`](crate::limits::RULES_PER_FILTER).
    pub rules: Vec<FilterRule>,
    /// Network services that are mirrored although AWS leaves them out otherwise (`amazon-dns`).
    pub network_services: Vec<String>,
}

/// A rule of a filter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FilterRule {
    /// Seen from the interface.
    pub direction: Direction,
    /// Order of evaluation within the direction, lowest first.
    pub number: u16,
    /// What becomes of a packet that matches.
    pub action: FilterAction,
    /// IANA protocol number; without one, every protocol.
    pub protocol: Option<u8>,
    /// Source addresses.
    pub source: IpNet,
    /// Destination addresses.
    pub destination: IpNet,
    /// Source ports of TCP and UDP; without a range, every port.
    pub source_ports: Option<PortRange>,
    /// Destination ports of TCP and UDP; without a range, every port.
    pub destination_ports: Option<PortRange>,
}

/// Direction of traffic, seen from the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Towards the interface.
    Ingress,
    /// From the interface.
    Egress,
}

/// What becomes of a packet that matches a filter rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterAction {
    /// It is mirrored.
    Accept,
    /// It is not.
    Reject,
}

/// Ports from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRange {
    /// The lowest.
    pub from: u16,
    /// The highest.
    pub to: u16,
}

/// Name of the filter that needs no definition: all traffic, IPv4 and IPv6, both ways.
pub const ALL: &str = "all";

/// Number of a filter's first rule in its direction; the next ones follow in steps of the same size, so that there
/// is room for rules tried by hand.
pub const NUMBER_STEP: u16 = 100;

impl Filter {
    /// All traffic, IPv4 and IPv6, both ways: a filter without rules mirrors nothing, and each family needs its own.
    pub fn all() -> Self {
        let v4: IpNet = ipnet::Ipv4Net::default().into();
        let v6: IpNet = ipnet::Ipv6Net::default().into();
        let rules = [Direction::Ingress, Direction::Egress]
            .into_iter()
            .flat_map(|direction| {
                [(v4, 1), (v6, 2)].map(|(any, place)| FilterRule {
                    direction,
                    number: place * NUMBER_STEP,
                    action: FilterAction::Accept,
                    protocol: None,
                    source: any,
                    destination: any,
                    source_ports: None,
                    destination_ports: None,
                })
            })
            .collect();
        Self { rules, network_services: Vec::new() }
    }
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

    /// From `443` or `1024-65535`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let (from, to) = (from.trim().parse().map_err(drop)?, to.trim().parse().map_err(drop)?);
        if from <= to { Ok(Self { from, to }) } else { Err(()) }
    }
}

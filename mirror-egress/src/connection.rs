//! A connection, as it is judged.

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;

use crate::rule::PROTOCOLS;

/// Source of a connection: what is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Account: 12 digits.
    pub account: Option<&'a str>,
    /// VPC: `vpc-…`.
    pub vpc: Option<&'a str>,
    /// Subnet: `subnet-…`.
    pub subnet: Option<&'a str>,
    /// Tags of the instance, as keys and values.
    pub tags: &'a [(&'a str, &'a str)],
    /// Address.
    pub address: Option<IpAddr>,
}

/// A connection from the one that began it (source) to the other end (destination).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection<'a> {
    /// Source.
    pub source: Identity<'a>,
    /// Address of the destination.
    pub destination: IpAddr,
    /// Port of the destination; [`None`] where the protocol has none.
    pub port: Option<u16>,
    /// IP protocol (IANA number).
    pub protocol: u8,
    /// Application by its first bytes, in lower case: one of [`crate::rule::APPLICATIONS`], or another that no rule is for.
    pub application: Option<&'a str>,
    /// Name that the client claimed: SNI, or HTTP host, with or without a port.
    pub claimed: Option<&'a str>,
    /// Name that DNS answered for the destination's address: the claimed one where that is among the answers, else any.
    pub answered: Option<&'a str>,
    /// DNS contradicts the claimed name: no answer gave this address for it.
    pub mismatch: bool,
    /// There was a handshake, and it could not be decoded.
    pub undecodable: bool,
    /// The ClientHello has Encrypted Client Hello (or a random extension that looks the same).
    pub ech: bool,
}

impl Connection<'_> {
    /// A connection of which nothing but its destination is known.
    pub const fn to(destination: IpAddr, port: Option<u16>, protocol: u8) -> Self {
        Self {
            source: Identity { account: None, vpc: None, subnet: None, tags: &[], address: None },
            destination,
            port,
            protocol,
            application: None,
            claimed: None,
            answered: None,
            mismatch: false,
            undecodable: false,
            ech: false,
        }
    }
}

impl Display for Connection<'_> {
    /// As `from 111122223333 10.0.0.1 to 192.0.2.1 port 443 (tcp, tls), claimed www.example.com`.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Identity { account, vpc, subnet, address, .. } = self.source;
        let known = [account, vpc, subnet];
        if address.is_some() || known.iter().any(Option::is_some) {
            formatter.write_str("from ")?;
        }
        known.into_iter().flatten().try_for_each(|text| write!(formatter, "{text} "))?;
        address.map_or(Ok(()), |address| write!(formatter, "{address} "))?;
        write!(formatter, "to {}", self.destination)?;
        self.port.map_or(Ok(()), |port| write!(formatter, " port {port}"))?;
        match PROTOCOLS.iter().find(|(_, number)| *number == self.protocol) {
            Some((name, _)) => write!(formatter, " ({name}")?,
            None => write!(formatter, " (protocol {}", self.protocol)?,
        }
        self.application.map_or(Ok(()), |application| write!(formatter, ", {application}"))?;
        formatter.write_str(")")?;
        self.claimed.map_or(Ok(()), |name| write!(formatter, ", claimed {name}"))?;
        self.answered.map_or(Ok(()), |name| write!(formatter, ", DNS has {name}"))?;
        for (holds, text) in [
            (self.mismatch, ", which DNS contradicts"),
            (self.undecodable, ", undecodable handshake"),
            (self.ech, ", Encrypted Client Hello"),
        ] {
            if holds {
                formatter.write_str(text)?;
            }
        }
        Ok(())
    }
}

//! Values of rules: from text to what is compared, or to the fault.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::error::Fault;
use crate::name::{Name, Seen};
use crate::rule::{APPLICATIONS, PROTOCOLS, Port};

/// A pattern of `domains`, in normal form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pattern {
    /// Just this name.
    Name(String),
    /// Every name below this one; below the root, if it is empty: every name.
    Below(String),
}

/// Longest name of a rule, or value of a tag (256 characters at AWS).
const MAX_TEXT: usize = 256;

pub(crate) fn account(text: &str) -> Result<Box<str>, Fault> {
    let is_one = text.len() == 12 && text.bytes().all(|digit| digit.is_ascii_digit());
    is_one.then(|| text.into()).ok_or(Fault::Account)
}

pub(crate) fn vpc(text: &str) -> Result<Box<str>, Fault> {
    resource(text, "vpc-").ok_or(Fault::Vpc)
}

pub(crate) fn subnet(text: &str) -> Result<Box<str>, Fault> {
    resource(text, "subnet-").ok_or(Fault::Subnet)
}

/// An identifier of EC2: of 8 digits, or of 17 since 2018.
fn resource(text: &str, prefix: &str) -> Option<Box<str>> {
    let digits = text.strip_prefix(prefix)?;
    let is_one = matches!(digits.len(), 8 | 17)
        && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    is_one.then(|| text.into())
}

pub(crate) fn network(text: &str) -> Result<IpNet, Fault> {
    let network: IpNet = match text.parse::<IpAddr>() {
        Ok(address) => address.into(),
        Err(_) => text.parse().map_err(|_| Fault::Network)?,
    };
    if let IpNet::V6(network) = network
        && network.prefix_len() >= 96
        && network.addr().to_ipv4_mapped().is_some()
    {
        return Err(Fault::MappedNetwork);
    }
    if network != network.trunc() {
        return Err(Fault::HostBits);
    }
    Ok(network)
}

pub(crate) fn domain(text: &str) -> Result<Pattern, Fault> {
    if text == "*" {
        return Ok(Pattern::Below(String::new()));
    }
    let (name, is_below) = match text.strip_prefix("*.") {
        Some(name) => (name, true),
        None => (text, false),
    };
    if name.contains('*') {
        return Err(Fault::Wildcard);
    }
    if Seen::read(Some(name)) == Seen::Absent && !name.is_empty() {
        return Err(Fault::AddressAsDomain);
    }
    let name = Name::new(name).ok_or(Fault::Domain)?.as_str().to_owned();
    Ok(if is_below { Pattern::Below(name) } else { Pattern::Name(name) })
}

/// First and last port.
pub(crate) fn ports(port: &Port) -> Result<(u16, u16), Fault> {
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        text.parse().ok().filter(|_| is_number).ok_or(Fault::Port)
    };
    let (first, last) = match port {
        Port::Number(port) => {
            let port = u16::try_from(*port).map_err(|_| Fault::Port)?;
            (port, port)
        }
        Port::Text(text) => match text.split_once('-') {
            Some((first, last)) => (number(first.trim())?, number(last.trim())?),
            None => (number(text)?, number(text)?),
        },
    };
    if first > last { Err(Fault::PortOrder) } else { Ok((first, last)) }
}

pub(crate) fn protocol(text: &str) -> Result<u8, Fault> {
    let named = PROTOCOLS.iter().find(|(name, _)| *name == text).map(|&(_, number)| number);
    let is_number = text.bytes().all(|digit| digit.is_ascii_digit());
    named.or_else(|| text.parse().ok().filter(|_| is_number)).ok_or(Fault::Protocol)
}

pub(crate) fn application(text: &str) -> Result<Box<str>, Fault> {
    APPLICATIONS.iter().find(|name| **name == text).map(|&name| name.into()).ok_or(Fault::Application)
}

pub(crate) fn text(text: &str) -> Result<Box<str>, Fault> {
    let is_one = (1..=MAX_TEXT).contains(&text.len()) && !text.chars().any(char::is_control);
    is_one.then(|| text.into()).ok_or(Fault::Text)
}

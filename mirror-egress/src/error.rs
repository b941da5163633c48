//! Faults of rules, each with the rule's number, the key, the value and a remedy.

use thiserror::Error;

/// Fault of a rule. Rules are numbered from 1 on, in the order of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EgressError {
    /// A value that is none.
    #[error("[[egress]] number {rule}: {key} {value:?} {}", fault.text())]
    Value {
        /// Number of the rule.
        rule: usize,
        /// The key.
        key: &'static str,
        /// The value, as stated.
        value: String,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A list without entries, which no connection satisfies.
    #[error(
        "[[egress]] number {rule}: {key} is empty, so that the rule never applies; leave the key out, or the rule"
    )]
    Empty {
        /// Number of the rule.
        rule: usize,
        /// The key.
        key: &'static str,
    },
    /// Two rules of one name.
    #[error(
        "[[egress]] number {rule}: name {name:?} is that of number {earlier} too; give each rule a name of its own"
    )]
    Name {
        /// Number of the later rule.
        rule: usize,
        /// Number of the earlier rule.
        earlier: usize,
        /// The name.
        name: String,
    },
    /// `no_name` in a rule that is for connections with names only.
    #[error(
        "[[egress]] number {rule}: no_name has no effect beside domains, which a connection without a name never \
         satisfies; put it into a rule without domains behind this one, or into [egress_default]"
    )]
    NoNameWithDomains {
        /// Number of the rule.
        rule: usize,
    },
    /// More rules than there may be.
    #[error(
        "[[egress]]: there are {rules} rules, and {limit} at most may be; put entries that go together into one rule"
    )]
    TooManyRules {
        /// Number of rules.
        rules: usize,
        /// Most that there may be.
        limit: usize,
    },
    /// More different keys of tags than there may be.
    #[error(
        "[[egress]] number {rule}: with tags {key:?}, rules have more than {limit} different keys of tags; choose instances by \
         fewer keys"
    )]
    TooManyTagKeys {
        /// Number of the rule with the first one too many.
        rule: usize,
        /// The key.
        key: String,
        /// Most that there may be.
        limit: usize,
    },
    /// The index would take too much memory.
    #[error(
        "[[egress]]: networks, ports and domains of the rules overlap so much that their index would take more than \
         {limit} MiB; split wide port ranges and nested networks into fewer rules"
    )]
    TooLarge {
        /// Most that it may take, in MiB.
        limit: usize,
    },
    /// An alert limit of nothing.
    #[error("[egress_default]: {key} is 0, so that no alert would ever be raised; give 1 or more")]
    NoAlerts {
        /// The key.
        key: &'static str,
    },
}

/// Faults of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No account.
    Account,
    /// No VPC.
    Vpc,
    /// No subnet.
    Subnet,
    /// No network.
    Network,
    /// An IPv4 network as IPv6.
    MappedNetwork,
    /// A network with bits behind its prefix.
    HostBits,
    /// No domain.
    Domain,
    /// An address in place of a domain.
    AddressAsDomain,
    /// A `*` elsewhere than in front.
    Wildcard,
    /// No port.
    Port,
    /// A range that ends before it begins.
    PortOrder,
    /// No protocol.
    Protocol,
    /// No application.
    Application,
    /// A text that is empty or has control characters.
    Text,
}

impl Fault {
    /// The fault and its remedy, behind the value.
    const fn text(self) -> &'static str {
        match self {
            Self::Account => "is no account: write its 12 digits, as a text",
            Self::Vpc => "is no VPC: write vpc- and 8 or 17 hexadecimal digits",
            Self::Subnet => "is no subnet: write subnet- and 8 or 17 hexadecimal digits",
            Self::Network => "is no network: write it as 10.0.0.0/8, 2001:db8::/32 or an address",
            Self::MappedNetwork => {
                "is IPv4, written as IPv6: write it as IPv4, 192.0.2.0/24 instead of ::ffff:192.0.2.0/120"
            }
            Self::HostBits => {
                "has bits behind its prefix: write the network's first address, or a longer prefix"
            }
            Self::Domain => {
                "is no domain: write it as www.example.com, *.example.com for all names below it, or * for any name"
            }
            Self::AddressAsDomain => "is an address: put it into networks",
            Self::Wildcard => "has a * that is not its whole first label: write it as *.example.com",
            Self::Port => "is no port: write a number from 0 to 65535, or a range such as \"8000-8999\"",
            Self::PortOrder => "ends before it begins: write the lower port first",
            Self::Protocol => {
                "is no protocol: write tcp, udp, sctp, icmp, ipv6-icmp, igmp, gre, esp or a number from 0 to 255 in \
                 quotation marks"
            }
            Self::Application => {
                "is no application: write dhcp, dns, http, imap, mdns, mysql, postgresql, quic, smtp, ssh or tls"
            }
            Self::Text => {
                "is empty, longer than 256 bytes or has control characters: write a text of one line"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{APPLICATIONS, PROTOCOLS};

    #[test]
    fn remedies_name_every_choice() {
        let words = |fault: Fault| fault.text().split([' ', ',']).map(str::to_owned).collect::<Vec<_>>();
        let protocols = words(Fault::Protocol);
        assert!(PROTOCOLS.iter().all(|(name, _)| protocols.iter().any(|word| word == name)));
        let applications = words(Fault::Application);
        assert!(APPLICATIONS.iter().all(|name| applications.iter().any(|word| word == name)));
    }
}

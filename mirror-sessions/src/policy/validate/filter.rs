//! Validation of filters and their rules.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use toml::Spanned;

use crate::filter_rule::{Direction, FilterRule, PortRange};
use crate::limits;
use crate::policy::fault::FaultCollector;
use crate::policy::filter::{Filter, NUMBER_STEP};
use crate::policy::raw;

pub(super) fn validate_filter(name: &str, raw: raw::Filter, faults: &mut FaultCollector<'_>) -> Filter {
    let count = raw.rules.get_ref().len();
    if count == 0 {
        faults.add(
            &raw.rules.span(),
            format!("filter {name:?} has no rules, and would mirror nothing"),
            "add a rule, or use the filter \"all\"",
        );
    }
    if count > limits::RULES_PER_FILTER {
        faults.add(
            &raw.rules.span(),
            format!("filter {name:?} has {count} rules, and AWS allows {}", limits::RULES_PER_FILTER),
            "merge some",
        );
    }
    let mut next_number =
        BTreeMap::from([(Direction::Ingress, NUMBER_STEP), (Direction::Egress, NUMBER_STEP)]);
    let rules = raw
        .rules
        .into_inner()
        .into_iter()
        .filter_map(|rule| {
            let number = next_number.entry(rule.get_ref().direction).or_default();
            let rule = validate_filter_rule(rule, *number, faults);
            *number = number.saturating_add(NUMBER_STEP);
            rule
        })
        .collect();
    let mut network_services = BTreeSet::new();
    for service in raw.network_services {
        if service.get_ref() == "amazon-dns" {
            network_services.insert(service.into_inner());
        } else {
            faults.add(
                &service.span(),
                format!("{:?} is not a network service", service.get_ref()),
                "the only one is \"amazon-dns\"",
            );
        }
    }
    Filter { rules, network_services: network_services.into_iter().collect() }
}

fn validate_filter_rule(
    rule: Spanned<raw::FilterRule>,
    number: u16,
    faults: &mut FaultCollector<'_>,
) -> Option<FilterRule> {
    let span = rule.span();
    let raw = rule.into_inner();
    let protocol = match &raw.protocol {
        None => None,
        Some(name) => match protocol_number(&name.get_ref().0) {
            Some(number) => Some(number),
            None => {
                faults.add(
                    &name.span(),
                    format!("{:?} is not a protocol", name.get_ref().0),
                    "write tcp, udp, icmp, icmpv6 or a number from 0 to 255, or leave it out for all",
                );
                return None;
            }
        },
    };
    let source = network(&raw.source, faults)?;
    let destination = network(&raw.destination, faults)?;
    if source.addr().is_ipv4() != destination.addr().is_ipv4() {
        faults.add(
            &span,
            "source and destination are of different IP versions",
            "write one rule for IPv4 and one for IPv6",
        );
    }
    let source_ports = ports(raw.source_ports, faults);
    let destination_ports = ports(raw.destination_ports, faults);
    let has_ports = source_ports.is_some() || destination_ports.is_some();
    if has_ports && !matches!(protocol, Some(6 | 17)) {
        faults.add(
            &span,
            "ports without TCP or UDP",
            "add protocol = \"tcp\" or \"udp\", or remove the ports",
        );
    }
    Some(FilterRule {
        direction: raw.direction,
        number,
        action: raw.action,
        protocol,
        source,
        destination,
        source_ports,
        destination_ports,
    })
}

fn protocol_number(name: &str) -> Option<u8> {
    match name {
        "icmp" => Some(1),
        "tcp" => Some(6),
        "udp" => Some(17),
        "icmpv6" => Some(58),
        number => number.parse().ok(),
    }
}

fn network(text: &Spanned<String>, faults: &mut FaultCollector<'_>) -> Option<IpNet> {
    let network: Option<IpNet> = text.get_ref().parse().ok();
    match network {
        Some(network) if network == network.trunc() => Some(network),
        Some(network) => {
            faults.add(
                &text.span(),
                format!("{network} has bits beyond its prefix"),
                format!("write {}", network.trunc()),
            );
            None
        }
        None => {
            faults.add(
                &text.span(),
                format!("{:?} is not a network", text.get_ref()),
                "write address/prefix, such as \"10.0.0.0/8\" or \"::/0\"",
            );
            None
        }
    }
}

fn ports(text: Option<Spanned<raw::NameOrNumber>>, faults: &mut FaultCollector<'_>) -> Option<PortRange> {
    let text = text?;
    let range = text.get_ref().0.parse().ok();
    if range.is_none() {
        faults.add(
            &text.span(),
            format!("{:?} is not a port or a range", text.get_ref().0),
            "write \"443\" or \"1024-65535\"",
        );
    }
    range
}

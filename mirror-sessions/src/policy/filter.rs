//! Filters of the policy: the traffic of an interface that is mirrored.

use ipnet::IpNet;

use crate::filter_rule::{Direction, FilterAction, FilterRule};

/// A filter that the policy defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Its rules; at most [`RULES_PER_FILTER`](crate::limits::RULES_PER_FILTER).
    pub rules: Vec<FilterRule>,
    /// Amazon's network services whose traffic is mirrored too (`amazon-dns`); AWS leaves it out by default.
    pub network_services: Vec<String>,
}

/// Name of the built-in filter: all traffic, IPv4 and IPv6, in both directions.
pub const ALL: &str = "all";

/// Number of a filter's first rule in its direction, and the step to each further one, so that there is room for rules
/// that are tried by hand.
pub const NUMBER_STEP: u16 = 100;

impl Filter {
    /// The built-in filter. A filter without rules mirrors nothing, and each IP version needs rules of its own.
    pub fn all() -> Self {
        let v4: IpNet = ipnet::Ipv4Net::default().into();
        let v6: IpNet = ipnet::Ipv6Net::default().into();
        let rules = [Direction::Ingress, Direction::Egress]
            .into_iter()
            .flat_map(|direction| {
                [(v4, 1), (v6, 2)].map(|(any, position)| FilterRule {
                    direction,
                    number: position * NUMBER_STEP,
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

//! Validation of targets and their endpoints.

use super::field::check_region;
use crate::id::{AccountId, Region};
use crate::policy::fault::FaultCollector;
use crate::policy::model::Account;
use crate::policy::raw;
use crate::policy::target::{Destination, Endpoint, Target};

pub(super) fn validate_target(
    name: &str,
    raw: raw::Target,
    accounts: &[Account],
    faults: &mut FaultCollector<'_>,
) -> Target {
    if raw.endpoints.get_ref().is_empty() {
        faults.add(
            &raw.endpoints.span(),
            format!("target {name:?} has no endpoints"),
            "add one for each zone",
        );
    }
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for endpoint in raw.endpoints.into_inner() {
        let span = endpoint.span();
        let Some(endpoint) = validate_endpoint(endpoint.into_inner(), accounts, faults) else { continue };
        let is_same = |other: &Endpoint| {
            other.zone == endpoint.zone
                && other.region == endpoint.region
                && other.account == endpoint.account
        };
        if endpoints.iter().any(is_same) {
            faults.add(
                &span,
                format!("target {name:?} has two endpoints for zone {} and the same account", endpoint.zone),
                "keep one, or tell them apart with account",
            );
        }
        endpoints.push(endpoint);
    }
    let mut fallback = Vec::new();
    for id in raw.fallback.0 {
        match destination(id.get_ref()) {
            Some(destination) if endpoints.iter().any(|endpoint| endpoint.destination == destination) => {
                fallback.push(destination);
            }
            _ => faults.add(
                &id.span(),
                format!("the fallback {:?} is not an endpoint of target {name:?}", id.get_ref()),
                "name one of its endpoints",
            ),
        }
    }
    Target { endpoints, fallback }
}

fn destination(id: &str) -> Option<Destination> {
    let is_id = |prefix: &str| {
        id.strip_prefix(prefix)
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    if is_id("vpce-") {
        Some(Destination::Endpoint(id.into()))
    } else if is_id("tmt-") {
        Some(Destination::MirrorTarget(id.into()))
    } else {
        None
    }
}

fn validate_endpoint(
    raw: raw::Endpoint,
    accounts: &[Account],
    faults: &mut FaultCollector<'_>,
) -> Option<Endpoint> {
    let Some(destination) = destination(raw.id.get_ref()) else {
        faults.add(
            &raw.id.span(),
            format!("{:?} is neither a Gateway Load Balancer endpoint nor a mirror target", raw.id.get_ref()),
            "write its id, vpce-… or tmt-…",
        );
        return None;
    };
    // A zone name is its region and a letter (eu-west-1a), or has a group between them (us-west-2-lax-1a). A zone id does not
    // contain its region.
    let region_of_name = raw.zone.get_ref().strip_suffix(|last: char| last.is_ascii_lowercase());
    let region = match (&raw.region, region_of_name) {
        (Some(region), _) => check_region(region, faults).then(|| Region::from(region.get_ref().as_str())),
        (None, Some(region)) if region.split('-').count() == 3 => Some(Region::from(region)),
        (None, _) => {
            faults.add(
                &raw.zone.span(),
                format!("zone {:?} does not say its region", raw.zone.get_ref()),
                "add region = \"…\", or write the zone's name, such as \"eu-west-1a\"",
            );
            None
        }
    }?;
    let account = raw.account.map(|account| {
        if !accounts.iter().any(|known| known.id.as_str() == account.get_ref()) {
            faults.add(
                &account.span(),
                format!("account {:?} is not in this policy", account.get_ref()),
                "add it as an [[account]], or remove it here",
            );
        }
        AccountId::from(account.into_inner())
    });
    let geneve_id = raw.geneve_id.and_then(|text| {
        let id = u64::from_str_radix(text.get_ref(), 16).ok();
        if id.is_none() {
            faults.add(
                &text.span(),
                format!("{:?} is not a GENEVE endpoint id", text.get_ref()),
                "write up to 16 hexadecimal digits",
            );
        }
        id
    });
    Some(Endpoint { destination, zone: raw.zone.into_inner(), region, account, geneve_id })
}

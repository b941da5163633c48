//! From the file as it is written to a policy that cannot be wrong in itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use toml::Spanned;
use wildmatch::WildMatch;

use super::fault::Collector;
use super::filter::{self, Direction, Filter, FilterRule, NUMBER_STEP, PortRange};
use super::selector::{Property, Selector};
use super::{
    Account, Action, Destination, Endpoint, Fault, Faults, InstanceTypeGlobs, Mirror, Policy, Rates, Rule,
    Target, raw,
};
use crate::id::{AccountId, Region};
use crate::{limits, tags};

/// Reads a policy from the text of a file.
///
/// # Errors
///
/// Every fault that the text has; `file` is what they call the file.
pub fn read(file: &str, text: &str) -> Result<Policy, Faults> {
    let raw: raw::Policy = toml::from_str(text).map_err(|error| unreadable(file, text, &error))?;
    let mut faults = Collector::new(text);
    let policy = settle(raw, text, &mut faults);
    faults.finish(file)?;
    Ok(policy)
}

fn unreadable(file: &str, text: &str, error: &toml::de::Error) -> Faults {
    let start = error.span().map_or(0, |span| span.start);
    let line = 1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count();
    let problem = error.message().trim_end().replace('\n', " ");
    let remedy = "see the description of the policy in docs/sessions.md".to_owned();
    Faults { file: file.to_owned(), faults: vec![Fault { line, problem, remedy }] }
}

fn settle(raw: raw::Policy, text: &str, faults: &mut Collector<'_>) -> Policy {
    let owner = settle_owner(raw.owner, faults);
    let accounts = settle_accounts(raw.account, faults);
    let mut targets = BTreeMap::new();
    for (name, target) in raw.target {
        let target = settle_target(name.get_ref(), target, &accounts, faults);
        targets.insert(name.into_inner(), target);
    }
    let mut filters = BTreeMap::from([(filter::ALL.to_owned(), Filter::all())]);
    for (name, filter) in raw.filter {
        if name.get_ref() == filter::ALL {
            faults.add(&name.span(), "the filter \"all\" is built in", "give this filter another name");
            continue;
        }
        let filter = settle_filter(name.get_ref(), filter, faults);
        filters.insert(name.into_inner(), filter);
    }
    let rules = settle_rules(raw.rule, &targets, &filters, faults);
    Policy {
        owner,
        accounts,
        targets,
        filters,
        rules,
        rates: raw.api.map_or_else(Rates::default, |rates| settle_rates(&rates, faults)),
        instance_types: InstanceTypeGlobs {
            supported: globs(raw.instance_types.supported),
            unsupported: globs(raw.instance_types.unsupported),
        },
        digest: hex(&Sha256::digest(text)),
    }
}

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn settle_owner(owner: Spanned<String>, faults: &mut Collector<'_>) -> String {
    let fits = !owner.get_ref().is_empty() && owner.get_ref().chars().count() <= 64;
    if !fits {
        faults.add(
            &owner.span(),
            "owner is empty or longer than 64 characters",
            "give a short name, such as \"inspection\"",
        );
    }
    owner.into_inner()
}

fn settle_accounts(raw: Vec<Spanned<raw::Account>>, faults: &mut Collector<'_>) -> Vec<Account> {
    let mut seen = BTreeSet::new();
    if raw.is_empty() {
        faults.add(&(0..0), "there are no accounts", "add an [[account]] with an id and regions");
    }
    raw.into_iter()
        .map(|account| {
            let raw::Account { id, role_arn, external_id, regions } = account.into_inner();
            if id.get_ref().len() != 12 || !id.get_ref().bytes().all(|byte| byte.is_ascii_digit()) {
                faults.add(
                    &id.span(),
                    format!("{:?} is not an account id", id.get_ref()),
                    "write its 12 digits in quotes",
                );
            }
            if !seen.insert(id.get_ref().clone()) {
                faults.add(
                    &id.span(),
                    format!("account {} stands here twice", id.get_ref()),
                    "merge the two entries",
                );
            }
            if let Some(role) = &role_arn
                && !is_role_of(role.get_ref(), id.get_ref())
            {
                faults.add(
                    &role.span(),
                    format!("{:?} is not the ARN of a role in account {}", role.get_ref(), id.get_ref()),
                    format!("write arn:aws:iam::{}:role/NAME", id.get_ref()),
                );
            }
            if let (Some(external_id), None) = (&external_id, &role_arn) {
                faults.add(
                    &external_id.span(),
                    "external_id without role_arn",
                    "add the role, or remove the external id",
                );
            }
            if regions.get_ref().is_empty() {
                faults.add(
                    &regions.span(),
                    "the account has no regions",
                    "name at least one, such as \"eu-west-1\"",
                );
            }
            let mut names = BTreeSet::new();
            let regions = regions
                .into_inner()
                .into_iter()
                .filter(|region| check_region(region, faults))
                .filter(|region| names.insert(region.get_ref().clone()))
                .map(|region| Region::from(region.into_inner()))
                .collect();
            Account {
                id: id.into_inner().into(),
                role_arn: role_arn.map(Spanned::into_inner),
                external_id: external_id.map(Spanned::into_inner),
                regions,
            }
        })
        .collect()
}

fn is_role_of(arn: &str, account: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    matches!(parts[..], ["arn", _, "iam", "", of, role] if of == account && role.strip_prefix("role/").is_some_and(|name| !name.is_empty()))
}

/// Whether it looks like a region (`eu-west-1`, `us-gov-east-1`).
fn check_region(region: &Spanned<String>, faults: &mut Collector<'_>) -> bool {
    let text = region.get_ref();
    let number = text.rsplit('-').next().unwrap_or_default();
    let good = text.split('-').count() >= 3
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !good {
        faults.add(
            &region.span(),
            format!("{text:?} is not a region"),
            "write it as AWS does, such as \"eu-west-1\"",
        );
    }
    good
}

fn settle_target(name: &str, raw: raw::Target, accounts: &[Account], faults: &mut Collector<'_>) -> Target {
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
        let Some(endpoint) = settle_endpoint(endpoint.into_inner(), accounts, faults) else { continue };
        let same = |other: &Endpoint| {
            other.zone == endpoint.zone
                && other.region == endpoint.region
                && other.account == endpoint.account
        };
        if endpoints.iter().any(same) {
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

fn settle_endpoint(raw: raw::Endpoint, accounts: &[Account], faults: &mut Collector<'_>) -> Option<Endpoint> {
    let Some(destination) = destination(raw.id.get_ref()) else {
        faults.add(
            &raw.id.span(),
            format!("{:?} is neither a Gateway Load Balancer endpoint nor a mirror target", raw.id.get_ref()),
            "write its id, vpce-… or tmt-…",
        );
        return None;
    };
    // A zone name is its region and a letter, perhaps behind a group (us-west-2-lax-1a); a zone id does not say its region.
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

fn settle_filter(name: &str, raw: raw::Filter, faults: &mut Collector<'_>) -> Filter {
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
    let mut next = BTreeMap::from([(Direction::Ingress, NUMBER_STEP), (Direction::Egress, NUMBER_STEP)]);
    let rules = raw
        .rules
        .into_inner()
        .into_iter()
        .filter_map(|rule| {
            let number = next.entry(rule.get_ref().direction).or_default();
            let rule = settle_filter_rule(rule, *number, faults);
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

fn settle_filter_rule(
    rule: Spanned<raw::FilterRule>,
    number: u16,
    faults: &mut Collector<'_>,
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

fn network(text: &Spanned<String>, faults: &mut Collector<'_>) -> Option<IpNet> {
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

fn ports(text: Option<Spanned<raw::NameOrNumber>>, faults: &mut Collector<'_>) -> Option<PortRange> {
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

fn settle_rules(
    raw: Vec<Spanned<raw::Rule>>,
    targets: &BTreeMap<String, Target>,
    filters: &BTreeMap<String, Filter>,
    faults: &mut Collector<'_>,
) -> Vec<Rule> {
    let mut names = BTreeSet::new();
    raw.into_iter()
        .filter_map(|rule| {
            let span = rule.span();
            let mut rule = rule.into_inner();
            if !names.insert(rule.name.get_ref().clone()) {
                faults.add(
                    &rule.name.span(),
                    format!("two rules have the name {:?}", rule.name.get_ref()),
                    "rename one",
                );
            }
            if rule.name.get_ref().is_empty() || rule.name.get_ref().chars().count() > 64 {
                faults.add(
                    &rule.name.span(),
                    "the rule's name is empty or longer than 64 characters",
                    "give a short name",
                );
            }
            let selector = settle_selector(std::mem::take(&mut rule.select), faults);
            let interfaces = rule.interfaces;
            let name = rule.name.get_ref().clone();
            let action = if rule.exclude {
                check_exclusion(&rule, faults);
                Action::Exclude
            } else {
                Action::Mirror(settle_mirror(rule, &span, targets, filters, faults)?)
            };
            Some(Rule { name, selector, interfaces, action })
        })
        .collect()
}

/// An exclusion says nothing about how to mirror.
fn check_exclusion(rule: &raw::Rule, faults: &mut Collector<'_>) {
    let spans = [
        ("target", rule.target.as_ref().map(Spanned::span)),
        ("filter", rule.filter.as_ref().map(Spanned::span)),
        ("packet_length", rule.packet_length.as_ref().map(Spanned::span)),
        ("session_number", rule.session_number.as_ref().map(Spanned::span)),
        ("vni", rule.vni.as_ref().map(Spanned::span)),
        ("tags", rule.tags.as_ref().map(Spanned::span)),
        ("ends", rule.ends.as_ref().map(Spanned::span)),
    ];
    for (key, span) in spans {
        if let Some(span) = span {
            faults.add(
                &span,
                format!("rule {:?} excludes, so {key} means nothing", rule.name.get_ref()),
                format!("remove {key}, or remove exclude = true"),
            );
        }
    }
}

fn settle_mirror(
    rule: raw::Rule,
    span: &Range<usize>,
    targets: &BTreeMap<String, Target>,
    filters: &BTreeMap<String, Filter>,
    faults: &mut Collector<'_>,
) -> Option<Mirror> {
    let name = rule.name.get_ref();
    let Some(target) = rule.target else {
        faults.add(
            span,
            format!("rule {name:?} does not say where to mirror to"),
            "add target = \"…\", or exclude = true",
        );
        return None;
    };
    known(&target, "target", targets.keys(), faults);
    if let Some(filter) = &rule.filter {
        known(filter, "filter", filters.keys(), faults);
    }
    let packet_length = rule
        .packet_length
        .and_then(|length| within(&length, 1..=limits::MAX_PACKET_LENGTH, "packet_length", faults));
    let session_number = rule
        .session_number
        .map_or(Some(1), |number| within(&number, 1..=limits::MAX_SESSION_NUMBER, "session_number", faults));
    let ends = rule.ends.and_then(|ends| {
        let parsed = OffsetDateTime::parse(&ends.get_ref().to_string(), &Rfc3339).ok();
        if parsed.is_none() {
            faults.add(
                &ends.span(),
                "ends is not a time with date and offset",
                "write it as 2030-01-31T18:00:00Z",
            );
        }
        parsed
    });
    Some(Mirror {
        target: target.into_inner(),
        filter: rule.filter.map_or_else(|| filter::ALL.to_owned(), Spanned::into_inner),
        packet_length,
        session_number: session_number?,
        vni: rule.vni.map(Spanned::into_inner).unwrap_or_default(),
        tags: rule.tags.map(|tags| settle_tags(tags, faults)).unwrap_or_default(),
        ends,
    })
}

fn known<'names>(
    name: &Spanned<String>,
    kind: &str,
    mut names: impl Iterator<Item = &'names String> + Clone,
    faults: &mut Collector<'_>,
) {
    if names.clone().any(|other| other == name.get_ref()) {
        return;
    }
    let remedy = match names.next() {
        None => format!("add [{kind}.{}]", name.get_ref()),
        Some(first) => {
            let all = names.fold(first.clone(), |all, next| format!("{all}, {next}"));
            format!("add [{kind}.{}], or use one of: {all}", name.get_ref())
        }
    };
    faults.add(&name.span(), format!("there is no {kind} {:?}", name.get_ref()), remedy);
}

fn within(
    number: &Spanned<i64>,
    range: std::ops::RangeInclusive<u16>,
    key: &str,
    faults: &mut Collector<'_>,
) -> Option<u16> {
    let value = u16::try_from(*number.get_ref()).ok().filter(|value| range.contains(value));
    if value.is_none() {
        faults.add(
            &number.span(),
            format!("{key} {} is out of range", number.get_ref()),
            format!("write a number from {} to {}", range.start(), range.end()),
        );
    }
    value
}

fn settle_tags(
    tags: Spanned<BTreeMap<Spanned<String>, Spanned<String>>>,
    faults: &mut Collector<'_>,
) -> BTreeMap<String, String> {
    let most = limits::TAGS_PER_RESOURCE - tags::RESERVED;
    if tags.get_ref().len() > most {
        faults.add(
            &tags.span(),
            format!("there are more than {most} tags"),
            "remove some: AWS allows 50, and a few are needed for ownership",
        );
    }
    tags.into_inner()
        .into_iter()
        .map(|(key, value)| {
            if key.get_ref().starts_with("aws:") || key.get_ref().starts_with(tags::PREFIX) {
                faults.add(
                    &key.span(),
                    format!("the tag {:?} has a reserved prefix", key.get_ref()),
                    "choose another key",
                );
            }
            if key.get_ref().is_empty() || key.get_ref().chars().count() > limits::TAG_KEY_LENGTH {
                faults.add(
                    &key.span(),
                    "the tag's key is empty or longer than 128 characters",
                    "choose another key",
                );
            }
            if value.get_ref().chars().count() > limits::TAG_VALUE_LENGTH {
                faults.add(&value.span(), "the tag's value is longer than 256 characters", "shorten it");
            }
            (key.into_inner(), value.into_inner())
        })
        .collect()
}

fn settle_selector(raw: raw::Selector, faults: &mut Collector<'_>) -> Selector {
    let properties = [
        (Property::Account, raw.account),
        (Property::Region, raw.region),
        (Property::Zone, raw.zone),
        (Property::Vpc, raw.vpc),
        (Property::Subnet, raw.subnet),
        (Property::Instance, raw.instance),
        (Property::InstanceType, raw.instance_type),
        (Property::Interface, raw.interface),
    ];
    let mut parts: Vec<Selector> = properties
        .into_iter()
        .filter_map(|(property, values)| values.map(|values| Selector::Property(property, globs(values))))
        .collect();
    parts.extend(
        raw.tag.into_iter().flatten().map(|(key, values)| Selector::Tag { key, values: globs(values) }),
    );
    parts.extend(raw.all.into_iter().flatten().map(|part| settle_selector(part, faults)));
    parts.extend(raw.not.map(|part| Selector::Not(Box::new(settle_selector(*part, faults)))));
    if let Some(any) = raw.any {
        if any.get_ref().is_empty() {
            faults.add(&any.span(), "any = [] selects nothing", "name the alternatives, or remove it");
        }
        parts.push(Selector::Any(
            any.into_inner().into_iter().map(|part| settle_selector(part, faults)).collect(),
        ));
    }
    Selector::All(parts)
}

fn globs(raw: raw::OneOrMany) -> Vec<WildMatch> {
    raw.0.into_iter().map(|glob| WildMatch::new(glob.get_ref())).collect()
}

fn settle_rates(rates: &Spanned<Rates>, faults: &mut Collector<'_>) -> Rates {
    let Rates { reads_per_second, read_burst, writes_per_second, write_burst } = *rates.get_ref();
    let fast_enough = |rate: f64| rate.is_finite() && rate > 0.0;
    if !fast_enough(reads_per_second)
        || !fast_enough(writes_per_second)
        || read_burst == 0
        || write_burst == 0
    {
        faults.add(&rates.span(), "a rate of [api] is not above zero", "write rates and bursts above 0");
    }
    *rates.get_ref()
}

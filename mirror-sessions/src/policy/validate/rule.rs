//! Validation of rules: their selectors and settings.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use toml::Spanned;

use super::field::{check_name, globs, number_in_range};
use crate::policy::fault::FaultCollector;
use crate::policy::filter::{ALL, Filter};
use crate::policy::raw;
use crate::policy::rule::{MirrorSettings, Rule, RuleAction};
use crate::policy::selector::{Property, Selector};
use crate::policy::target::{Destination, Target};
use crate::{limits, ownership};

pub(super) fn validate_rules(
    raw: Vec<Spanned<raw::Rule>>,
    targets: &BTreeMap<String, Target>,
    filters: &BTreeMap<String, Filter>,
    faults: &mut FaultCollector<'_>,
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
            let selector = validate_selector(std::mem::take(&mut rule.select), faults);
            let interfaces = rule.interfaces;
            let name = rule.name.get_ref().clone();
            let action = if rule.exclude {
                check_exclusion(&rule, faults);
                RuleAction::Exclude
            } else {
                RuleAction::Mirror(validate_mirror(rule, &span, targets, filters, faults)?)
            };
            Some(Rule { name, selector, interfaces, action })
        })
        .collect()
}

/// Adds a fault for each setting of an exclusion, which has none.
fn check_exclusion(rule: &raw::Rule, faults: &mut FaultCollector<'_>) {
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

fn validate_mirror(
    rule: raw::Rule,
    span: &Range<usize>,
    targets: &BTreeMap<String, Target>,
    filters: &BTreeMap<String, Filter>,
    faults: &mut FaultCollector<'_>,
) -> Option<MirrorSettings> {
    let name = rule.name.get_ref();
    let Some(target) = rule.target else {
        faults.add(
            span,
            format!("rule {name:?} does not say where to mirror to"),
            "add target = \"…\", or exclude = true",
        );
        return None;
    };
    check_name(&target, "target", targets.keys(), faults);
    if let Some(filter) = &rule.filter {
        check_name(filter, "filter", filters.keys(), faults);
    }
    let packet_length = rule.packet_length.and_then(|length| {
        validate_packet_length(&length, target.get_ref(), targets.get(target.get_ref()), faults)
    });
    let session_number = rule.session_number.map_or(Some(1), |number| {
        number_in_range(&number, 1..=limits::MAX_SESSION_NUMBER, "session_number", faults)
    });
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
    Some(MirrorSettings {
        target: target.into_inner(),
        filter: rule.filter.map_or_else(|| ALL.to_owned(), Spanned::into_inner),
        packet_length,
        session_number: session_number?,
        vni: rule.vni.map(Spanned::into_inner).unwrap_or_default(),
        tags: rule.tags.map(|tags| validate_tags(tags, faults)).unwrap_or_default(),
        ends,
    })
}

/// Packets that do not fit through an endpoint are dropped there silently, so such a length is a fault.
fn validate_packet_length(
    length: &Spanned<i64>,
    name: &str,
    target: Option<&Target>,
    faults: &mut FaultCollector<'_>,
) -> Option<u16> {
    let to_endpoint = target.is_some_and(|target| {
        target.endpoints.iter().any(|endpoint| matches!(endpoint.destination, Destination::Endpoint(_)))
    });
    let number = *length.get_ref();
    if to_endpoint && number > i64::from(limits::MAX_ENDPOINT_PACKET_LENGTH) {
        faults.add(
            &length.span(),
            format!(
                "packet_length {number} does not fit through a Gateway Load Balancer endpoint, and target {name:?} has \
                 one: {}",
                limits::explain_endpoint_limit()
            ),
            format!("write {} or less", limits::MAX_ENDPOINT_PACKET_LENGTH),
        );
        return None;
    }
    number_in_range(length, 1..=limits::MAX_PACKET_LENGTH, "packet_length", faults)
}

fn validate_tags(
    tags: Spanned<BTreeMap<Spanned<String>, Spanned<String>>>,
    faults: &mut FaultCollector<'_>,
) -> BTreeMap<String, String> {
    let maximum = limits::TAGS_PER_RESOURCE - ownership::RESERVED_TAGS;
    if tags.get_ref().len() > maximum {
        faults.add(
            &tags.span(),
            format!("there are more than {maximum} tags"),
            "remove some: AWS allows 50, and a few are needed for ownership",
        );
    }
    tags.into_inner()
        .into_iter()
        .map(|(key, value)| {
            if key.get_ref().starts_with("aws:") || key.get_ref().starts_with(ownership::TAG_PREFIX) {
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

fn validate_selector(raw: raw::Selector, faults: &mut FaultCollector<'_>) -> Selector {
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
    parts.extend(raw.all.into_iter().flatten().map(|part| validate_selector(part, faults)));
    parts.extend(raw.not.map(|part| Selector::Not(Box::new(validate_selector(*part, faults)))));
    if let Some(any) = raw.any {
        if any.get_ref().is_empty() {
            faults.add(&any.span(), "any = [] selects nothing", "name the alternatives, or remove it");
        }
        parts.push(Selector::Any(
            any.into_inner().into_iter().map(|part| validate_selector(part, faults)).collect(),
        ));
    }
    Selector::All(parts)
}

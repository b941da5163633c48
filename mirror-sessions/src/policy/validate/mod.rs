//! Validation: from the file as it is written to a [`Policy`], or to all of its faults.

mod field;
mod filter;
mod rule;
mod target;

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use super::fault::{Fault, FaultCollector, Faults};
use super::filter::{ALL, Filter};
use super::model::{Account, InstanceTypeOverrides, Policy, RateLimits};
use super::raw;
use crate::hash::sha256_hex;
use crate::id::Region;
use field::{check_region, globs};
use filter::validate_filter;
use rule::validate_rules;
use target::validate_target;

/// Parses and validates the text of a policy file.
///
/// # Errors
///
/// All faults of the text, with `file` as the file's name.
pub fn parse(file: &str, text: &str) -> Result<Policy, Faults> {
    let raw: raw::Policy = toml::from_str(text).map_err(|error| syntax_fault(file, text, &error))?;
    let mut faults = FaultCollector::new(text);
    let policy = validate(raw, text, &mut faults);
    faults.finish(file)?;
    Ok(policy)
}

fn syntax_fault(file: &str, text: &str, error: &toml::de::Error) -> Faults {
    let start = error.span().map_or(0, |span| span.start);
    let line = 1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count();
    let problem = error.message().trim_end().replace('\n', " ");
    let remedy = "see the description of the policy in docs/sessions.md".to_owned();
    Faults { file: file.to_owned(), faults: vec![Fault { line, problem, remedy }] }
}

fn validate(raw: raw::Policy, text: &str, faults: &mut FaultCollector<'_>) -> Policy {
    let owner = validate_owner(raw.owner, faults);
    let accounts = validate_accounts(raw.account, faults);
    let mut targets = BTreeMap::new();
    for (name, target) in raw.target {
        let target = validate_target(name.get_ref(), target, &accounts, faults);
        targets.insert(name.into_inner(), target);
    }
    let mut filters = BTreeMap::from([(ALL.to_owned(), Filter::all())]);
    for (name, filter) in raw.filter {
        if name.get_ref() == ALL {
            faults.add(&name.span(), "the filter \"all\" is built in", "give this filter another name");
            continue;
        }
        let filter = validate_filter(name.get_ref(), filter, faults);
        filters.insert(name.into_inner(), filter);
    }
    let rules = validate_rules(raw.rule, &targets, &filters, faults);
    Policy {
        owner,
        accounts,
        targets,
        filters,
        rules,
        rate_limits: raw
            .api
            .map_or_else(RateLimits::default, |rate_limits| validate_rate_limits(&rate_limits, faults)),
        instance_types: InstanceTypeOverrides {
            supported: globs(raw.instance_types.supported),
            unsupported: globs(raw.instance_types.unsupported),
        },
        digest: sha256_hex(text),
    }
}

fn validate_owner(owner: Spanned<String>, faults: &mut FaultCollector<'_>) -> String {
    let valid = !owner.get_ref().is_empty() && owner.get_ref().chars().count() <= 64;
    if !valid {
        faults.add(
            &owner.span(),
            "owner is empty or longer than 64 characters",
            "give a short name, such as \"inspection\"",
        );
    }
    owner.into_inner()
}

fn validate_accounts(raw: Vec<Spanned<raw::Account>>, faults: &mut FaultCollector<'_>) -> Vec<Account> {
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

fn validate_rate_limits(rate_limits: &Spanned<RateLimits>, faults: &mut FaultCollector<'_>) -> RateLimits {
    let RateLimits { reads_per_second, read_burst, writes_per_second, write_burst } = *rate_limits.get_ref();
    let is_positive = |rate: f64| rate.is_finite() && rate > 0.0;
    if !is_positive(reads_per_second)
        || !is_positive(writes_per_second)
        || read_burst == 0
        || write_burst == 0
    {
        faults.add(
            &rate_limits.span(),
            "a rate of [api] is not above zero",
            "write rates and bursts above 0",
        );
    }
    *rate_limits.get_ref()
}

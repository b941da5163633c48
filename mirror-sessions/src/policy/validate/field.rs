//! Checks of single fields.

use std::ops::RangeInclusive;

use toml::Spanned;

use crate::glob::Glob;
use crate::policy::fault::FaultCollector;
use crate::policy::raw::OneOrMany;

/// Checks that the text has the form of a region (`eu-west-1`, `us-gov-east-1`); adds a fault if not.
pub(super) fn check_region(region: &Spanned<String>, faults: &mut FaultCollector<'_>) -> bool {
    let text = region.get_ref();
    let number = text.rsplit('-').next().unwrap_or_default();
    let valid = text.split('-').count() >= 3
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !valid {
        faults.add(
            &region.span(),
            format!("{text:?} is not a region"),
            "write it as AWS does, such as \"eu-west-1\"",
        );
    }
    valid
}

/// Checks that one of `names` is the name that a rule refers to.
pub(super) fn check_name<'names>(
    name: &Spanned<String>,
    kind: &str,
    mut names: impl Iterator<Item = &'names String> + Clone,
    faults: &mut FaultCollector<'_>,
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

/// The number as a `u16`, if it is in the range; adds a fault if not.
pub(super) fn number_in_range(
    number: &Spanned<i64>,
    range: RangeInclusive<u16>,
    key: &str,
    faults: &mut FaultCollector<'_>,
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

/// The globs of a selector or list.
pub(super) fn globs(raw: OneOrMany) -> Vec<Glob> {
    raw.0.into_iter().map(|glob| Glob::new(glob.get_ref())).collect()
}

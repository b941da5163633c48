//! Which rule is for a tunnel, and what records of it may tell, in words.

use std::fmt;

use super::address::{AddressTreatment, Masks};
use super::name::NameTreatment;
use super::policy::check;
use super::rule::{PrivacyError, PrivacyRule};
use super::selector::{Identity, Selector};
use crate::number::{EndpointId, Vni};
use crate::rules::{RecordKind, Recording};

/// The tunnel that is asked about, and its owner where it is known.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Its endpoint.
    pub endpoint: Option<EndpointId>,
    /// Its VNI.
    pub vni: Option<Vni>,
    /// The owner of the mirrored interface.
    pub identity: Option<Identity>,
}

/// The answer: shown, it is a line for each thing that a record may tell.
#[derive(Clone, Debug)]
pub struct Explanation<'rules> {
    rule: Option<(usize, Selector, &'rules PrivacyRule)>,
    recording: Recording,
}

/// Finds the rule for a tunnel whose records are `recording` by the tables `[[rule]]`. Keys are not read.
///
/// # Errors
///
/// The first fault of the rules.
pub fn explain<'rules>(
    rules: &'rules [PrivacyRule],
    knows_owners: bool,
    recording: Recording,
    question: &Question,
) -> Result<Explanation<'rules>, PrivacyError> {
    let Question { endpoint, vni, identity } = question;
    let selectors = (1..).zip(check(rules, knows_owners)?).zip(rules);
    let rule = selectors
        .map(|((number, selector), rule)| (number, selector, rule))
        .find(|(_, selector, _)| selector.matches(*endpoint, *vni, identity.as_ref()));
    let limit = rule.as_ref().map_or_else(Recording::default, |(.., rule)| rule.limit());
    Ok(Explanation { rule, recording: recording.and(limit) })
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |what: &str, text: &str| writeln!(formatter, "{what:<12}{text}");
        let rule = self.rule.as_ref().map_or_else(
            || "none of [[privacy]]: everything stands as it is".to_owned(),
            |(number, selector, _)| format!("[[privacy]] number {number}, for {selector}"),
        );
        line("rule", &rule)?;
        let Recording { packets, flows, applications, snap_length, payload } = self.recording;
        let tells = |kind| payload && applications.has(kind);
        let kinds = [
            ("flow", flows),
            ("packet", packets),
            ("dns", tells(RecordKind::Dns)),
            ("tls", tells(RecordKind::Tls)),
            ("http", tells(RecordKind::Http)),
        ];
        let kinds: Vec<&str> = kinds.into_iter().filter(|(_, made)| *made).map(|(name, _)| name).collect();
        let none = "none: packets are counted as policy_excluded".to_owned();
        line("records", &if kinds.is_empty() { none } else { kinds.join(", ") })?;
        let bytes = snap_length.map(|length| format!("the first {length} of the outer frame"));
        line("bytes", bytes.as_deref().unwrap_or("all"))?;
        let Some((.., rule)) = &self.rule else {
            line("payload", if payload { "kept" } else { "left out" })?;
            return Ok(());
        };
        let key = || match &rule.key_id {
            Some(id) => format!("by the key {id}"),
            None => "by a key whose id is derived from it".to_owned(),
        };
        let hides = rule.addresses != AddressTreatment::Keep
            || !rule.keeps_macs()
            || rule.names != NameTreatment::Keep;
        line(
            "payload",
            match (payload, hides) {
                (false, _) => "left out",
                (true, true) => {
                    "may be looked at; no record has its bytes, which could tell what is not kept"
                }
                (true, false) => "kept",
            },
        )?;
        let Masks { ipv4, ipv6 } = rule.masks();
        line(
            "addresses",
            &match rule.addresses {
                AddressTreatment::Keep => "kept".to_owned(),
                AddressTreatment::Mask => format!("masked to /{ipv4} and /{ipv6}"),
                AddressTreatment::Pseudonym => format!("pseudonyms {}", key()),
            },
        )?;
        line("macs", if rule.keeps_macs() { "kept" } else { "left out" })?;
        line(
            "names",
            &match rule.names {
                NameTreatment::Keep => "kept".to_owned(),
                NameTreatment::Hash => format!("hashed {}", key()),
                NameTreatment::Drop => "left out".to_owned(),
            },
        )?;
        line(
            "fields",
            &match &rule.fields {
                Some(fields) => fields.join(", "),
                None => "all".to_owned(),
            },
        )
    }
}

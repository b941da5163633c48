//! A privacy rule as the configuration states it.
//!
//! ```toml
//! [[privacy]]                   # one account: pseudonyms, and hashed names
//! account = "123456789012"
//! addresses = "pseudonym"
//! names = "hash"
//! key_file = "/etc/mirror-capture/privacy.key"
//!
//! [[privacy]]                   # all others: networks, not hosts
//! addresses = "mask"
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::address::{AddressTreatment, Masks};
use super::fields;
use super::key::KeyError;
use super::label::Label;
use super::name::NameTreatment;
use super::selector::Selector;
use crate::number::{EndpointId, Vni};
use crate::rules::rule::MIN_SNAP_LENGTH;
use crate::rules::{ApplicationKinds, RecordKind, Recording};

/// A privacy rule: one `[[privacy]]` table. It is for the packets that all of its selectors are for: `gwlbe_id`, `vni`,
/// `account` and `tags`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrivacyRule {
    /// The Gateway Load Balancer endpoint: `vpce-0` and 16 hexadecimal digits, or these digits alone.
    pub gwlbe_id: Option<String>,
    /// The VNI: that of the mirror session; of a packet without VXLAN, that of GENEVE.
    pub vni: Option<u32>,
    /// The account of the mirrored interface, 12 digits, by the enrichment map.
    pub account: Option<String>,
    /// Tags of the mirrored interface, by the enrichment map.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The records that may be made; an empty list for none.
    #[serde(deserialize_with = "RecordKind::one_or_several")]
    pub records: Option<Vec<RecordKind>>,
    /// Bytes of the outer frame that may be in a record; 0: all.
    pub snap_length: Option<u32>,
    /// `true` if payload, and what is derived from it, may be recorded.
    pub payload: Option<bool>,
    /// Treatment of addresses.
    pub addresses: AddressTreatment,
    /// Bits of IPv4 addresses that a mask leaves.
    pub ipv4_prefix: Option<u8>,
    /// Bits of IPv6 addresses that a mask leaves.
    pub ipv6_prefix: Option<u8>,
    /// `true` if MAC addresses may be recorded; where it is absent, where addresses are kept.
    pub macs: Option<bool>,
    /// Treatment of names.
    pub names: NameTreatment,
    /// File of the key for pseudonyms and hashes.
    pub key_file: Option<PathBuf>,
    /// Name of the key in records, by default derived from it.
    pub key_id: Option<String>,
    /// The fields that a record may have; all where it is absent.
    pub fields: Option<Vec<String>>,
}

/// Fault of the privacy rules. Rules are numbered from 1 on, in the order of the configuration.
#[derive(Debug, Error)]
pub enum PrivacyError {
    /// A value is none that its key can have.
    #[error("[[privacy]] number {rule}: {key} {problem}")]
    Value {
        /// Number of the rule.
        rule: usize,
        /// The key.
        key: &'static str,
        /// The problem, and the remedy.
        problem: String,
    },
    /// The key of a rule cannot be used.
    #[error("[[privacy]] number {rule}")]
    Key {
        /// Number of the rule.
        rule: usize,
        /// The reason.
        source: KeyError,
    },
    /// The rules do not say what holds for tunnels that the enrichment map does not know.
    #[error(
        "[[privacy]] number {rule} goes by account or tags, which are not known of every tunnel: end the list with a rule \
         without gwlbe_id, vni, account and tags, which says what holds for all others"
    )]
    NoRest {
        /// Number of the first rule that goes by account or tags.
        rule: usize,
    },
    /// A rule is behind one that is for every packet.
    #[error(
        "[[privacy]] number {rule} is never reached, since number {before} is for every packet: put it before that one"
    )]
    Unreachable {
        /// Number of the rule.
        rule: usize,
        /// Number of the rule before it.
        before: usize,
    },
}

impl PrivacyRule {
    /// Checks every value of rule number `rule`, and returns the packets that it is for.
    ///
    /// # Errors
    ///
    /// The first value that is wrong.
    pub(super) fn check(&self, rule: usize) -> Result<Selector, PrivacyError> {
        let error = |key, problem: String| PrivacyError::Value { rule, key, problem };
        let endpoint = match &self.gwlbe_id {
            Some(text) => {
                let problem = "is neither vpce-0 with 16 more hexadecimal digits nor those 16 digits alone";
                Some(parse_endpoint(text).ok_or_else(|| error("gwlbe_id", format!("{text:?} {problem}")))?)
            }
            None => None,
        };
        let vni = match self.vni {
            Some(vni) => Some(Vni::new(vni).ok_or_else(|| {
                error("vni", format!("{vni} exceeds 24 bits; give the session's, 0 to 16777215"))
            })?),
            None => None,
        };
        if let Some(account) = &self.account
            && !(account.len() == 12 && account.bytes().all(|digit| digit.is_ascii_digit()))
        {
            return Err(error("account", format!("{account:?} is not the 12 digits of an AWS account")));
        }
        if let Some(length) = self.snap_length.filter(|length| (1..MIN_SNAP_LENGTH).contains(length)) {
            let remedy = "where the headers of a mirrored packet end; give more, or 0 to keep all";
            return Err(error("snap_length", format!("{length} is below {MIN_SNAP_LENGTH}, {remedy}")));
        }
        self.check_addresses().map_err(|(key, problem)| error(key, problem))?;
        self.check_key().map_err(|(key, problem)| error(key, problem))?;
        for field in self.fields.iter().flatten() {
            if let Some(problem) = fields::problem(field) {
                return Err(error("fields", format!("{field:?} {problem}")));
            }
        }
        Ok(Selector { endpoint, vni, account: self.account.clone(), tags: self.tags.clone() })
    }

    fn check_addresses(&self) -> Result<(), (&'static str, String)> {
        for (key, prefix, longest) in
            [("ipv4_prefix", self.ipv4_prefix, 32), ("ipv6_prefix", self.ipv6_prefix, 128)]
        {
            match prefix {
                Some(_) if self.addresses != AddressTreatment::Mask => {
                    return Err((key, "is for masks: add addresses = \"mask\", or leave it out".to_owned()));
                }
                Some(prefix) if prefix > longest => {
                    return Err((key, format!("{prefix} is more than the {longest} bits of an address")));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_key(&self) -> Result<(), (&'static str, String)> {
        let needs_key = self.addresses == AddressTreatment::Pseudonym || self.names == NameTreatment::Hash;
        if needs_key && self.key_file.is_none() {
            let remedy = "is missing: pseudonyms and hashes need a file that holds a key";
            return Err(("key_file", remedy.to_owned()));
        }
        if !needs_key && self.key_file.is_some() {
            let remedy = "has no use: add addresses = \"pseudonym\" or names = \"hash\", or leave it out";
            return Err(("key_file", remedy.to_owned()));
        }
        if let Some(id) = &self.key_id {
            if !needs_key {
                return Err(("key_id", "names no key, as there is no key_file: leave it out".to_owned()));
            }
            let is_short = (1..=Label::LONGEST_KEY_ID).contains(&id.len());
            let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
            if !is_short || !is_plain {
                let longest = Label::LONGEST_KEY_ID;
                let problem =
                    format!("{id:?} is not 1 to {longest} letters, digits, dots, hyphens and underscores");
                return Err(("key_id", problem));
            }
        }
        Ok(())
    }

    /// The records that it allows.
    pub(super) fn limit(&self) -> Recording {
        let allows = |kind: RecordKind| self.records.as_ref().is_none_or(|records| kind.is_in(records));
        Recording {
            packets: allows(RecordKind::Packet),
            flows: allows(RecordKind::Flow),
            applications: self
                .records
                .as_ref()
                .map_or(ApplicationKinds::ALL, |records| ApplicationKinds::of(records)),
            snap_length: self.snap_length.filter(|&length| length != 0),
            payload: self.payload.unwrap_or(true),
        }
    }

    /// The prefixes that its masks leave.
    pub(super) fn masks(&self) -> Masks {
        let Masks { ipv4, ipv6 } = Masks::default();
        Masks { ipv4: self.ipv4_prefix.unwrap_or(ipv4), ipv6: self.ipv6_prefix.unwrap_or(ipv6) }
    }

    /// `true` if records may have MAC addresses. They tell an interface as its address does.
    pub(super) fn keeps_macs(&self) -> bool {
        self.macs.unwrap_or(self.addresses == AddressTreatment::Keep)
    }
}

/// The id of a VPC endpoint, or its last 16 digits, in either case.
pub fn parse_endpoint(text: &str) -> Option<EndpointId> {
    let digits = text.strip_prefix("vpce-0").unwrap_or(text);
    let is_one = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_one.then(|| u64::from_str_radix(digits, 16).ok().map(EndpointId))?
}

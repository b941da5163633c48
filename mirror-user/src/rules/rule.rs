//! A rule as the configuration states it.
//!
//! ```toml
//! [[rule]]                      # the sessions of one endpoint: flows only, and no payload
//! gwlbe_id = "vpce-00123456789abcdef"
//! records = ["flow"]
//! snap_length = 200
//! payload = false
//!
//! [[rule]]                      # one session there: nothing at all
//! gwlbe_id = "vpce-00123456789abcdef"
//! vni = 123
//! records = []
//! ```

use std::fmt;

use mirror_common::tunnel::TunnelKey;
use serde::de::{self, Deserializer, IntoDeserializer as _};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::recording::{ApplicationKinds, Recording};
use crate::number::{EndpointId, NoEndpointId, Vni};

/// Smallest snap length other than 0: a mirrored packet from a load balancer up to its IPv4 header, without which
/// there is no record.
pub const MIN_SNAP_LENGTH: u32 = 152;

/// A rule: one `[[rule]]` table. Without `gwlbe_id` and `vni` it is for the packets that no other rule is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The Gateway Load Balancer endpoint: the id of the VPC endpoint as in the records, or its last 16 digits.
    pub gwlbe_id: Option<String>,
    /// The VNI: that of the mirror session; of a packet without VXLAN, that of GENEVE.
    pub vni: Option<u32>,
    /// The records that are made; an empty list for none.
    #[serde(default, deserialize_with = "RecordKind::one_or_several")]
    pub records: Option<Vec<RecordKind>>,
    /// Bytes of the outer frame to keep; 0: all.
    pub snap_length: Option<u32>,
    /// `true` if the payload behind the transport header, and what is derived from it, may be recorded.
    pub payload: Option<bool>,
}

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum RecordKind {
    /// A record of each packet
    Packet,
    /// A record of each flow when it ends, and at intervals while it goes on
    Flow,
    /// Both, the same as packet,flow
    Both,
    /// A record of each DNS message
    Dns,
    /// A record of each TLS or QUIC handshake
    Tls,
    /// A record of each HTTP request
    Http,
}

impl RecordKind {
    /// `true` if `kinds` ask for records of this kind.
    pub fn is_in(self, kinds: &[Self]) -> bool {
        let both = matches!(self, Self::Packet | Self::Flow);
        kinds.iter().any(|&kind| kind == self || (both && kind == Self::Both))
    }

    /// Reads the kinds of a configuration file: a list, or one string as on the command line.
    ///
    /// # Errors
    ///
    /// When it is neither, or one of them is no kind; the message has those that there are.
    pub fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Self>>, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Vec<RecordKind>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(
                    "\"packet\", \"flow\", \"both\", \"dns\", \"tls\", \"http\" or a list of these",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                text.split(',').map(|kind| RecordKind::deserialize(kind.trim().into_deserializer())).collect()
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Deserialize::deserialize(de::value::SeqAccessDeserializer::new(list))
            }
        }

        deserializer.deserialize_any(Visitor).map(Some)
    }
}

/// Fault of a rule. Rules are numbered from 1 on, in the order of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuleError {
    /// No endpoint identifier.
    #[error(
        "[[rule]] number {rule}: gwlbe_id {gwlbe_id:?} is {problem}; write it as it stands in the records and in the EC2 API"
    )]
    Endpoint {
        /// Number of the rule.
        rule: usize,
        /// The value.
        gwlbe_id: String,
        /// The problem.
        problem: NoEndpointId,
    },
    /// No VNI.
    #[error("[[rule]] number {rule}: vni {vni} exceeds 24 bits; give the session's, 0 to 16777215")]
    Vni {
        /// Number of the rule.
        rule: usize,
        /// The value.
        vni: u32,
    },
    /// Too little for a record.
    #[error(
        "[[rule]] number {rule}: snap_length {snap_length} is below {MIN_SNAP_LENGTH}, where the headers of a mirrored \
         packet end; give more, 0 to keep all, or `records = []` to keep nothing"
    )]
    SnapLength {
        /// Number of the rule.
        rule: usize,
        /// The value.
        snap_length: u32,
    },
    /// Two rules for the same tunnels.
    #[error(
        "[[rule]] number {rule} is for the same tunnels as an earlier one (same gwlbe_id and vni): make one of them"
    )]
    Duplicate {
        /// Number of the later rule.
        rule: usize,
    },
}

impl Rule {
    /// The key of its tunnels; [`None`] for the rest.
    pub(super) fn key(&self, rule: usize) -> Result<Option<TunnelKey>, RuleError> {
        let endpoint = match &self.gwlbe_id {
            Some(gwlbe_id) => {
                let error = |problem| RuleError::Endpoint { rule, gwlbe_id: gwlbe_id.clone(), problem };
                Some(gwlbe_id.parse::<EndpointId>().map_err(error)?)
            }
            None => None,
        };
        let vni = match self.vni {
            Some(vni) => Some(Vni::new(vni).ok_or(RuleError::Vni { rule, vni })?),
            None => None,
        };
        Ok(TunnelKey::new(endpoint.map(|endpoint| endpoint.0), vni.map(Vni::get)))
    }

    /// Its recording; `default` for what it leaves out.
    pub(super) fn recording(&self, rule: usize, default: Recording) -> Result<Recording, RuleError> {
        let makes =
            |kind: RecordKind, default| self.records.as_ref().map_or(default, |records| kind.is_in(records));
        let snap_length = match self.snap_length {
            None => default.snap_length,
            Some(0) => None,
            Some(snap_length) if snap_length < MIN_SNAP_LENGTH => {
                return Err(RuleError::SnapLength { rule, snap_length });
            }
            snap_length => snap_length,
        };
        Ok(Recording {
            packets: makes(RecordKind::Packet, default.packets),
            flows: makes(RecordKind::Flow, default.flows),
            applications: self
                .records
                .as_ref()
                .map_or(default.applications, |records| ApplicationKinds::of(records)),
            snap_length,
            payload: self.payload.unwrap_or(default.payload),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rules;

    #[derive(Debug, Deserialize)]
    struct File {
        rule: Vec<Rule>,
    }

    fn settled(text: &str) -> Result<Rules, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        Rules::new(&file.rule, Recording::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_the_documented_form() {
        let text: String = include_str!("rule.rs")
            .lines()
            .skip_while(|line| *line != "//! ```toml")
            .skip(1)
            .take_while(|line| *line != "//! ```")
            .map(|line| line.trim_start_matches("//!").to_owned() + "\n")
            .collect();
        let rules = settled(&text).unwrap();
        let endpoint = Some(0x0123_4567_89ab_cdef);
        let of = |vni| rules.by_tunnel[&TunnelKey::new(endpoint, vni).unwrap()];
        let applications = ApplicationKinds::of(&[]);
        let flows = Recording {
            packets: false,
            applications,
            snap_length: Some(200),
            payload: false,
            ..Recording::default()
        };
        assert_eq!(of(None), flows);
        assert_eq!(
            of(Some(123)),
            Recording { packets: false, flows: false, applications, ..Recording::default() }
        );
        assert_eq!(rules.by_tunnel.len(), 2);
        assert_eq!(rules.rest(), Recording::default());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_rule_or_line() {
        let cases = [
            (
                "gwlbe_id = \"vpce-0123456789\"",
                "[[rule]] number 2: gwlbe_id \"vpce-0123456789\" is neither vpce-0",
            ),
            ("gwlbe_id = \"vpce-10123456789abcdef\"", "is neither vpce-0"),
            ("gwlbe_id = \"0x23456789abcdef\"", "nor those 16 digits alone"),
            ("gwlbe_id = \"+123456789abcdef\"", "nor those 16 digits alone"),
            ("gwlbe_id = 1", "line 4"),
            ("vni = 16777216", "[[rule]] number 2: vni 16777216 exceeds 24 bits"),
            ("vni = -1", "line 4"),
            ("snap_length = 151", "[[rule]] number 2: snap_length 151 is below 152"),
            ("vni = 7", "[[rule]] number 2 is for the same tunnels"),
            ("records = [\"packets\"]", "expected one of `packet`, `flow`, `both`"),
            ("payload = \"no\"", "line 4"),
            ("snaplen = 200", "unknown field `snaplen`"),
        ];
        for (line, expected) in cases {
            let error = settled(&format!("[[rule]]\nvni = 7\n[[rule]]\n{line}\n")).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
        for same in ["", "gwlbe_id = \"0123456789ABCDEF\"", "gwlbe_id = \"0123456789ABCDEF\"\nvni = 0"] {
            let other = same.replace("0123456789ABCDEF", "vpce-00123456789abcdef");
            let error = settled(&format!("[[rule]]\n{same}\n[[rule]]\n{other}\n")).unwrap_err();
            assert!(error.contains("number 2 is for the same tunnels"), "{same}: {error}");
        }
    }

    #[test]
    fn a_rule_leaves_the_rest_as_it_is_by_default() {
        let default =
            Recording { flows: false, snap_length: Some(300), payload: false, ..Recording::default() };
        let rule = |rule: Rule| Rules::new(&[rule], default).unwrap().rest();
        assert_eq!(rule(Rule::default()), default);
        let applications = ApplicationKinds::of(&[]);
        let cases = [
            (
                Rule { records: Some(vec![]), ..Rule::default() },
                Recording { packets: false, applications, ..default },
            ),
            (
                Rule { records: Some(vec![RecordKind::Flow]), ..Rule::default() },
                Recording { packets: false, flows: true, applications, ..default },
            ),
            (
                Rule { records: Some(vec![RecordKind::Dns]), ..Rule::default() },
                Recording {
                    packets: false,
                    applications: ApplicationKinds::of(&[RecordKind::Dns]),
                    ..default
                },
            ),
            (Rule { snap_length: Some(0), ..Rule::default() }, Recording { snap_length: None, ..default }),
            (
                Rule { snap_length: Some(MIN_SNAP_LENGTH), ..Rule::default() },
                Recording { snap_length: Some(MIN_SNAP_LENGTH), ..default },
            ),
            (Rule { payload: Some(true), ..Rule::default() }, Recording { payload: true, ..default }),
        ];
        for (stated, expected) in cases {
            assert_eq!(rule(stated.clone()), expected, "{stated:?}");
        }
        assert!(rule(Rule { records: Some(vec![]), ..Rule::default() }).excludes());
        assert!(!default.excludes());
    }
}

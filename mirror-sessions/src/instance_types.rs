//! Instance types as sources of traffic mirroring: AWS's documentation as a data file, the policy's corrections, and the
//! refusals of the API.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::LazyLock;

use crate::file::write_atomically;
use crate::glob::Glob;
use crate::policy::InstanceTypeOverrides;

/// One glob of types on each line, after `+` (supported) or `-` (unsupported); `#` begins a comment.
const DATA: &str = include_str!("../data/instance-types.txt");

/// The globs of the data file, each with true if AWS supports it. The first that matches decides.
static DOCUMENTED: LazyLock<Vec<(bool, Glob)>> = LazyLock::new(|| {
    let lines = DATA.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines
        .filter_map(|line| match line.split_once(' ')? {
            ("+", glob) => Some((true, Glob::new(glob))),
            ("-", glob) => Some((false, Glob::new(glob))),
            _ => None,
        })
        .collect()
});

/// Knowledge about instance types.
#[derive(Clone, Debug, Default)]
pub struct InstanceTypes {
    policy: InstanceTypeOverrides,
    /// Types that the API refused, with the message of the refusal.
    learnt: BTreeMap<String, String>,
}

/// Reason why a type cannot be a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnsupportedReason {
    /// AWS documents it as unsupported.
    Documented,
    /// The policy lists it as unsupported.
    Policy,
    /// The API refused a session on an instance of this type, with this message.
    Refused(String),
}

/// AWS's documentation of a type: supported or not; `None` if it does not mention the type.
fn documented(instance_type: &str) -> Option<bool> {
    DOCUMENTED.iter().find(|(_, glob)| glob.matches(instance_type)).map(|(supported, _)| *supported)
}

impl InstanceTypes {
    /// The built-in list with the corrections of `policy` and the refusals of earlier runs.
    pub fn new(policy: InstanceTypeOverrides, learnt: BTreeMap<String, String>) -> Self {
        Self { policy, learnt }
    }

    /// Reason why instances of this type cannot be sources; `None` if they can, or if only the API can tell.
    pub fn unsupported(&self, instance_type: &str) -> Option<UnsupportedReason> {
        let matches = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(instance_type));
        if matches(&self.policy.supported) {
            None
        } else if matches(&self.policy.unsupported) {
            Some(UnsupportedReason::Policy)
        } else if let Some(message) = self.learnt.get(instance_type) {
            Some(UnsupportedReason::Refused(message.clone()))
        } else {
            (documented(instance_type) == Some(false)).then_some(UnsupportedReason::Documented)
        }
    }

    /// Returns true if only the API can tell whether instances of this type can be sources: neither AWS's documentation nor the
    /// policy mentions the type, and it has not been refused yet.
    pub fn is_unknown(&self, instance_type: &str) -> bool {
        let in_policy = self.policy.supported.iter().any(|glob| glob.matches(instance_type));
        !in_policy && documented(instance_type).is_none() && self.unsupported(instance_type).is_none()
    }

    /// Records that the API refused a source of this type; `true` if that was not known.
    pub fn learn(&mut self, instance_type: &str, message: &str) -> bool {
        self.learnt.insert(instance_type.to_owned(), message.to_owned()).is_none()
    }

    /// Types that the API refused, with the message of the refusal.
    pub fn learnt(&self) -> &BTreeMap<String, String> {
        &self.learnt
    }
}

/// Reads the refusals that an earlier run recorded; empty if there is no such file.
///
/// # Errors
///
/// When the file cannot be read, or is not one that [`save`] wrote.
pub fn load(path: &Path) -> io::Result<BTreeMap<String, String>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

/// Writes the refusals, for the next run.
///
/// # Errors
///
/// When the file cannot be written.
pub fn save(path: &Path, learnt: &BTreeMap<String, String>) -> io::Result<()> {
    write_atomically(path, &serde_json::to_vec_pretty(learnt)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_data_is_understood() {
        let lines = DATA.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        assert_eq!(lines.filter(|line| !line.is_empty()).count(), DOCUMENTED.len());
        assert!(DOCUMENTED.iter().any(|(supported, _)| !supported));
    }

    #[test]
    fn documented_types() {
        let types = InstanceTypes::default();
        let unsupported = ["t2.micro", "m3.large", "i2.xlarge", "m6i.metal", "m5n.metal", "i4i.metal-24xl"];
        for unsupported in unsupported {
            assert_eq!(types.unsupported(unsupported), Some(UnsupportedReason::Documented), "{unsupported}");
            assert!(!types.is_unknown(unsupported), "{unsupported}");
        }
        for supported in [
            "t3.micro",
            "t3a.small",
            "t4g.nano",
            "m4.large",
            "c4.8xlarge",
            "i3.large",
            "m5.large",
            "c5n.18xlarge",
            "m6i.large",
            "c6i.large",
            "c6gn.xlarge",
            "m7g.large",
            "c7g.large",
            "m7i-flex.large",
            "u7i-12tb.224xlarge",
            "p5.48xlarge",
            "m5.metal",
            "mac2-m2.metal",
        ] {
            assert_eq!(types.unsupported(supported), None, "{supported}");
            assert!(!types.is_unknown(supported), "{supported}");
        }
    }

    #[test]
    fn a_type_that_aws_says_nothing_about_is_tried() {
        let mut types = InstanceTypes::default();
        for unknown in ["m8g.large", "c7gn.xlarge", "p2.xlarge", "z9.large"] {
            assert!(types.is_unknown(unknown), "{unknown}");
            assert_eq!(types.unsupported(unknown), None, "{unknown}");
        }
        types.learn("z9.large", "no");
        assert!(!types.is_unknown("z9.large"));
        let policy = InstanceTypeOverrides { supported: vec![Glob::new("m8g.*")], unsupported: Vec::new() };
        assert!(!InstanceTypes::new(policy, BTreeMap::new()).is_unknown("m8g.large"));
    }

    #[test]
    fn the_policy_corrects_and_refusals_teach() {
        let policy = InstanceTypeOverrides {
            supported: vec![Glob::new("t2.*")],
            unsupported: vec![Glob::new("t3.nano")],
        };
        let mut types = InstanceTypes::new(policy, BTreeMap::new());
        assert_eq!(types.unsupported("t2.large"), None);
        assert_eq!(types.unsupported("t3.nano"), Some(UnsupportedReason::Policy));
        assert!(types.learn("z9.large", "no"));
        assert!(!types.learn("z9.large", "no"));
        assert_eq!(types.unsupported("z9.large"), Some(UnsupportedReason::Refused("no".to_owned())));
    }

    #[test]
    fn what_was_learnt_survives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("learnt.json");
        assert_eq!(load(&path).unwrap(), BTreeMap::new());
        let learnt = BTreeMap::from([("z9.large".to_owned(), "no".to_owned())]);
        save(&path, &learnt).unwrap();
        assert_eq!(load(&path).unwrap(), learnt);
    }
}

//! Instance types as sources of traffic mirroring: a data file, the policy's corrections, and what the API's refusals
//! have taught.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::LazyLock;

use wildmatch::WildMatch;

use crate::file::write_atomically;
use crate::policy::InstanceTypeGlobs;

/// Globs of types with `+` or `-` in front, one to a line, `#` before a comment.
const DATA: &str = include_str!("../data/instance-types.txt");

/// What AWS documents, in the order of the file.
static DOCUMENTED: LazyLock<Vec<(bool, WildMatch)>> = LazyLock::new(|| {
    let lines = DATA.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines
        .filter_map(|line| match line.split_once(' ')? {
            ("+", glob) => Some((true, WildMatch::new(glob))),
            ("-", glob) => Some((false, WildMatch::new(glob))),
            _ => None,
        })
        .collect()
});

/// What is known about instance types.
#[derive(Clone, Debug, Default)]
pub struct InstanceTypes {
    policy: InstanceTypeGlobs,
    /// From type to the words of the refusal.
    learnt: BTreeMap<String, String>,
}

/// Why a type cannot be a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// AWS documents it.
    Documented,
    /// The policy says so.
    Policy,
    /// The API refused a session on an instance of this type, in these words.
    Refused(String),
}

/// What AWS documents of a type: whether it can be a source, or nothing.
fn documented(instance_type: &str) -> Option<bool> {
    DOCUMENTED.iter().find(|(_, glob)| glob.matches(instance_type)).map(|(supported, _)| *supported)
}

impl InstanceTypes {
    /// The built-in list with the corrections of `policy` and what was learnt before.
    pub fn new(policy: InstanceTypeGlobs, learnt: BTreeMap<String, String>) -> Self {
        Self { policy, learnt }
    }

    /// Why instances of this type cannot be sources; `None` if they can, or if that is to be tried.
    pub fn unsupported(&self, instance_type: &str) -> Option<Unsupported> {
        let matches = |globs: &[WildMatch]| globs.iter().any(|glob| glob.matches(instance_type));
        if matches(&self.policy.supported) {
            None
        } else if matches(&self.policy.unsupported) {
            Some(Unsupported::Policy)
        } else if let Some(words) = self.learnt.get(instance_type) {
            Some(Unsupported::Refused(words.clone()))
        } else {
            (documented(instance_type) == Some(false)).then_some(Unsupported::Documented)
        }
    }

    /// Whether only the API can tell if instances of this type can be sources: neither AWS's documentation nor the policy
    /// says anything about it, and it was not refused yet.
    pub fn is_to_be_tried(&self, instance_type: &str) -> bool {
        let in_policy = self.policy.supported.iter().any(|glob| glob.matches(instance_type));
        !in_policy && documented(instance_type).is_none() && self.unsupported(instance_type).is_none()
    }

    /// Remembers that the API refused a source of this type; `true` if that is news.
    pub fn learn(&mut self, instance_type: &str, words: &str) -> bool {
        self.learnt.insert(instance_type.to_owned(), words.to_owned()).is_none()
    }

    /// What was learnt, by type.
    pub fn learnt(&self) -> &BTreeMap<String, String> {
        &self.learnt
    }
}

/// Reads what an earlier run learnt; nothing if there is no such file.
///
/// # Errors
///
/// When the file cannot be read, or is not what [`save`] wrote.
pub fn load(path: &Path) -> io::Result<BTreeMap<String, String>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

/// Writes what was learnt, for the next run.
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
            assert_eq!(types.unsupported(unsupported), Some(Unsupported::Documented), "{unsupported}");
            assert!(!types.is_to_be_tried(unsupported), "{unsupported}");
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
            assert!(!types.is_to_be_tried(supported), "{supported}");
        }
    }

    #[test]
    fn a_type_that_aws_says_nothing_about_is_tried() {
        let mut types = InstanceTypes::default();
        for unknown in ["m8g.large", "c7gn.xlarge", "p2.xlarge", "z9.large"] {
            assert!(types.is_to_be_tried(unknown), "{unknown}");
            assert_eq!(types.unsupported(unknown), None, "{unknown}");
        }
        types.learn("z9.large", "no");
        assert!(!types.is_to_be_tried("z9.large"));
        let policy = InstanceTypeGlobs { supported: vec![WildMatch::new("m8g.*")], unsupported: Vec::new() };
        assert!(!InstanceTypes::new(policy, BTreeMap::new()).is_to_be_tried("m8g.large"));
    }

    #[test]
    fn the_policy_corrects_and_refusals_teach() {
        let policy = InstanceTypeGlobs {
            supported: vec![WildMatch::new("t2.*")],
            unsupported: vec![WildMatch::new("t3.nano")],
        };
        let mut types = InstanceTypes::new(policy, BTreeMap::new());
        assert_eq!(types.unsupported("t2.large"), None);
        assert_eq!(types.unsupported("t3.nano"), Some(Unsupported::Policy));
        assert!(types.learn("z9.large", "no"));
        assert!(!types.learn("z9.large", "no"));
        assert_eq!(types.unsupported("z9.large"), Some(Unsupported::Refused("no".to_owned())));
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

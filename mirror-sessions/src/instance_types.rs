//! Which instance types cannot be sources of traffic mirroring: a data file, the policy's corrections, and what the
//! API's refusals have taught.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::LazyLock;

use wildmatch::WildMatch;

use crate::file::write_atomically;
use crate::policy::InstanceTypeGlobs;

/// Globs of types, one to a line, `#` before a comment.
const DATA: &str = include_str!("../data/unsupported-instance-types.txt");

static UNSUPPORTED: LazyLock<Vec<WildMatch>> = LazyLock::new(|| {
    DATA.lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .map(WildMatch::new)
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

impl InstanceTypes {
    /// The built-in list with the corrections of `policy` and what was learnt before.
    pub fn new(policy: InstanceTypeGlobs, learnt: BTreeMap<String, String>) -> Self {
        Self { policy, learnt }
    }

    /// Why instances of this type cannot be sources; `None` if they can, as far as is known.
    pub fn unsupported(&self, instance_type: &str) -> Option<Unsupported> {
        let matches = |globs: &[WildMatch]| globs.iter().any(|glob| glob.matches(instance_type));
        if matches(&self.policy.supported) {
            None
        } else if matches(&self.policy.unsupported) {
            Some(Unsupported::Policy)
        } else if let Some(words) = self.learnt.get(instance_type) {
            Some(Unsupported::Refused(words.clone()))
        } else {
            matches(&UNSUPPORTED).then_some(Unsupported::Documented)
        }
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
    fn documented_types() {
        let types = InstanceTypes::default();
        for unsupported in [
            "t2.micro",
            "m7i.large",
            "m7i-flex.large",
            "c6gn.xlarge",
            "m5.metal",
            "i4i.metal-24xl",
            "p5.48xlarge",
        ] {
            assert_eq!(types.unsupported(unsupported), Some(Unsupported::Documented), "{unsupported}");
        }
        for supported in
            ["m5.large", "t3.micro", "c5n.18xlarge", "r5.xlarge", "i3.large", "m4.large", "x1e.xlarge"]
        {
            assert_eq!(types.unsupported(supported), None, "{supported}");
        }
    }

    #[test]
    fn the_policy_corrects_and_refusals_teach() {
        let policy = InstanceTypeGlobs {
            supported: vec![WildMatch::new("m7i.*")],
            unsupported: vec![WildMatch::new("t3.nano")],
        };
        let mut types = InstanceTypes::new(policy, BTreeMap::new());
        assert_eq!(types.unsupported("m7i.large"), None);
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

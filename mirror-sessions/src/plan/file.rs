//! Files of saved plans.

use std::path::Path;

use super::model::{Plan, VERSION};

/// Reads a saved plan.
///
/// # Errors
///
/// When the file cannot be read, is not a plan, or has another version of the format.
pub fn load(path: &Path) -> Result<Plan, PlanFileError> {
    let file = || path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|source| PlanFileError::Unreadable { file: file(), source })?;
    let plan: Plan =
        serde_json::from_str(&text).map_err(|source| PlanFileError::NotAPlan { file: file(), source })?;
    if plan.version == VERSION {
        Ok(plan)
    } else {
        Err(PlanFileError::Version { file: file(), version: plan.version })
    }
}

/// Reason why a saved plan cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    /// The file cannot be read.
    #[error("{file} cannot be read (name a file that `mirror-sessions plan --output` wrote)")]
    Unreadable {
        /// The file.
        file: String,
        /// The cause.
        source: std::io::Error,
    },
    /// It has other contents.
    #[error("{file} is not a saved plan (name a file that `mirror-sessions plan --output` wrote)")]
    NotAPlan {
        /// The file.
        file: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// Its format has another version.
    #[error("{file} is a plan of format {version}, and this program reads format {VERSION}: plan again")]
    Version {
        /// The file.
        file: String,
        /// Version of its format.
        version: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::chain;

    #[test]
    fn an_error_and_its_cause_are_printed_once_each() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plan.json");
        let remedy = "(name a file that `mirror-sessions plan --output` wrote)";
        let error = || chain(&load(&path).unwrap_err()).to_string();
        let file = path.display();
        assert_eq!(
            error(),
            format!("{file} cannot be read {remedy}: No such file or directory (os error 2)")
        );
        std::fs::write(&path, "{").unwrap();
        let cause = "EOF while parsing an object at line 1 column 1";
        assert_eq!(error(), format!("{file} is not a saved plan {remedy}: {cause}"));
        let plan = Plan { version: 2, ..Plan::default() };
        std::fs::write(&path, serde_json::to_vec(&plan).unwrap()).unwrap();
        let expected = "is a plan of format 2, and this program reads format 1: plan again";
        assert_eq!(error(), format!("{file} {expected}"));
    }
}

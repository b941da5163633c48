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

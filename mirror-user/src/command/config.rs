//! `mirror-capture config`: work with configuration files.

use std::path::PathBuf;

use clap::Subcommand;

use crate::config::{Config, ConfigError};

/// What to do with a configuration file.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check a file as a capture would; exit code 2, with the reason, where it is wrong
    Check {
        /// Configuration file in TOML; docs/mirror-capture.toml describes every key
        file: PathBuf,
    },
}

/// Reads the file and checks every value, without looking at the machine: whether the interface exists, a capture tells.
///
/// # Errors
///
/// The first fault, with its remedy.
pub fn run(command: &ConfigCommand) -> Result<String, ConfigError> {
    let ConfigCommand::Check { file } = command;
    Config::read(file)?.check()?;
    Ok(format!("{}: valid\n", file.display()))
}

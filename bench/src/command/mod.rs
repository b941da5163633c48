//! The command line: one file per command.

pub mod generate;

use clap::{Parser, Subcommand};

/// Traffic generator and measuring harness of mirror-capture.
#[derive(Debug, Parser)]
#[command(name = "mirror-bench", version)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send traffic like that of a Gateway Load Balancer, or write it to a capture file.
    Generate(generate::Generate),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    ///
    /// Those of the command.
    pub fn run(&self) -> anyhow::Result<()> {
        match self {
            Self::Generate(generate) => generate.run(),
        }
    }
}

//! `mirror-capture rules`: questions about the rules of a configuration.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::{Config, ConfigError};
use crate::number::{EndpointId, Vni};
use crate::packet::Tunnel;
use crate::privacy::explanation::{Question, explain};
use crate::privacy::{Identity, rule};

/// A question about the rules.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Tell which rules are for a tunnel, and what its records may have
    Explain(ExplainArgs),
}

/// The tunnel that `rules explain` is asked about.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Configuration file with the rules
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Gateway Load Balancer endpoint: vpce-0 and 16 hexadecimal digits, or these digits alone
    #[arg(long, value_name = "ID", value_parser = endpoint)]
    endpoint: Option<EndpointId>,
    /// VNI of the mirror session
    #[arg(long, value_name = "VNI", value_parser = vni)]
    vni: Option<Vni>,
    /// Account of the mirrored interface
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Tag of the mirrored interface; may be given several times
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = tag)]
    tags: Vec<(String, String)>,
}

fn endpoint(text: &str) -> Result<EndpointId, String> {
    let problem =
        || format!("{text:?} is neither vpce-0 with 16 more hexadecimal digits nor those digits alone");
    rule::parse_endpoint(text).ok_or_else(problem)
}

fn vni(text: &str) -> Result<Vni, String> {
    let number = text.parse().ok().and_then(Vni::new);
    number.ok_or_else(|| format!("{text:?} is not a number from 0 to 16777215"))
}

fn tag(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = parts.ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The answer, in lines.
///
/// # Errors
///
/// When the configuration cannot be read, or is wrong.
pub fn run(command: &RulesCommand) -> Result<String, ConfigError> {
    let RulesCommand::Explain(ExplainArgs { config, endpoint, vni, account, tags }) = command;
    let config = Config::read(config)?.check()?;
    let tunnel = Tunnel { vxlan_vni: *vni, endpoint: *endpoint, ..Tunnel::UNKNOWN };
    let recording = config.rules()?.resolve(&tunnel);
    let is_known = account.is_some() || !tags.is_empty();
    let identity = is_known.then(|| Identity {
        account: account.clone().unwrap_or_default(),
        tags: tags.iter().cloned().collect(),
    });
    let question = Question { endpoint: *endpoint, vni: *vni, identity };
    Ok(explain(&config.privacy, config.knows_owners(), recording, &question)?.to_string())
}

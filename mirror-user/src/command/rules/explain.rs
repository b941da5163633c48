//! `mirror-capture rules explain`: what a tunnel's records may have, and the verdict on a connection.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use mirror_egress::date::NoDate;
use mirror_egress::explain::Outcome;
use mirror_egress::rule::PROTOCOLS;
use mirror_egress::{Connection, Date, Time};

use super::{RulesError, now};
use crate::config::{Config, ConfigError};
use crate::number::{EndpointId, Vni};
use crate::packet::Tunnel;
use crate::privacy::explanation::{Question, explain};
use crate::privacy::{Identity, rule};

/// The tunnel that `rules explain` is asked about, and perhaps a connection in it.
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
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A connection, to be judged by the egress rules.
#[derive(Debug, Args)]
#[command(next_help_heading = "Egress rules")]
struct ConnectionArgs {
    /// Address that a connection goes to: tells the verdict on it, too
    #[arg(long, value_name = "ADDRESS")]
    to: Option<IpAddr>,
    /// Port of the destination
    #[arg(long, value_name = "PORT", requires = "to")]
    port: Option<u16>,
    /// IP protocol: a name such as tcp, or a number
    #[arg(long, value_name = "PROTOCOL", default_value = "tcp", value_parser = protocol)]
    protocol: u8,
    /// Application, such as tls
    #[arg(long, value_name = "NAME", requires = "to")]
    application: Option<String>,
    /// Name that the client claims: SNI or HTTP host
    #[arg(long, value_name = "DOMAIN", requires = "to")]
    claimed: Option<String>,
    /// Name that DNS answered for the address
    #[arg(long, value_name = "DOMAIN", requires = "to")]
    answered: Option<String>,
    /// DNS contradicts the claimed name
    #[arg(long, requires = "to")]
    mismatch: bool,
    /// The handshake could not be decoded
    #[arg(long, requires = "to")]
    undecodable: bool,
    /// The handshake has Encrypted Client Hello
    #[arg(long, requires = "to")]
    ech: bool,
    /// VPC of the source
    #[arg(long, value_name = "VPC", requires = "to")]
    vpc: Option<String>,
    /// Subnet of the source
    #[arg(long, value_name = "SUBNET", requires = "to")]
    subnet: Option<String>,
    /// Address of the source
    #[arg(long, value_name = "ADDRESS", requires = "to")]
    from: Option<IpAddr>,
    /// Judge as on this day; without it: today
    #[arg(long, value_name = "DAY", value_parser = day, requires = "to")]
    on: Option<Date>,
    /// Tell of all rules that were looked at, not only of those that nearly apply
    #[arg(long, requires = "to")]
    all: bool,
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

fn protocol(text: &str) -> Result<u8, String> {
    let named = PROTOCOLS.iter().find(|(name, _)| *name == text).map(|&(_, number)| number);
    named
        .or_else(|| text.parse().ok())
        .ok_or_else(|| "not a name such as tcp, nor a number from 0 to 255".to_owned())
}

fn day(text: &str) -> Result<Date, String> {
    text.parse().map_err(|error: NoDate| error.to_string())
}

/// The answer, in lines: the records of the tunnel, and the verdict on the connection, if there is one.
///
/// # Errors
///
/// When the configuration cannot be read, or is wrong.
pub(super) fn run(arguments: &ExplainArgs) -> Result<String, RulesError> {
    let ExplainArgs { config, endpoint, vni, account, tags, connection } = arguments;
    let config = Config::read(config)?.check()?;
    let tunnel = Tunnel { vxlan_vni: *vni, endpoint: *endpoint, ..Tunnel::UNKNOWN };
    let recording = config.rules().map_err(ConfigError::from)?.resolve(&tunnel);
    let is_known = account.is_some() || !tags.is_empty();
    let identity = is_known.then(|| Identity {
        account: account.clone().unwrap_or_default(),
        tags: tags.iter().cloned().collect(),
    });
    let question = Question { endpoint: *endpoint, vni: *vni, identity };
    let explanation = explain(&config.privacy, config.knows_owners(), recording, &question);
    let mut text = explanation.map_err(ConfigError::from)?.to_string();
    if let Some(destination) = connection.to {
        egress(arguments, destination, &config, &mut text)?;
    }
    Ok(text)
}

/// Tells of the verdict. Writing to a string does not fail.
fn egress(
    ExplainArgs { connection: arguments, account, tags, .. }: &ExplainArgs,
    destination: IpAddr,
    config: &Config,
    text: &mut String,
) -> Result<(), RulesError> {
    let engine = config.egress_engine().map_err(ConfigError::from)?;
    let tags: Vec<_> = tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let connection = Connection {
        source: mirror_egress::Identity {
            account: account.as_deref(),
            vpc: arguments.vpc.as_deref(),
            subnet: arguments.subnet.as_deref(),
            tags: &tags,
            address: arguments.from,
        },
        application: arguments.application.as_deref(),
        claimed: arguments.claimed.as_deref(),
        answered: arguments.answered.as_deref(),
        mismatch: arguments.mismatch,
        undecodable: arguments.undecodable,
        ech: arguments.ech,
        ..Connection::to(destination, arguments.port, arguments.protocol)
    };
    // Any moment of the day does, since rules lapse at its end.
    let now = arguments.on.map_or_else(now, |day| Time(day.end().0 - 1));
    let explanation = engine.explain(&connection, now);
    let verdict = explanation.verdict;
    let _ = writeln!(text, "{connection}");
    let _ =
        writeln!(text, "{}, by {}: {}", verdict.action.name(), explanation.rule_name, verdict.reason.text());
    if let Some(description) = engine.rule_description(verdict.rule) {
        let _ = writeln!(text, "  {description}");
    }
    let mut others = 0;
    for trace in &explanation.traces {
        let is_near =
            !matches!(&trace.outcome, Outcome::Misses(misses) if misses.len() > 1 && !arguments.all);
        if is_near {
            let number = trace.rule + 1;
            let _ =
                writeln!(text, "{number:>6}. {} ({}): {}", trace.name, trace.action.name(), trace.outcome);
        } else {
            others += 1;
        }
    }
    if others > 0 {
        let _ = writeln!(
            text,
            "{others} rule(s) before that do not apply for several reasons; --all tells of them"
        );
    }
    Ok(())
}

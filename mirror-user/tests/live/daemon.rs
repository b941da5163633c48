//! This build's `mirror-capture` as a daemon, and traffic for it.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use mirror_testkit::daemon::Daemon;
use mirror_testkit::generator::interface::Interface;
use mirror_testkit::generator::report::Report;
use mirror_testkit::generator::{self, Source};
use mirror_testkit::namespace::Namespace;
use mirror_testkit::traffic::{Profile, Share, Traffic};
use mirror_testkit::veth::VethPair;

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_mirror-capture"))
}

/// Starts the daemon in `namespace`, without waiting for anything. Records and ledger go to a directory of its own.
pub fn spawn(namespace: &Namespace, interface: &str, arguments: &[&str]) -> Daemon {
    spawn_with(namespace, interface, arguments, &[])
}

/// As [`spawn`], with more environment variables.
pub fn spawn_with(
    namespace: &Namespace,
    interface: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Daemon {
    Daemon::spawn(program(), namespace, interface, arguments, variables)
}

/// Starts the daemon on the receiving end and waits until it captures.
pub fn start(pair: &VethPair, arguments: &[&str]) -> Daemon {
    Daemon::start(program(), pair, arguments)
}

/// Traffic of all kinds: VXLAN and not, both families, every malformed kind.
pub fn mixed() -> Profile {
    Profile {
        flows: 1000,
        vxlan: Share::new(0.5).unwrap(),
        ipv6: Share::new(0.25).unwrap(),
        icmp: Share::new(0.05).unwrap(),
        malformed: Share::new(0.02).unwrap(),
        ..Profile::default()
    }
}

pub fn settings(packets: u64, source: Source) -> generator::Settings {
    generator::Settings { source, packets: Some(packets), duration: None, rate: Some(200_000), cpu: Some(0) }
}

/// Sends traffic out of the sending end until `stop`.
pub fn send(
    pair: &VethPair,
    profile: &Profile,
    settings: &generator::Settings,
    stop: &AtomicBool,
) -> Result<Report, String> {
    let traffic = Traffic::new(profile).unwrap();
    let sending = || {
        let interface = Interface::new(VethPair::SENDING).map_err(|error| error.to_string())?;
        generator::send(&traffic, &interface, settings, stop).map_err(|error| error.to_string())
    };
    pair.sender.enter(sending).unwrap()
}

pub fn send_all(pair: &VethPair, profile: &Profile, settings: &generator::Settings) -> Report {
    send(pair, profile, settings, &AtomicBool::new(false)).unwrap()
}

//! Configuration: a TOML file, overridden by the command line, settled into plain values.
//!
//! - [`options`]: what both can say. The keys of the file and the flags of the command have one definition each, so
//!   that they cannot drift apart; every option is optional there.
//! - [`value`]: the values that they take.
//! - [`settings`]: what it comes to, with the defaults put in.

pub mod options;
pub mod settings;
pub mod value;

use std::fs;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::rules::RuleError;

pub use self::options::Options;
pub use self::settings::Settings;

/// Why a configuration does not do.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The file is no valid configuration.
    #[error("{}: {detail}; docs/mirror-capture.toml describes every key", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The place and what is wrong there.
        detail: String,
    },
    /// A rule is wrong.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// A value is out of range or missing.
    #[error("{key}: {problem}")]
    Value {
        /// The option, as the command line names it.
        key: &'static str,
        /// What is wrong, and what would do.
        problem: String,
    },
}

impl Options {
    /// Reads a configuration file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is no TOML, has an unknown key or a value of the wrong kind; the message has the line.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|error| ConfigError::Parse {
            path: path.to_owned(),
            detail: error.to_string().trim().replace('\n', "\n  "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::options::{CaptureOptions, FlowOptions, OutputOptions, TunnelOptions};
    use super::*;

    const DOCUMENTED: &str = include_str!("../../../docs/mirror-capture.toml");

    fn settle(file: &str) -> Result<Settings, String> {
        let file = toml::from_str(file).map_err(|error| error.to_string())?;
        Settings::resolve(Options::default(), file).map_err(|error| error.to_string())
    }

    #[test]
    fn the_documented_file_states_every_key_with_its_default() {
        let uncommented: String = DOCUMENTED
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n");
        let documented: Options = toml::from_str(&uncommented).unwrap();
        let Options { capture, tunnel, flow, output, rule } = documented.clone();
        assert_eq!(rule.len(), 2, "examples of both kinds of rule");
        let CaptureOptions {
            interface,
            queues,
            cpus,
            mode,
            zero_copy,
            strict,
            snap_length,
            allowed_sources,
            any_destination,
            vxlan,
            rx_ring,
            frames,
            huge_pages,
            busy_poll,
            ebpf_log,
        } = capture;
        assert!(interface.is_some() && queues.is_some() && cpus.is_some() && mode.is_some());
        assert!(
            zero_copy.is_some() && strict.is_some() && snap_length.is_some() && allowed_sources.is_some()
        );
        assert!(
            any_destination.is_some()
                && vxlan.is_some()
                && rx_ring.is_some()
                && frames.is_some()
                && huge_pages.is_some()
        );
        assert!(busy_poll.is_some() && ebpf_log.is_some());
        let TunnelOptions { geneve_port, vxlan_port, max_depth } = tunnel;
        assert!(geneve_port.is_some() && vxlan_port.is_some() && max_depth.is_some());
        let FlowOptions {
            max_flows,
            max_tunnels,
            idle_timeout,
            active_timeout,
            closing_timeout,
            sampling_seed,
        } = flow;
        assert!(max_flows.is_some() && max_tunnels.is_some() && idle_timeout.is_some());
        assert!(active_timeout.is_some() && closing_timeout.is_some() && sampling_seed.is_some());
        let OutputOptions {
            path,
            records,
            payload,
            degradation,
            format,
            rotate_size,
            rotate_time,
            queue_batches,
            drain_timeout,
            ledger,
        } = output;
        assert!(
            path.is_some()
                && records.is_some()
                && payload.is_some()
                && degradation.is_some()
                && format.is_some()
                && rotate_size.is_some()
                && rotate_time.is_some()
        );
        assert!(queue_batches.is_some() && drain_timeout.is_some() && ledger.is_some());

        let defaults = Settings::resolve(Options::default(), Options::default()).unwrap();
        let as_shipped = settle(DOCUMENTED).unwrap();
        assert_eq!(format!("{as_shipped:?}"), format!("{defaults:?}"), "the file as shipped changes nothing");
        let documented = Options { rule: Vec::new(), ..documented };
        let mut stated = Settings::resolve(Options::default(), documented).unwrap();
        stated.capture.interface = None;
        stated.capture.queues = None;
        stated.capture.cpus = None;
        stated.capture.allowed_sources = None;
        stated.sampling_seed = None;
        stated.output.ledger = None;
        assert_eq!(
            format!("{stated:?}"),
            format!("{defaults:?}"),
            "the values that the file states are the defaults"
        );
    }

    #[test]
    fn unknown_keys_are_refused_with_their_line() {
        let error = settle("[capture]\ninterface = \"eth1\"\nsnaplength = 3\n").unwrap_err();
        assert!(error.contains("line 3") && error.contains("snaplength"), "{error}");
        let error = settle("[captur]\n").unwrap_err();
        assert!(error.contains("captur"), "{error}");
    }

    #[test]
    fn values_out_of_range_are_named() {
        for (file, expected) in [
            ("[capture]\nrx_ring = 1000", "--rx-ring: 1000 is not a power of two"),
            ("[capture]\nrx_ring = 4096\nframes = 2048", "--frames"),
            ("[capture]\nsnap_length = 20", "--snap-length: 20 is below"),
            (
                "[capture]\nallowed_sources = [\"::ffff:10.0.0.0/104\"]",
                "--allowed-sources: ::ffff:10.0.0.0/104 is IPv4",
            ),
            ("[flow]\nsampling_seed = \"0x\"", "not a number of at most 64 bits"),
            ("[tunnel]\nmax_depth = 0", "--max-depth: 0"),
            ("[tunnel]\nvxlan_port = 6081", "--geneve-port"),
            ("[flow]\nactive_timeout = \"1h\"", "active timeout of 3600s"),
            ("[output]\nrecords = [\"flow\"]\nformat = \"pcapng\"", "--records: pcapng holds packets"),
            ("[output]\nrecords = []", "--records: there must be"),
            (
                "[[rule]]\nrecords = [\"flow\"]\n[output]\nformat = \"pcapng\"",
                "--records: pcapng holds packets",
            ),
            ("[[rule]]\nvni = 99999999", "[[rule]] number 1: vni 99999999"),
            ("[output]\npath = \"a\"\nledger = \"a\"", "--ledger: it would overwrite the records"),
            ("[output]\nqueue_batches = 1", "--queue-batches"),
            ("[output]\nrotate_size = \"0\"", "--rotate-size"),
            ("[capture]\nqueues = \"a\"", "not a list of numbers"),
        ] {
            let error = settle(file).unwrap_err();
            assert!(error.contains(expected), "{file}: {error}");
        }
    }

    #[test]
    fn an_empty_list_of_sources_is_not_the_same_as_none() {
        let allowed = |file: &str| settle(file).unwrap().load_options(1).allowed_sources;
        assert_eq!(allowed(""), None, "any");
        assert_eq!(allowed("[capture]\nallowed_sources = []"), Some(vec![]), "none");
        assert_eq!(allowed("[capture]\nallowed_sources = [\"::/0\"]").map(|sources| sources.len()), Some(1));
    }

    #[test]
    fn kinds_of_records_are_a_word_or_a_list() {
        let kinds = |file: &str| {
            let settings = settle(file)?;
            Ok::<_, String>((settings.rules.rest().packets, settings.rules.rest().flows))
        };
        for (records, expected) in [
            ("\"both\"", (true, true)),
            ("[\"both\"]", (true, true)),
            ("\"packet, flow\"", (true, true)),
            ("[\"packet\", \"flow\"]", (true, true)),
            ("\"packet\"", (true, false)),
            ("[\"flow\"]", (false, true)),
        ] {
            assert_eq!(kinds(&format!("[output]\nrecords = {records}")), Ok(expected), "{records}");
            assert_eq!(kinds(&format!("[[rule]]\nrecords = {records}")), Ok(expected), "{records}");
        }
        for records in ["\"bot\"", "[\"bot\"]", "3", "\"\""] {
            let error = kinds(&format!("[output]\nrecords = {records}")).unwrap_err();
            assert!(["packet", "flow", "both"].iter().all(|kind| error.contains(kind)), "{records}: {error}");
        }
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let file = toml::from_str("[capture]\ninterface = \"eth1\"\nstrict = true\n").unwrap();
        let mut flags = Options::default();
        flags.capture.interface = Some("eth2".to_owned());
        let settings = Settings::resolve(flags, file).unwrap();
        assert_eq!(settings.capture.interface.as_deref(), Some("eth2"));
        assert!(settings.capture.strict, "what only the file says stands");
    }
}

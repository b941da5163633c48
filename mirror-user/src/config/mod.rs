//! Configuration: a TOML file, overridden by the command line.
//!
//! An option is defined once, as a field of the component that it is for: the key of the file, the flag, the default and the
//! check all come from there. Here the components are put together, and what concerns several of them is checked.
//! Configuration builds nothing.

mod capture;
mod flags;
mod output;

use std::path::{Path, PathBuf};
use std::{fs, io};

use mirror_egress::{EgressDefault, EgressError, EgressRule, Engine};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::capture::CaptureConfig;
pub use self::flags::Flags;
pub use self::output::OutputConfig;
use crate::decap::DecapConfig;
use crate::enrichment::EnrichmentConfig;
use crate::flow::{ApplicationConfig, FlowConfig};
use crate::privacy::{self, Privacy, PrivacyError, PrivacyRule};
use crate::rules::{ApplicationKinds, RecordKind, Recording, Rule, RuleError, Rules};
use crate::sink::{Format, SinkConfig};
use crate::value::ValueError;

/// Keys that a sink has.
const SINK_KEYS: [&str; 6] = ["path", "destination", "format", "rotate_size", "rotate_time", "queue_batches"];

/// Reasons why a configuration does not do.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file is no valid configuration.
    #[error("{}: {detail}; docs/mirror-capture.toml describes every key", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The place and what is wrong there.
        detail: String,
    },
    /// A flag has no valid value.
    #[error(transparent)]
    Flags(#[from] clap::Error),
    /// A rule is wrong.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// A privacy rule is wrong.
    #[error(transparent)]
    Privacy(#[from] PrivacyError),
    /// An egress rule is wrong.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// A value is out of range or missing.
    #[error(transparent)]
    Value(#[from] ValueError),
}

/// All options.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Table `[capture]`: capturing from an interface; unused by `replay`.
    pub capture: CaptureConfig,
    /// Table `[tunnel]`: the tunnel headers that are removed.
    pub tunnel: DecapConfig,
    /// Table `[flow]`: the flow table of each worker, where there are records of flows.
    pub flow: FlowConfig,
    /// Table `[application]`: what is looked for in the payload of flows.
    pub application: ApplicationConfig,
    /// Table `[output]`: the records.
    pub output: OutputConfig,
    /// Table `[enrichment]`: the map by which records are enriched.
    pub enrichment: EnrichmentConfig,
    /// Tables `[[sink]]`: the destinations of the records.
    pub sink: Vec<SinkConfig>,
    /// Tables `[[rule]]`, which only the file has.
    #[serde(alias = "policy")]
    pub rule: Vec<Rule>,
    /// Tables `[[privacy]]`, which only the file has.
    pub privacy: Vec<PrivacyRule>,
    /// Tables `[[egress]]`, which only the file has: the connections that are allowed.
    pub egress: Vec<EgressRule>,
    /// Table `[egress_default]`: what holds where no egress rule applies.
    pub egress_default: EgressDefault,
}

impl Default for Config {
    /// Records of all flows to one sink, standard output.
    fn default() -> Self {
        Self {
            capture: CaptureConfig::default(),
            tunnel: DecapConfig::default(),
            flow: FlowConfig::default(),
            application: ApplicationConfig::default(),
            output: OutputConfig::default(),
            enrichment: EnrichmentConfig::default(),
            sink: vec![SinkConfig::default()],
            rule: Vec::new(),
            privacy: Vec::new(),
            egress: Vec::new(),
            egress_default: EgressDefault::default(),
        }
    }
}

impl Config {
    /// Reads a configuration file; what it leaves out has its default.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is no TOML, has an unknown key or a value of the wrong kind; the message has the line.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|error| {
            let mut detail = error.to_string().trim().replace('\n', "\n  ");
            if let Some(key) = SINK_KEYS
                .iter()
                .find(|key| detail.contains(&format!("unknown field `{key}`, expected one of `records`")))
            {
                detail.push_str(&format!("; `{key}` belongs to a sink: write it under [[sink]]"));
            }
            ConfigError::Parse { path: path.to_owned(), detail }
        })
    }

    /// The one sink.
    ///
    /// # Errors
    ///
    /// When there are none or several.
    pub fn only_sink(&self) -> Result<&SinkConfig, ValueError> {
        match self.sink.as_slice() {
            [sink] => Ok(sink),
            [] => Err(ValueError::new("[[sink]]", "there must be one, for the records to go to")),
            sinks => {
                let problem =
                    format!("there are {}, but all records go to one: leave one of them", sinks.len());
                Err(ValueError::new("[[sink]]", problem))
            }
        }
    }

    /// The one sink, to be changed.
    ///
    /// # Errors
    ///
    /// Those of [`Self::only_sink`].
    pub fn only_sink_mut(&mut self) -> Result<&mut SinkConfig, ValueError> {
        self.only_sink()?;
        Ok(&mut self.sink[0])
    }

    /// Kinds of records that are made where no rule says otherwise.
    pub fn records(&self) -> Vec<RecordKind> {
        self.output.records.clone().unwrap_or_else(|| match self.sink.first().map(|sink| sink.format) {
            Some(Format::Pcapng) => vec![RecordKind::Packet],
            _ => vec![RecordKind::Flow],
        })
    }

    /// Records of every tunnel's packets.
    ///
    /// # Errors
    ///
    /// When a rule is wrong.
    pub fn rules(&self) -> Result<Rules, RuleError> {
        let records = self.records();
        let default = Recording {
            packets: RecordKind::Packet.is_in(&records),
            flows: RecordKind::Flow.is_in(&records),
            applications: ApplicationKinds::of(&records),
            snap_length: self.capture.snap_length(),
            payload: self.output.payload,
        };
        Rules::new(&self.rule, default)
    }

    /// What records may tell, with the keys that the rules name.
    ///
    /// # Errors
    ///
    /// When a rule is wrong, or its key cannot be used.
    pub fn privacy(&self) -> Result<Privacy, PrivacyError> {
        Privacy::load(&self.privacy, self.knows_owners())
    }

    /// `true` if there is an enrichment map, which knows the owners of tunnels.
    pub const fn knows_owners(&self) -> bool {
        self.enrichment.map.is_some()
    }

    /// The compiled egress rules.
    ///
    /// # Errors
    ///
    /// When a rule is wrong.
    pub fn egress_engine(&self) -> Result<Engine, EgressError> {
        Engine::compile(&self.egress, self.egress_default)
    }

    /// Checks every value, and what concerns several.
    ///
    /// # Errors
    ///
    /// When a value is out of its range; the message names the option.
    pub fn check(self) -> Result<Self, ConfigError> {
        self.capture.check()?;
        self.tunnel.check()?;
        self.flow.check()?;
        self.application.check()?;
        self.enrichment.check()?;
        self.only_sink()?.check()?;
        privacy::check(&self.privacy, self.knows_owners())?;
        self.egress_engine()?;
        let rules = self.rules()?;
        for sink in &self.sink {
            if sink.format == Format::Pcapng && rules.any(|recording| recording.follows()) {
                let remedy =
                    "pcapng holds packets only; leave other kinds out (in [[rule]] too), or use ndjson";
                return Err(ValueError::new("--records", remedy).into());
            }
            if sink.format == Format::Pcapng
                && let Some(place) = self.privacy.iter().position(|rule| rule.fields.is_some())
            {
                let problem = "lists members of JSON, which pcapng has none of: leave it out, or use ndjson";
                let (rule, problem) = (place + 1, problem.to_owned());
                return Err(PrivacyError::Value { rule, key: "fields", problem }.into());
            }
            if sink.format == Format::Pcapng && self.enrichment.map.is_some() {
                let remedy = "pcapng has no room for it; leave it out, or use ndjson";
                return Err(ValueError::new("--enrichment", remedy).into());
            }
            if self.output.ledger.as_deref() == Some(sink.destination.path()) {
                return Err(
                    ValueError::new("--ledger", "it would overwrite the records; give another file").into()
                );
            }
        }
        if !rules.any(|recording| !recording.excludes()) {
            return Err(ValueError::new("--records", "there must be records of some kind").into());
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;

    const DOCUMENTED: &str = include_str!("../../../docs/mirror-capture.toml");

    fn settle(file: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(file).map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())
    }

    #[test]
    fn the_documented_file_states_every_key_with_its_default() {
        let uncommented: String = DOCUMENTED
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n");
        let stated: toml::Table = toml::from_str(&uncommented).unwrap();
        let documented: Config = toml::from_str(&uncommented).unwrap();
        assert_eq!(documented.sink.len(), 1);
        for (table, options) in [
            (&stated["capture"], CaptureConfig::augment_args_for_update(Command::new(""))),
            (&stated["tunnel"], DecapConfig::augment_args_for_update(Command::new(""))),
            (&stated["flow"], FlowConfig::augment_args_for_update(Command::new(""))),
            (&stated["output"], OutputConfig::augment_args_for_update(Command::new(""))),
            (&stated["enrichment"], EnrichmentConfig::augment_args_for_update(Command::new(""))),
            (&stated["sink"][0], SinkConfig::augment_args_for_update(Command::new(""))),
        ] {
            let keys: BTreeSet<&str> = table.as_table().unwrap().keys().map(String::as_str).collect();
            assert_eq!(keys, options.get_arguments().map(|option| option.get_id().as_str()).collect());
        }
        assert_eq!(documented.rule.len(), 2, "examples of both kinds of rule");
        let keys = |table: &toml::Table| table.keys().cloned().collect::<BTreeSet<_>>();
        let default = toml::Table::try_from(EgressDefault::default()).unwrap();
        assert_eq!(keys(stated["egress_default"].as_table().unwrap()), keys(&default));
        let examples: BTreeSet<String> = stated["egress"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|rule| keys(rule.as_table().unwrap()))
            .collect();
        let known = toml::from_str::<EgressRule>("unknown = 1").unwrap_err().to_string();
        let known = known.split_once("expected one of").unwrap().1.split('`').skip(1).step_by(2);
        assert_eq!(examples, known.map(str::to_owned).collect(), "the examples have every key of a rule");
        let engine = documented.egress_engine().unwrap();
        assert_eq!(engine.findings(mirror_egress::Time(0)), []);

        let defaults = Config::default();
        assert_eq!(settle(DOCUMENTED).unwrap(), defaults, "the file as shipped changes nothing");
        assert_eq!(documented.privacy.len(), 2, "a rule, and one for the rest");
        let keys: BTreeSet<&str> =
            stated["privacy"][0].as_table().unwrap().keys().map(String::as_str).collect();
        let whole = PrivacyRule {
            gwlbe_id: Some(String::new()),
            vni: Some(0),
            account: Some(String::new()),
            tags: [(String::new(), String::new())].into(),
            records: Some(Vec::new()),
            snap_length: Some(0),
            payload: Some(true),
            ipv4_prefix: Some(0),
            ipv6_prefix: Some(0),
            macs: Some(true),
            key_file: Some(PathBuf::new()),
            key_id: Some(String::new()),
            fields: Some(Vec::new()),
            ..PrivacyRule::default()
        };
        let whole = toml::Table::try_from(whole).unwrap();
        assert_eq!(keys, whole.keys().map(String::as_str).collect());
        privacy::check(&documented.privacy, true).unwrap();
        let mut stated = Config { rule: Vec::new(), privacy: Vec::new(), egress: Vec::new(), ..documented };
        assert_eq!(stated.capture.frames, Some(defaults.capture.frames()));
        assert_eq!(stated.output.records, Some(defaults.records()));
        (stated.capture.frames, stated.output.records) = (None, None);
        stated.capture.interface = None;
        stated.capture.queues = None;
        stated.capture.cpus = None;
        stated.capture.allowed_sources = None;
        stated.flow.sampling_seed = None;
        stated.output.ledger = None;
        stated.enrichment = EnrichmentConfig::default();
        assert_eq!(stated, defaults, "the values that the file states are the defaults");
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
            (
                "[output]\nrecords = [\"flow\"]\n[[sink]]\nformat = \"pcapng\"",
                "--records: pcapng holds packets",
            ),
            ("[output]\nrecords = []", "--records: there must be"),
            ("[enrichment]\ntags = [\"env\"]", "--enrichment-tag: there is no map"),
            ("[enrichment]\nmap = \"map.json\"\ntags = [\"\"]", "--enrichment-tag: the key"),
            (
                "[enrichment]\nmap = \"map.json\"\n[[sink]]\nformat = \"pcapng\"",
                "--enrichment: pcapng has no room for it",
            ),
            (
                "[[rule]]\nrecords = [\"flow\"]\n[[sink]]\nformat = \"pcapng\"",
                "--records: pcapng holds packets",
            ),
            (
                "[[egress]]\naction = \"deny\"\nports = [70000]",
                "[[egress]] number 1: ports \"70000\" is no port",
            ),
            ("[[rule]]\nvni = 99999999", "[[rule]] number 1: vni 99999999"),
            (
                "[output]\nledger = \"a\"\n[[sink]]\ndestination = \"a\"",
                "--ledger: it would overwrite the records",
            ),
            ("[[sink]]\nqueue_batches = 1", "--queue-batches"),
            ("[[sink]]\nrotate_size = \"0\"", "--rotate-size"),
            ("[capture]\nqueues = \"a\"", "not a list of numbers"),
        ] {
            let error = settle(file).unwrap_err();
            assert!(error.contains(expected), "{file}: {error}");
        }
    }

    #[test]
    fn an_empty_list_of_sources_is_not_the_same_as_none() {
        let allowed = |file: &str| settle(file).unwrap().capture.allowed_sources;
        assert_eq!(allowed(""), None, "any");
        assert_eq!(allowed("[capture]\nallowed_sources = []"), Some(vec![]), "none");
        assert_eq!(allowed("[capture]\nallowed_sources = [\"::/0\"]").map(|sources| sources.len()), Some(1));
    }

    #[test]
    fn kinds_of_records_are_a_word_or_a_list() {
        let kinds = |file: &str| {
            let rest = settle(file)?.rules().unwrap().rest();
            Ok::<_, String>((rest.packets, rest.flows))
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
        let mut config = settle("[capture]\ninterface = \"eth1\"\nstrict = true\n").unwrap();
        let command = Flags::<CaptureConfig>::augment_args(Command::new("run"));
        let matches = command.get_matches_from(["run", "--interface", "eth2"]);
        let flags = Flags::<CaptureConfig>::from_arg_matches(&matches).unwrap();
        flags.apply(&mut config.capture).unwrap();
        assert_eq!(config.capture.interface.as_deref(), Some("eth2"));
        assert!(config.capture.strict, "what only the file says stands");
    }

    #[test]
    fn defaults_stand_in_the_help() {
        let command = Flags::<FlowConfig>::augment_args(Command::new("run"));
        let help = |id: &str| {
            command.get_arguments().find(|flag| flag.get_id() == id).unwrap().get_help().unwrap().to_string()
        };
        assert_eq!(help("idle_timeout"), "End a flow after this long without a packet [default: 2m]");
        assert!(help("max_flows").ends_with("[default: 1048576]"));
        let command = Flags::<SinkConfig>::augment_args(Command::new("run"));
        let help = |id: &str| {
            command.get_arguments().find(|flag| flag.get_id() == id).unwrap().get_help().unwrap().to_string()
        };
        assert!(help("rotate_size").ends_with("[default: 256MiB]"));
        assert!(help("destination").ends_with("[default: -]"));
    }

    #[test]
    fn keys_of_a_sink_under_output_are_told_their_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mirror-capture.toml");
        for key in SINK_KEYS {
            fs::write(&path, format!("[output]\n{key} = \"1\"\n")).unwrap();
            let error = Config::read(&path).unwrap_err().to_string();
            assert!(
                error.contains(&format!("`{key}` belongs to a sink")) && error.contains("line 2"),
                "{error}"
            );
        }
    }

    #[test]
    fn there_is_one_sink() {
        assert_eq!(settle("").unwrap().sink, [SinkConfig::default()]);
        assert_eq!(settle("[[sink]]\nformat = \"ndjson\"\n").unwrap().sink, [SinkConfig::default()]);
        let error = settle("[[sink]]\n[[sink]]\n").unwrap_err();
        assert!(error.starts_with("[[sink]]: there are 2"), "{error}");
        assert!(settle("sink = []").unwrap_err().starts_with("[[sink]]: there must be one"));
    }
}

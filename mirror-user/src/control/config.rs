//! Configuration: a TOML file, overridden by the command line, settled into plain values.
//!
//! [`Options`] is both: the keys of the file and the flags of the command have one definition each, so that they
//! cannot drift apart. Every option is optional there; [`Settings::resolve`] puts the defaults in.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use mirror_common::port;
use serde::Deserialize;
use thiserror::Error;
use tracing::level_filters::LevelFilter;

use super::RunError;
use super::ledger::Ledger;
use crate::attach;
use crate::decap::DecapConfig;
use crate::nic::parse_list;
use crate::sink::{self, Destination, Format, Producer, SinkConfig, Sinks};

/// Where `run` gets its frames from, and how. Table `[capture]` of the file.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "Capture")]
pub struct CaptureOptions {
    /// Interface that the tunnel packets arrive on
    #[arg(long, short, value_name = "IF")]
    pub interface: Option<String>,
    /// Receive queues to capture from [default: all]
    #[arg(long, value_name = "LIST")]
    pub queues: Option<List>,
    /// Processors to pin the workers to, one per queue in turn [default: those of the NIC's NUMA node]
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<List>,
    /// Where the XDP program runs: in the driver (native) or behind it (generic) [default: auto]
    #[arg(long, value_name = "MODE")]
    pub mode: Option<XdpModeOption>,
    /// Let the NIC write into the UMEM itself [default: auto]
    #[arg(long, value_name = "WHEN")]
    pub zero_copy: Option<Switch>,
    /// Refuse to start rather than fall back to generic mode, to copying or to small pages
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", require_equals = true)]
    pub strict: Option<bool>,
    /// Keep only the first BYTES of each outer frame; the rest never leaves the kernel [default: keep all]
    #[arg(long, short = 's', value_name = "BYTES")]
    pub snap_length: Option<u32>,
    /// Take tunnel packets from these outer sources only, drop and count others [default: any source]
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub allowed_sources: Option<Vec<IpNet>>,
    /// Take VXLAN that is not inside GENEVE too, for mirror targets that are no Gateway Load Balancer
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", require_equals = true)]
    pub vxlan: Option<bool>,
    /// Entries of each receive ring, a power of two [default: 4096]
    #[arg(long, value_name = "N")]
    pub rx_ring: Option<u32>,
    /// Packet buffers of 4096 bytes per queue, a power of two [default: twice the receive ring]
    #[arg(long, value_name = "N")]
    pub frames: Option<u32>,
    /// Put the packet buffers on huge pages [default: auto]
    #[arg(long, value_name = "WHEN")]
    pub huge_pages: Option<Switch>,
    /// Poll the queue for this long per system call instead of waiting for interrupts [default: off]
    #[arg(long, value_name = "TIME")]
    pub busy_poll: Option<HumanDuration>,
    /// Level of the XDP program's own log; needs a restart to change, and costs nothing when off [default: off]
    #[arg(long, value_name = "LEVEL")]
    pub ebpf_log: Option<EbpfLog>,
}

/// What is taken off a packet. Table `[tunnel]` of the file.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "Tunnel")]
pub struct TunnelOptions {
    /// UDP port of GENEVE [default: 6081]
    #[arg(long, value_name = "PORT")]
    pub geneve_port: Option<u16>,
    /// UDP port of VXLAN [default: 4789]
    #[arg(long, value_name = "PORT")]
    pub vxlan_port: Option<u16>,
    /// Tunnel headers to take off at most; a packet nested more deeply is recorded as it is there [default: 2]
    #[arg(long, value_name = "N")]
    pub max_depth: Option<u8>,
}

/// Where the records go. Table `[output]` of the file.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "Output")]
pub struct OutputOptions {
    /// `-` for standard output, a file, or an existing directory (or a path ending in /) for rotated files [default: -]
    #[arg(long = "output", short, value_name = "PATH")]
    pub path: Option<PathBuf>,
    /// Format of the records [default: ndjson]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// In a directory: begin a new file at this size [default: 256MiB]
    #[arg(long, value_name = "SIZE")]
    pub rotate_size: Option<ByteSize>,
    /// In a directory: begin a new file after this time [default: 5m]
    #[arg(long, value_name = "TIME")]
    pub rotate_time: Option<HumanDuration>,
    /// Batches of 1024 records between a worker and its sink; when all are in use, packets are dropped and
    /// counted [default: 64]
    #[arg(long, value_name = "N")]
    pub queue_batches: Option<usize>,
    /// Write the ledger to this file at the end, as JSON
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
}

/// All that a command or a file can say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Table `[capture]`.
    pub capture: CaptureOptions,
    /// Table `[tunnel]`.
    pub tunnel: TunnelOptions,
    /// Table `[output]`.
    pub output: OutputOptions,
}

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
    /// A value is out of range or missing.
    #[error("{key}: {problem}")]
    Value {
        /// The option, as the command line names it.
        key: &'static str,
        /// What is wrong, and what would do.
        problem: String,
    },
}

/// A list of numbers and ranges: `0-3,8`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct List(pub Vec<usize>);

impl FromStr for List {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let valid = text.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | '-' | ' '));
        match parse_list(text) {
            list if valid && !list.is_empty() => Ok(Self(list)),
            _ => Err(format!("{text:?} is no list of numbers such as 0-3,8")),
        }
    }
}

impl TryFrom<String> for List {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A time such as `50us`, `5m` or `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HumanDuration(pub Duration);

impl FromStr for HumanDuration {
    type Err = humantime::DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_duration(text).map(Self)
    }
}

impl TryFrom<String> for HumanDuration {
    type Error = humantime::DurationError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Where the XDP program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum XdpModeOption {
    /// Native where the driver can, else generic
    #[default]
    Auto,
    /// In the driver
    Native,
    /// In the network stack, for any driver
    Generic,
}

/// Something that can be had, or refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// Where it is to be had
    #[default]
    Auto,
    /// Ask for it, and say so where it is not to be had
    On,
    /// Never
    Off,
}

/// Level of the XDP program's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EbpfLog {
    /// No log; the program is loaded without it
    #[default]
    Off,
    /// What goes wrong
    Error,
    /// And what is odd
    Warn,
    /// And what is worth knowing
    Info,
    /// And each packet's verdict
    Debug,
    /// And each step
    Trace,
}

impl From<EbpfLog> for LevelFilter {
    fn from(level: EbpfLog) -> Self {
        match level {
            EbpfLog::Off => Self::OFF,
            EbpfLog::Error => Self::ERROR,
            EbpfLog::Warn => Self::WARN,
            EbpfLog::Info => Self::INFO,
            EbpfLog::Debug => Self::DEBUG,
            EbpfLog::Trace => Self::TRACE,
        }
    }
}

/// Settled values: nothing is optional that has a default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How frames are captured; unused by `replay`.
    pub capture: CaptureSettings,
    /// What is taken off a packet.
    pub tunnel: TunnelSettings,
    /// Where records go.
    pub output: OutputSettings,
}

/// Settled [`CaptureOptions`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureSettings {
    /// The interface; `None` where the command needs none.
    pub interface: Option<String>,
    /// Receive queues; `None`: all.
    pub queues: Option<Vec<usize>>,
    /// Processors for the workers; `None`: chosen from the NIC's NUMA node.
    pub cpus: Option<Vec<usize>>,
    /// Where the XDP program runs.
    pub mode: XdpModeOption,
    /// Zero-copy.
    pub zero_copy: Switch,
    /// No fall-backs.
    pub strict: bool,
    /// Bytes of the outer frame to keep; 0: all.
    pub snap_length: u32,
    /// Allowed outer sources; empty: any.
    pub allowed_sources: Vec<IpNet>,
    /// VXLAN that is not inside GENEVE too.
    pub vxlan: bool,
    /// Entries of a receive ring.
    pub rx_ring: u32,
    /// Frames of a UMEM.
    pub frames: u32,
    /// Huge pages for the UMEM.
    pub huge_pages: Switch,
    /// Busy polling.
    pub busy_poll: Option<Duration>,
    /// The XDP program's log.
    pub ebpf_log: EbpfLog,
}

/// Settled [`TunnelOptions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelSettings {
    /// UDP port of GENEVE.
    pub geneve_port: u16,
    /// UDP port of VXLAN.
    pub vxlan_port: u16,
    /// Tunnel headers to take off at most.
    pub max_depth: u8,
}

/// Settled [`OutputOptions`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputSettings {
    /// `-`, a file, or a directory.
    pub path: PathBuf,
    /// Format of the records.
    pub format: Format,
    /// Size of a file in a directory.
    pub rotate_size: u64,
    /// Age of a file in a directory.
    pub rotate_time: Duration,
    /// Batches per worker.
    pub queue_batches: usize,
    /// The ledger's file.
    pub ledger: Option<PathBuf>,
}

/// Smallest frame of which a record can be made: up to the inner IP header of a packet from a load balancer.
const MIN_SNAP_LENGTH: u32 = 152;

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

/// The command line's value, else the file's.
macro_rules! layered {
    ($flags:expr, $file:expr; $($field:ident),+) => {
        ($($flags.$field.or($file.$field),)+)
    };
}

impl Settings {
    /// Settles what the command line says over what the file says over the defaults.
    ///
    /// # Errors
    ///
    /// When a value is out of its range; the message names the option.
    pub fn resolve(flags: Options, file: Options) -> Result<Self, ConfigError> {
        let (interface, queues, cpus, mode, zero_copy, strict, snap_length, allowed_sources) = layered!(
            flags.capture, file.capture;
            interface, queues, cpus, mode, zero_copy, strict, snap_length, allowed_sources
        );
        let (vxlan, rx_ring, frames, huge_pages, busy_poll, ebpf_log) =
            layered!(flags.capture, file.capture; vxlan, rx_ring, frames, huge_pages, busy_poll, ebpf_log);
        let (geneve_port, vxlan_port, max_depth) =
            layered!(flags.tunnel, file.tunnel; geneve_port, vxlan_port, max_depth);
        let (path, format, rotate_size, rotate_time, queue_batches, ledger) = layered!(flags.output, file.output; path, format, rotate_size, rotate_time, queue_batches, ledger);

        let rx_ring = rx_ring.unwrap_or(4096);
        let settings = Self {
            capture: CaptureSettings {
                interface,
                queues: queues.map(|list| list.0),
                cpus: cpus.map(|list| list.0),
                mode: mode.unwrap_or_default(),
                zero_copy: zero_copy.unwrap_or_default(),
                strict: strict.unwrap_or(false),
                snap_length: snap_length.unwrap_or(0),
                allowed_sources: allowed_sources.unwrap_or_default(),
                vxlan: vxlan.unwrap_or(false),
                rx_ring,
                frames: frames.unwrap_or(rx_ring.saturating_mul(2)),
                huge_pages: huge_pages.unwrap_or_default(),
                busy_poll: busy_poll.map(|time| time.0).filter(|time| !time.is_zero()),
                ebpf_log: ebpf_log.unwrap_or_default(),
            },
            tunnel: TunnelSettings {
                geneve_port: geneve_port.unwrap_or(port::GENEVE),
                vxlan_port: vxlan_port.unwrap_or(port::VXLAN),
                max_depth: max_depth.unwrap_or(2),
            },
            output: OutputSettings {
                path: path.unwrap_or_else(|| PathBuf::from("-")),
                format: format.unwrap_or_default(),
                rotate_size: rotate_size.map_or(256 << 20, |size| size.as_u64()),
                rotate_time: rotate_time.map_or(Duration::from_secs(300), |time| time.0),
                queue_batches: queue_batches.unwrap_or(64),
                ledger,
            },
        };
        settings.check()?;
        Ok(settings)
    }

    /// What decapsulation is told.
    pub fn decap_config(&self) -> DecapConfig {
        let TunnelSettings { geneve_port, vxlan_port, max_depth } = self.tunnel;
        DecapConfig { geneve_port, vxlan_port, max_depth }
    }

    /// What the XDP program is told, on an interface with so many receive queues.
    pub fn load_options(&self, queues: u32) -> attach::Options {
        let Self { capture, tunnel, .. } = self;
        attach::Options {
            geneve_port: tunnel.geneve_port,
            vxlan_port: capture.vxlan.then_some(tunnel.vxlan_port),
            session_port: (tunnel.max_depth > 1).then_some(tunnel.vxlan_port),
            snap_length: Some(capture.snap_length).filter(|&length| length != 0),
            snap_lengths: Vec::new(),
            allowed_sources: capture
                .allowed_sources
                .iter()
                .map(|net| attach::Prefix { address: net.addr(), length: net.prefix_len() })
                .collect(),
            force_preamble: false,
            queues,
            log_level: capture.ebpf_log.into(),
        }
    }

    /// Opens the output for so many workers.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub fn start_sinks(&self, workers: usize) -> Result<(Vec<Producer>, Sinks), RunError> {
        let OutputSettings { path, format, rotate_size, rotate_time, queue_batches, .. } = &self.output;
        let config = SinkConfig {
            destination: Destination::from(path.clone().into_os_string()),
            format: *format,
            rotate_bytes: *rotate_size,
            rotate_after: *rotate_time,
            queue_batches: *queue_batches,
        };
        Ok(sink::start(&config, workers)?)
    }

    /// Writes the ledger to its file, if it is to have one.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write_ledger(&self, ledger: &Ledger) -> Result<(), RunError> {
        match &self.output.ledger {
            Some(path) => {
                ledger.write(path).map_err(|source| RunError::Ledger { path: path.clone(), source })
            }
            None => Ok(()),
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let Self { capture, tunnel, output } = self;
        let value = |key, problem: String| Err(ConfigError::Value { key, problem });
        for (key, size) in [("--rx-ring", capture.rx_ring), ("--frames", capture.frames)] {
            if !size.is_power_of_two() || !(64..=1 << 20).contains(&size) {
                return value(key, format!("{size} is not a power of two from 64 to 1048576"));
            }
        }
        if capture.frames < capture.rx_ring {
            return value(
                "--frames",
                format!("there must be at least as many as --rx-ring ({})", capture.rx_ring),
            );
        }
        if capture.snap_length != 0 && capture.snap_length < MIN_SNAP_LENGTH {
            let remedy = "the headers of a mirrored packet end behind it; give more, or 0 to keep all";
            return value(
                "--snap-length",
                format!("{} is below {MIN_SNAP_LENGTH}: {remedy}", capture.snap_length),
            );
        }
        if tunnel.geneve_port == 0 || tunnel.vxlan_port == 0 || tunnel.geneve_port == tunnel.vxlan_port {
            return value(
                "--geneve-port",
                "the ports of GENEVE and VXLAN must differ, and not be 0".to_owned(),
            );
        }
        if !(1..=8).contains(&tunnel.max_depth) {
            return value("--max-depth", format!("{} is not from 1 to 8", tunnel.max_depth));
        }
        if output.queue_batches < 2 {
            return value(
                "--queue-batches",
                "there must be at least 2: one to fill, one to write".to_owned(),
            );
        }
        if output.rotate_size == 0 || output.rotate_time.is_zero() {
            return value("--rotate-size", "a file needs some size, and --rotate-time some time".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
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
        let Options { capture, tunnel, output } = documented.clone();
        let CaptureOptions {
            interface,
            queues,
            cpus,
            mode,
            zero_copy,
            strict,
            snap_length,
            allowed_sources,
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
        assert!(vxlan.is_some() && rx_ring.is_some() && frames.is_some() && huge_pages.is_some());
        assert!(busy_poll.is_some() && ebpf_log.is_some());
        let TunnelOptions { geneve_port, vxlan_port, max_depth } = tunnel;
        assert!(geneve_port.is_some() && vxlan_port.is_some() && max_depth.is_some());
        let OutputOptions { path, format, rotate_size, rotate_time, queue_batches, ledger } = output;
        assert!(path.is_some() && format.is_some() && rotate_size.is_some() && rotate_time.is_some());
        assert!(queue_batches.is_some() && ledger.is_some());

        let defaults = Settings::resolve(Options::default(), Options::default()).unwrap();
        let as_shipped = settle(DOCUMENTED).unwrap();
        assert_eq!(as_shipped, defaults, "the file as shipped changes nothing");
        let mut stated = Settings::resolve(Options::default(), documented).unwrap();
        stated.capture.interface = None;
        stated.capture.queues = None;
        stated.capture.cpus = None;
        stated.capture.allowed_sources = Vec::new();
        stated.output.ledger = None;
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
            ("[tunnel]\nmax_depth = 0", "--max-depth: 0"),
            ("[tunnel]\nvxlan_port = 6081", "--geneve-port"),
            ("[output]\nqueue_batches = 1", "--queue-batches"),
            ("[output]\nrotate_size = \"0\"", "--rotate-size"),
            ("[capture]\nqueues = \"a\"", "no list of numbers"),
        ] {
            let error = settle(file).unwrap_err();
            assert!(error.contains(expected), "{file}: {error}");
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

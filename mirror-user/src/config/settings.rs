//! Settled values: the command line over the file over the defaults.

use std::hash::{BuildHasher as _, RandomState};
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};
use mirror_common::port;

use super::ConfigError;
use super::options::Options;
use super::value::{EbpfLog, HumanDuration, Switch, XdpModeOption};
use crate::counters::WorkerCounters;
use crate::decap::DecapConfig;
use crate::degrade::{Degradation, DegradeConfig, DegradeMode};
use crate::flow::{FlowConfig, FlowTable};
use crate::ledger::{self, Ledger};
use crate::pipeline::RunError;
use crate::rules::rule::MIN_SNAP_LENGTH;
use crate::rules::{RecordKind, Recording, Rules};
use crate::sink::{self, Destination, Format, Opened, Producer, SinkConfig};
use crate::source::FrameSource;
use crate::worker::{WhenFull, Worker};
use crate::xdp;

/// The sampling seed of this process where none is given: the same for all workers, so that both directions of a flow are
/// selected together whichever queues they come by.
static RANDOM_SAMPLING_SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("sampling"));

/// The IPv4-mapped IPv6 addresses (RFC 4291, section 2.5.5.2).
const MAPPED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);

/// Settled values: nothing is optional that has a default.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How frames are captured; unused by `replay`.
    pub capture: CaptureSettings,
    /// What is taken off a packet.
    pub tunnel: TunnelSettings,
    /// The flow table of each worker, where there are records of flows. Its seeds are set when it is made.
    pub flow: FlowConfig,
    /// Decides which flows are selected where flows are sampled; `None`: a number that is random for each process.
    pub sampling_seed: Option<u64>,
    /// Which records are made of which tunnel's packets.
    pub rules: Rules,
    /// Where records go.
    pub output: OutputSettings,
}

/// Settled [`CaptureOptions`](super::options::CaptureOptions).
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
    /// Allowed outer sources; `None`: any.
    pub allowed_sources: Option<Vec<IpNet>>,
    /// Tunnel packets to any outer destination, not only to the interface's own addresses.
    pub any_destination: bool,
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

/// Settled [`TunnelOptions`](super::options::TunnelOptions).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelSettings {
    /// UDP port of GENEVE.
    pub geneve_port: u16,
    /// UDP port of VXLAN.
    pub vxlan_port: u16,
    /// Tunnel headers to take off at most.
    pub max_depth: u8,
}

/// Settled [`OutputOptions`](super::options::OutputOptions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputSettings {
    /// `-`, a file, or a directory.
    pub path: PathBuf,
    /// What is left off when a worker cannot keep up.
    pub degradation: DegradeMode,
    /// Format of the records.
    pub format: Format,
    /// Size of a file in a directory.
    pub rotate_size: u64,
    /// Age of a file in a directory.
    pub rotate_time: Duration,
    /// Batches per worker.
    pub queue_batches: usize,
    /// How long stopping waits for the output.
    pub drain_timeout: Duration,
    /// The ledger's file.
    pub ledger: Option<PathBuf>,
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
        let (any_destination, vxlan, rx_ring, frames, huge_pages, busy_poll, ebpf_log) = layered!(
            flags.capture, file.capture;
            any_destination, vxlan, rx_ring, frames, huge_pages, busy_poll, ebpf_log
        );
        let (geneve_port, vxlan_port, max_depth) =
            layered!(flags.tunnel, file.tunnel; geneve_port, vxlan_port, max_depth);
        let (max_flows, max_tunnels, idle_timeout, active_timeout, closing_timeout, sampling_seed) = layered!(
            flags.flow, file.flow;
            max_flows, max_tunnels, idle_timeout, active_timeout, closing_timeout, sampling_seed
        );
        let (path, records, payload, degradation, format) =
            layered!(flags.output, file.output; path, records, payload, degradation, format);
        let (rotate_size, rotate_time, queue_batches, drain_timeout, ledger) = layered!(
            flags.output, file.output; rotate_size, rotate_time, queue_batches, drain_timeout, ledger
        );

        let rx_ring = rx_ring.unwrap_or(4096);
        let format = format.unwrap_or_default();
        let records = records.unwrap_or_else(|| match format {
            Format::Ndjson => vec![RecordKind::Flow],
            Format::Pcapng => vec![RecordKind::Packet],
        });
        let time = |option: Option<HumanDuration>, default| option.map_or(default, |time| time.0);
        let flow = FlowConfig::default();
        let default = Recording {
            packets: RecordKind::Packet.is_in(&records),
            flows: RecordKind::Flow.is_in(&records),
            snap_length: snap_length.filter(|&length| length != 0),
            payload: payload.unwrap_or(true),
        };
        if let Some(length) = default.snap_length.filter(|&length| length < MIN_SNAP_LENGTH) {
            let remedy = "the headers of a mirrored packet end behind it; give more, or 0 to keep all";
            let problem = format!("{length} is below {MIN_SNAP_LENGTH}: {remedy}");
            return Err(ConfigError::Value { key: "--snap-length", problem });
        }
        let settings = Self {
            capture: CaptureSettings {
                interface,
                queues: queues.map(|list| list.0),
                cpus: cpus.map(|list| list.0),
                mode: mode.unwrap_or_default(),
                zero_copy: zero_copy.unwrap_or_default(),
                strict: strict.unwrap_or(false),
                allowed_sources,
                any_destination: any_destination.unwrap_or(false),
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
            flow: FlowConfig {
                max_flows: max_flows.unwrap_or(flow.max_flows),
                max_tunnels: max_tunnels.unwrap_or(flow.max_tunnels),
                idle: time(idle_timeout, flow.idle),
                active: time(active_timeout, flow.active),
                closing: time(closing_timeout, flow.closing),
                ..flow
            },
            sampling_seed: sampling_seed.map(|seed| seed.0),
            rules: Rules::new(&file.rule, default)?,
            output: OutputSettings {
                path: path.unwrap_or_else(|| PathBuf::from("-")),
                degradation: degradation.unwrap_or_default(),
                format,
                rotate_size: rotate_size.map_or(256 << 20, |size| size.as_u64()),
                rotate_time: time(rotate_time, Duration::from_secs(300)),
                queue_batches: queue_batches.unwrap_or(64),
                drain_timeout: time(drain_timeout, Duration::from_secs(30)),
                ledger,
            },
        };
        settings.check()?;
        Ok(settings)
    }

    fn decap_config(&self) -> DecapConfig {
        let TunnelSettings { geneve_port, vxlan_port, max_depth } = self.tunnel;
        DecapConfig { geneve_port, vxlan_port, max_depth }
    }

    /// Makes a worker, with the records that it is to make.
    ///
    /// # Errors
    ///
    /// When there is no room for its flow table.
    pub fn worker<Source: FrameSource>(
        &self,
        source: Source,
        producer: Producer,
        when_full: WhenFull,
        counters: &Arc<WorkerCounters>,
    ) -> Result<Worker<Source>, RunError> {
        let queue = counters.queue;
        let rules = self.rules.clone();
        let flows = rules.any(|recording| recording.flows);
        let counters = Arc::clone(counters);
        let degradation =
            Degradation::new(DegradeConfig { mode: self.output.degradation, ..DegradeConfig::default() })?;
        let worker =
            Worker::new(source, self.decap_config(), rules, degradation, producer, when_full, counters);
        if !flows {
            return Ok(worker);
        }
        // Senders must know neither which flows share a bucket nor which ones are selected.
        let seed = RandomState::new().hash_one(queue);
        let sampling_seed = self.sampling_seed.unwrap_or(*RANDOM_SAMPLING_SEED);
        Ok(worker.with_flows(FlowTable::new(FlowConfig { seed, sampling_seed, queue, ..self.flow })?))
    }

    /// What the XDP program is told, on an interface with so many receive queues.
    pub fn load_options(&self, queues: u32) -> xdp::ProgramConfig {
        let Self { capture, tunnel, .. } = self;
        xdp::ProgramConfig {
            geneve_port: tunnel.geneve_port,
            vxlan_port: capture.vxlan.then_some(tunnel.vxlan_port),
            session_port: (tunnel.max_depth > 1).then_some(tunnel.vxlan_port),
            snap_length: self.rules.rest().snap_length,
            snap_lengths: self.rules.snap_lengths(),
            allowed_sources: capture.allowed_sources.as_ref().map(|sources| {
                let prefix = |net: &IpNet| xdp::Prefix { address: net.addr(), length: net.prefix_len() };
                sources.iter().map(prefix).collect()
            }),
            own_addresses_only: !capture.any_destination,
            force_preamble: false,
            queues,
            log_level: capture.ebpf_log.into(),
        }
    }

    /// Bytes of memory that the flow table of a worker may take; 0 where there are no records of flows.
    pub fn flow_table_memory(&self) -> u64 {
        if self.rules.any(|recording| recording.flows) { FlowTable::bytes(&self.flow) } else { 0 }
    }

    /// What the sinks are told.
    pub fn sink_config(&self) -> SinkConfig {
        let OutputSettings { path, format, rotate_size, rotate_time, queue_batches, .. } = &self.output;
        SinkConfig {
            destination: Destination::from(path.clone().into_os_string()),
            format: *format,
            rotate_bytes: *rotate_size,
            rotate_after: *rotate_time,
            queue_batches: *queue_batches,
        }
    }

    /// Opens and locks the output for so many workers, and finds out that the ledger can be written. Nothing is changed
    /// there until the sinks begin.
    ///
    /// # Errors
    ///
    /// When one of them cannot be written, or another process writes to the output.
    pub fn start_sinks(&self, workers: usize) -> Result<(Vec<Producer>, Opened), RunError> {
        let opened = sink::open(&self.sink_config(), workers)?;
        if let Some(path) = &self.output.ledger {
            ledger::file::check(path).map_err(|source| RunError::Ledger { path: path.clone(), source })?;
        }
        Ok(opened)
    }

    /// Writes the ledger to its file, if it is to have one.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write_ledger(&self, ledger: &Ledger) -> Result<(), RunError> {
        match &self.output.ledger {
            Some(path) => ledger::file::write(ledger, path)
                .map_err(|source| RunError::Ledger { path: path.clone(), source }),
            None => Ok(()),
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let Self { capture, tunnel, flow, rules, output, .. } = self;
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
        for source in capture.allowed_sources.iter().flatten() {
            if let IpNet::V6(net) = source
                && MAPPED.contains(net)
            {
                let remedy = "write an IPv4 prefix as such, for example 10.0.0.0/8";
                return value(
                    "--allowed-sources",
                    format!("{net} is IPv4 in the notation of IPv6: {remedy}"),
                );
            }
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
        if let Err(error) = flow.checked() {
            return value("[flow]", error.to_string());
        }
        if output.format == Format::Pcapng && rules.any(|recording| recording.flows) {
            let remedy = "pcapng holds packets, not flows; leave flow out (in [[rule]] too), or use ndjson";
            return value("--records", remedy.to_owned());
        }
        if !rules.any(|recording| !recording.excludes()) {
            return value("--records", "there must be records of packet, flow or both".to_owned());
        }
        if output.queue_batches < 2 {
            return value(
                "--queue-batches",
                "there must be at least 2: one to fill, one to write".to_owned(),
            );
        }
        if output.ledger.as_ref() == Some(&output.path) {
            return value("--ledger", "it would overwrite the records; give another file".to_owned());
        }
        if output.rotate_size == 0 || output.rotate_time.is_zero() {
            return value("--rotate-size", "a file needs some size, and --rotate-time some time".to_owned());
        }
        Ok(())
    }
}

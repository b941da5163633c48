//! The options of the file and the command line: each key of the file is a flag of the same name.

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::Args;
use ipnet::IpNet;
use serde::Deserialize;

use super::value::{EbpfLog, HumanDuration, List, Seed, Switch, XdpModeOption, prefix, size, whole_number};
use crate::degrade::DegradeMode;
use crate::rules::{RecordKind, Rule};
use crate::sink::Format;

/// The interface that `run` captures from, and how it does. Table `[capture]` of the file.
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
    /// XDP mode: in the driver (native) or in the network stack (generic) [default: auto]
    #[arg(long, value_name = "MODE")]
    pub mode: Option<XdpModeOption>,
    /// Zero-copy AF_XDP: the NIC writes packets straight into the packet buffers [default: auto]
    #[arg(long, value_name = "WHEN")]
    pub zero_copy: Option<Switch>,
    /// Refuse to start instead of falling back to generic mode, copying or small pages
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", require_equals = true)]
    pub strict: Option<bool>,
    /// Keep only the first BYTES of each outer frame; the rest is cut off in the kernel [default: keep all]
    #[arg(long, short = 's', value_name = "BYTES", value_parser = whole_number::<u32>)]
    pub snap_length: Option<u32>,
    /// Take tunnel packets from these outer sources only; others are dropped and counted. An IPv4 prefix matches IPv4
    /// only, an IPv6 prefix IPv6 only [default: any source]
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = prefix)]
    pub allowed_sources: Option<Vec<IpNet>>,
    /// Take tunnel packets to any outer destination, not only to the interface's own addresses: for mirror ports without
    /// an address. Without it, packets to other destinations pass to the kernel
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", require_equals = true)]
    pub any_destination: Option<bool>,
    /// Take VXLAN outside of GENEVE as well, for mirror targets other than a Gateway Load Balancer
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", require_equals = true)]
    pub vxlan: Option<bool>,
    /// Size of each receive ring in entries, a power of two [default: 4096]
    #[arg(long, value_name = "N", value_parser = whole_number::<u32>)]
    pub rx_ring: Option<u32>,
    /// Packet buffers of 4096 bytes per queue, a power of two [default: twice the receive ring]
    #[arg(long, value_name = "N", value_parser = whole_number::<u32>)]
    pub frames: Option<u32>,
    /// Put the packet buffers on huge pages [default: auto]
    #[arg(long, value_name = "WHEN")]
    pub huge_pages: Option<Switch>,
    /// Poll the queue for this long per system call instead of waiting for interrupts [default: off]
    #[arg(long, value_name = "TIME")]
    pub busy_poll: Option<HumanDuration>,
    /// Level of the XDP program's own log; it costs nothing when off [default: off]
    #[arg(long, value_name = "LEVEL")]
    pub ebpf_log: Option<EbpfLog>,
}

/// The tunnel headers that are removed. Table `[tunnel]` of the file.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "Tunnel")]
pub struct TunnelOptions {
    /// UDP port of GENEVE [default: 6081]
    #[arg(long, value_name = "PORT", value_parser = whole_number::<u16>)]
    pub geneve_port: Option<u16>,
    /// UDP port of VXLAN [default: 4789]
    #[arg(long, value_name = "PORT", value_parser = whole_number::<u16>)]
    pub vxlan_port: Option<u16>,
    /// Number of nested tunnel headers to remove at most; a packet in deeper tunnels is recorded with those still on it
    /// [default: 2]
    #[arg(long, value_name = "N", value_parser = whole_number::<u8>)]
    pub max_depth: Option<u8>,
}

/// The flow table of each worker. Table `[flow]` of the file.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "Flows")]
pub struct FlowOptions {
    /// Flows per worker at a time, 159 bytes each, 191 with IPv6; beyond that the flow that has been idle for longest
    /// ends early [default: 1048576]
    #[arg(long, value_name = "N", value_parser = whole_number::<u32>)]
    pub max_flows: Option<u32>,
    /// Tunnels per worker with flows at a time; beyond that the flows of the tunnel that has been idle for longest end
    /// early [default: 16384]
    #[arg(long, value_name = "N", value_parser = whole_number::<u32>)]
    pub max_tunnels: Option<u32>,
    /// End a flow after this long without a packet [default: 2m]
    #[arg(long, value_name = "TIME")]
    pub idle_timeout: Option<HumanDuration>,
    /// Write a record of a long flow this often, at most 15m apart [default: 1m]
    #[arg(long, value_name = "TIME")]
    pub active_timeout: Option<HumanDuration>,
    /// End the flow of a closed TCP connection after this long without a packet [default: 5s]
    #[arg(long, value_name = "TIME")]
    pub closing_timeout: Option<HumanDuration>,
    /// Seed of flow sampling, decimal or 0x…: appliances with the same seed select the same flows. Senders must not know
    /// it [default: random at each start]
    #[arg(long, value_name = "N")]
    pub sampling_seed: Option<Seed>,
}

/// Where the records go. Table `[output]` of the file.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "Output")]
pub struct OutputOptions {
    /// Write records to this file; to rotated files if it is a directory or ends in /; to standard output if it is -
    /// [default: -]
    #[arg(long = "output", short = 'o', value_name = "PATH")]
    pub path: Option<PathBuf>,
    /// Records of flows, of packets, or of both [default: flow; packet with pcapng]
    #[arg(long, value_name = "KIND", value_delimiter = ',', num_args = 1, action = clap::ArgAction::Set)]
    #[serde(default, deserialize_with = "RecordKind::one_or_several")]
    pub records: Option<Vec<RecordKind>>,
    /// Let payload, and what is derived from it, into records [default: true]
    #[arg(long, value_name = "BOOL")]
    pub payload: Option<bool>,
    /// Records to leave out when a worker cannot keep up, instead of losing packets at random [default: off]
    #[arg(long, value_name = "MODE")]
    pub degradation: Option<DegradeMode>,
    /// Format of the records [default: ndjson]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// In a directory: start a new file at this size [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub rotate_size: Option<ByteSize>,
    /// In a directory: start a new file after this time [default: 5m]
    #[arg(long, value_name = "TIME")]
    pub rotate_time: Option<HumanDuration>,
    /// Batches of 1024 records between a worker and its sink thread; when all are full, packets are dropped and counted
    /// [default: 64]
    #[arg(long, value_name = "N", value_parser = whole_number::<usize>)]
    pub queue_batches: Option<usize>,
    /// Wait this long for the output to take what is left when stopping; what it has not taken by then counts as lost
    /// [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub drain_timeout: Option<HumanDuration>,
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
    /// Table `[flow]`.
    pub flow: FlowOptions,
    /// Table `[output]`.
    pub output: OutputOptions,
    /// Tables `[[rule]]`, which only the file has.
    #[serde(alias = "policy")]
    pub rule: Vec<Rule>,
}

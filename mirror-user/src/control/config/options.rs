//! What the file and the command line can say: each key of the file is a flag of the same name.

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::Args;
use ipnet::IpNet;
use serde::Deserialize;

use super::value::{EbpfLog, HumanDuration, List, Seed, Switch, XdpModeOption};
use crate::degrade::DegradeMode;
use crate::policy::{RecordKind, Rule};
use crate::sink::Format;

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
    /// Take tunnel packets from these outer sources only, drop and count others; an IPv4 prefix holds for IPv4 only, an
    /// IPv6 one for IPv6 only [default: any source]
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub allowed_sources: Option<Vec<IpNet>>,
    /// Take tunnel packets to any outer destination, also those that are not addressed to the interface: for mirror ports
    /// without an address. Without it they pass to the kernel
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", require_equals = true)]
    pub any_destination: Option<bool>,
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

/// The flow table of each worker. Table `[flow]` of the file.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "Flows")]
pub struct FlowOptions {
    /// Flows per worker; at this number the longest idle one ends early. 127 bytes each, 159 with IPv6
    /// [default: 1048576]
    #[arg(long, value_name = "N")]
    pub max_flows: Option<u32>,
    /// Tunnels per worker that may have flows at a time [default: 16384]
    #[arg(long, value_name = "N")]
    pub max_tunnels: Option<u32>,
    /// A flow ends after this long without a packet [default: 2m]
    #[arg(long, value_name = "TIME")]
    pub idle_timeout: Option<HumanDuration>,
    /// A flow that goes on gets a record this often, up to 15m [default: 1m]
    #[arg(long, value_name = "TIME")]
    pub active_timeout: Option<HumanDuration>,
    /// A closed TCP connection ends as a flow after this long without a packet [default: 5s]
    #[arg(long, value_name = "TIME")]
    pub closing_timeout: Option<HumanDuration>,
    /// Number that decides which flows are selected where flows are sampled, decimal or 0x…; appliances that are to select
    /// the same flows need the same one, and senders must not know it [default: random at each start]
    #[arg(long, value_name = "N")]
    pub sampling_seed: Option<Seed>,
}

/// Where the records go. Table `[output]` of the file.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "Output")]
pub struct OutputOptions {
    /// `-` for standard output, a file, or an existing directory (or a path ending in /) for rotated files [default: -]
    #[arg(long = "output", short, value_name = "PATH")]
    pub path: Option<PathBuf>,
    /// What there is a record of: packet, flow or both [default: flow; packet with pcapng]
    #[arg(long, value_name = "KIND", value_delimiter = ',', num_args = 1, action = clap::ArgAction::Set)]
    pub records: Option<Vec<RecordKind>>,
    /// Let what follows a packet's transport header reach a record [default: true]
    #[arg(long, value_name = "BOOL")]
    pub payload: Option<bool>,
    /// What to leave off when a worker cannot keep up, instead of losing packets at random [default: off]
    #[arg(long, value_name = "MODE")]
    pub degradation: Option<DegradeMode>,
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
    /// Table `[flow]`.
    pub flow: FlowOptions,
    /// Table `[output]`.
    pub output: OutputOptions,
    /// Tables `[[policy]]`, which only the file has.
    pub policy: Vec<Rule>,
}

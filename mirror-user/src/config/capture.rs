//! Options of capturing from an interface.

use std::net::Ipv6Addr;
use std::time::Duration;

use clap::Args;
use ipnet::{IpNet, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::rules::rule::MIN_SNAP_LENGTH;
use crate::value::{EbpfLog, List, Switch, Timestamps, ValueError, duration, prefix, whole_number};
use crate::xdp::AttachModeRequest;
use crate::xsk::WaitMode;

/// The IPv4-mapped IPv6 addresses (RFC 4291, section 2.5.5.2).
const MAPPED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);

/// Options of capturing from an interface. Table `[capture]` of the file.
#[derive(Args, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "Capture")]
pub struct CaptureConfig {
    /// Interface that the tunnel packets arrive on
    #[arg(long, short, value_name = "IF")]
    pub interface: Option<String>,
    /// Receive queues to capture from [default: all]
    #[arg(long, value_name = "LIST")]
    pub queues: Option<List>,
    /// CPUs to pin the workers to, one per queue in turn [default: those of the NIC's NUMA node]
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<List>,
    /// XDP mode: in the driver (native) or in the network stack (generic)
    #[arg(long, value_name = "MODE")]
    pub mode: AttachModeRequest,
    /// Zero-copy AF_XDP: the NIC writes packets straight into the packet buffers
    #[arg(long, value_name = "WHEN")]
    pub zero_copy: Switch,
    /// Refuse to start instead of falling back to generic mode, copying or small pages
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", require_equals = true, action = clap::ArgAction::Set)]
    pub strict: bool,
    /// Keep only the first BYTES of each outer frame; the rest is cut off in the kernel. 0: keep all
    #[arg(long, short = 's', value_name = "BYTES", value_parser = whole_number::<u32>)]
    pub snap_length: u32,
    /// Take tunnel packets from these outer sources only; others are dropped and counted. An IPv4 prefix matches IPv4
    /// only, an IPv6 prefix IPv6 only [default: any source]
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = prefix)]
    pub allowed_sources: Option<Vec<IpNet>>,
    /// Take tunnel packets to any outer destination, not only to the interface's own addresses: for mirror ports without
    /// an address. Without it, packets to other destinations pass to the kernel
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", require_equals = true, action = clap::ArgAction::Set)]
    pub any_destination: bool,
    /// Take VXLAN outside of GENEVE as well, for mirror targets other than a Gateway Load Balancer
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", require_equals = true, action = clap::ArgAction::Set)]
    pub vxlan: bool,
    /// Size of each receive ring in entries, a power of two
    #[arg(long, value_name = "N", value_parser = whole_number::<u32>)]
    pub rx_ring: u32,
    /// Packet buffers of 4096 bytes per queue, a power of two [default: twice the receive ring]
    #[arg(long, value_name = "N", value_parser = whole_number::<u32>)]
    pub frames: Option<u32>,
    /// Put the packet buffers on huge pages
    #[arg(long, value_name = "WHEN")]
    pub huge_pages: Switch,
    /// Poll the queue for this long per system call instead of waiting for interrupts. 0s: wait for interrupts
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    #[serde(with = "duration")]
    pub busy_poll: Duration,
    /// How workers wait for packets
    #[arg(long, value_name = "HOW")]
    pub wait: WaitMode,
    /// Receive times of packets: exact, which costs the CPU that receives tens of nanoseconds per packet, or
    /// interpolated where packets follow each other closely, to 20 µs (99 in 100)
    #[arg(long, value_name = "HOW")]
    pub timestamps: Timestamps,
    /// Level of the XDP program's own log; it costs nothing when off
    #[arg(long, value_name = "LEVEL")]
    pub ebpf_log: EbpfLog,
}

impl Default for CaptureConfig {
    fn default() -> Self {
        Self {
            interface: None,
            queues: None,
            cpus: None,
            mode: AttachModeRequest::default(),
            zero_copy: Switch::default(),
            strict: false,
            snap_length: 0,
            allowed_sources: None,
            any_destination: false,
            vxlan: false,
            rx_ring: 4096,
            frames: None,
            huge_pages: Switch::default(),
            busy_poll: Duration::ZERO,
            wait: WaitMode::default(),
            timestamps: Timestamps::default(),
            ebpf_log: EbpfLog::default(),
        }
    }
}

impl CaptureConfig {
    /// Packet buffers per queue.
    pub fn frames(&self) -> u32 {
        self.frames.unwrap_or(self.rx_ring.saturating_mul(2))
    }

    /// Bytes of each frame that are kept; [`None`]: all.
    pub fn snap_length(&self) -> Option<u32> {
        Some(self.snap_length).filter(|&length| length != 0)
    }

    /// Time to poll for per system call; [`None`]: interrupts are waited for.
    pub fn busy_poll(&self) -> Option<Duration> {
        Some(self.busy_poll).filter(|time| !time.is_zero())
    }

    /// Checks that every value is in its range.
    ///
    /// # Errors
    ///
    /// The first value that is not.
    pub fn check(&self) -> Result<(), ValueError> {
        if let Some(length) = self.snap_length().filter(|&length| length < MIN_SNAP_LENGTH) {
            let remedy = "the headers of a mirrored packet end behind it; give more, or 0 to keep all";
            return Err(ValueError::new(
                "--snap-length",
                format!("{length} is below {MIN_SNAP_LENGTH}: {remedy}"),
            ));
        }
        for (key, size) in [("--rx-ring", self.rx_ring), ("--frames", self.frames())] {
            if !size.is_power_of_two() || !(64..=1 << 20).contains(&size) {
                return Err(ValueError::new(key, format!("{size} is not a power of two from 64 to 1048576")));
            }
        }
        if self.frames() < self.rx_ring {
            let problem = format!("there must be at least as many as --rx-ring ({})", self.rx_ring);
            return Err(ValueError::new("--frames", problem));
        }
        for source in self.allowed_sources.iter().flatten() {
            if let IpNet::V6(net) = source
                && MAPPED.contains(net)
            {
                let remedy = "write an IPv4 prefix as such, for example 10.0.0.0/8";
                let problem = format!("{net} is IPv4 in the notation of IPv6: {remedy}");
                return Err(ValueError::new("--allowed-sources", problem));
            }
        }
        Ok(())
    }
}

//! Configuration of the capture program.

use std::net::IpAddr;

use mirror_common::port;
use mirror_common::tunnel::TunnelKey;
use tracing::level_filters::LevelFilter;

/// Most addresses that packets are taken for: more than any instance's interface can have.
pub const MOST_ADDRESSES: u32 = 4096;

/// Configuration of the capture program when it is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramConfig {
    /// UDP destination port of GENEVE.
    pub geneve_port: u16,
    /// UDP destination port of VXLAN that is not inside GENEVE; such packets pass to the kernel where it is absent.
    pub vxlan_port: Option<u16>,
    /// UDP destination port of VXLAN directly inside GENEVE. Its VNI is that of a packet, for `snap_lengths`; where
    /// the port is absent, the VNI of GENEVE always is.
    pub session_port: Option<u16>,
    /// Keep only this many bytes of each frame, at least 14; all of them where it is absent.
    pub snap_length: Option<u32>,
    /// Snap lengths of particular tunnels, in place of `snap_length`; of several keys that match a packet, the most specific
    /// one counts. Only tunnel headers in the first buffer of the packet are read: a packet whose tunnel cannot be read is
    /// truncated to the shortest of all lengths.
    pub snap_lengths: Vec<(TunnelKey, Option<u32>)>,
    /// Outer sources that may send tunnel packets; absent for all, empty for none. A prefix holds for its own family
    /// only.
    pub allowed_sources: Option<Vec<Prefix>>,
    /// Take only packets to the addresses of [`Program::set_addresses`](super::Program::set_addresses); others pass to the
    /// kernel.
    pub own_addresses_only: bool,
    /// Receive times of every packet, or of of those that [`Stamps`](super::queue::Stamps) chooses.
    pub exact_timestamps: bool,
    /// Receive queues of the interface, numbered from 0.
    pub queues: u32,
    /// Least serious event that the program logs, packet by packet. Off costs nothing; the rest is for debugging.
    pub log_level: LevelFilter,
}

impl Default for ProgramConfig {
    /// GENEVE on its registered port, whole packets from and to any address, one queue, no log.
    fn default() -> Self {
        Self {
            geneve_port: port::GENEVE,
            vxlan_port: None,
            session_port: Some(port::VXLAN),
            snap_length: None,
            snap_lengths: Vec::new(),
            allowed_sources: None,
            own_addresses_only: false,
            exact_timestamps: true,
            queues: 1,
            log_level: LevelFilter::OFF,
        }
    }
}

/// The addresses that equal `address` in the first `length` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// An address of the prefix; the bits behind `length` do not matter.
    pub address: IpAddr,
    /// Length in bits: at most 32 with IPv4, 128 with IPv6.
    pub length: u8,
}

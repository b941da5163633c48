//! Options of decapsulation.

use clap::Args;
use mirror_common::port;
use serde::{Deserialize, Serialize};

use crate::value::{ValueError, whole_number};

/// Options of decapsulation.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "Tunnel")]
pub struct DecapConfig {
    /// UDP port of GENEVE
    #[arg(long, value_name = "PORT", value_parser = whole_number::<u16>)]
    pub geneve_port: u16,
    /// UDP port of VXLAN
    // Inside GENEVE and by itself.
    #[arg(long, value_name = "PORT", value_parser = whole_number::<u16>)]
    pub vxlan_port: u16,
    /// Number of nested tunnel headers to remove at most; a packet in deeper tunnels is recorded with those still on it
    // GENEVE included; the outer one always is removed. 2 suffices for the mirror's own tunnels; more looks into the
    // overlays of mirrored traffic, and believes the addresses in there.
    #[arg(long, value_name = "N", value_parser = whole_number::<u8>)]
    pub max_depth: u8,
}

impl Default for DecapConfig {
    /// The tunnels of a mirror session behind a Gateway Load Balancer.
    fn default() -> Self {
        Self { geneve_port: port::GENEVE, vxlan_port: port::VXLAN, max_depth: 2 }
    }
}

impl DecapConfig {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    ///
    /// The first value that is not.
    pub fn check(&self) -> Result<(), ValueError> {
        if self.geneve_port == 0 || self.vxlan_port == 0 || self.geneve_port == self.vxlan_port {
            return Err(ValueError::new(
                "--geneve-port",
                "the ports of GENEVE and VXLAN must differ, and not be 0",
            ));
        }
        if !(1..=8).contains(&self.max_depth) {
            return Err(ValueError::new("--max-depth", format!("{} is not from 1 to 8", self.max_depth)));
        }
        Ok(())
    }

    /// `true` if UDP to this port may be a tunnel packet.
    #[inline(always)]
    pub(super) const fn is_tunnel(&self, port: u16) -> bool {
        port == self.geneve_port || port == self.vxlan_port
    }
}

//! Modes of attachment.

use serde::{Deserialize, Serialize};
use std::fmt;

use aya::programs::XdpMode;

/// Place in the network stack at which the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// In the driver, before the kernel builds a socket buffer.
    Native,
    /// In the network stack: works with every driver, at a fraction of the rate.
    Generic,
}

impl AttachMode {
    pub(super) const fn flag(self) -> XdpMode {
        match self {
            Self::Native => XdpMode::Driver,
            Self::Generic => XdpMode::Skb,
        }
    }
}

impl fmt::Display for AttachMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

/// XDP mode that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum AttachModeRequest {
    /// Native if the driver supports it, else generic
    #[default]
    Auto,
    /// In the driver
    Native,
    /// In the network stack, for any driver
    Generic,
}

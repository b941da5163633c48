//! Modes of attachment.

use std::fmt;

use aya::programs::XdpMode;

/// Where in the network stack the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// In the driver, before the kernel makes anything of the packet.
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

/// Which modes are acceptable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttachModeRequest {
    /// Native, or generic where the driver does not take the program.
    #[default]
    Auto,
    /// Native, or none.
    Native,
    /// Generic, or none.
    Generic,
}

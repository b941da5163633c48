//! Arguments of the demo.

use std::path::PathBuf;

/// Arguments of `demo`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Number of packets.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub packets: u64,
    /// Number of mirrored flows.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub flows: u32,
    /// Records of each flow, or of each packet.
    #[arg(long, value_enum, default_value_t = RecordKind::Flow)]
    pub records: RecordKind,
    /// Bytes of a frame on the wire, tunnel headers included; those of IPv6 in VXLAN in GENEVE need 192.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(64..=9000))]
    pub frame_size: u32,
    /// Packets per second; 0 for as fast as possible. The default is one that two busy processors keep up with:
    /// generator, kernel, worker and sink share the machine.
    #[arg(long, default_value_t = 200_000)]
    pub rate: u64,
    /// Place of the XDP program.
    #[arg(long, value_enum, default_value_t = Mode::Native)]
    pub mode: Mode,
}

/// The kind of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RecordKind {
    /// Of each flow, as in a capture without options.
    Flow,
    /// Of each packet.
    Packet,
}

impl RecordKind {
    /// The daemon's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Packet => "packet",
        }
    }
}

/// Place of an XDP program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// In the driver.
    Native,
    /// In the kernel's network stack, with any driver.
    Generic,
}

impl Mode {
    /// The daemon's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// Arguments of the part that needs root.
#[derive(clap::Args)]
pub struct LiveArguments {
    #[command(flatten)]
    pub arguments: Arguments,
    /// The daemon.
    #[arg(long)]
    pub capture: PathBuf,
    /// The generator.
    #[arg(long)]
    pub generator: PathBuf,
    /// The directory in which there is to be one for records and ledger.
    #[arg(long)]
    pub directory: PathBuf,
}

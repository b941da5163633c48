//! The loaded capture program.

use std::net::IpAddr;
use std::os::fd::AsRawFd;

use aya::maps::lpm_trie::LpmTrie;
use aya::maps::{HashMap, MapData, MapError, PerCpuArray};
use aya::programs::xdp::XdpLinkId;
use aya::programs::{ProgramError, Xdp};
use aya::util::KernelVersion;
use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use mirror_common::address::FirstPrefixes;
use mirror_common::config::{self, CaptureConfig};
use mirror_common::tunnel::TunnelKey;
use mirror_common::verdict::{self, Counts};
use tracing::level_filters::LevelFilter;

use super::address::{AddressChange, DestinationMaps};
use super::config::{MOST_ADDRESSES, Prefix, ProgramConfig};
use super::error::XdpError;
use super::interface::{Interface, interfaces};
use super::maps::{add, prefix_key, take_map};
use super::mode::{AttachMode, AttachModeRequest};
use super::queue::{QueueEntry, QueueMaps};
use super::verdicts::Verdicts;
use crate::number::QueueId;

/// Result of attaching the program.
#[derive(Debug)]
pub struct Attachment {
    /// The mode that it runs in.
    pub mode: AttachMode,
    /// The error of native mode, if that was tried before.
    pub fallback: Option<XdpError>,
}

/// The loaded capture program. Dropping it detaches it.
///
/// The attachment belongs to a file descriptor (`bpf_link`), so the kernel ends it also when the process is
/// killed. aya would attach by netlink, which outlives the process, if the kernel answers `EINVAL`; from Linux 5.9
/// on that goes through the same checks and is refused as well, so it only brings the driver's own message.
pub struct Program {
    ebpf: Ebpf,
    link: Option<XdpLinkId>,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    queue_maps: QueueMaps,
    addresses: DestinationMaps,
    counters: PerCpuArray<MapData, Counts>,
}

impl Program {
    /// Loads the program, to be attached later. With a log level, events go to the logger that is installed in the `log`
    /// crate by now.
    ///
    /// # Errors
    ///
    /// When an option is out of range, or the kernel refuses the program.
    pub fn load(options: &ProgramConfig) -> Result<Self, XdpError> {
        require_kernel()?;
        let snap_lengths = options.snap_lengths.iter();
        let snap_lengths = snap_lengths.map(|(_, length)| *length).chain([options.snap_length]).flatten();
        let shortest = snap_lengths.min();
        if let Some(length) = shortest.filter(|length| *length < config::MIN_SNAP_LENGTH) {
            return Err(XdpError::SnapLength(length));
        }
        let sources = options.allowed_sources.iter().flatten();
        let sources = sources.map(|prefix| prefix_key(*prefix)).collect::<Result<Vec<_>, _>>()?;
        let settings = CaptureConfig {
            snap_length: options.snap_length.unwrap_or(0),
            shortest_snap_length: shortest.unwrap_or(0),
            queues: options.queues,
            check_sources: u32::from(options.allowed_sources.is_some()),
            check_destinations: u32::from(options.own_addresses_only),
            exact_timestamps: u32::from(options.exact_timestamps),
            geneve_port: options.geneve_port,
            vxlan_port: options.vxlan_port.unwrap_or(0),
            session_port: options.session_port.unwrap_or(0),
            snap_kinds: options.snap_lengths.iter().fold(0, |kinds, (key, _)| kinds | key.kind()),
        }
        .to_bytes();
        let first_sources =
            FirstPrefixes::new(options.allowed_sources.iter().flatten().filter_map(v4)).to_words();
        let mut ebpf = EbpfLoader::new()
            .override_global(config::GLOBAL, &settings, true)
            .override_global(config::FIRST_SOURCES_GLOBAL, first_sources.as_flattened(), true)
            .override_global(aya_log::LEVEL, &log_level(options.log_level), true)
            .map_max_entries(config::XSK_MAP, options.queues.max(1))
            .map_max_entries(config::STAMP_MASKS_MAP, options.queues.max(1))
            .map_max_entries(config::SOURCES_MAP, entries(sources.len()))
            .map_max_entries(
                config::DESTINATIONS_MAP,
                if options.own_addresses_only { MOST_ADDRESSES } else { 1 },
            )
            .map_max_entries(config::SNAP_LENGTHS_MAP, entries(options.snap_lengths.len()))
            .map_max_entries(verdict::MAP, options.queues.saturating_add(1))
            .load(mirror_ebpf::capture())
            .map_err(XdpError::from_load)?;
        let written = |map| move |source| XdpError::Map { map, action: "written", source };
        let mut allowed: LpmTrie<_, _, u8> = take_map(&mut ebpf, config::SOURCES_MAP)?;
        for source in &sources {
            allowed.insert(source, 1, 0).map_err(written(config::SOURCES_MAP))?;
        }
        let mut snap_lengths: HashMap<_, [u8; size_of::<TunnelKey>()], u32> =
            take_map(&mut ebpf, config::SNAP_LENGTHS_MAP)?;
        for (key, length) in &options.snap_lengths {
            let inserted = snap_lengths.insert(key.to_bytes(), length.unwrap_or(0), 0);
            inserted.map_err(written(config::SNAP_LENGTHS_MAP))?;
        }
        let queue_maps = QueueMaps::of(&ebpf)?;
        let addresses = DestinationMaps::take(&mut ebpf)?;
        let counters = take_map(&mut ebpf, verdict::MAP)?;
        let logger = match options.log_level {
            LevelFilter::OFF => None,
            _ => Some(EbpfLogger::init(&mut ebpf).map_err(XdpError::Log)?),
        };
        let mut capture = Self { ebpf, link: None, logger, queue_maps, addresses, counters };
        capture.program_mut()?.load().map_err(|error| XdpError::from_load(error.into()))?;
        Ok(capture)
    }

    /// Attaches the program to `interface`, and detaches it from the previous one.
    ///
    /// # Errors
    ///
    /// When there is no such interface, another program holds it, or it does not take the program in a mode that
    /// `request` allows.
    pub fn attach(&mut self, interface: &str, request: AttachModeRequest) -> Result<Attachment, XdpError> {
        self.detach()?;
        let interface = find_interface(interface)?;
        let strictly = |mode| Attachment { mode, fallback: None };
        match request {
            AttachModeRequest::Native => {
                self.attach_in(&interface, AttachMode::Native).map(|()| strictly(AttachMode::Native))
            }
            AttachModeRequest::Generic => {
                self.attach_in(&interface, AttachMode::Generic).map(|()| strictly(AttachMode::Generic))
            }
            AttachModeRequest::Auto => match self.attach_in(&interface, AttachMode::Native) {
                Ok(()) => Ok(strictly(AttachMode::Native)),
                Err(error) if error.is_of_driver() => {
                    self.attach_in(&interface, AttachMode::Generic)?;
                    Ok(Attachment { mode: AttachMode::Generic, fallback: Some(error) })
                }
                Err(error) => Err(error),
            },
        }
    }

    fn attach_in(&mut self, interface: &Interface, mode: AttachMode) -> Result<(), XdpError> {
        let link = self.program_mut()?.attach_to_if_index(interface.index, mode.flag());
        self.link = Some(link.map_err(|error| XdpError::from_attach(error, interface, mode))?);
        Ok(())
    }

    /// Detaches the program, if it is attached. Its counters remain.
    ///
    /// # Errors
    ///
    /// When the program no longer knows of the attachment.
    pub fn detach(&mut self) -> Result<(), XdpError> {
        match self.link.take() {
            Some(link) => self.program_mut()?.detach(link).map_err(XdpError::Detach),
            None => Ok(()),
        }
    }

    /// The entry of `queue` in the program's maps. It outlives the program.
    ///
    /// # Errors
    ///
    /// When the maps of the program cannot be opened once more.
    pub fn queue_entry(&self, queue: QueueId) -> Result<QueueEntry, XdpError> {
        self.queue_maps.entry(queue)
    }

    /// Redirects tunnel packets of `queue` to `socket` from now on: see [`QueueEntry::set_socket`].
    ///
    /// # Errors
    ///
    /// As [`Self::queue_entry`] and [`QueueEntry::set_socket`].
    pub fn set_socket(&mut self, queue: QueueId, socket: &impl AsRawFd) -> Result<(), XdpError> {
        self.queue_entry(queue)?.set_socket(socket)
    }

    /// The program's id in the kernel.
    ///
    /// # Errors
    ///
    /// When the kernel does not return it.
    pub fn id(&self) -> Result<u32, XdpError> {
        self.program()?.info().map(|info| info.id()).map_err(XdpError::Id)
    }

    /// Has the program take packets to `addresses` and to no others from now on, if it was loaded with
    /// [`ProgramConfig::own_addresses_only`]. Returns the difference to the addresses before.
    ///
    /// # Errors
    ///
    /// When they are more than [`MOST_ADDRESSES`], or the kernel refuses to write the map; what was written stands.
    pub fn set_addresses(&mut self, addresses: &[IpAddr]) -> Result<AddressChange, XdpError> {
        self.addresses.set(addresses)
    }

    /// The counters of the program, summed over the CPUs. Also after [`Self::detach`].
    ///
    /// # Errors
    ///
    /// When the kernel refuses to read the map.
    pub fn verdicts(&self) -> Result<Verdicts, XdpError> {
        let queues = self.counters.iter().map(|entry| Ok(entry?.iter().fold(Counts::default(), add)));
        let mut queues = queues
            .collect::<Result<Vec<Counts>, MapError>>()
            .map_err(|source| XdpError::Map { map: verdict::MAP, action: "read", source })?;
        let other_queues = queues.pop().unwrap_or_default();
        Ok(Verdicts { queues, other_queues })
    }

    /// Passes the program's log to the `log` crate. To be called every now and then: a log that is full (128 KiB) loses
    /// further events.
    pub fn flush_log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// The program itself, for its information in the kernel and for test runs.
    ///
    /// # Errors
    ///
    /// [`XdpError::Missing`], if the object was built from other sources.
    pub fn program(&self) -> Result<&Xdp, XdpError> {
        let program = self.ebpf.program(config::PROGRAM).ok_or(XdpError::Missing(config::PROGRAM))?;
        program.try_into().map_err(|_: ProgramError| XdpError::Missing(config::PROGRAM))
    }

    fn program_mut(&mut self) -> Result<&mut Xdp, XdpError> {
        let program = self.ebpf.program_mut(config::PROGRAM).ok_or(XdpError::Missing(config::PROGRAM))?;
        program.try_into().map_err(|_: ProgramError| XdpError::Missing(config::PROGRAM))
    }
}

/// Requires a kernel that can load the program: an older one answers with a bare `EINVAL`.
fn require_kernel() -> Result<(), XdpError> {
    match KernelVersion::current() {
        Ok(version) if version < KernelVersion::new(5, 18, 0) => Err(XdpError::KernelTooOld {
            release: rustix::system::uname().release().to_string_lossy().into_owned(),
        }),
        _ => Ok(()),
    }
}

/// The size of a map for so many entries: the kernel refuses 0.
fn entries(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX).max(1)
}

/// An IPv4 prefix, as the program's constants take it.
fn v4(prefix: &Prefix) -> Option<([u8; 4], u8)> {
    match prefix.address {
        IpAddr::V4(address) => Some((address.octets(), prefix.length)),
        IpAddr::V6(_) => None,
    }
}

fn find_interface(name: &str) -> Result<Interface, XdpError> {
    let mut interfaces = interfaces().map_err(XdpError::Interfaces)?;
    match interfaces.iter().position(|interface| interface.name == name) {
        Some(index) => Ok(interfaces.swap_remove(index)),
        None => Err(XdpError::UnknownInterface {
            name: name.to_owned(),
            existing: interfaces.into_iter().map(|interface| interface.name).collect(),
        }),
    }
}

/// The level as the number that the program compares with: 0 is off.
fn log_level(level: LevelFilter) -> u8 {
    let level = level.into_level().map(|level| match level {
        tracing::Level::ERROR => aya_log::Level::Error,
        tracing::Level::WARN => aya_log::Level::Warn,
        tracing::Level::INFO => aya_log::Level::Info,
        tracing::Level::DEBUG => aya_log::Level::Debug,
        tracing::Level::TRACE => aya_log::Level::Trace,
    });
    level.map_or(0, u8::from)
}

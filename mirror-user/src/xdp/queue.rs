//! The entry of one receive queue in the XDP program's maps, for the thread that serves the queue.

use std::os::fd::{AsFd as _, AsRawFd, OwnedFd};

use aya::Ebpf;
use aya::maps::{Array, Map, MapData, MapError, PerCpuArray, XskMap};
use mirror_common::config;
use mirror_common::verdict::{self, Counts, Verdict};

use super::error::XdpError;
use super::maps::add;
use crate::number::QueueId;

/// The maps of the program that an entry needs, to be opened once more for each.
#[derive(Debug)]
pub(super) struct QueueMaps {
    sockets: OwnedFd,
    counters: OwnedFd,
    stamp_masks: OwnedFd,
}

impl QueueMaps {
    /// The maps of a program before they are taken.
    pub(super) fn of(ebpf: &Ebpf) -> Result<Self, XdpError> {
        let descriptor = |name| {
            let Some(Map::XskMap(map) | Map::PerCpuArray(map) | Map::Array(map)) = ebpf.map(name) else {
                return Err(XdpError::Missing(name));
            };
            map.fd().as_fd().try_clone_to_owned().map_err(|source| XdpError::Handle { map: name, source })
        };
        Ok(Self {
            sockets: descriptor(config::XSK_MAP)?,
            counters: descriptor(verdict::MAP)?,
            stamp_masks: descriptor(config::STAMP_MASKS_MAP)?,
        })
    }

    /// The entry of `queue`.
    pub(super) fn entry(&self, queue: QueueId) -> Result<QueueEntry, XdpError> {
        let sockets = Map::XskMap(open(config::XSK_MAP, &self.sockets)?);
        let counters = Map::PerCpuArray(open(verdict::MAP, &self.counters)?);
        Ok(QueueEntry {
            queue,
            sockets: sockets.try_into().map_err(unusable(config::XSK_MAP))?,
            counters: counters.try_into().map_err(unusable(verdict::MAP))?,
            stamp_masks: clone(config::STAMP_MASKS_MAP, &self.stamp_masks)?,
        })
    }
}

fn open(map: &'static str, descriptor: &OwnedFd) -> Result<MapData, XdpError> {
    let descriptor = clone(map, descriptor)?;
    MapData::from_fd(descriptor).map_err(|source| XdpError::Map { map, action: "opened", source })
}

fn clone(map: &'static str, descriptor: &OwnedFd) -> Result<OwnedFd, XdpError> {
    descriptor.try_clone().map_err(|source| XdpError::Handle { map, source })
}

fn unusable(map: &'static str) -> impl FnOnce(MapError) -> XdpError {
    move |source| XdpError::Map { map, action: "used", source }
}

/// Control of the packets of one receive queue that get their receive time. It outlives the program.
pub struct Stamps {
    queue: QueueId,
    masks: Array<MapData, u64>,
    /// The interval that was set; none at first.
    interval: Option<u64>,
}

impl Stamps {
    /// Has one of so many packets stamped from now on: a power of two. At first every packet is. Does nothing where that is so.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to write the map.
    pub fn set_interval(&mut self, packets: u64) -> Result<(), XdpError> {
        if self.interval == Some(packets) {
            return Ok(());
        }
        let mask = packets.next_power_of_two() - 1;
        self.masks.set(self.queue.0, mask, 0).map_err(|source| XdpError::Map {
            map: config::STAMP_MASKS_MAP,
            action: "written",
            source,
        })?;
        self.interval = Some(packets);
        Ok(())
    }
}

/// One receive queue's entry in the map of sockets, and its counters.
pub struct QueueEntry {
    queue: QueueId,
    sockets: XskMap<MapData>,
    counters: PerCpuArray<MapData, Counts>,
    stamp_masks: OwnedFd,
}

impl QueueEntry {
    /// Control of the packets of the queue that get their receive time, where
    /// [`ProgramConfig::exact_timestamps`](super::ProgramConfig::exact_timestamps) is off.
    ///
    /// # Errors
    ///
    /// When the program's map cannot be opened once more.
    pub fn stamps(&self) -> Result<Stamps, XdpError> {
        let masks = Map::Array(open(config::STAMP_MASKS_MAP, &self.stamp_masks)?);
        let masks = masks.try_into().map_err(unusable(config::STAMP_MASKS_MAP))?;
        Ok(Stamps { queue: self.queue, masks, interval: None })
    }

    /// Redirects tunnel packets of the queue to `socket` from now on, an AF_XDP socket that is bound to the same queue of the
    /// same interface. The kernel removes it when it is closed.
    ///
    /// # Errors
    ///
    /// When the program was loaded for fewer queues, or `socket` is no AF_XDP socket.
    pub fn set_socket(&mut self, socket: &impl AsRawFd) -> Result<(), XdpError> {
        self.sockets.set(self.queue.0, socket.as_raw_fd(), 0).map_err(|error| match error {
            MapError::OutOfBounds { max_entries, .. } => {
                XdpError::UnknownQueue { queue: self.queue, queues: max_entries }
            }
            source => XdpError::Map { map: config::XSK_MAP, action: "written", source },
        })
    }

    /// Passes tunnel packets of the queue to the kernel from now on.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to write the map.
    pub fn clear_socket(&mut self) -> Result<(), XdpError> {
        self.sockets.unset(self.queue.0).map_err(|source| XdpError::Map {
            map: config::XSK_MAP,
            action: "written",
            source,
        })
    }

    /// Packets of the queue by verdict, since the program was loaded.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to read the map.
    pub fn counts(&self) -> Result<Counts, XdpError> {
        let counts = self.counters.get(&self.queue.0, 0).map_err(|source| XdpError::Map {
            map: verdict::MAP,
            action: "read",
            source,
        })?;
        Ok(counts.iter().fold(Counts::default(), add))
    }

    /// Packets of the queue that the program redirected to a socket.
    ///
    /// # Errors
    ///
    /// As [`Self::counts`].
    pub fn redirected(&self) -> Result<u64, XdpError> {
        let counts = self.counts()?;
        Ok(counts.get(Verdict::Redirected as usize).copied().unwrap_or(0))
    }
}

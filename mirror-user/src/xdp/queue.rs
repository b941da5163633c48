//! The entry of one receive queue in the XDP program's maps, for the thread that serves the queue.

use std::os::fd::{AsFd as _, AsRawFd, OwnedFd};

use aya::Ebpf;
use aya::maps::{Map, MapData, MapError, PerCpuArray, XskMap};
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
}

impl QueueMaps {
    /// The maps of a program before they are taken.
    pub(super) fn of(ebpf: &Ebpf) -> Result<Self, XdpError> {
        let descriptor = |name| {
            let Some(Map::XskMap(map) | Map::PerCpuArray(map)) = ebpf.map(name) else {
                return Err(XdpError::Missing(name));
            };
            map.fd().as_fd().try_clone_to_owned().map_err(|source| XdpError::Handle { map: name, source })
        };
        Ok(Self { sockets: descriptor(config::XSK_MAP)?, counters: descriptor(verdict::MAP)? })
    }

    /// The entry of `queue`.
    pub(super) fn entry(&self, queue: QueueId) -> Result<QueueEntry, XdpError> {
        let open = |map, descriptor: &OwnedFd| {
            let descriptor = descriptor.try_clone().map_err(|source| XdpError::Handle { map, source })?;
            MapData::from_fd(descriptor).map_err(|source| XdpError::Map { map, action: "opened", source })
        };
        let unusable = |map| move |source| XdpError::Map { map, action: "used", source };
        let sockets = Map::XskMap(open(config::XSK_MAP, &self.sockets)?);
        let counters = Map::PerCpuArray(open(verdict::MAP, &self.counters)?);
        Ok(QueueEntry {
            queue,
            sockets: sockets.try_into().map_err(unusable(config::XSK_MAP))?,
            counters: counters.try_into().map_err(unusable(verdict::MAP))?,
        })
    }
}

/// One receive queue's entry in the map of sockets, and its counters.
pub struct QueueEntry {
    queue: QueueId,
    sockets: XskMap<MapData>,
    counters: PerCpuArray<MapData, Counts>,
}

impl QueueEntry {
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

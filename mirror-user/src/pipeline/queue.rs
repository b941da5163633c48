//! A receive queue of the interface, as [`RebindingSource`](crate::rebind::RebindingSource) sees it: it survives a new name of the
//! interface, and closes and opens the queue's entry in the XDP program.

use std::io;

use super::error::PipelineError;
use super::sockets::SocketPlan;
use crate::number::QueueId;
use crate::rebind::{OpenError, QueueControl};
use crate::value::Timestamps;
use crate::xdp::link_events::interface;
use crate::xdp::queue::QueueEntry;
use crate::xsk::{XskError, XskSource};

/// A receive queue of the interface.
pub(super) struct LiveQueue {
    /// The plan for its sockets, with the interface's name of now.
    plan: SocketPlan,
    /// Index of the interface, which stays the same.
    index: u32,
    queue: QueueId,
    entry: QueueEntry,
}

impl LiveQueue {
    /// The queue `queue` of the interface with the index `index`.
    pub(super) fn new(plan: SocketPlan, index: u32, queue: QueueId, entry: QueueEntry) -> Self {
        Self { plan, index, queue, entry }
    }
}

impl QueueControl for LiveQueue {
    type Socket = XskSource;

    fn open(&mut self) -> Result<XskSource, OpenError> {
        match interface(self.index).map_err(|error| OpenError::Refused(error.into()))? {
            Some(interface) if interface.is_up() => self.plan.interface = interface.name,
            Some(interface) => return Err(OpenError::NotReady(format!("{} is down", interface.name).into())),
            None => return Err(OpenError::Gone(format!("{} is gone", self.plan.interface).into())),
        }
        let socket = self.plan.open(self.queue).map_err(of_run_error)?;
        match self.plan.timestamps {
            Timestamps::Exact => Ok(socket),
            Timestamps::Batched => self
                .entry
                .stamps()
                .and_then(|stamps| socket.with_stamps(stamps))
                .map_err(|error| OpenError::Refused(error.into())),
        }
    }

    fn set_socket(&mut self, socket: &XskSource) -> io::Result<()> {
        self.entry.set_socket(socket).map_err(io::Error::other)
    }

    fn clear_socket(&mut self) -> io::Result<()> {
        self.entry.clear_socket().map_err(io::Error::other)
    }

    fn redirected(&self) -> io::Result<u64> {
        self.entry.redirected().map_err(io::Error::other)
    }
}

/// Sorts the reasons why a socket could not be opened by what may help.
fn of_run_error(error: PipelineError) -> OpenError {
    let errno = match &error {
        PipelineError::Xsk(XskError::Bind { error, .. }) => error.raw_os_error(),
        _ => None,
    };
    match errno {
        Some(libc::EBUSY) => OpenError::Busy(error.into()),
        Some(libc::ENETDOWN) => OpenError::NotReady(error.into()),
        Some(libc::ENODEV) => OpenError::Gone(error.into()),
        _ => OpenError::Refused(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xsk::CopyMode;

    #[test]
    fn reasons_are_sorted_by_what_may_help() {
        let refused = |errno| {
            let error = XskError::Bind {
                interface: "eth0".to_owned(),
                queue: QueueId(0),
                mode: CopyMode::Copy,
                error: io::Error::from_raw_os_error(errno),
                remedy: "",
            };
            of_run_error(error.into())
        };
        assert!(matches!(refused(libc::EBUSY), OpenError::Busy(_)));
        assert!(matches!(refused(libc::ENETDOWN), OpenError::NotReady(_)));
        assert!(matches!(refused(libc::ENODEV), OpenError::Gone(_)));
        assert!(matches!(refused(libc::EINVAL), OpenError::Refused(_)));
        assert!(matches!(of_run_error(PipelineError::NoInterface), OpenError::Refused(_)));
    }
}

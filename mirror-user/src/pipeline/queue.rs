//! A receive queue of the interface, as [`Rebinding`](crate::rebind::Rebinding) sees it: it survives a new name of the
//! interface, and closes and opens the queue's gate in the XDP program.

use std::io;

use super::RunError;
use super::sockets::SocketPlan;
use crate::number::QueueId;
use crate::rebind::{OpenError, Queue};
use crate::xdp::gate::Gate;
use crate::xdp::link::interface;
use crate::xsk::{XskError, XskSource};

/// A receive queue of the interface.
pub(crate) struct LiveQueue {
    /// The plan for its sockets, with the interface's name of now.
    plan: SocketPlan,
    /// Index of the interface, which stays the same.
    index: u32,
    queue: QueueId,
    gate: Gate,
}

impl LiveQueue {
    /// The queue `queue` of the interface with the index `index`.
    pub(crate) fn new(plan: SocketPlan, index: u32, queue: QueueId, gate: Gate) -> Self {
        Self { plan, index, queue, gate }
    }
}

impl Queue for LiveQueue {
    type Socket = XskSource;

    fn open(&mut self) -> Result<XskSource, OpenError> {
        match interface(self.index).map_err(|error| OpenError::Refused(error.into()))? {
            Some(interface) if interface.is_up() => self.plan.interface = interface.name,
            Some(interface) => return Err(OpenError::NotReady(format!("{} is down", interface.name).into())),
            None => return Err(OpenError::Gone(format!("{} is gone", self.plan.interface).into())),
        }
        self.plan.open(self.queue).map_err(of_run_error)
    }

    fn admit(&mut self, socket: &XskSource) -> io::Result<()> {
        self.gate.admit(socket).map_err(io::Error::other)
    }

    fn shut(&mut self) -> io::Result<()> {
        self.gate.shut().map_err(io::Error::other)
    }

    fn redirected(&self) -> io::Result<u64> {
        self.gate.redirected().map_err(io::Error::other)
    }
}

/// Sorts the reasons why a socket could not be opened by what may help.
fn of_run_error(error: RunError) -> OpenError {
    let errno = match &error {
        RunError::Xsk(XskError::Bind { source, .. }) => source.raw_os_error(),
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
                source: io::Error::from_raw_os_error(errno),
                remedy: "",
            };
            of_run_error(error.into())
        };
        assert!(matches!(refused(libc::EBUSY), OpenError::Busy(_)));
        assert!(matches!(refused(libc::ENETDOWN), OpenError::NotReady(_)));
        assert!(matches!(refused(libc::ENODEV), OpenError::Gone(_)));
        assert!(matches!(refused(libc::EINVAL), OpenError::Refused(_)));
        assert!(matches!(of_run_error(RunError::NoInterface), OpenError::Refused(_)));
    }
}

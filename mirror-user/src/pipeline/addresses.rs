//! The interface's own addresses: read at the start, and followed as they change.

use std::fmt::Display;
use std::io;
use std::time::{Duration, Instant};

use mirror_common::verdict::Verdict;
use tracing::{info, warn};

use super::error::PipelineError;
use crate::error::chain;
use crate::xdp::{AddressChange, Program, interface};

/// Interval at which the kernel is asked for the addresses.
const EVERY: Duration = Duration::from_secs(1);

/// Keeps the capture program's list of the interface's own addresses equal to the kernel's.
#[derive(Debug)]
pub struct OwnAddresses {
    /// Name of the interface when it was looked up, for messages.
    interface: String,
    /// It keeps its index when it is renamed.
    index: u32,
    looked: Instant,
    /// `true` if the latest query failed, which is said once.
    failed: bool,
    /// `true` once it was said that there are packets to other addresses.
    others: bool,
}

impl OwnAddresses {
    /// Tells `program` the addresses that packets on `interface` are addressed to.
    ///
    /// # Errors
    ///
    /// When there are none: a capture that takes nothing is worse than none, and one that takes everything could cut a
    /// network off whose tunnels end elsewhere on this host. Or when they cannot be read or written.
    pub fn tell(program: &mut Program, interface: &str) -> Result<Self, PipelineError> {
        let interfaces = interface::interfaces().map_err(failed)?;
        let found = interfaces.iter().find(|found| found.name == interface);
        let index = found.map_or(0, |found| found.index);
        let AddressChange { added, .. } = update(program, index)?;
        if added.is_empty() {
            return Err(PipelineError::NoAddress { interface: interface.to_owned() });
        }
        info!("taking packets to {} and to no other address", list(&added));
        Ok(Self {
            interface: interface.to_owned(),
            index,
            looked: Instant::now(),
            failed: false,
            others: false,
        })
    }

    /// Tells `program` of changes; asks the kernel once a second at most. An interface that loses its last address takes
    /// no more packets until it has one again.
    pub fn follow(&mut self, program: &mut Program) {
        if self.looked.elapsed() < EVERY {
            return;
        }
        self.looked = Instant::now();
        if !self.others
            && let Ok(verdicts) = program.verdicts()
            && verdicts.total()[Verdict::PassedOtherDestination as usize] > 0
        {
            self.others = true;
            info!("tunnel packets to other addresses pass to the kernel; --any-destination would take them");
        }
        match update(program, self.index) {
            Ok(change) => {
                self.failed = false;
                if !change.added.is_empty() {
                    info!("{} has got {}: packets there are taken, too", self.interface, list(&change.added));
                }
                if !change.removed.is_empty() {
                    let (interface, removed) = (&self.interface, list(&change.removed));
                    warn!("{interface} has lost {removed}: packets there pass to the kernel from now on");
                }
            }
            Err(error) if !self.failed => {
                self.failed = true;
                warn!("the addresses of {} are not followed: {}", self.interface, chain(&error));
            }
            Err(_) => {}
        }
    }
}

fn update(program: &mut Program, index: u32) -> Result<AddressChange, PipelineError> {
    let addresses = interface::own_addresses(index).map_err(failed)?;
    Ok(program.set_addresses(&addresses)?)
}

fn failed(source: io::Error) -> PipelineError {
    PipelineError::System { what: "read the addresses of the interface", source }
}

fn list(items: &[impl Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

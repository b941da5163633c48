//! Drop in the driver: as many packets as the kernel can take from the cable.

use aya::maps::{MapData, PerCpuArray};
use mirror_testkit::veth::VethPair;
use mirror_traffic::program::{DISCARD_PROGRAM, DISCARDED_MAP};

use super::program::Program;
use super::{Counts, Ended, Receiver, ReceiverError};

/// The attached program.
pub struct Discard {
    program: Program,
    discarded: PerCpuArray<MapData, [u64; 2]>,
}

impl Discard {
    /// Attaches the program to the far end of `bed`.
    ///
    /// # Errors
    ///
    /// When the kernel does not allow it.
    pub fn start(bed: &VethPair) -> Result<Self, ReceiverError> {
        let mut program = Program::load(bed, DISCARD_PROGRAM)?;
        let discarded = program.map(DISCARDED_MAP)?;
        program.attach(bed)?;
        Ok(Self { program, discarded })
    }

    /// Packets and bytes that came so far.
    ///
    /// # Errors
    ///
    /// When the counters cannot be read.
    pub fn received(&self) -> Result<[u64; 2], ReceiverError> {
        let counts = self.discarded.get(&0, 0);
        let counts = counts.map_err(|source| ReceiverError::Map { name: DISCARDED_MAP, source })?;
        Ok(counts.iter().fold([0, 0], |[packets, bytes], [more, longer]| [packets + more, bytes + longer]))
    }
}

impl Receiver for Discard {
    fn counts(&self) -> Result<Counts, ReceiverError> {
        let [received, _] = self.received()?;
        Ok(Counts { received, delivered: received, ..Counts::default() })
    }

    fn stop(mut self: Box<Self>) -> Result<Ended, ReceiverError> {
        self.program.detach();
        Ok(Ended { counts: self.counts()?, ..Ended::default() })
    }
}

//! Sources of frames: the one seam between a NIC and a capture file.

use std::io;

use crate::time::Timestamp;

/// The header that a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// An Ethernet header.
    Ethernet,
    /// An EtherType and VLAN tags: an Ethernet header without its addresses.
    EtherType,
    /// An IPv4 or IPv6 header.
    Ip,
}

/// A captured frame, borrowed from its source until [`FrameSource::release`].
#[derive(Clone, Copy, Debug)]
pub struct Frame<'source> {
    /// The first bytes: all of them, or those in the first buffer of a frame that spans several. Headers are parsed in
    /// these only.
    pub data: &'source [u8],
    /// Bytes captured, in all buffers.
    pub captured_length: u32,
    /// Bytes on the wire, before any truncation. Never below `captured_length`.
    pub original_length: u32,
    /// Time of arrival.
    pub timestamp: Timestamp,
    /// The header that `data` begins with.
    pub link_type: LinkType,
}

/// Result of [`FrameSource::receive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// This many frames, at least one, to be read with [`FrameSource::frame`].
    Frames(usize),
    /// None for now.
    Idle,
    /// None ever again.
    End,
}

/// Backlog of a source: frames that its reader has not taken yet.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Backlog {
    /// Share of the receive ring that is full, from 0 to 1.
    pub fill: f32,
    /// Packets that were lost before they could be received, since the source was opened.
    pub dropped: u64,
}

/// Hands out frames in batches of at most [`BATCH_FRAMES`](crate::batch::BATCH_FRAMES).
///
/// The cycle is `pause`, `receive`, then `frame` for each index, then `release`. A source that is dropped in between gives
/// its frames back as well.
pub trait FrameSource {
    /// Waits for a short time before the next batch, where the source lets packets gather meanwhile. Apart from `receive`, so
    /// that whoever measures the work on a batch can leave the wait out.
    ///
    /// # Errors
    ///
    /// Those of [`FrameSource::receive`].
    fn pause(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Takes the next batch. Waits for a short time at most when there is none.
    ///
    /// # Errors
    ///
    /// When the source cannot go on: the interface is gone, or the file is damaged from here on.
    fn receive(&mut self) -> io::Result<Received>;

    /// The time now, on the clock of the frames' timestamps; `None` where that clock does not go on by itself.
    fn now(&self) -> Option<Timestamp>;

    /// Frame `index` of the batch.
    ///
    /// # Panics
    ///
    /// If `index` is not below the number that `receive` returned.
    fn frame(&self, index: usize) -> Frame<'_>;

    /// Empty receives in a row after which a partly filled batch of records is handed over and flows are checked for
    /// timeouts. Where the source is polled without waiting, a pause between two bursts is no reason for either.
    fn idle_limit(&self) -> u32 {
        32
    }

    /// Appends all captured bytes of frame `index` from byte `from` on, from every buffer that it spans.
    fn append(&self, index: usize, from: usize, bytes: &mut Vec<u8>);

    /// The backlog; none where the source waits for its reader. May take a system call.
    fn backlog(&mut self) -> Backlog {
        Backlog::default()
    }

    /// Gives the frames of the batch back.
    fn release(&mut self);
}

/// A borrowed source, which its owner keeps whatever becomes of the borrower.
impl<Source: FrameSource + ?Sized> FrameSource for &mut Source {
    #[inline]
    fn pause(&mut self) -> io::Result<()> {
        (**self).pause()
    }

    #[inline]
    fn receive(&mut self) -> io::Result<Received> {
        (**self).receive()
    }

    #[inline]
    fn now(&self) -> Option<Timestamp> {
        (**self).now()
    }

    #[inline]
    fn frame(&self, index: usize) -> Frame<'_> {
        (**self).frame(index)
    }

    #[inline]
    fn idle_limit(&self) -> u32 {
        (**self).idle_limit()
    }

    #[inline]
    fn append(&self, index: usize, from: usize, bytes: &mut Vec<u8>) {
        (**self).append(index, from, bytes);
    }

    #[inline]
    fn backlog(&mut self) -> Backlog {
        (**self).backlog()
    }

    #[inline]
    fn release(&mut self) {
        (**self).release();
    }
}

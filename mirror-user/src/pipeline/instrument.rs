//! Instruments between a socket and its worker.

use std::io;

use crate::source::{Backlog, Frame, FrameSource, Received};
use crate::time::Timestamp;

/// Something that observes every worker of a pipeline, to measure it.
pub trait Instrument: Clone + Send + 'static {
    /// Its part at one worker.
    type Observer: Observer;

    /// The observer of the calling thread's worker, whose socket is open.
    fn observer(&self) -> Self::Observer;
}

/// Observes what a worker asks of its source.
pub trait Observer {
    /// The worker is done with the latest batch, and about to wait for the next one.
    fn before_pause(&mut self) {}

    /// The worker has waited, and is about to ask for a batch.
    fn before_receive(&mut self) {}

    /// The worker has been answered.
    fn after_receive(&mut self, _answer: &io::Result<Received>) {}
}

/// No instrument.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct;

impl Instrument for Direct {
    type Observer = Self;

    fn observer(&self) -> Self {
        Self
    }
}

impl Observer for Direct {}

/// A source with an observer of what is asked of it.
pub struct Observed<Source, Observer> {
    source: Source,
    observer: Observer,
}

impl<Source, Observer> Observed<Source, Observer> {
    /// Puts `observer` over `source`.
    pub const fn new(source: Source, observer: Observer) -> Self {
        Self { source, observer }
    }
}

impl<S: FrameSource, O: Observer> FrameSource for Observed<S, O> {
    #[inline]
    fn pause(&mut self) -> io::Result<()> {
        self.observer.before_pause();
        self.source.pause()
    }

    #[inline]
    fn receive(&mut self) -> io::Result<Received> {
        self.observer.before_receive();
        let answer = self.source.receive();
        self.observer.after_receive(&answer);
        answer
    }

    #[inline]
    fn now(&self) -> Option<Timestamp> {
        self.source.now()
    }

    #[inline]
    fn frame(&self, index: usize) -> Frame<'_> {
        self.source.frame(index)
    }

    #[inline]
    fn idle_limit(&self) -> u32 {
        self.source.idle_limit()
    }

    #[inline]
    fn append(&self, index: usize, from: usize, bytes: &mut Vec<u8>) {
        self.source.append(index, from, bytes);
    }

    #[inline]
    fn backlog(&mut self) -> Backlog {
        self.source.backlog()
    }

    #[inline]
    fn release(&mut self) {
        self.source.release();
    }
}

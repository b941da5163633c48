//! Instruments between a socket and its worker.

use crate::source::FrameSource;

/// Something that stands between a socket and its worker, to measure them.
pub trait Instrument: Clone + Send + 'static {
    /// The source that the worker gets.
    type Over<S: FrameSource>: FrameSource;

    /// Puts it over `source`.
    fn over<S: FrameSource>(&self, source: S) -> Self::Over<S>;
}

/// Nothing between a socket and its worker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct;

impl Instrument for Direct {
    type Over<S: FrameSource> = S;

    fn over<S: FrameSource>(&self, source: S) -> S {
        source
    }
}

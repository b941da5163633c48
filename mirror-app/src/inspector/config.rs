//! The bounds of an inspector.

use crate::http;

/// Bounds on what one [`Inspector`](super::Inspector) holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InspectorConfig {
    /// Flows at a time, those whose summary waits for the end of the flow included; at most 2²⁴ − 1. Each takes some 300 bytes beside
    /// the strings that were found.
    pub flows: u32,
    /// Bytes of all buffers together.
    pub buffer_bytes: usize,
    /// Bytes that are kept of one direction.
    pub direction_bytes: usize,
    /// Packets with payload of one flow that are looked at without anything being found.
    pub packets: u16,
    /// Nanoseconds that something incomplete is waited for.
    pub timeout: u64,
    /// The parts of HTTP requests that are kept.
    pub http: http::Options,
    /// HTTP requests and responses of one flow that are told.
    pub exchanges: u32,
    /// DNS messages of one flow that are told. A resolver may use one flow for all its queries.
    pub messages: u32,
}

impl Default for InspectorConfig {
    fn default() -> Self {
        Self {
            flows: 1 << 18,
            buffer_bytes: 16 << 20,
            direction_bytes: 16 << 10,
            packets: 64,
            timeout: 10_000_000_000,
            http: http::Options { paths: false },
            exchanges: 256,
            messages: 1 << 20,
        }
    }
}

//! Counts of the traffic that was sent.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::traffic::Traffic;

/// Counts of the traffic that was sent. Offered packets are either sent or refused.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Packets that were made and handed to the kernel.
    pub offered: u64,
    /// Flows that they belong to.
    pub flows: u64,
    /// Packets that the interface's driver accepted; on a veth pair, that stand in the ring of its other end.
    pub sent: u64,
    /// Packets that it refused.
    pub refused: u64,
    /// Bytes of the frames that were sent, from their Ethernet header on.
    pub bytes: u64,
    /// Time from the first packet to the last.
    pub seconds: f64,
    /// Packets sent per second.
    pub pps: f64,
    /// The source that sent them: `live`, `socket` or `file`.
    pub source: &'static str,
    /// Packets sent of each kind: valid, and by the reason for which a receiver must drop them.
    #[serde(serialize_with = "as_map")]
    pub by_kind: Vec<(&'static str, u64)>,
}

impl Report {
    /// A report with the rate that follows from its numbers.
    pub(super) fn new(
        source: &'static str,
        traffic: &Traffic,
        offered: u64,
        bytes: u64,
        seconds: f64,
        by_kind: Vec<(&'static str, u64)>,
    ) -> Self {
        let sent = by_kind.iter().map(|(_, packets)| packets).sum();
        let pps = if seconds > 0.0 { sent as f64 / seconds } else { 0.0 };
        let flows = traffic.flows(offered);
        Self { offered, flows, sent, refused: offered - sent, bytes, seconds, pps, source, by_kind }
    }
}

impl fmt::Display for Report {
    /// Lines for a reader.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offered, flows, sent, refused, bytes, seconds, pps, source, by_kind } = self;
        let gigabits = if *seconds > 0.0 { *bytes as f64 * 8.0 / seconds / 1e9 } else { 0.0 };
        writeln!(formatter, "offered  {offered} packets of {flows} flows ({source})")?;
        writeln!(formatter, "sent     {sent} packets, {bytes} bytes in {seconds:.3} s")?;
        writeln!(formatter, "refused  {refused} packets")?;
        write!(formatter, "rate     {:.3} Mpps, {gigabits:.3} Gbit/s", pps / 1e6)?;
        for (kind, packets) in by_kind {
            write!(formatter, "\n  {kind:<22} {packets}")?;
        }
        Ok(())
    }
}

fn as_map<S: Serializer>(by_kind: &[(&'static str, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(by_kind.iter().copied())
}

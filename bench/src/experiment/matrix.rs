//! The traffic and pipelines over which retention is measured: one thing varied at a time.

use mirror_testkit::traffic::{FrameSize, Profile, Share};
use serde::{Deserialize, Serialize};

use crate::receiver::{PipelineSetup, Records, SinkKind};

/// One combination of traffic and pipeline.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The parameter that is varied.
    pub axis: Axis,
    /// The traffic.
    pub profile: Profile,
    /// The pipeline.
    pub pipeline: PipelineSetup,
}

/// The parameter that is varied, while the others stay as they are in [`Profile::geneve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// Bytes of a frame.
    FrameSize,
    /// Flows.
    Flows,
    /// Inside VXLAN or not, in frames that are large enough for it.
    Vxlan,
    /// Kinds of records.
    Records,
    /// Destinations of records.
    Sink,
}

/// Every cell.
pub fn cells() -> Vec<Cell> {
    let sizes = [
        FrameSize::Bytes(128),
        FrameSize::Bytes(512),
        FrameSize::Bytes(1400),
        FrameSize::Bytes(4096), // in several buffers
        FrameSize::InternetMix,
    ];
    let profile = |axis, profile| Cell { axis, profile, pipeline: PipelineSetup::default() };
    let sizes = sizes.map(|frame_size| profile(Axis::FrameSize, Profile { frame_size, ..Profile::geneve() }));
    let flows = [1, 1_000, 64_000, 1_000_000]
        .map(|flows| profile(Axis::Flows, Profile { flows, ..Profile::geneve() }));
    let vxlan = [Share::NONE, Share::ALL].map(|vxlan| {
        profile(Axis::Vxlan, Profile { vxlan, frame_size: FrameSize::Bytes(256), ..Profile::geneve() })
    });
    let pipeline = |axis, pipeline| Cell { axis, profile: Profile::geneve(), pipeline };
    let records = [Records::Flow, Records::Packet, Records::Both]
        .map(|records| pipeline(Axis::Records, PipelineSetup { records, ..PipelineSetup::default() }));
    let sinks = [SinkKind::Memory, SinkKind::Null, SinkKind::File].map(|sink| {
        pipeline(Axis::Sink, PipelineSetup { records: Records::Packet, sink, ..PipelineSetup::default() })
    });
    sizes.into_iter().chain(flows).chain(vxlan).chain(records).chain(sinks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mirror_testkit::traffic::Traffic;

    #[test]
    fn every_cell_has_traffic_and_room_for_its_flows() {
        for cell in cells() {
            Traffic::new(&cell.profile).unwrap();
            assert!(u64::from(cell.pipeline.max_flows) >= cell.profile.flows, "{cell:?}");
        }
    }
}

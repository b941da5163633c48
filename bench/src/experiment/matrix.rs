//! The traffic and pipelines over which retention is measured: the headline, and one thing varied at a time.

use mirror_testkit::traffic::{FrameSize, Profile, Share};
use serde::{Deserialize, Serialize};

use crate::receiver::{PipelineSetup, Records, SinkKind};

/// One combination of traffic and pipeline. No two cells are the same.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Name of its row.
    pub name: &'static str,
    /// Tables and plots that it belongs to.
    pub places: Vec<Place>,
    /// The traffic.
    pub profile: Profile,
    /// The pipeline.
    pub pipeline: PipelineSetup,
}

/// A table or plot of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The headline: mirrored sessions, flow records.
    Headline,
    /// Departures from the headline.
    Mirrored,
    /// TCP directly in GENEVE, and departures from that.
    Geneve,
    /// The plot by frame size.
    FrameSize,
    /// The plot by number of flows.
    Flows,
}

/// Every cell, the headline first.
pub fn cells() -> Vec<Cell> {
    let mirrored = |name, profile: Profile, pipeline: PipelineSetup| Cell {
        name,
        places: vec![Place::Mirrored],
        profile,
        pipeline,
    };
    let setup = |records, sink| PipelineSetup { records, sink, ..PipelineSetup::default() };
    let base = Profile::mirrored;
    let headline = Cell {
        places: vec![Place::Headline],
        ..mirrored("mirrored sessions, flow records", base(), PipelineSetup::default())
    };
    let of_mirrored = [
        mirrored("10,000 tunnels", Profile { interfaces: 1_250, ..base() }, PipelineSetup::default()),
        mirrored(
            "1M flows at a time",
            Profile { flows: 1_000_000, ..base() },
            // Flows that have ended stay for a while beside the million that has not.
            PipelineSetup { max_flows: 1 << 21, ..PipelineSetup::default() },
        ),
        mirrored("flow records to a file", base(), setup(Records::Flow, SinkKind::File)),
        mirrored("packet records", base(), setup(Records::Packet, SinkKind::Null)),
        mirrored("packet and flow records", base(), setup(Records::Both, SinkKind::Null)),
        mirrored("packet records to memory", base(), setup(Records::Packet, SinkKind::Memory)),
        mirrored("packet records to a file", base(), setup(Records::Packet, SinkKind::File)),
    ];
    let geneve = |name, places: &[Place], profile: Profile| Cell {
        name,
        places: [&[Place::Geneve], places].concat(),
        profile,
        pipeline: PipelineSetup::default(),
    };
    let base = Profile::geneve;
    let frame_size = |name, frame_size| geneve(name, &[Place::FrameSize], Profile { frame_size, ..base() });
    let flows = |name, flows| geneve(name, &[Place::Flows], Profile { flows, ..base() });
    let of_geneve = [
        geneve("128 bytes, 64k flows", &[Place::FrameSize, Place::Flows], base()),
        frame_size("512 bytes", FrameSize::Bytes(512)),
        frame_size("1400 bytes", FrameSize::Bytes(1400)),
        frame_size("4096 bytes, in several buffers", FrameSize::Bytes(4096)),
        frame_size("imix", FrameSize::InternetMix),
        flows("1 flow", 1),
        flows("1k flows", 1_000),
        flows("1M flows", 1_000_000),
        geneve("256 bytes", &[], Profile { frame_size: FrameSize::Bytes(256), ..base() }),
        geneve(
            "256 bytes, in VXLAN",
            &[],
            Profile { frame_size: FrameSize::Bytes(256), vxlan: Share::ALL, ..base() },
        ),
    ];
    std::iter::once(headline).chain(of_mirrored).chain(of_geneve).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use mirror_testkit::traffic::Traffic;

    #[test]
    fn every_cell_has_traffic_and_room_for_its_flows() {
        for cell in cells() {
            Traffic::new(&cell.profile).unwrap();
            assert!(u64::from(cell.pipeline.max_flows) >= cell.profile.flows, "{cell:?}");
        }
    }

    #[test]
    fn a_row_appears_once_and_the_headline_first() {
        let cells = cells();
        assert_eq!(cells[0].places, [Place::Headline]);
        let names: HashSet<_> = cells.iter().map(|cell| cell.name).collect();
        let conditions: HashSet<_> = cells
            .iter()
            .map(|cell| format!("{:?} {:?} {:?}", cell.profile, cell.pipeline.records, cell.pipeline.sink))
            .collect();
        assert_eq!((names.len(), conditions.len()), (cells.len(), cells.len()));
    }
}

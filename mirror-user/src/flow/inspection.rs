//! Looking into the payload of flows.

use mirror_app::{Counters, Handle, Inspector, InspectorConfig, Interest, Segment, Side as AppSide, Summary};

use super::application::{Application, ApplicationRecord};
use super::entry::{ColdPart, Flags};
use super::key;
use super::payload::{self, Frames};
use super::prepared_packet::PreparedPacket;
use super::side::Side;
use super::slab::Slot;
use super::table::FlowTable;
use super::tcp::Streams;
use super::transport::FlowTransport;
use crate::rules::ApplicationKinds;
use crate::time::Timestamp;

/// The inspector of a table's flows, and what it has told.
#[derive(Debug)]
pub(super) struct Inspection {
    inspector: Inspector,
    /// The kinds of records that are asked for.
    kinds: ApplicationKinds,
    /// Told since the identities of its flows were last looked up, by slot.
    told: Vec<(Slot, Timestamp, Application)>,
    records: Vec<ApplicationRecord>,
    /// Payload of a packet in several buffers.
    scratch: Vec<u8>,
}

impl Inspection {
    pub(super) fn new(config: InspectorConfig, kinds: ApplicationKinds) -> Self {
        Self {
            inspector: Inspector::new(config),
            kinds,
            told: Vec::new(),
            records: Vec::new(),
            scratch: Vec::new(),
        }
    }
}

impl From<Side> for AppSide {
    fn from(side: Side) -> Self {
        match side {
            Side::Low => Self::Low,
            Side::High => Self::High,
        }
    }
}

impl FlowTable {
    /// Looks into the payload of flows whose packets [come with their frame](FlowTable::prepare) from now on, and makes records of
    /// these kinds besides those of flows.
    #[must_use]
    pub fn with_inspection(mut self, config: InspectorConfig, kinds: ApplicationKinds) -> Self {
        self.inspection = Some(Inspection::new(config, kinds));
        self
    }

    /// Hands out what flows have told of their applications since the last call.
    pub fn take_applications(&mut self, mut out: impl FnMut(ApplicationRecord)) {
        if let Some(inspection) = &mut self.inspection {
            inspection.records.drain(..).for_each(&mut out);
        }
    }

    /// The counters of the inspector, and the bytes that it holds.
    pub fn inspection_counters(&self) -> Option<&Counters> {
        self.inspection.as_ref().map(|inspection| inspection.inspector.counters())
    }

    /// Looks into a packet of a flow that is [inspected](Flags::INSPECTED).
    #[inline(never)] // kept out of the code of by far most packets
    pub(super) fn inspect(&mut self, slot: Slot, packet: &PreparedPacket, frames: &impl Frames) {
        if packet.segment.is_some_and(|segment| segment.payload_length == 0) {
            return;
        }
        let Self { inspection: Some(inspection), flows, cold_parts, .. } = self else { return };
        let Some(cold) = cold_parts.get_mut(slot.number() as usize) else { return };
        let Inspection { inspector, kinds, told, scratch, .. } = inspection;
        let Some(payload) = payload::find(frames, packet.place, scratch) else { return };
        if payload.bytes.is_empty() && !payload.is_cut {
            return;
        }
        let Timestamp(now) = packet.timestamp;
        let mut tell = |number: u32, event: mirror_app::Event<'_>| {
            let application = Application::of(event, *kinds);
            told.extend(application.map(|told| (Slot::from_number(number), packet.timestamp, told)));
        };
        let handle = cold.inspection.or_else(|| begin(inspector, cold, slot, packet, now, &mut tell));
        let interest = match (handle, packet.segment) {
            (None, _) => Interest::Released,
            (Some(handle), Some(segment)) => {
                let segment = Segment {
                    sequence: segment.sequence,
                    syn: segment.has_syn(),
                    payload: payload.bytes,
                    cut: payload.is_cut,
                };
                inspector.segment(handle, packet.sender.into(), segment, now, &mut tell)
            }
            (Some(handle), None) => {
                let side = packet.sender.into();
                inspector.datagram(handle, side, payload.bytes, payload.is_cut, now, &mut tell)
            }
        };
        cold.inspection = handle.filter(|_| interest != Interest::Released);
        if interest != Interest::More {
            flows[slot].flags.clear(Flags::INSPECTED);
        }
        self.make_application_records();
    }

    /// Ends the inspection of a flow that ends; its summary.
    pub(super) fn end_inspection(&mut self, slot: Slot, handle: Handle) -> Option<Summary> {
        let inspection = self.inspection.as_mut()?;
        let end = Timestamp(self.flows[slot].last());
        let Inspection { inspector, kinds, told, .. } = inspection;
        let mut tell = |number, event: mirror_app::Event<'_>| {
            told.extend(Application::of(event, *kinds).map(|told| (Slot::from_number(number), end, told)));
        };
        let summary = inspector.end(handle, &mut tell);
        self.make_application_records();
        summary
    }

    /// What is known so far of the application of a flow.
    pub(super) fn summary(&self, handle: Handle) -> Option<&Summary> {
        self.inspection.as_ref()?.inspector.summary(handle)
    }

    /// Gives up what has waited too long for the rest of a message.
    pub(super) fn expire_inspection(&mut self) {
        let now = Timestamp(self.now);
        let Some(Inspection { inspector, kinds, told, .. }) = &mut self.inspection else { return };
        let mut tell = |number, event: mirror_app::Event<'_>| {
            told.extend(Application::of(event, *kinds).map(|told| (Slot::from_number(number), now, told)));
        };
        inspector.expire(now.0, &mut tell);
        self.make_application_records();
    }

    /// Makes records of what was told; none of its flows has left the table yet.
    fn make_application_records(&mut self) {
        let Some(inspection) = &mut self.inspection else { return };
        if inspection.told.is_empty() {
            return;
        }
        let mut told = std::mem::take(&mut inspection.told);
        for (slot, timestamp, application) in told.drain(..) {
            let record = ApplicationRecord {
                timestamp,
                queue: self.config.queue,
                sampling_rate: self.flows[slot].sampling_rate(),
                flow: self.identity_of(slot),
                application,
            };
            if let Some(inspection) = &mut self.inspection {
                inspection.records.push(record);
            }
        }
        if let Some(inspection) = &mut self.inspection {
            inspection.told = told;
        }
    }
}

/// Takes up a flow at its first payload: tells where its streams begin, if that is known.
fn begin(
    inspector: &mut Inspector,
    cold: &ColdPart,
    slot: Slot,
    packet: &PreparedPacket,
    now: u64,
    tell: &mut impl FnMut(u32, mirror_app::Event<'_>),
) -> Option<Handle> {
    let FlowTransport::Ports { source: low, destination: high } = key::transport(packet.selector, Side::Low)
    else {
        return None;
    };
    let handle = inspector.begin([low, high], slot.number(), now)?;
    if packet.segment.is_none() {
        return Some(handle);
    }
    for side in [Side::Low, Side::High] {
        if cold.streams.has(Streams::BEGUN, side) {
            let sequence = cold.streams.lowest(side);
            let syn = Segment { sequence, syn: true, payload: &[], cut: false };
            inspector.segment(handle, side.into(), syn, now, tell);
        }
    }
    Some(handle)
}

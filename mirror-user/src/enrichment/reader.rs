//! The look-ups of one encoding thread.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

use super::current::Enrichment;
use super::index::Index;
use super::unknown::Tally;
use crate::flow::{ApplicationRecord, FlowRecord, NetworkDirection};
use crate::packet::{Network, Tunnel};
use crate::privacy::Label;
use crate::record::PacketRecord;
use crate::time::Timestamp;

/// The look-ups of one encoding thread.
#[derive(Debug)]
pub struct Reader {
    enrichment: Arc<Enrichment>,
    index: Cache<Arc<ArcSwap<Index>>, Arc<Index>>,
    /// Tunnels of the current batch that the map lacks.
    unknown: Tally,
}

/// The look-ups for a batch of records, all in one map.
#[derive(Debug)]
pub struct Lookup<'a> {
    enrichment: &'a Enrichment,
    pub(super) index: &'a Index,
    unknown: &'a mut Tally,
}

/// Members that a record gets by the map, as JSON, each with a comma behind. All are empty where its tunnel is not known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Enriched<'a> {
    /// Members of the record itself.
    pub record: &'a [u8],
    /// Members of `mirror`.
    pub mirror: &'a [u8],
    /// Members of `mirror.source`.
    pub source: &'a [u8],
    /// Members of `mirror.destination`.
    pub destination: &'a [u8],
    /// The direction, by the VPC's networks.
    pub direction: Option<NetworkDirection>,
}

impl Reader {
    /// Of the map in force.
    pub fn new(enrichment: &Arc<Enrichment>) -> Self {
        let index = Cache::new(Arc::clone(&enrichment.current));
        Self { enrichment: Arc::clone(enrichment), index, unknown: Tally::default() }
    }

    /// Begins a batch of records.
    pub fn batch(&mut self) -> Lookup<'_> {
        Lookup { enrichment: &self.enrichment, index: self.index.load(), unknown: &mut self.unknown }
    }
}

impl<'a> Lookup<'a> {
    /// The members for the record of a packet, which may have a label.
    pub fn packet(&mut self, record: &PacketRecord, label: Option<&Label>) -> Enriched<'a> {
        let ends = match &record.packet.network {
            Network::Ip(ip) => Some([ip.source, ip.destination]),
            Network::Other(_) => None,
        };
        self.find(&record.packet.tunnel, ends.filter(|_| is_plain(label)), 1, record.timestamp)
    }

    /// The members for the record of a flow, which may have a label.
    pub fn flow(&mut self, record: &FlowRecord, label: Option<&Label>) -> Enriched<'a> {
        let ends = is_plain(label).then_some([record.source, record.destination]);
        self.find(&record.tunnel, ends, record.accounted, record.start)
    }

    /// The members for the record of an application, which may have a label. It accounts for no packets.
    pub fn application(&mut self, record: &ApplicationRecord, label: Option<&Label>) -> Enriched<'a> {
        let flow = &record.flow;
        let ends = is_plain(label).then_some([flow.source, flow.destination]);
        self.find(&flow.tunnel, ends, 0, record.timestamp)
    }

    fn find(
        &mut self,
        tunnel: &Tunnel,
        ends: Option<[IpAddr; 2]>,
        packets: u64,
        time: Timestamp,
    ) -> Enriched<'a> {
        let index = self.index;
        let Some(entry) = index.find(tunnel) else {
            self.unknown.add(tunnel, packets, time);
            return Enriched::default();
        };
        let (record, mirror) = (&*entry.record, &*entry.mirror);
        match ends {
            Some(ends) => {
                let neighbours = ends.map(|address| index.neighbour(entry, address));
                let [source, destination] = neighbours.map(|end| end.map_or(&[][..], |end| &end.end));
                let direction = Some(index.direction(entry, ends, neighbours.map(|end| end.is_some())));
                Enriched { record, mirror, source, destination, direction }
            }
            None => Enriched { record, mirror, ..Enriched::default() },
        }
    }
}

/// `true` if the addresses of a record with this label are those of the wire: no others are in a map.
fn is_plain(label: Option<&Label>) -> bool {
    label.is_none_or(Label::has_plain_addresses)
}

impl Drop for Lookup<'_> {
    fn drop(&mut self) {
        self.enrichment.add_unknown(self.unknown);
    }
}

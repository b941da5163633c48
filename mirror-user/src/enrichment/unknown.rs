//! Tunnels that the map lacks.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use tracing::warn;

use crate::number::{EndpointId, Vni};
use crate::packet::Tunnel;
use crate::time::Timestamp;

/// Most tunnels that are listed.
pub(super) const LISTED: usize = 256;

/// Most warnings in an [`INTERVAL`].
const WARNINGS: u32 = 10;

/// Time after which there may be further warnings.
const INTERVAL: Duration = Duration::from_mins(1);

/// A tunnel as the map knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Name {
    endpoint: Option<EndpointId>,
    vni: Option<Vni>,
    source: Option<Ipv4Addr>,
}

/// Packets of a tunnel.
#[derive(Clone, Copy, Debug)]
struct Seen {
    packets: u64,
    first: Timestamp,
}

/// The unknown tunnels of one batch.
#[derive(Debug, Default)]
pub(super) struct Tally(HashMap<Name, Seen>);

impl Tally {
    /// Adds packets of a tunnel, the first of them at `time`.
    pub(super) fn add(&mut self, tunnel: &Tunnel, packets: u64, time: Timestamp) {
        let name = Name {
            endpoint: tunnel.endpoint,
            vni: tunnel.vxlan_vni.or(tunnel.geneve_vni),
            source: tunnel.vxlan_source,
        };
        let seen = self.0.entry(name).or_insert(Seen { packets: 0, first: time });
        seen.packets += packets;
        seen.first = seen.first.min(time);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The unknown tunnels so far.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    listed: HashMap<Name, Seen>,
    unlisted: u64,
    warnings: Warnings,
}

impl Unknown {
    /// Moves the tunnels of a batch here, and warns of new ones.
    pub(super) fn add(&mut self, tally: &mut Tally, now: Instant) {
        for (name, seen) in tally.0.drain() {
            if let Some(known) = self.listed.get_mut(&name) {
                known.packets += seen.packets;
                known.first = known.first.min(seen.first);
            } else if self.listed.len() < LISTED {
                self.listed.insert(name, seen);
                if let Some(untold) = self.warnings.admit(now) {
                    warn!("{}{}", UnknownTunnel::new(&name, seen).warning(), untold_text(untold));
                }
            } else {
                self.unlisted += seen.packets;
            }
        }
    }

    pub(super) fn snapshot(&self) -> UnknownTunnels {
        let mut tunnels: Vec<_> = self.listed.iter().collect();
        tunnels.sort_by_key(|(name, seen)| (seen.first, name.endpoint, name.vni, name.source));
        let listed: u64 = self.listed.values().map(|seen| seen.packets).sum();
        UnknownTunnels {
            packets: listed + self.unlisted,
            unlisted_packets: self.unlisted,
            tunnels: tunnels.into_iter().map(|(name, &seen)| UnknownTunnel::new(name, seen)).collect(),
        }
    }
}

/// Warnings that keep to a rate.
#[derive(Debug, Default)]
struct Warnings {
    begun: Option<Instant>,
    told: u32,
    untold: u64,
}

impl Warnings {
    /// `Some` if there may be a warning now: with the number of those that there were not since the last one.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.begun.is_none_or(|begun| now.duration_since(begun) >= INTERVAL) {
            (self.begun, self.told) = (Some(now), 0);
        }
        if self.told >= WARNINGS {
            self.untold += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

fn untold_text(untold: u64) -> String {
    if untold == 0 { String::new() } else { format!("; there were {untold} more such tunnels before") }
}

/// The tunnels that the map lacks, as the ledger has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UnknownTunnels {
    /// Packets whose records could not be enriched.
    pub packets: u64,
    /// Those of them whose tunnels are not listed, because there were too many.
    pub unlisted_packets: u64,
    /// The tunnels that came first, in the order of their first packets.
    pub tunnels: Vec<UnknownTunnel>,
}

/// A tunnel that the map lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnknownTunnel {
    /// The endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gwlbe_id: Option<String>,
    /// VNI of VXLAN; of packets without VXLAN, that of GENEVE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vni: Option<u32>,
    /// Source of the VXLAN packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vxlan_source: Option<Ipv4Addr>,
    /// Packets whose records could not be enriched.
    pub packets: u64,
    /// Time of the first one, as RFC 3339 says.
    pub first_seen: String,
}

impl UnknownTunnel {
    fn new(name: &Name, seen: Seen) -> Self {
        let first = SystemTime::UNIX_EPOCH + Duration::from_nanos(seen.first.0);
        Self {
            gwlbe_id: name.endpoint.map(|endpoint| endpoint.to_string()),
            vni: name.vni.map(Vni::get),
            vxlan_source: name.source,
            packets: seen.packets,
            first_seen: humantime::format_rfc3339_nanos(first).to_string(),
        }
    }

    fn warning(&self) -> String {
        let of = |name: &str, value: Option<String>| {
            value.map_or_else(String::new, |value| format!(" {name} {value}"))
        };
        format!(
            "the enrichment map has no session for the tunnel of{}{}{}: its records are not enriched",
            of("endpoint", self.gwlbe_id.clone()),
            of("VNI", self.vni.map(|vni| vni.to_string())),
            of("sender", self.vxlan_source.map(|source| source.to_string())),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_keep_to_their_rate() {
        let start = Instant::now();
        let mut warnings = Warnings::default();
        let admitted = |warnings: &mut Warnings, after| {
            (0..25).map(|_| warnings.admit(start + after)).collect::<Vec<_>>()
        };
        let first = admitted(&mut warnings, Duration::ZERO);
        assert_eq!(first.iter().flatten().count(), 10);
        assert_eq!(admitted(&mut warnings, INTERVAL - Duration::from_nanos(1)).iter().flatten().count(), 0);
        let later = admitted(&mut warnings, INTERVAL);
        assert_eq!(later[0], Some(40), "those that were not told");
        assert_eq!(later.iter().flatten().sum::<u64>(), 40);
    }

    #[test]
    fn the_list_is_bounded_and_no_packet_is_lost_from_the_count() {
        let mut unknown = Unknown::default();
        for round in 0..2 {
            let mut tally = Tally::default();
            for vni in 0..1000 {
                let tunnel =
                    Tunnel { vxlan_vni: Vni::new(vni), endpoint: Some(EndpointId(7)), ..Tunnel::UNKNOWN };
                tally.add(&tunnel, 3, Timestamp(u64::from(vni) * 1_000_000_000 + 1 - round));
            }
            unknown.add(&mut tally, Instant::now());
            assert!(tally.is_empty());
        }
        let UnknownTunnels { packets, unlisted_packets, tunnels } = unknown.snapshot();
        assert_eq!((packets, tunnels.len()), (6000, LISTED));
        assert_eq!(unlisted_packets + tunnels.iter().map(|tunnel| tunnel.packets).sum::<u64>(), packets);
        assert!(
            tunnels.iter().all(|tunnel| tunnel.packets == 6 && tunnel.first_seen.ends_with(".000000000Z"))
        );
        assert!(tunnels.is_sorted_by_key(|tunnel| tunnel.first_seen.clone()));
        assert_eq!(tunnels[0].gwlbe_id.as_deref(), Some("vpce-00000000000000007"));
    }
}

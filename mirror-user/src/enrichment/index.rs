//! The map, made ready for look-ups.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::SystemTime;

use ipnet::IpNet;
use mirror_enrichment::{Content, Map, Session, read};

use super::error::EnrichmentError;
use super::fragments::{self, LONGEST};
use crate::flow::{NetworkDirection, is_local, is_private};
use crate::key_map::KeyMap;
use crate::packet::Tunnel;

/// The map, made ready for look-ups.
#[derive(Debug, Default)]
pub struct Index {
    entries: Vec<Entry>,
    /// Entries by endpoint id and VNI.
    by_endpoint: KeyMap<(u64, u32), Vec<u32>>,
    /// Entries by VNI.
    by_vni: KeyMap<u32, Vec<u32>>,
    /// Entries by network and address.
    by_address: KeyMap<(u32, u64, u64), u32>,
    /// Networks of VPCs, by their numbers; none where they are not known.
    networks: Vec<Vec<IpNet>>,
    /// Time at which the file was written.
    pub(super) modified: Option<SystemTime>,
    /// Bytes of the file.
    pub(super) bytes: u64,
    /// Tags that a record had no room for.
    pub(super) labels_left_out: u64,
}

/// A session, with what its records say of it.
#[derive(Debug)]
pub struct Entry {
    session: Session,
    /// Number of its VPC; one of its own where the VPC is not known.
    vpc: u32,
    /// Source of its VXLAN packets.
    sender: Option<Ipv4Addr>,
    /// `cloud`, `host` and `labels`.
    pub(super) record: Box<[u8]>,
    /// Members of `mirror`.
    pub(super) mirror: Box<[u8]>,
    /// Members of `mirror.source` or `mirror.destination`, where it is that end.
    pub(super) end: Box<[u8]>,
}

impl Entry {
    /// The session as the map has it.
    pub const fn session(&self) -> &Session {
        &self.session
    }
}

impl Index {
    /// Reads the map in the file `path`; tags with the keys `tags` become labels.
    pub(super) fn read(path: &Path, tags: &[String]) -> Result<Self, EnrichmentError> {
        let Content { map, modified, bytes } = read(path)?;
        Self::new(map, tags)
            .map(|index| Self { modified, bytes, ..index })
            .map_err(|(entry, bytes)| EnrichmentError::TooLong { path: path.to_owned(), entry, bytes })
    }

    /// Indexes a map.
    ///
    /// # Errors
    ///
    /// The first entry that says more than fits a record, by its number, and the bytes that it takes.
    pub fn new(map: Map, tags: &[String]) -> Result<Self, (usize, usize)> {
        let mut index = Self::default();
        let mut vpcs: HashMap<String, u32> = HashMap::new();
        for (session, place) in map.sessions.into_iter().zip(0..) {
            let next = number(index.networks.len());
            let vpc = match &session.vpc {
                Some(vpc) => *vpcs.entry(vpc.clone()).or_insert(next),
                None => next,
            };
            if vpc == next {
                index.networks.push(Vec::new());
            }
            let fragments = fragments::of(&session, tags);
            if fragments.length() > LONGEST {
                return Err((place, fragments.length()));
            }
            index.labels_left_out += fragments.labels_left_out;
            let entry = number(place);
            for id in &session.endpoint_ids {
                index.by_endpoint.entry((id.0, session.vni)).or_default().push(entry);
            }
            index.by_vni.entry(session.vni).or_default().push(entry);
            for &address in &session.addresses {
                index.by_address.entry(key(vpc, address)).or_insert(entry);
            }
            let sender = session.addresses.first().and_then(|address| match address {
                IpAddr::V4(address) => Some(*address),
                IpAddr::V6(_) => None,
            });
            let fragments::Fragments { record, mirror, end, .. } = fragments;
            index.entries.push(Entry { session, vpc, sender, record, mirror, end });
        }
        for known in map.vpcs {
            if let Some(networks) = vpcs.get(&known.vpc).and_then(|&vpc| index.networks.get_mut(vpc as usize))
            {
                networks.extend(known.networks);
            }
        }
        Ok(index)
    }

    /// The entries, in the order of the map.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of a tunnel: by endpoint and VNI, and by the source of the VXLAN packets where several have those in common; where
    /// the endpoint is in no entry or no packet, by VNI and that source alone.
    pub fn find(&self, tunnel: &Tunnel) -> Option<&Entry> {
        let vni = tunnel.vxlan_vni.or(tunnel.geneve_vni)?.get();
        let of_endpoint = tunnel.endpoint.and_then(|endpoint| self.by_endpoint.get(&(endpoint.0, vni)));
        if let Some([entry]) = of_endpoint.map(Vec::as_slice) {
            return self.entry(*entry);
        }
        let source = tunnel.vxlan_source?;
        let candidates = of_endpoint.or_else(|| self.by_vni.get(&vni))?;
        let may_be_elsewhere = of_endpoint.is_some() || tunnel.endpoint.is_none();
        let mut found = candidates.iter().filter_map(|&entry| self.entry(entry)).filter(|entry| {
            entry.sender == Some(source) && (may_be_elsewhere || entry.session.endpoint_ids.is_empty())
        });
        // Which of several it is, nothing tells: accounts may have the same addresses and VNIs.
        found.next().filter(|_| found.next().is_none())
    }

    fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries.get(number as usize)
    }

    /// The entry that has `address` in the VPC of `entry`.
    pub(super) fn neighbour(&self, entry: &Entry, address: IpAddr) -> Option<&Entry> {
        self.by_address.get(&key(entry.vpc, address)).and_then(|&number| self.entry(number))
    }

    /// The direction of a flow across the border of the VPC of `entry`. Addresses of its networks and of its known interfaces are
    /// inside; where its networks are not known, private addresses are. `known` are the ends that are known interfaces.
    pub(super) fn direction(
        &self,
        entry: &Entry,
        [source, destination]: [IpAddr; 2],
        known: [bool; 2],
    ) -> NetworkDirection {
        let networks = self.networks.get(entry.vpc as usize).map_or(&[][..], Vec::as_slice);
        NetworkDirection::across(source, destination, |address| {
            if known[usize::from(address != source)] {
                return true;
            }
            let address = address.to_canonical();
            match networks {
                [] => is_private(address),
                networks => is_local(address) || networks.iter().any(|network| network.contains(&address)),
            }
        })
    }
}

/// An address in a VPC as a key.
fn key(vpc: u32, address: IpAddr) -> (u32, u64, u64) {
    let bits = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    };
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    let halves = ((bits >> 64) as u64, bits as u64);
    (vpc, halves.0, halves.1)
}

/// The number of an entry or VPC: a file has fewer than 2^32.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

//! The enrichment map: for the daemon, which session, interface and instance a mirrored packet came from.
//!
//! docs/sessions.md describes the format. A packet names its session by the id of the Gateway Load Balancer endpoint
//! (in the GENEVE option) and the virtual network id (in the VXLAN header).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::Path;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::file::write_atomically;
use crate::id::{EndpointId, InterfaceId, Place, SessionId, TargetId};
use crate::observe::Touched;
use crate::observed::{Observed, Owned as _, Session, Tags};
use crate::policy::{Destination, Policy};
use crate::tags;

/// Number of the format.
pub const VERSION: u32 = 1;

/// One session, with all that is known about what it mirrors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Virtual network id of the packets' VXLAN header.
    pub vni: u32,
    /// What the endpoint id in the packets' GENEVE option may be: 16 hexadecimal digits each. Empty where the endpoint
    /// is not known; then the virtual network id alone tells.
    pub endpoint_ids: BTreeSet<String>,
    /// The endpoint.
    pub endpoint: Option<EndpointId>,
    /// Account and region.
    #[serde(flatten)]
    pub place: Place,
    /// The session.
    pub session: SessionId,
    /// Its number among the interface's sessions.
    pub session_number: u16,
    /// Bytes mirrored of each packet; without a number, all.
    pub packet_length: Option<u16>,
    /// The rule that wants it, where this program made it.
    pub rule: Option<String>,
    /// The interface.
    pub interface: InterfaceId,
    /// Its addresses; the first one is the source of the VXLAN packets.
    pub addresses: Vec<IpAddr>,
    /// Its VPC.
    pub vpc: Option<String>,
    /// Its subnet.
    pub subnet: Option<String>,
    /// Its zone.
    pub zone: Option<String>,
    /// Its instance.
    pub instance: Option<String>,
    /// That instance's type.
    pub instance_type: Option<String>,
    /// Tags of the instance, and over them those of the interface.
    pub tags: Tags,
}

/// Every session of every place.
#[derive(Clone, Debug)]
pub struct EnrichmentMap {
    owner: String,
    /// The ids that the policy gives for an endpoint, where they were seen to differ from its own.
    geneve_ids: BTreeMap<Destination, u64>,
    /// Network interfaces of endpoints.
    interfaces: BTreeMap<EndpointId, Vec<InterfaceId>>,
    entries: BTreeMap<Place, BTreeMap<SessionId, Entry>>,
}

#[derive(Serialize)]
struct File<'a> {
    version: u32,
    generated: String,
    owner: &'a str,
    sessions: Vec<&'a Entry>,
}

impl EnrichmentMap {
    /// An empty map.
    pub fn new(policy: &Policy) -> Self {
        let endpoints = policy.targets.values().flat_map(|target| &target.endpoints);
        Self {
            owner: policy.owner.clone(),
            geneve_ids: endpoints
                .filter_map(|endpoint| Some((endpoint.destination.clone(), endpoint.geneve_id?)))
                .collect(),
            interfaces: BTreeMap::new(),
            entries: BTreeMap::new(),
        }
    }

    /// Notes the network interfaces of endpoints, whose ids are candidates for the GENEVE option too.
    pub fn endpoint_interfaces(&mut self, interfaces: BTreeMap<EndpointId, Vec<InterfaceId>>) {
        self.interfaces = interfaces;
    }

    /// Puts the sessions of a full observation in the place of those known before.
    pub fn replace(&mut self, place: &Place, observed: &Observed) {
        let entries = observed
            .sessions
            .values()
            .map(|session| (session.id.clone(), self.entry(place, observed, session)));
        let entries = entries.collect();
        self.entries.insert(place.clone(), entries);
    }

    /// Puts the sessions of the interfaces that an event was about in the place of those known before.
    pub fn replace_touched(&mut self, place: &Place, observed: &Observed, touched: &Touched) {
        let new: Vec<Entry> =
            observed.sessions.values().map(|session| self.entry(place, observed, session)).collect();
        let entries = self.entries.entry(place.clone()).or_default();
        let about = |entry: &Entry| {
            observed.interfaces.contains_key(&entry.interface)
                || touched.interfaces.contains(&entry.interface)
                || entry.instance.as_ref().is_some_and(|id| touched.instances.contains(&id.as_str().into()))
        };
        entries.retain(|_, entry| !about(entry));
        entries.extend(new.into_iter().map(|entry| (entry.session.clone(), entry)));
    }

    fn entry(&self, place: &Place, observed: &Observed, session: &Session) -> Entry {
        let interface = observed.interfaces.get(&session.interface);
        let instance = observed.instance_of(&session.interface);
        let endpoint = observed.targets.get(&session.target).and_then(|target| target.endpoint.clone());
        let mut all = instance.map(|instance| instance.tags.clone()).unwrap_or_default();
        all.extend(interface.map(|interface| interface.tags.clone()).unwrap_or_default());
        let ours = session.owned_by(&self.owner);
        Entry {
            vni: session.vni,
            endpoint_ids: self.endpoint_ids(&session.target, endpoint.as_ref()),
            endpoint,
            place: place.clone(),
            session: session.id.clone(),
            session_number: session.number,
            packet_length: session.packet_length,
            rule: session.tags.get(tags::RULE).filter(|_| ours).cloned(),
            interface: session.interface.clone(),
            addresses: interface.map(|interface| interface.addresses.clone()).unwrap_or_default(),
            vpc: interface.map(|interface| interface.vpc.clone()),
            subnet: interface.map(|interface| interface.subnet.clone()),
            zone: interface.map(|interface| interface.zone.clone()),
            instance: instance.map(|instance| instance.id.to_string()),
            instance_type: instance.map(|instance| instance.instance_type.clone()),
            tags: all,
        }
    }

    /// What the GENEVE option may hold: what the policy says, or else the digits of the endpoint's id and of its
    /// interfaces' ids.
    fn endpoint_ids(&self, target: &TargetId, endpoint: Option<&EndpointId>) -> BTreeSet<String> {
        let of_target = self.geneve_ids.get(&Destination::MirrorTarget(target.clone()));
        let of_endpoint = endpoint.and_then(|id| self.geneve_ids.get(&Destination::Endpoint(id.clone())));
        if let Some(id) = of_target.or(of_endpoint) {
            return BTreeSet::from([format!("{id:016x}")]);
        }
        let interfaces = endpoint.and_then(|id| self.interfaces.get(id)).into_iter().flatten();
        let of_interfaces = interfaces.filter_map(|id| digits(id.as_str()));
        endpoint.and_then(|id| digits(id.as_str())).into_iter().chain(of_interfaces).collect()
    }

    /// The map as JSON, ordered by endpoint and virtual network id.
    ///
    /// # Errors
    ///
    /// Never for what an account can hold; the time must be one that RFC 3339 can write.
    pub fn json(&self, now: OffsetDateTime) -> io::Result<Vec<u8>> {
        let mut sessions: Vec<&Entry> = self.entries.values().flat_map(BTreeMap::values).collect();
        sessions.sort_by_key(|entry| (&entry.endpoint, entry.vni, &entry.session));
        let generated = now.format(&Rfc3339).map_err(io::Error::other)?;
        let mut json =
            serde_json::to_vec_pretty(&File { version: VERSION, generated, owner: &self.owner, sessions })?;
        json.push(b'\n');
        Ok(json)
    }

    /// Replaces a file by the map; a reader sees the old one or the new one, whole.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, path: &Path, now: OffsetDateTime) -> io::Result<()> {
        write_atomically(path, &self.json(now)?)
    }
}

/// The hexadecimal digits of an id, as the 64-bit number that they are: `vpce-0123…` has 17, of which the first is 0.
fn digits(id: &str) -> Option<String> {
    let (_, digits) = id.split_once('-')?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    Some(format!("{number:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_as_64_bit_numbers() {
        assert_eq!(digits("vpce-0123456789abcdef0").as_deref(), Some("123456789abcdef0"));
        assert_eq!(digits("vpce-1a2b3c4d").as_deref(), Some("000000001a2b3c4d"));
        assert_eq!(digits("vpce-f123456789abcdef0"), None, "more than 64 bits");
        assert_eq!(digits("vpce"), None);
    }
}

//! The enrichment map, from which the daemon knows the session, interface and instance of a mirrored packet.
//!
//! docs/sessions.md describes the format. A packet identifies its session by the id of the Gateway Load Balancer endpoint
//! (in the GENEVE option) and the virtual network id (in the VXLAN header).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::Path;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::file::write_atomically;
use crate::id::{AccountRegion, EndpointId, InterfaceId, SessionId, TargetId};
use crate::observation::{Affected, Observation};
use crate::ownership::{self, Owned as _};
use crate::policy::{Destination, Policy};
use crate::resource::{Session, Tags};

/// Version of the format.
pub const VERSION: u32 = 1;

/// A session, with the interface and instance that it mirrors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionEntry {
    /// Virtual network id in the VXLAN header of its packets.
    pub vni: u32,
    /// Possible endpoint ids in the GENEVE option of its packets, 16 hexadecimal digits each. Empty if the endpoint is not
    /// known; then the virtual network id alone identifies the session.
    pub endpoint_ids: BTreeSet<String>,
    /// The endpoint.
    pub endpoint: Option<EndpointId>,
    /// Account and region.
    #[serde(flatten)]
    pub account_region: AccountRegion,
    /// The session.
    pub session: SessionId,
    /// The session number.
    pub session_number: u16,
    /// Bytes of each packet that are mirrored; `None` for whole packets.
    pub packet_length: Option<u16>,
    /// The rule that created it, for sessions of this owner.
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
    /// The instance's type.
    pub instance_type: Option<String>,
    /// Tags of the instance and the interface; the interface's take precedence.
    pub tags: Tags,
}

/// The sessions of all accounts and regions.
#[derive(Clone, Debug)]
pub struct EnrichmentMap {
    owner: String,
    /// Endpoint ids in GENEVE options that the policy sets.
    geneve_ids: BTreeMap<Destination, u64>,
    /// Network interfaces of endpoints.
    interfaces: BTreeMap<EndpointId, Vec<InterfaceId>>,
    entries: BTreeMap<AccountRegion, BTreeMap<SessionId, SessionEntry>>,
}

#[derive(Serialize)]
struct File<'a> {
    version: u32,
    generated: String,
    owner: &'a str,
    sessions: Vec<&'a SessionEntry>,
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

    /// Sets the network interfaces of endpoints, whose ids are candidates for the GENEVE option too.
    pub fn set_endpoint_interfaces(&mut self, interfaces: BTreeMap<EndpointId, Vec<InterfaceId>>) {
        self.interfaces = interfaces;
    }

    /// Replaces the sessions of an account and region with those of a full observation.
    pub fn replace(&mut self, account_region: &AccountRegion, observation: &Observation) {
        let entries = observation
            .sessions
            .values()
            .map(|session| (session.id.clone(), self.entry(account_region, observation, session)));
        let entries = entries.collect();
        self.entries.insert(account_region.clone(), entries);
    }

    /// Replaces the sessions of the resources that an event affects with those of its observation.
    pub fn replace_affected(
        &mut self,
        account_region: &AccountRegion,
        observation: &Observation,
        affected: &Affected,
    ) {
        let new: Vec<SessionEntry> = observation
            .sessions
            .values()
            .map(|session| self.entry(account_region, observation, session))
            .collect();
        let entries = self.entries.entry(account_region.clone()).or_default();
        let is_affected = |entry: &SessionEntry| {
            observation.interfaces.contains_key(&entry.interface)
                || affected.interfaces.contains(&entry.interface)
                || entry.instance.as_ref().is_some_and(|id| affected.instances.contains(&id.as_str().into()))
        };
        entries.retain(|_, entry| !is_affected(entry));
        entries.extend(new.into_iter().map(|entry| (entry.session.clone(), entry)));
    }

    fn entry(
        &self,
        account_region: &AccountRegion,
        observation: &Observation,
        session: &Session,
    ) -> SessionEntry {
        let interface = observation.interfaces.get(&session.interface);
        let instance = observation.instance_of(&session.interface);
        let endpoint = observation.targets.get(&session.target).and_then(|target| target.endpoint.clone());
        let mut tags = instance.map(|instance| instance.tags.clone()).unwrap_or_default();
        tags.extend(interface.map(|interface| interface.tags.clone()).unwrap_or_default());
        let owned = session.owned_by(&self.owner);
        SessionEntry {
            vni: session.vni,
            endpoint_ids: self.endpoint_ids(&session.target, endpoint.as_ref()),
            endpoint,
            account_region: account_region.clone(),
            session: session.id.clone(),
            session_number: session.number,
            packet_length: session.packet_length,
            rule: session.tags.get(ownership::RULE_TAG).filter(|_| owned).cloned(),
            interface: session.interface.clone(),
            addresses: interface.map(|interface| interface.addresses.clone()).unwrap_or_default(),
            vpc: interface.map(|interface| interface.vpc.clone()),
            subnet: interface.map(|interface| interface.subnet.clone()),
            zone: interface.map(|interface| interface.zone.clone()),
            instance: instance.map(|instance| instance.id.to_string()),
            instance_type: instance.map(|instance| instance.instance_type.clone()),
            tags,
        }
    }

    /// Possible endpoint ids in the GENEVE option: the one that the policy sets, or the digits of the endpoint's id and of
    /// its interfaces' ids.
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
    /// When RFC 3339 cannot represent the time.
    pub fn json(&self, now: OffsetDateTime) -> io::Result<Vec<u8>> {
        let mut sessions: Vec<&SessionEntry> = self.entries.values().flat_map(BTreeMap::values).collect();
        sessions.sort_by_key(|entry| (&entry.endpoint, entry.vni, &entry.session));
        let generated = now.format(&Rfc3339).map_err(io::Error::other)?;
        let mut json =
            serde_json::to_vec_pretty(&File { version: VERSION, generated, owner: &self.owner, sessions })?;
        json.push(b'\n');
        Ok(json)
    }

    /// Replaces a file with the map, atomically.
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

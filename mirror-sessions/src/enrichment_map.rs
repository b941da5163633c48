//! The enrichment map, from which the daemon knows the session, interface and instance of a mirrored packet.
//!
//! Here its entries are made from observations; [`mirror_enrichment`] has the format. A packet identifies its session by the id
//! of the Gateway Load Balancer endpoint (in the GENEVE option) and the virtual network id (in the VXLAN header).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use mirror_enrichment::{GeneveId, Map, Session as Entry, VERSION};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::file::write_atomically;
use crate::id::{AccountRegion, EndpointId, InterfaceId, SessionId, TargetId};
use crate::observation::{Affected, Observation};
use crate::ownership::{self, Owned as _};
use crate::policy::{Destination, Policy};
use crate::resource::Session;

/// The sessions of all accounts and regions.
#[derive(Clone, Debug)]
pub struct EnrichmentMap {
    owner: String,
    /// Endpoint ids in GENEVE options that the policy sets.
    geneve_ids: BTreeMap<Destination, GeneveId>,
    /// Network interfaces of endpoints.
    interfaces: BTreeMap<EndpointId, Vec<InterfaceId>>,
    entries: BTreeMap<AccountRegion, BTreeMap<SessionId, Entry>>,
}

impl EnrichmentMap {
    /// An empty map.
    pub fn new(policy: &Policy) -> Self {
        let endpoints = policy.targets.values().flat_map(|target| &target.endpoints);
        Self {
            owner: policy.owner.clone(),
            geneve_ids: endpoints
                .filter_map(|endpoint| Some((endpoint.destination.clone(), GeneveId(endpoint.geneve_id?))))
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
        let new: Vec<Entry> = observation
            .sessions
            .values()
            .map(|session| self.entry(account_region, observation, session))
            .collect();
        let entries = self.entries.entry(account_region.clone()).or_default();
        let is_affected = |entry: &Entry| {
            let interface = entry.interface.as_str().into();
            observation.interfaces.contains_key(&interface)
                || affected.interfaces.contains(&interface)
                || entry.instance.as_ref().is_some_and(|id| affected.instances.contains(&id.as_str().into()))
        };
        entries.retain(|_, entry| !is_affected(entry));
        entries.extend(new.into_iter().map(|entry| (entry.session.as_str().into(), entry)));
    }

    fn entry(&self, account_region: &AccountRegion, observation: &Observation, session: &Session) -> Entry {
        let interface = observation.interfaces.get(&session.interface);
        let instance = observation.instance_of(&session.interface);
        let endpoint = observation.targets.get(&session.target).and_then(|target| target.endpoint.clone());
        let mut tags = instance.map(|instance| instance.tags.clone()).unwrap_or_default();
        tags.extend(interface.map(|interface| interface.tags.clone()).unwrap_or_default());
        let owned = session.owned_by(&self.owner);
        Entry {
            vni: session.vni,
            endpoint_ids: self.endpoint_ids(&session.target, endpoint.as_ref()),
            endpoint: endpoint.map(|id| id.to_string()),
            account: account_region.account.to_string(),
            region: account_region.region.to_string(),
            session: session.id.to_string(),
            session_number: session.number,
            packet_length: session.packet_length,
            rule: session.tags.get(ownership::RULE_TAG).filter(|_| owned).cloned(),
            interface: session.interface.to_string(),
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
    fn endpoint_ids(&self, target: &TargetId, endpoint: Option<&EndpointId>) -> BTreeSet<GeneveId> {
        let of_target = self.geneve_ids.get(&Destination::MirrorTarget(target.clone()));
        let of_endpoint = endpoint.and_then(|id| self.geneve_ids.get(&Destination::Endpoint(id.clone())));
        if let Some(&id) = of_target.or(of_endpoint) {
            return BTreeSet::from([id]);
        }
        let interfaces = endpoint.and_then(|id| self.interfaces.get(id)).into_iter().flatten();
        let of_interfaces = interfaces.filter_map(|id| GeneveId::of_resource(id.as_str()));
        endpoint.and_then(|id| GeneveId::of_resource(id.as_str())).into_iter().chain(of_interfaces).collect()
    }

    /// The map as JSON, ordered by endpoint and virtual network id.
    ///
    /// # Errors
    ///
    /// When RFC 3339 cannot represent the time.
    pub fn json(&self, now: OffsetDateTime) -> io::Result<Vec<u8>> {
        let mut sessions: Vec<Entry> = self.entries.values().flat_map(BTreeMap::values).cloned().collect();
        sessions.sort_by(|one, other| {
            let [one, other] = [one, other].map(|entry| (&entry.endpoint, entry.vni, &entry.session));
            one.cmp(&other)
        });
        let map = Map {
            version: VERSION,
            generated: Some(now.format(&Rfc3339).map_err(io::Error::other)?),
            owner: Some(self.owner.clone()),
            sessions,
            vpcs: Vec::new(),
        };
        let mut json = serde_json::to_vec_pretty(&map)?;
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

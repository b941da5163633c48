//! The privacy rules as one worker applies them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use mirror_app::Summary;
use mirror_app::http::Request;
use mirror_app::tls::Handshake;

use super::address::{Addresses, Pseudonyms};
use super::fields::FieldFilter;
use super::frame;
use super::label::Label;
use super::name::NamePolicy;
use super::policy::{Policy, Privacy};
use super::selector::{Identities, Identity};
use crate::flow::{Application, ApplicationRecord, FlowRecord};
use crate::number::{EndpointId, MacAddress, Vni};
use crate::packet::{Link, Network, Packet, Tunnel};
use crate::rules::{Recording, header_length};

/// Tunnels whose rules a worker remembers; beyond that it forgets all and begins again.
const REMEMBERED: usize = 1 << 16;

/// The rules, and what a worker remembers of them. Nothing of it is shared with other workers.
#[derive(Default)]
pub struct WorkerPrivacy {
    privacy: Privacy,
    treatments: Vec<RecordPrivacy>,
    identities: Option<Box<dyn Identities>>,
    /// Place of the rule of each tunnel that was seen.
    of_tunnel: HashMap<TunnelName, Option<usize>>,
    /// Version of the identities that `of_tunnel` was filled by.
    version: u64,
}

/// The parts of a tunnel that rules and identities go by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct TunnelName {
    endpoint: Option<EndpointId>,
    vni: Option<Vni>,
    /// The mirrored interface; where packets come without a load balancer, the sender in any case.
    source: Option<IpAddr>,
}

impl TunnelName {
    fn of(tunnel: &Tunnel) -> Self {
        let sender = || tunnel.endpoint.is_none().then_some(tunnel.outer_source);
        let source = tunnel.vxlan_source.map(IpAddr::V4).or_else(sender);
        Self { endpoint: tunnel.endpoint, vni: tunnel.vxlan_vni.or(tunnel.geneve_vni), source }
    }
}

impl WorkerPrivacy {
    /// For a worker that asks `identities` for the owners of tunnels.
    pub fn new(privacy: &Privacy, identities: Option<Box<dyn Identities>>) -> Self {
        Self {
            treatments: privacy.rules.iter().map(RecordPrivacy::new).collect(),
            identities: identities.filter(|_| privacy.needs_identity()),
            privacy: privacy.clone(),
            ..Self::default()
        }
    }

    /// Bytes of memory that a worker needs for so many rules, each with pseudonyms.
    pub const fn memory(rules: usize) -> u64 {
        // A hash table has up to 16 places for every 7 entries.
        let tunnels = REMEMBERED * (size_of::<(TunnelName, Option<usize>)>() + 1) * 16 / 7;
        (tunnels + rules * Pseudonyms::MEMORY) as u64
    }

    /// `true` if some rule takes away records, payload or bytes, so that each packet must be looked at.
    pub fn limits_packets(&self) -> bool {
        self.privacy.limits_packets()
    }

    /// The treatment of records of `tunnel`; [`None`] where no rule is for it.
    #[inline]
    pub fn of(&mut self, tunnel: &Tunnel) -> Option<&mut RecordPrivacy> {
        if self.treatments.is_empty() {
            return None;
        }
        let place = self.place(tunnel)?;
        self.treatments.get_mut(place)
    }

    /// Tunnels whose rules are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.of_tunnel.len()
    }

    fn place(&mut self, tunnel: &Tunnel) -> Option<usize> {
        if let Some(identities) = &self.identities
            && self.version != identities.version()
        {
            self.version = identities.version();
            self.of_tunnel.clear();
        }
        let name = TunnelName::of(tunnel);
        if let Some(place) = self.of_tunnel.get(&name) {
            return *place;
        }
        let identity: Option<Identity> =
            self.identities.as_ref().and_then(|identities| identities.of(tunnel));
        let place = self.privacy.find(name.endpoint, name.vni, identity.as_ref());
        if self.of_tunnel.len() >= REMEMBERED {
            self.of_tunnel.clear();
        }
        self.of_tunnel.insert(name, place);
        place
    }
}

/// `true` for a name that tells an address: one of reverse DNS (RFC 1035, section 3.5; RFC 3596, section 2.5), or an address
/// in the place of a name.
fn is_of_address(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let ends_with = |end: &str| {
        let start = name.len().checked_sub(end.len());
        start.and_then(|start| name.get(start..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    ends_with("in-addr.arpa") || ends_with("ip6.arpa") || bare.parse::<IpAddr>().is_ok()
}

/// The treatment of the records of some tunnels, by one worker.
pub struct RecordPrivacy {
    limit: Recording,
    addresses: Addresses,
    macs: bool,
    names: NamePolicy,
    fields: FieldFilter,
    label: Arc<Label>,
    /// The bytes of a packet, before those of them that a record may have go to a batch.
    scratch: Vec<u8>,
}

impl RecordPrivacy {
    fn new(policy: &Policy) -> Self {
        let Policy { limit, addresses, macs, names, fields, label, .. } = policy.clone();
        // The label is the worker's own: its count of references is not shared between workers.
        let (addresses, label) = (addresses.of_worker(), Arc::new(label));
        Self { limit, addresses, macs, names, fields, label, scratch: Vec::new() }
    }

    /// The records that may be made, and their content.
    pub const fn limit(&self) -> Recording {
        self.limit
    }

    /// The label of the records.
    pub const fn label(&self) -> &Arc<Label> {
        &self.label
    }

    /// `true` if a record may have this field, a dotted path, or something below it.
    pub fn allows(&self, field: &str) -> bool {
        self.fields.allows(field)
    }

    /// What stands in a record for an address.
    pub fn address(&mut self, address: IpAddr) -> IpAddr {
        self.addresses.apply(address)
    }

    /// What stands in a record for a name that was derived from payload; [`None`] for nothing.
    pub fn name<'name>(&self, name: &'name str) -> Option<Cow<'name, str>> {
        let tells_address = !self.addresses.are_kept() && is_of_address(name);
        if self.limit.payload && !tells_address { self.names.apply(name) } else { None }
    }

    /// The record of a flow, as it may be.
    pub fn flow(&mut self, flow: &FlowRecord) -> FlowRecord {
        let (source, destination) = self.ends(flow.source, flow.destination);
        let application = flow.application.as_ref().filter(|_| self.limit.payload);
        let application = application.map(|summary| {
            if !self.treats_names() {
                return Arc::clone(summary);
            }
            let mut summary = Summary::clone(summary);
            if let Some(handshake) = &mut summary.tls {
                self.handshake(handshake);
            }
            if let Some(request) = summary.http.as_mut().and_then(|http| http.request.as_mut()) {
                self.request(request);
            }
            Arc::new(summary)
        });
        FlowRecord { tunnel: self.tunnel(&flow.tunnel), source, destination, application, ..flow.clone() }
    }

    /// What a flow tells of its application, as its record may be.
    pub fn application(&mut self, mut record: ApplicationRecord) -> ApplicationRecord {
        let flow = &mut record.flow;
        flow.tunnel = self.tunnel(&flow.tunnel);
        (flow.source, flow.destination) = self.ends(flow.source, flow.destination);
        match &mut record.application {
            Application::Tls(handshake) => self.handshake(handshake),
            Application::Dns(message) => {
                message.rewrite_names(|name| self.name(name).unwrap_or_default().into_owned());
                message.rewrite_addresses(|address| self.addresses.apply(address));
            }
            Application::Http(exchange) => {
                if let Some(request) = exchange.0.as_mut().filter(|_| self.treats_names()) {
                    self.request(request);
                }
            }
        }
        record
    }

    /// `true` if there are names that may not stand as they are: any, or those that tell an address.
    const fn treats_names(&self) -> bool {
        !self.addresses.are_kept() || !matches!(self.names, NamePolicy::Keep)
    }

    /// Treats the names in a handshake.
    fn handshake(&self, handshake: &mut Handshake) {
        if let Some(client) = &mut handshake.client {
            client.server_name =
                client.server_name.take().and_then(|name| self.name(&name).map(Cow::into_owned));
        }
    }

    /// Treats the names in an HTTP request. A path may hold any.
    fn request(&self, request: &mut Request) {
        let host = request.host.take();
        request.host = host.and_then(|host| self.name(&host).map(|name| name.into_owned().into_boxed_str()));
        request.path = None;
    }

    /// The description of a packet, as it may be.
    pub fn packet(&mut self, packet: &Packet) -> Packet {
        let network = match packet.network {
            Network::Ip(mut ip) => {
                (ip.source, ip.destination) = self.ends(ip.source, ip.destination);
                Network::Ip(ip)
            }
            other @ Network::Other(_) => other,
        };
        let link = packet.link.map(|link| self.link(link));
        let longest = self.limit.snap_length.map_or(u32::MAX, |length| length.saturating_sub(packet.offset));
        Packet {
            tunnel: self.tunnel(&packet.tunnel),
            captured_length: packet.captured_length.min(longest),
            link,
            network,
            ..*packet
        }
    }

    /// The bytes of a packet that a record may have. `append` appends those that were captured, with their padding; `packet`
    /// is the description as it may be.
    pub fn bytes(&mut self, packet: &Packet, append: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
        let bytes = &mut self.scratch;
        bytes.clear();
        append(bytes);
        bytes.truncate(packet.captured_length as usize);
        if !self.addresses.are_kept() {
            frame::rewrite(packet, bytes);
        } else if !self.macs || !self.limit.payload || !matches!(self.names, NamePolicy::Keep) {
            // MAC addresses are also in ARP and neighbour discovery, names anywhere in payload.
            bytes.truncate(header_length(packet, bytes));
            frame::set_macs(packet, bytes);
        }
        bytes
    }

    fn tunnel(&mut self, tunnel: &Tunnel) -> Tunnel {
        let (source, destination) = (tunnel.outer_source, tunnel.outer_destination);
        Tunnel {
            outer_source: self.end(source, "mirror.outer.source.ip"),
            outer_destination: self.end(destination, "mirror.outer.destination.ip"),
            // It is in no record: only look-ups go by it, which have no use for a pseudonym.
            vxlan_source: tunnel.vxlan_source.filter(|_| self.addresses.are_kept()),
            ..*tunnel
        }
    }

    fn ends(&mut self, source: IpAddr, destination: IpAddr) -> (IpAddr, IpAddr) {
        (self.end(source, "source.ip"), self.end(destination, "destination.ip"))
    }

    /// What stands in the record for the address that is to be in `field`: the unspecified one where it may not have the field.
    fn end(&mut self, address: IpAddr, field: &str) -> IpAddr {
        if self.fields.keeps_all() || self.fields.allows(field) {
            return self.addresses.apply(address);
        }
        match address {
            IpAddr::V4(_) => IpAddr::from([0; 4]),
            IpAddr::V6(_) => IpAddr::from([0; 16]),
        }
    }

    fn link(&self, link: Link) -> Link {
        let mac = |address, field| if self.fields.allows(field) { address } else { MacAddress::default() };
        Link {
            source: mac(link.source, "source.mac"),
            destination: mac(link.destination, "destination.mac"),
            ..link
        }
    }
}

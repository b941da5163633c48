//! The members of a record that say who an entry is, as JSON: made once for each entry, and copied into each record.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mirror_enrichment::Session;
use serde::Serialize;

/// Most bytes that the members of an entry take in a record, including those of both ends.
pub const LONGEST: usize = 6144;

/// Most addresses in `host.ip`: an interface can have many, of which the first are the ones it is known by.
const ADDRESSES: usize = 8;

/// Longest value of a label, in characters: EC2 has no longer tags.
const LONGEST_VALUE: usize = 256;

/// Members of a record, each with a comma behind.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    /// Members of the record itself.
    pub(super) record: Box<[u8]>,
    /// Members of `mirror`.
    pub(super) mirror: Box<[u8]>,
    /// Members of `mirror.source` or `mirror.destination`, where the entry is that end.
    pub(super) end: Box<[u8]>,
    /// Labels that there was no room for.
    pub(super) labels_left_out: u64,
}

impl Fragments {
    /// Bytes that they take at most in a record.
    pub(super) fn length(&self) -> usize {
        self.record.len() + self.mirror.len() + 2 * self.end.len()
    }
}

/// The members of an entry. Labels are left out from the last one on where they do not fit.
pub(super) fn of(session: &Session, tags: &[String]) -> Fragments {
    let mut labels: Vec<(String, String)> = Vec::new();
    for (key, value) in tags.iter().filter_map(|key| session.tags.get_key_value(key)) {
        // A dot would make it an object within `labels`, which ECS does not allow.
        let key = key.replace('.', "_");
        if labels.iter().all(|(label, _)| *label != key) {
            labels.push((key, value.chars().take(LONGEST_VALUE).collect()));
        }
    }
    let mirror = members(&Mirror::of(session));
    let end = members(&End::of(session));
    let mut left_out = 0;
    loop {
        let record = members(&Record::of(session, &labels));
        let fragments =
            Fragments { record, mirror: mirror.clone(), end: end.clone(), labels_left_out: left_out };
        if fragments.length() <= LONGEST || labels.pop().is_none() {
            return fragments;
        }
        left_out += 1;
    }
}

/// The members of an object, each with a comma behind.
fn members(object: &impl Serialize) -> Box<[u8]> {
    // Structures of strings, numbers and maps with strings as keys can always be written.
    let json = serde_json::to_vec(object).unwrap_or_default();
    match json.as_slice() {
        [b'{', members @ .., b'}'] if !members.is_empty() => [members, b","].concat().into(),
        _ => Box::default(),
    }
}

#[derive(Serialize)]
struct Record<'a> {
    cloud: Cloud<'a>,
    #[serde(skip_serializing_if = "Host::is_empty")]
    host: Host<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, &'a str>,
}

impl<'a> Record<'a> {
    fn of(session: &'a Session, labels: &'a [(String, String)]) -> Self {
        let name = name(session);
        let kind = session.instance_type.as_deref();
        let id = session.instance.as_deref();
        let addresses = session.addresses.iter().copied().take(ADDRESSES).collect();
        Self {
            cloud: Cloud {
                provider: "aws",
                account: Id { id: &session.account },
                region: &session.region,
                availability_zone: session.zone.as_deref(),
                instance: id.map(|id| Instance { id, name }),
                machine: kind.map(|kind| Machine { kind }),
            },
            host: Host { id, name: name.filter(|_| id.is_some()), kind, ip: addresses },
            labels: labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
        }
    }
}

/// The name that the operator gave the instance.
fn name(session: &Session) -> Option<&str> {
    session
        .tags
        .get("Name")
        .map(String::as_str)
        .filter(|name| !name.is_empty() && name.len() <= LONGEST_VALUE)
}

#[derive(Serialize)]
struct Cloud<'a> {
    provider: &'static str,
    account: Id<'a>,
    region: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    availability_zone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<Instance<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<Machine<'a>>,
}

#[derive(Serialize)]
struct Id<'a> {
    id: &'a str,
}

#[derive(Serialize)]
struct Instance<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct Machine<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
}

#[derive(Serialize)]
struct Host<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ip: Vec<IpAddr>,
}

impl Host<'_> {
    fn is_empty(&self) -> bool {
        self.id.is_none() && self.ip.is_empty()
    }
}

#[derive(Serialize)]
struct Mirror<'a> {
    session: SessionFields<'a>,
    interface: Id<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpc: Option<Id<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subnet: Option<Id<'a>>,
}

#[derive(Serialize)]
struct SessionFields<'a> {
    id: &'a str,
    number: u16,
}

impl<'a> Mirror<'a> {
    fn of(session: &'a Session) -> Self {
        Self {
            session: SessionFields { id: &session.session, number: session.session_number },
            interface: Id { id: &session.interface },
            vpc: session.vpc.as_deref().map(|id| Id { id }),
            subnet: session.subnet.as_deref().map(|id| Id { id }),
        }
    }
}

#[derive(Serialize)]
struct End<'a> {
    account: Id<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<Instance<'a>>,
    interface: Id<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subnet: Option<Id<'a>>,
}

impl<'a> End<'a> {
    fn of(session: &'a Session) -> Self {
        Self {
            account: Id { id: &session.account },
            instance: session.instance.as_deref().map(|id| Instance { id, name: name(session) }),
            interface: Id { id: &session.interface },
            subnet: session.subnet.as_deref().map(|id| Id { id }),
        }
    }
}

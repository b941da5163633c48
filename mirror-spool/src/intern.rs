//! Dictionaries of tunnels and hosts: each stands once in a file, and rows refer to it by a number of 16 bits.

use std::fmt::Write as _;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use ahash::RandomState;
use arrow_array::builder::{PrimitiveBuilder, StringBuilder};
use arrow_array::types::{UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, PrimitiveArray, StringArray, StructArray};
use arrow_schema::{DataType, Field, Fields};
use serde::Serializer as _;

use crate::column::Values;
use crate::error::ReadError;
use crate::row::{Host, Tunnel};

/// Entries that a dictionary can have.
pub(crate) const MOST: usize = 1 << 16;

/// A tunnel that outlives the row that brought it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedTunnel {
    ids: Ids,
    pseudonym_key: Option<String>,
    host: Option<Arc<Host>>,
}

/// The numbers of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Ids {
    outer_source: IpAddr,
    outer_destination: IpAddr,
    geneve_vni: Option<u32>,
    vxlan_vni: Option<u32>,
    endpoint: Option<u64>,
    attachment: Option<u64>,
}

impl OwnedTunnel {
    /// The row's view of it.
    pub(crate) fn as_row(&self) -> Tunnel<'_> {
        let Ids { outer_source, outer_destination, geneve_vni, vxlan_vni, endpoint, attachment } = self.ids;
        Tunnel {
            outer_source,
            outer_destination,
            geneve_vni,
            vxlan_vni,
            endpoint,
            attachment,
            pseudonym_key: self.pseudonym_key.as_deref(),
            host: self.host.as_ref(),
        }
    }

    /// The host behind it.
    pub(crate) fn host(&self) -> Option<&Arc<Host>> {
        self.host.as_ref()
    }
}

impl Ids {
    fn of(tunnel: &Tunnel<'_>) -> Self {
        let Tunnel { outer_source, outer_destination, geneve_vni, vxlan_vni, endpoint, attachment, .. } =
            *tunnel;
        Self { outer_source, outer_destination, geneve_vni, vxlan_vni, endpoint, attachment }
    }
}

/// `true` if both are the same host: by pointer, which is quick, or else by value.
fn same(one: Option<&Arc<Host>>, other: Option<&Arc<Host>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
        (None, None) => true,
        _ => false,
    }
}

/// Open addressing over the entries of a dictionary, grown by doubling; 0 marks a free slot.
struct Index {
    slots: Vec<u32>,
    hasher: RandomState,
}

impl Index {
    fn new() -> Self {
        Self { slots: vec![0; 256], hasher: RandomState::new() }
    }

    /// The entry with this hash for which `is_it` holds, or else the free slot where it belongs.
    fn find(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = usize::try_from(hash & mask as u64).unwrap_or_default();
        loop {
            match self.slots[slot] {
                0 => return Err(slot),
                entry if is_it(entry as usize - 1) => return Ok(entry as usize - 1),
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    fn insert(&mut self, slot: usize, entry: usize, rehash: impl Fn(&RandomState, usize) -> u64) {
        self.slots[slot] = u32::try_from(entry + 1).unwrap_or(u32::MAX);
        if (entry + 1) * 2 > self.slots.len() {
            let mut grown = Self { slots: vec![0; self.slots.len() * 2], hasher: self.hasher.clone() };
            for entry in 0..=entry {
                let (Ok(slot) | Err(slot)) = grown.find(rehash(&grown.hasher, entry), |_| false);
                grown.slots[slot] = u32::try_from(entry + 1).unwrap_or(u32::MAX);
            }
            *self = grown;
        }
    }
}

/// The tunnels of a file that is being written.
pub(crate) struct Tunnels {
    entries: Vec<(OwnedTunnel, u64)>,
    index: Index,
    latest: usize,
}

impl Tunnels {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), index: Index::new(), latest: 0 }
    }

    /// `true` if the next row may not find room for its tunnel.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= MOST
    }

    /// The number of a tunnel; a record more of it is counted.
    pub(crate) fn intern(&mut self, tunnel: &Tunnel<'_>) -> u16 {
        let ids = Ids::of(tunnel);
        let is_it = |entry: &(OwnedTunnel, u64)| {
            entry.0.ids == ids
                && entry.0.pseudonym_key.as_deref() == tunnel.pseudonym_key
                && same(entry.0.host.as_ref(), tunnel.host)
        };
        // Records of one tunnel often follow each other.
        let entry = if self.entries.get(self.latest).is_some_and(is_it) {
            self.latest
        } else {
            let hash = self.index.hasher.hash_one(ids);
            match self.index.find(hash, |entry| is_it(&self.entries[entry])) {
                Ok(entry) => entry,
                Err(slot) => {
                    let entry = self.entries.len();
                    let pseudonym_key = tunnel.pseudonym_key.map(str::to_owned);
                    self.entries.push((OwnedTunnel { ids, pseudonym_key, host: tunnel.host.cloned() }, 0));
                    let entries = &self.entries;
                    self.index.insert(slot, entry, |hasher, entry| hasher.hash_one(entries[entry].0.ids));
                    entry
                }
            }
        };
        self.latest = entry;
        self.entries[entry].1 += 1;
        u16::try_from(entry).unwrap_or(u16::MAX)
    }

    /// The tunnels with their counts of records.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (&OwnedTunnel, u64)> {
        self.entries.iter().map(|(tunnel, records)| (tunnel, *records))
    }

    /// The dictionary's values.
    pub(crate) fn values(&self) -> StructArray {
        let tunnels = || self.entries.iter().map(|(tunnel, _)| tunnel);
        let ids = || tunnels().map(|tunnel| &tunnel.ids);
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(ids().map(|ids| ids.endpoint).collect::<PrimitiveArray<UInt64Type>>()),
            Arc::new(ids().map(|ids| ids.attachment).collect::<PrimitiveArray<UInt64Type>>()),
            Arc::new(ids().map(|ids| ids.geneve_vni).collect::<PrimitiveArray<UInt32Type>>()),
            Arc::new(ids().map(|ids| ids.vxlan_vni).collect::<PrimitiveArray<UInt32Type>>()),
            addresses(ids().map(|ids| ids.outer_source)),
            addresses(ids().map(|ids| ids.outer_destination)),
            Arc::new(tunnels().map(|tunnel| tunnel.pseudonym_key.as_deref()).collect::<StringArray>()),
        ];
        columns.extend(host_columns(tunnels().map(|tunnel| tunnel.host.as_deref())));
        StructArray::new(tunnel_fields(), columns, None)
    }
}

impl Values for Tunnels {
    fn data_type() -> DataType {
        DataType::Struct(tunnel_fields())
    }
}

/// Addresses as text.
fn addresses(addresses: impl Iterator<Item = IpAddr>) -> ArrayRef {
    let mut column = StringBuilder::new();
    for address in addresses {
        // Into memory, which cannot fail.
        let _ = write!(column, "{address}");
        column.append_value("");
    }
    Arc::new(column.finish())
}

fn tunnel_fields() -> Fields {
    let field = |name, data_type| Field::new(name, data_type, true);
    let mut fields = vec![
        field("endpoint", DataType::UInt64),
        field("attachment", DataType::UInt64),
        field("geneve_vni", DataType::UInt32),
        field("vxlan_vni", DataType::UInt32),
        field("outer_source", DataType::Utf8),
        field("outer_destination", DataType::Utf8),
        field("pseudonym_key", DataType::Utf8),
    ];
    fields.extend(host_fields());
    fields.into()
}

/// The hosts of a file that is being written.
pub(crate) struct Hosts {
    entries: Vec<Arc<Host>>,
    index: Index,
}

impl Hosts {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), index: Index::new() }
    }

    /// `true` if the next row may not find room for its host.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= MOST
    }

    /// The number of a host.
    pub(crate) fn intern(&mut self, host: &Arc<Host>) -> u16 {
        let key = |host: &Host, hasher: &RandomState| {
            hasher.hash_one((&host.account, &host.interface, &host.instance))
        };
        let hash = key(host, &self.index.hasher);
        let found = self.index.find(hash, |entry| same(self.entries.get(entry), Some(host)));
        let entry = found.unwrap_or_else(|slot| {
            let entry = self.entries.len();
            self.entries.push(Arc::clone(host));
            let entries = &self.entries;
            self.index.insert(slot, entry, |hasher, entry| key(&entries[entry], hasher));
            entry
        });
        u16::try_from(entry).unwrap_or(u16::MAX)
    }

    /// The dictionary's values.
    pub(crate) fn values(&self) -> StructArray {
        let columns = host_columns(self.entries.iter().map(|host| Some(&**host)));
        StructArray::new(host_fields().into(), columns, None)
    }
}

impl Values for Hosts {
    fn data_type() -> DataType {
        DataType::Struct(host_fields().into())
    }
}

const HOST_TEXTS: [&str; 10] = [
    "account",
    "region",
    "zone",
    "instance",
    "instance_type",
    "name",
    "vpc",
    "subnet",
    "interface",
    "session",
];

fn host_text(host: &Host, index: usize) -> Option<&str> {
    let texts = [
        &host.account,
        &host.region,
        &host.zone,
        &host.instance,
        &host.instance_type,
        &host.name,
        &host.vpc,
        &host.subnet,
        &host.interface,
        &host.session,
    ];
    texts[index].as_deref()
}

fn host_fields() -> Vec<Field> {
    HOST_TEXTS.into_iter().chain(["tags"]).map(|name| Field::new(name, DataType::Utf8, true)).collect()
}

fn host_columns<'a>(hosts: impl Iterator<Item = Option<&'a Host>> + Clone) -> Vec<ArrayRef> {
    let mut columns: Vec<ArrayRef> = (0..HOST_TEXTS.len())
        .map(|index| {
            let texts = hosts.clone().map(|host| host.and_then(|host| host_text(host, index)));
            Arc::new(texts.collect::<StringArray>()) as ArrayRef
        })
        .collect();
    let mut tags = StringBuilder::new();
    let mut text = Vec::new();
    for host in hosts {
        match host {
            Some(host) if !host.tags.is_empty() => {
                text.clear();
                // Text into memory: neither can fail.
                let _ = serde_json::Serializer::new(&mut text)
                    .collect_map(host.tags.iter().map(|(key, value)| (key, value)));
                tags.append_value(str::from_utf8(&text).unwrap_or_default());
            }
            _ => tags.append_null(),
        }
    }
    columns.push(Arc::new(tags.finish()));
    columns
}

/// Reads the values of a dictionary of tunnels.
pub(crate) fn read_tunnels(values: &StructArray) -> Result<Vec<OwnedTunnel>, ReadError> {
    let outer_source = text(values, "outer_source")?;
    let outer_destination = text(values, "outer_destination")?;
    let pseudonym_key = text(values, "pseudonym_key")?;
    let endpoint = number::<UInt64Type>(values, "endpoint")?;
    let attachment = number::<UInt64Type>(values, "attachment")?;
    let geneve_vni = number::<UInt32Type>(values, "geneve_vni")?;
    let vxlan_vni = number::<UInt32Type>(values, "vxlan_vni")?;
    let address = |column: &StringArray, row| -> Result<IpAddr, ReadError> {
        let text = some(column, row).unwrap_or_default();
        text.parse().map_err(|_| ReadError::Address { found: text.to_owned() })
    };
    let hosts = read_hosts(values)?;
    hosts
        .into_iter()
        .enumerate()
        .map(|(row, host)| {
            let ids = Ids {
                outer_source: address(&outer_source, row)?,
                outer_destination: address(&outer_destination, row)?,
                geneve_vni: geneve_vni.is_valid(row).then(|| geneve_vni.value(row)),
                vxlan_vni: vxlan_vni.is_valid(row).then(|| vxlan_vni.value(row)),
                endpoint: endpoint.is_valid(row).then(|| endpoint.value(row)),
                attachment: attachment.is_valid(row).then(|| attachment.value(row)),
            };
            let host = (*host != Host::default()).then_some(host);
            Ok(OwnedTunnel { ids, pseudonym_key: some(&pseudonym_key, row).map(str::to_owned), host })
        })
        .collect()
}

/// Reads the hosts of a dictionary's values.
pub(crate) fn read_hosts(values: &StructArray) -> Result<Vec<Arc<Host>>, ReadError> {
    let texts = HOST_TEXTS.map(|name| text(values, name));
    let [account, region, zone, instance, instance_type, name, vpc, subnet, interface, session] = texts;
    let (account, region, zone, instance) = (account?, region?, zone?, instance?);
    let (instance_type, name, vpc, subnet) = (instance_type?, name?, vpc?, subnet?);
    let (interface, session) = (interface?, session?);
    let tags = text(values, "tags")?;
    (0..values.len())
        .map(|row| {
            let own = |column: &StringArray| some(column, row).map(str::to_owned);
            let tags = match some(&tags, row) {
                None => Vec::new(),
                Some(text) => {
                    let pairs: serde_json::Map<String, serde_json::Value> =
                        serde_json::from_str(text).map_err(|_| ReadError::Tags { found: text.to_owned() })?;
                    let text = |value: serde_json::Value| match value {
                        serde_json::Value::String(text) => text,
                        other => other.to_string(),
                    };
                    pairs.into_iter().map(|(key, value)| (key, text(value))).collect()
                }
            };
            Ok(Arc::new(Host {
                account: own(&account),
                region: own(&region),
                zone: own(&zone),
                instance: own(&instance),
                instance_type: own(&instance_type),
                name: own(&name),
                vpc: own(&vpc),
                subnet: own(&subnet),
                interface: own(&interface),
                session: own(&session),
                tags,
            }))
        })
        .collect()
}

fn some(column: &StringArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row))
}

/// A member of text; null throughout in files that do not have it.
fn text(values: &StructArray, name: &'static str) -> Result<StringArray, ReadError> {
    let Some(array) = values.column_by_name(name) else { return Ok(StringArray::new_null(values.len())) };
    let text = array.as_any().downcast_ref::<StringArray>().cloned();
    text.ok_or_else(|| ReadError::ColumnType { name, found: array.data_type().clone() })
}

/// A member of numbers; null throughout in files that do not have it.
fn number<T: arrow_array::ArrowPrimitiveType>(
    values: &StructArray,
    name: &'static str,
) -> Result<PrimitiveArray<T>, ReadError> {
    let Some(array) = values.column_by_name(name) else {
        let mut nulls = PrimitiveBuilder::<T>::with_capacity(values.len());
        nulls.append_nulls(values.len());
        return Ok(nulls.finish());
    };
    let numbers = array.as_any().downcast_ref::<PrimitiveArray<T>>().cloned();
    numbers.ok_or_else(|| ReadError::ColumnType { name, found: array.data_type().clone() })
}

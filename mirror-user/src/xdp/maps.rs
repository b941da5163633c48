//! Keys and contents of the program's maps.

use std::net::IpAddr;

use aya::Ebpf;
use aya::maps::lpm_trie::Key;
use aya::maps::{Map, MapError};
use mirror_common::address::{Address, FAMILY_BITS};
use mirror_common::verdict::Counts;

use super::config::Prefix;
use super::error::XdpError;

/// An address as a key of the program's maps.
pub(super) fn key_of(address: IpAddr) -> [u8; size_of::<Address>()] {
    match address {
        IpAddr::V4(address) => Address::v4(address.octets()),
        IpAddr::V6(address) => Address::v6(address.octets()),
    }
    .to_bytes()
}

/// A prefix as a key of the program's trie, where the family is part of every prefix.
pub(super) fn prefix_key(prefix: Prefix) -> Result<Key<[u8; size_of::<Address>()]>, XdpError> {
    let most = if prefix.address.is_ipv4() { 32 } else { 128 };
    if prefix.length > most {
        return Err(XdpError::PrefixLength { address: prefix.address, prefix_length: prefix.length });
    }
    Ok(Key::new(FAMILY_BITS + u32::from(prefix.length), key_of(prefix.address)))
}

pub(super) fn take_map<M: TryFrom<Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<M, XdpError> {
    let map = ebpf.take_map(name).ok_or(XdpError::Missing(name))?;
    map.try_into().map_err(|source| XdpError::Map { map: name, action: "used", source })
}

pub(super) fn add(mut sum: Counts, counts: &Counts) -> Counts {
    sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    sum
}

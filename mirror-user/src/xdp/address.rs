//! The addresses that the capture program takes packets for.

use std::collections::BTreeSet;
use std::net::IpAddr;

use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData, MapError};
use mirror_common::address::{Address, FirstAddresses};
use mirror_common::config::{DESTINATIONS_MAP, FIRST_DESTINATIONS_MAP};

use super::config::MOST_ADDRESSES;
use super::error::XdpError;
use super::maps::{key_of, take_map};

/// The program's maps of addresses, and their content.
pub(super) struct DestinationMaps {
    first: Array<MapData, [u64; FirstAddresses::COUNT]>,
    map: HashMap<MapData, [u8; size_of::<Address>()], u8>,
    known: BTreeSet<IpAddr>,
}

/// Difference of a set of addresses to the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressChange {
    /// Addresses that were not there before.
    pub added: Vec<IpAddr>,
    /// Addresses that are not there any more.
    pub removed: Vec<IpAddr>,
}

impl AddressChange {
    /// `true` if there is no difference.
    pub const fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

impl DestinationMaps {
    /// The maps of an object that has just been loaded, without addresses.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, XdpError> {
        let first = take_map(ebpf, FIRST_DESTINATIONS_MAP)?;
        Ok(Self { first, map: take_map(ebpf, DESTINATIONS_MAP)?, known: BTreeSet::new() })
    }

    /// Replaces the addresses. One that stays is never missing.
    pub(super) fn set(&mut self, addresses: &[IpAddr]) -> Result<AddressChange, XdpError> {
        let addresses: BTreeSet<IpAddr> = addresses.iter().copied().collect();
        if addresses.len() > MOST_ADDRESSES as usize {
            return Err(XdpError::TooManyAddresses(addresses.len()));
        }
        let failed = |map| move |source| XdpError::Map { map, action: "written", source };
        let change = AddressChange {
            added: addresses.difference(&self.known).copied().collect(),
            removed: self.known.difference(&addresses).copied().collect(),
        };
        if change.is_empty() {
            return Ok(change);
        }
        let v4 = addresses.iter().filter_map(|address| match address {
            IpAddr::V4(address) => Some(address.octets()),
            IpAddr::V6(_) => None,
        });
        let first = FirstAddresses::new(v4).to_words();
        self.first.set(0, first, 0).map_err(failed(FIRST_DESTINATIONS_MAP))?;
        for address in &change.removed {
            match self.map.remove(&key_of(*address)) {
                Ok(()) | Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(failed(DESTINATIONS_MAP)(error)),
            }
            self.known.remove(address);
        }
        for address in &change.added {
            self.map.insert(key_of(*address), 1, 0).map_err(failed(DESTINATIONS_MAP))?;
            self.known.insert(*address);
        }
        Ok(change)
    }
}

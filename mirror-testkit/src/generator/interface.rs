//! The interface to send from.

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, netdevice, socket};
use thiserror::Error;

use super::sys;

/// An interface of the calling thread's network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Bytes that a frame may have behind its Ethernet header.
    pub mtu: usize,
}

/// An interface that cannot be sent from.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InterfaceError {
    /// There is none of that name.
    #[error("interface {0} does not exist in this network namespace: `ip link` lists those that do")]
    Unknown(String),
    /// It is there but down.
    #[error("interface {0} is down: `ip link set {0} up`, and its other end too")]
    Down(String),
    /// The kernel said something else.
    #[error("interface {name} cannot be queried: {error}")]
    Query {
        /// Its name.
        name: String,
        /// The kernel's answer.
        error: Errno,
    },
}

impl Interface {
    /// Looks up the interface `name`.
    ///
    /// # Errors
    ///
    /// When there is none of that name, or it is down.
    pub fn new(name: &str) -> Result<Self, InterfaceError> {
        let failed = |error| match error {
            Errno::NODEV | Errno::NXIO => InterfaceError::Unknown(name.to_owned()),
            error => InterfaceError::Query { name: name.to_owned(), error },
        };
        let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).map_err(failed)?;
        let index = netdevice::name_to_index(&socket, name).map_err(failed)?;
        let mtu = sys::mtu(&socket, name).map_err(failed)?;
        let mac = sys::mac_address(&socket, name).map_err(failed)?;
        if !sys::is_up(&socket, name).map_err(failed)? {
            return Err(InterfaceError::Down(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), index, mac, mtu })
    }
}

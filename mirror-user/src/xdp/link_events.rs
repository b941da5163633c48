//! Events and state of one network interface: rtnetlink's notifications, and its answer when asked.
//!
//! A notification only tells that something changed; the state is the kernel's answer afterwards. Only the departure of an
//! interface is taken from the notification itself: one that left the namespace and came back has lost its sockets.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send};

use super::interface::{INTERFACE_HEADER, Interface, RTM_GETLINK, RTM_NEWLINK, read_interface};
use super::netlink::{Attributes, DATAGRAM, Messages, NLMSG_ERROR, malformed, request, u32_at};

// linux/rtnetlink.h
const RTM_DELLINK: u16 = 17;
const RTMGRP_LINK: u32 = 1;
// linux/if_link.h
const IFLA_NEW_NETNSID: u16 = 45;
const IFLA_NEW_IFINDEX: u16 = 49;

/// Way in which an interface left the network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It was deleted.
    Deleted,
    /// It was moved to another network namespace.
    Moved,
}

/// Notifications of one interface since the last call, taken together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkNotifications {
    /// Something may have changed.
    pub changed: bool,
    /// It has left the namespace, even if it should be back by now.
    pub departed: Option<Departure>,
}

/// Notifications of the interfaces in the network namespace of the thread that subscribed.
#[derive(Debug)]
pub struct LinkEvents {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl LinkEvents {
    /// Subscribes to the notifications.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a netlink socket. An ordinary user may have one.
    pub fn subscribe() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, RTMGRP_LINK))?;
        Ok(Self { socket, buffer: vec![0; DATAGRAM] })
    }

    /// The notifications of the interface with the index `index` since the last call.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to answer, other than for notifications that were lost: those count as a change.
    pub fn take(&mut self, index: u32) -> io::Result<LinkNotifications> {
        let mut notified = LinkNotifications::default();
        loop {
            match recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::empty()) {
                Ok((length, _)) => {
                    read_notifications(self.buffer.get(..length).unwrap_or_default(), index, &mut notified);
                }
                Err(rustix::io::Errno::AGAIN) => return Ok(notified),
                Err(rustix::io::Errno::INTR) => {}
                // More than the socket had room for: some are lost.
                Err(rustix::io::Errno::NOBUFS) => notified.changed = true,
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// The interface with the index `index` in the network namespace of the calling thread; `None` if there is none.
///
/// # Errors
///
/// When the kernel refuses a netlink socket or the answer.
pub fn interface(index: u32) -> io::Result<Option<Interface>> {
    let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    let mut header = vec![0; INTERFACE_HEADER];
    if let Some(room) = header.get_mut(4..8) {
        room.copy_from_slice(&index.to_ne_bytes());
    }
    send(&socket, &request(RTM_GETLINK, 0, &header), SendFlags::empty())?;
    let mut buffer = vec![0; DATAGRAM];
    let (length, _) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
    read_answer(buffer.get(..length).unwrap_or_default())
}

/// Reads the answer to the request for one interface.
fn read_answer(datagram: &[u8]) -> io::Result<Option<Interface>> {
    match Messages(datagram).next() {
        Some((RTM_NEWLINK, body)) => read_interface(body).map(Some).ok_or_else(malformed),
        Some((NLMSG_ERROR, body)) => match u32_at(body, 0).map_or(0, u32::cast_signed).saturating_neg() {
            libc::ENODEV => Ok(None),
            errno => Err(io::Error::from_raw_os_error(errno)),
        },
        _ => Err(malformed()),
    }
}

/// Adds the notifications of one datagram about an interface.
fn read_notifications(datagram: &[u8], index: u32, notified: &mut LinkNotifications) {
    for (kind, body) in Messages(datagram) {
        let Some((header, attributes)) = body.split_at_checked(INTERFACE_HEADER) else { continue };
        if u32_at(header, 4) != Some(index) {
            continue;
        }
        notified.changed = true;
        // A bridge notifies of its ports as well (AF_BRIDGE): one that leaves it is still there.
        let is_of_the_interface = header.first() == Some(&0);
        if kind == RTM_DELLINK && is_of_the_interface {
            let moved =
                Attributes(attributes).any(|(kind, _)| matches!(kind, IFLA_NEW_NETNSID | IFLA_NEW_IFINDEX));
            notified.departed = Some(if moved { Departure::Moved } else { Departure::Deleted });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xdp::netlink::{MESSAGE_HEADER, attribute};

    fn message(kind: u16, family: u8, index: u32, attributes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(MESSAGE_HEADER + INTERFACE_HEADER + attributes.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(MESSAGE_HEADER, 0);
        bytes.extend([family, 0, 0, 0]);
        bytes.extend(index.to_ne_bytes());
        bytes.resize(MESSAGE_HEADER + INTERFACE_HEADER, 0);
        bytes.extend(attributes);
        bytes
    }

    fn notified(datagram: &[u8]) -> LinkNotifications {
        let mut notified = LinkNotifications::default();
        read_notifications(datagram, 7, &mut notified);
        notified
    }

    #[test]
    fn departures_are_told_from_changes() {
        const AF_BRIDGE: u8 = 7;
        let moved = attribute(IFLA_NEW_NETNSID, &[0; 4]);
        let deleted = Some(Departure::Deleted);
        for (datagram, changed, departed) in [
            (message(RTM_NEWLINK, 0, 7, &[]), true, None),
            (message(RTM_NEWLINK, 0, 8, &[]), false, None),
            (message(RTM_DELLINK, 0, 8, &[]), false, None),
            (message(RTM_DELLINK, 0, 7, &attribute(3, b"eth0\0")), true, deleted),
            (message(RTM_DELLINK, AF_BRIDGE, 7, &[]), true, None),
            (message(RTM_DELLINK, 0, 7, &moved), true, Some(Departure::Moved)),
            ([message(RTM_DELLINK, 0, 7, &[]), message(RTM_NEWLINK, 0, 7, &[])].concat(), true, deleted),
            (Vec::new(), false, None),
        ] {
            assert_eq!(notified(&datagram), LinkNotifications { changed, departed }, "{datagram:?}");
        }
    }

    #[test]
    fn a_message_that_is_cut_anywhere_is_no_panic() {
        let datagram = message(RTM_DELLINK, 0, 7, &attribute(IFLA_NEW_NETNSID, &[0; 4]));
        for length in 0..datagram.len() {
            assert_eq!(notified(&datagram[..length]), LinkNotifications::default());
            assert!(read_answer(&datagram[..length]).is_err());
        }
    }

    #[test]
    fn an_interface_is_asked_for_by_its_index() {
        let loopback = interface(1).unwrap().unwrap();
        assert_eq!((loopback.name.as_str(), loopback.index, loopback.is_up()), ("lo", 1, true));
        assert_eq!(interface(i32::MAX as u32).unwrap(), None);
    }
}

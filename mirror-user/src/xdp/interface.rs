//! The network interfaces of the calling thread's namespace, and their addresses: one rtnetlink dump each.
//!
//! Unlike `/sys/class/net`, which shows the namespace that it was mounted in, this also holds in a thread that
//! has entered another one.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use super::mode::AttachMode;
use super::netlink::{Attributes, dump, u32_at};

// linux/rtnetlink.h
pub(super) const RTM_NEWLINK: u16 = 16;
pub(super) const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;
// linux/if.h
const IFF_UP: u32 = 1;
const IFF_LOWER_UP: u32 = 1 << 16;
// linux/if_link.h
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_PROG_ID: u16 = 4;
const IFLA_XDP_DRV_PROG_ID: u16 = 5;
const IFLA_XDP_SKB_PROG_ID: u16 = 6;
// linux/if_addr.h
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

/// Size of `struct ifinfomsg`.
pub(super) const INTERFACE_HEADER: usize = 16;
/// Size of `struct ifaddrmsg`.
const ADDRESS_HEADER: usize = 8;
/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Name, such as `eth0`.
    pub name: String,
    /// Index.
    pub index: u32,
    /// Most bytes of a packet behind the Ethernet header.
    pub mtu: u32,
    /// Index of the interface below it in the same namespace, such as the one that a VLAN is on.
    pub lower: Option<u32>,
    /// Index of the bridge or bond that it is a port of.
    pub master: Option<u32>,
    /// Flags, as in `linux/if.h`.
    pub flags: u32,
    /// Id of the XDP program that is attached in native mode.
    pub native_program: Option<u32>,
    /// Id of the XDP program that is attached in generic mode.
    pub generic_program: Option<u32>,
}

impl Interface {
    /// `true` if it is administratively up (`ip link set … up`).
    pub const fn is_up(&self) -> bool {
        self.flags & IFF_UP != 0
    }

    /// `true` if the link is up.
    pub const fn has_carrier(&self) -> bool {
        self.flags & IFF_LOWER_UP != 0
    }

    /// The mode and the id of an attached XDP program.
    pub fn program(&self) -> Option<(AttachMode, u32)> {
        let native = self.native_program.map(|id| (AttachMode::Native, id));
        native.or(self.generic_program.map(|id| (AttachMode::Generic, id)))
    }
}

/// Every interface of the calling thread's network namespace.
///
/// # Errors
///
/// When the kernel refuses a netlink socket or the dump. An ordinary user may do both.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let mut body = vec![0; INTERFACE_HEADER];
    // Without their statistics.
    body.extend(8_u16.to_ne_bytes());
    body.extend(IFLA_EXT_MASK.to_ne_bytes());
    body.extend(RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    dump(RTM_GETLINK, &body, RTM_NEWLINK, read_interface)
}

/// The addresses that packets on the interface of this index are addressed to where they are meant for this host: its
/// own, and those of the interfaces on top of it (VLANs, and the bridge or bond that it is a port of). In order, each
/// once; none where there is no such interface.
///
/// # Errors
///
/// As [`interfaces`].
pub fn own_addresses(index: u32) -> io::Result<Vec<IpAddr>> {
    let interfaces = interfaces()?;
    let addresses = dump(RTM_GETADDR, &[0; ADDRESS_HEADER], RTM_NEWADDR, read_address)?;
    let stacked = stacked_on(index, &interfaces);
    let own = addresses.into_iter().filter(|(index, _)| stacked.contains(index));
    Ok(own.map(|(_, address)| address).collect::<BTreeSet<_>>().into_iter().collect())
}

/// The interface of this index and all on top of it.
fn stacked_on(index: u32, interfaces: &[Interface]) -> BTreeSet<u32> {
    let mut stacked = BTreeSet::from([index]);
    loop {
        let known = stacked.len();
        for interface in interfaces {
            if interface.lower.is_some_and(|lower| stacked.contains(&lower)) {
                stacked.insert(interface.index);
            }
            if stacked.contains(&interface.index) {
                stacked.extend(interface.master);
            }
        }
        if stacked.len() == known {
            return stacked;
        }
    }
}

/// Reads an `RTM_NEWLINK` message without its header.
pub(super) fn read_interface(body: &[u8]) -> Option<Interface> {
    let (header, attributes) = body.split_at_checked(INTERFACE_HEADER)?;
    let mut interface =
        Interface { index: u32_at(header, 4)?, flags: u32_at(header, 8)?, ..Interface::default() };
    let mut is_elsewhere = false;
    for (kind, value) in Attributes(attributes) {
        match kind {
            IFLA_IFNAME => {
                let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
                interface.name = String::from_utf8_lossy(name).into_owned();
            }
            IFLA_MTU => interface.mtu = u32_at(value, 0)?,
            IFLA_LINK => interface.lower = u32_at(value, 0).filter(|lower| *lower != interface.index),
            IFLA_LINK_NETNSID => is_elsewhere = true,
            IFLA_MASTER => interface.master = u32_at(value, 0).filter(|master| *master != 0),
            IFLA_XDP => read_programs(value, &mut interface),
            _ => {}
        }
    }
    if is_elsewhere {
        // An index of another namespace, such as that of a veth's other end.
        interface.lower = None;
    }
    Some(interface)
}

/// Reads an `RTM_NEWADDR` message without its header: the interface's index, and its own end of the address.
fn read_address(body: &[u8]) -> Option<(u32, IpAddr)> {
    let (header, attributes) = body.split_at_checked(ADDRESS_HEADER)?;
    let mut address = None;
    let mut local = None;
    for (kind, value) in Attributes(attributes) {
        match kind {
            IFA_ADDRESS => address = ip_address(value),
            IFA_LOCAL => local = ip_address(value),
            _ => {}
        }
    }
    // Where both are there, the former is that of a point-to-point connection's other end.
    Some((u32_at(header, 4)?, local.or(address)?))
}

fn ip_address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

/// Reads a nested `IFLA_XDP` attribute. The kernel names the id of each mode and, if there is one program only,
/// its id once more; a program that is offloaded to the NIC has no other mention and counts as native.
fn read_programs(value: &[u8], interface: &mut Interface) {
    let mut only = None;
    for (kind, value) in Attributes(value) {
        let id = u32_at(value, 0).filter(|id| *id != 0);
        match kind {
            IFLA_XDP_PROG_ID => only = id,
            IFLA_XDP_DRV_PROG_ID => interface.native_program = id,
            IFLA_XDP_SKB_PROG_ID => interface.generic_program = id,
            _ => {}
        }
    }
    if interface.generic_program.is_none() {
        interface.native_program = interface.native_program.or(only);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xdp::netlink::{MESSAGE_HEADER, NLMSG_DONE, NLMSG_ERROR, attribute, read_dump};

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(MESSAGE_HEADER + body.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(MESSAGE_HEADER, 0);
        bytes.extend(body);
        bytes
    }

    fn link(index: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![0; 4];
        body.extend(index.to_ne_bytes());
        body.resize(INTERFACE_HEADER, 0);
        body.extend(attributes.concat());
        message(RTM_NEWLINK, &body)
    }

    #[test]
    fn a_dump_is_read_to_its_end() {
        let generic = [
            attribute(2, &[2]),
            attribute(IFLA_XDP_PROG_ID, &9_u32.to_ne_bytes()),
            attribute(IFLA_XDP_SKB_PROG_ID, &9_u32.to_ne_bytes()),
        ];
        let datagram = [
            link(1, &[attribute(IFLA_IFNAME, b"lo\0"), attribute(IFLA_MTU, &65_536_u32.to_ne_bytes())]),
            link(7, &[attribute(IFLA_IFNAME, b"eth0\0"), attribute(IFLA_XDP, &generic.concat())]),
            message(NLMSG_DONE, &[0; 4]),
        ];
        let mut interfaces = Vec::new();
        assert!(read_dump(&datagram.concat(), RTM_NEWLINK, read_interface, &mut interfaces).unwrap());
        let expected = [
            Interface { name: "lo".into(), index: 1, mtu: 65_536, ..Interface::default() },
            Interface { name: "eth0".into(), index: 7, generic_program: Some(9), ..Interface::default() },
        ];
        assert_eq!(interfaces, expected);
        assert_eq!(interfaces.last().unwrap().program(), Some((AttachMode::Generic, 9)));
    }

    #[test]
    fn a_refusal_is_an_error() {
        let refusal = message(NLMSG_ERROR, &(-libc::EPERM).to_ne_bytes());
        let error = read_dump(&refusal, RTM_NEWLINK, read_interface, &mut Vec::new()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    }

    #[test]
    fn a_message_that_is_cut_anywhere_is_no_panic() {
        let datagram = link(1, &[attribute(IFLA_IFNAME, b"lo\0"), attribute(IFLA_MTU, &[0; 4])]);
        for length in 0..datagram.len() {
            let _ = read_dump(&datagram[..length], RTM_NEWLINK, read_interface, &mut Vec::new());
        }
        assert!(read_dump(&datagram[..20], RTM_NEWLINK, read_interface, &mut Vec::new()).is_err());
    }

    fn address(index: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![0; 4];
        body.extend(index.to_ne_bytes());
        body.extend(attributes.concat());
        message(RTM_NEWADDR, &body)
    }

    #[test]
    fn addresses_are_those_of_this_end() {
        let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        let datagram = [
            address(7, &[attribute(IFA_ADDRESS, &[192, 0, 2, 1]), attribute(IFA_LOCAL, &[192, 0, 2, 1])]),
            address(7, &[attribute(IFA_ADDRESS, &v6), attribute(3, b"eth0\0")]),
            address(9, &[attribute(IFA_ADDRESS, &[10, 0, 0, 1]), attribute(IFA_LOCAL, &[10, 0, 0, 2])]),
            message(NLMSG_DONE, &[0; 4]),
        ];
        let mut found = Vec::new();
        assert!(read_dump(&datagram.concat(), RTM_NEWADDR, read_address, &mut found).unwrap());
        let addresses = ["192.0.2.1", "2001:db8::9", "10.0.0.2"].map(|text| text.parse().unwrap());
        assert_eq!(found, [(7, addresses[0]), (7, addresses[1]), (9, addresses[2])]);
        let nothing = address(7, &[attribute(3, b"eth0\0")]);
        assert!(read_dump(&nothing, RTM_NEWADDR, read_address, &mut found).is_err());
    }

    #[test]
    fn interfaces_on_top_are_found_and_those_beside_are_not() {
        const ETH0: u32 = 2;
        const ETH1: u32 = 3;
        const BRIDGE: u32 = 4;
        let interface = |index, lower, master| Interface { index, lower, master, ..Interface::default() };
        // In any order: 5 is a VLAN on the bridge, of which both others are ports; 6 and 7 are VLANs on those.
        let interfaces = [
            interface(5, Some(BRIDGE), None),
            interface(ETH0, None, Some(BRIDGE)),
            interface(ETH1, None, Some(BRIDGE)),
            interface(BRIDGE, None, None),
            interface(6, Some(ETH0), None),
            interface(7, Some(ETH1), None),
        ];
        let stacked = |index| stacked_on(index, &interfaces).into_iter().collect::<Vec<_>>();
        assert_eq!(stacked(ETH0), [ETH0, BRIDGE, 5, 6]);
        assert_eq!(stacked(BRIDGE), [BRIDGE, 5]);
        assert_eq!(stacked(7), [7]);
    }

    #[test]
    fn an_interface_below_in_another_namespace_is_none() {
        let below = attribute(IFLA_LINK, &2_u32.to_ne_bytes());
        let elsewhere = attribute(IFLA_LINK_NETNSID, &0_u32.to_ne_bytes());
        let read = |attributes: &[Vec<u8>]| {
            let message = link(7, attributes);
            read_interface(&message[MESSAGE_HEADER..]).unwrap().lower
        };
        assert_eq!(read(std::slice::from_ref(&below)), Some(2));
        assert_eq!(read(&[below.clone(), elsewhere.clone()]), None);
        assert_eq!(read(&[elsewhere, below]), None);
        assert_eq!(read(&[attribute(IFLA_LINK, &7_u32.to_ne_bytes())]), None, "its own index");
    }

    #[test]
    fn the_loopback_interface_is_found() {
        let own = own_addresses(1).unwrap();
        assert!(own.contains(&IpAddr::from([127, 0, 0, 1])), "{own:?}");
        assert!(own_addresses(u32::MAX).unwrap().is_empty());
        let interfaces = interfaces().unwrap();
        let loopback = interfaces.iter().find(|interface| interface.name == "lo").unwrap();
        assert_eq!((loopback.index, loopback.mtu), (1, 65_536));
    }
}

//! What the kernel says of the network interfaces of the calling thread's namespace: one rtnetlink dump.
//!
//! Unlike `/sys/class/net`, which shows the namespace that it was mounted in, this also holds in a thread that
//! has entered another one.

use std::io;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, send, socket};

use super::Mode;

// linux/netlink.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const NLA_TYPE_MASK: u16 = 0x3fff;
// linux/rtnetlink.h
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;
// linux/if_link.h
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_PROG_ID: u16 = 4;
const IFLA_XDP_DRV_PROG_ID: u16 = 5;
const IFLA_XDP_SKB_PROG_ID: u16 = 6;

/// Size of `struct nlmsghdr`.
const MESSAGE_HEADER: usize = 16;
/// Size of `struct ifinfomsg`.
const INTERFACE_HEADER: usize = 16;
/// More than the kernel puts into one datagram of a dump.
const DATAGRAM: usize = 64 << 10;

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Name, such as `eth0`.
    pub name: String,
    /// Index.
    pub index: u32,
    /// Most bytes of a packet behind the Ethernet header.
    pub mtu: u32,
    /// Id of the XDP program that is attached in native mode.
    pub native_program: Option<u32>,
    /// Id of the XDP program that is attached in generic mode.
    pub generic_program: Option<u32>,
}

impl Interface {
    /// The mode and the id of an attached XDP program.
    pub fn program(&self) -> Option<(Mode, u32)> {
        let native = self.native_program.map(|id| (Mode::Native, id));
        native.or(self.generic_program.map(|id| (Mode::Generic, id)))
    }
}

/// Every interface of the calling thread's network namespace.
///
/// # Errors
///
/// When the kernel refuses a netlink socket or the dump. An ordinary user may do both.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None)?; // protocol 0 is NETLINK_ROUTE
    send(&socket, &dump_request(), SendFlags::empty())?;
    let mut buffer = vec![0; DATAGRAM];
    let mut interfaces = Vec::new();
    loop {
        let (length, _) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        if read_dump(buffer.get(..length).unwrap_or_default(), &mut interfaces)? {
            return Ok(interfaces);
        }
    }
}

/// The request for a dump of all interfaces, without their statistics.
fn dump_request() -> Vec<u8> {
    let mut request = vec![0; MESSAGE_HEADER + INTERFACE_HEADER];
    request.extend(8_u16.to_ne_bytes());
    request.extend(IFLA_EXT_MASK.to_ne_bytes());
    request.extend(RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    let length = u32::try_from(request.len()).unwrap_or(u32::MAX).to_ne_bytes();
    let header = [length.as_slice(), &RTM_GETLINK.to_ne_bytes(), &(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes()];
    request.iter_mut().zip(header.concat()).for_each(|(byte, value)| *byte = value);
    request
}

/// Appends the interfaces of one datagram; `true` if it ends the dump.
fn read_dump(mut datagram: &[u8], interfaces: &mut Vec<Interface>) -> io::Result<bool> {
    while let Some((header, rest)) = datagram.split_at_checked(MESSAGE_HEADER) {
        let length = u32_at(header, 0).map_or(0, |length| length as usize);
        let (Some(kind), Some(body)) = (u16_at(header, 4), length.checked_sub(MESSAGE_HEADER)) else {
            return Err(malformed());
        };
        let (body, _) = rest.split_at_checked(body).ok_or_else(malformed)?;
        match kind {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let errno = u32_at(body, 0).map_or(0, u32::cast_signed).saturating_neg();
                return Err(io::Error::from_raw_os_error(errno));
            }
            RTM_NEWLINK => interfaces.push(read_interface(body).ok_or_else(malformed)?),
            _ => {}
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed rtnetlink message")
}

/// Reads an `RTM_NEWLINK` message without its header.
fn read_interface(body: &[u8]) -> Option<Interface> {
    let (header, attributes) = body.split_at_checked(INTERFACE_HEADER)?;
    let mut interface = Interface { index: u32_at(header, 4)?, ..Interface::default() };
    for (kind, value) in Attributes(attributes) {
        match kind {
            IFLA_IFNAME => {
                let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
                interface.name = String::from_utf8_lossy(name).into_owned();
            }
            IFLA_MTU => interface.mtu = u32_at(value, 0)?,
            IFLA_XDP => read_programs(value, &mut interface),
            _ => {}
        }
    }
    Some(interface)
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

/// Type and value of each netlink attribute in a run of them, up to the first that is malformed.
struct Attributes<'message>(&'message [u8]);

impl<'message> Iterator for Attributes<'message> {
    type Item = (u16, &'message [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16_at(self.0, 0)?);
        let kind = u16_at(self.0, 2)? & NLA_TYPE_MASK;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

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
        assert!(read_dump(&datagram.concat(), &mut interfaces).unwrap());
        let expected = [
            Interface { name: "lo".into(), index: 1, mtu: 65_536, ..Interface::default() },
            Interface { name: "eth0".into(), index: 7, generic_program: Some(9), ..Interface::default() },
        ];
        assert_eq!(interfaces, expected);
        assert_eq!(interfaces.last().unwrap().program(), Some((Mode::Generic, 9)));
    }

    #[test]
    fn a_refusal_is_an_error() {
        let refusal = message(NLMSG_ERROR, &(-libc::EPERM).to_ne_bytes());
        let error = read_dump(&refusal, &mut Vec::new()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    }

    #[test]
    fn a_message_that_is_cut_anywhere_is_no_panic() {
        let datagram = link(1, &[attribute(IFLA_IFNAME, b"lo\0"), attribute(IFLA_MTU, &[0; 4])]);
        for length in 0..datagram.len() {
            let _ = read_dump(&datagram[..length], &mut Vec::new());
        }
        assert!(read_dump(&datagram[..20], &mut Vec::new()).is_err());
    }

    #[test]
    fn the_loopback_interface_is_found() {
        let interfaces = interfaces().unwrap();
        let loopback = interfaces.iter().find(|interface| interface.name == "lo").unwrap();
        assert_eq!((loopback.index, loopback.mtu), (1, 65_536));
    }
}

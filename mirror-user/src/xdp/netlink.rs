//! Netlink messages: requests, answers, notifications, and the attributes in them (netlink(7)).

use std::io;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, send, socket};

// linux/netlink.h
pub(super) const NLMSG_ERROR: u16 = 2;
pub(super) const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const NLA_TYPE_MASK: u16 = 0x3fff;

/// Size of `struct nlmsghdr`.
pub(super) const MESSAGE_HEADER: usize = 16;
/// More than the kernel puts into one datagram of a dump.
pub(super) const DATAGRAM: usize = 64 << 10;

/// Requests a dump by a message of the kind `kind`, and reads the bodies of the messages of the kind `answer` in it.
pub(super) fn dump<T>(
    kind: u16,
    body: &[u8],
    answer: u16,
    read: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Vec<T>> {
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None)?; // protocol 0 is NETLINK_ROUTE
    send(&socket, &request(kind, NLM_F_DUMP, body), SendFlags::empty())?;
    let mut buffer = vec![0; DATAGRAM];
    let mut found = Vec::new();
    loop {
        let (length, _) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        if read_dump(buffer.get(..length).unwrap_or_default(), answer, &read, &mut found)? {
            return Ok(found);
        }
    }
}

/// A request of the kind `kind` with these flags.
pub(super) fn request(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(MESSAGE_HEADER + body.len()).unwrap_or(u32::MAX);
    let mut request = length.to_ne_bytes().to_vec();
    request.extend(kind.to_ne_bytes());
    request.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    request.resize(MESSAGE_HEADER, 0);
    request.extend(body);
    request
}

/// Appends the values that `read` makes of the messages of the kind `answer` in one datagram; `true` if it ends the dump.
pub(super) fn read_dump<T>(
    mut datagram: &[u8],
    answer: u16,
    read: impl Fn(&[u8]) -> Option<T>,
    found: &mut Vec<T>,
) -> io::Result<bool> {
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
            kind if kind == answer => found.push(read(body).ok_or_else(malformed)?),
            _ => {}
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

pub(super) fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed rtnetlink message")
}

/// Type and value of each netlink attribute in a run of them, up to the first that is malformed.
pub(super) struct Attributes<'message>(pub(super) &'message [u8]);

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

/// Kind and body of each message in a datagram, up to the first that is malformed.
pub(super) struct Messages<'datagram>(pub(super) &'datagram [u8]);

impl<'datagram> Iterator for Messages<'datagram> {
    type Item = (u16, &'datagram [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = u32_at(self.0, 0)? as usize;
        let kind = u16_at(self.0, 4)?;
        let body = self.0.get(MESSAGE_HEADER..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    }
}

/// An attribute as the kernel lays it out.
#[cfg(test)]
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

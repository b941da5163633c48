//! A driver's name, and the counters that it keeps under names of its own, as `ethtool -i` and `-S` show them.
//!
//! Only `SIOCETHTOOL` returns them: ethtool's netlink family has standard counters, but not these.
#![expect(unsafe_code, reason = "the ioctl takes pointers to buffers; every block says why it is sound")]

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::net::{AddressFamily, SocketType, socket};

// linux/sockios.h
const SIOCETHTOOL: libc::c_ulong = 0x8946;
// linux/ethtool.h
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSTATS: u32 = 0x1d;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETH_SS_STATS: u32 = 1;
/// Bytes of a name.
const NAME: usize = 32;
/// Bytes of `struct ethtool_gstrings` before its data: command, set and count.
const STRINGS_HEADER: usize = 12;
/// Bytes of `struct ethtool_stats` before its data: command and count.
const STATISTICS_HEADER: usize = 8;
/// Room for counters that are added between the request for their number and the one for their values. The kernel
/// writes them all, whatever room the request states.
const SPARE: usize = 4096;

/// Names and values of the driver's own counters; none where the driver has none.
///
/// # Errors
///
/// When there is no such interface, or the kernel refuses the request.
pub fn statistics(interface: &str) -> io::Result<Vec<(String, u64)>> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let Some(count) = count(&socket, interface)? else { return Ok(Vec::new()) };
    let expected = u32::try_from(count).unwrap_or(u32::MAX).to_ne_bytes();

    let mut strings = vec![0; STRINGS_HEADER + (count + SPARE) * NAME];
    begin(&mut strings, &[ETHTOOL_GSTRINGS.to_ne_bytes(), ETH_SS_STATS.to_ne_bytes(), expected]);
    query(&socket, interface, &mut strings)?;
    let mut values = vec![0; STATISTICS_HEADER + (count + SPARE) * size_of::<u64>()];
    begin(&mut values, &[ETHTOOL_GSTATS.to_ne_bytes(), expected]);
    query(&socket, interface, &mut values)?;
    Ok(read(&strings, &values))
}

/// The name of the interface's driver, such as `ena` or `veth`.
///
/// # Errors
///
/// When there is no such interface, or its driver does not return it.
pub fn driver(interface: &str) -> io::Result<String> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // struct ethtool_drvinfo: command, then the name.
    let mut request = vec![0; 196];
    begin(&mut request, &[ETHTOOL_GDRVINFO.to_ne_bytes()]);
    query(&socket, interface, &mut request)?;
    Ok(text(request.get(4..4 + NAME).unwrap_or_default()))
}

/// The number of the driver's own counters; `None` where it has none.
fn count(socket: &OwnedFd, interface: &str) -> io::Result<Option<usize>> {
    // struct ethtool_sset_info: command, reserved, mask of sets, and a count for the one set that is asked for.
    let mut request = vec![0; 20];
    let mask = 1_u64 << ETH_SS_STATS;
    begin(&mut request, &[ETHTOOL_GSSET_INFO.to_ne_bytes(), [0; 4]]);
    if let Some(room) = request.get_mut(8..16) {
        room.copy_from_slice(&mask.to_ne_bytes());
    }
    match query(socket, interface, &mut request) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(None),
        Err(error) => return Err(error),
    }
    let has = request.get(8..16).is_some_and(|mask| mask.iter().any(|&byte| byte != 0));
    Ok(has.then(|| number(&request, 16) as usize).filter(|&count| count != 0))
}

/// Writes the first words of a request.
fn begin(request: &mut [u8], words: &[[u8; 4]]) {
    for (room, word) in request.chunks_exact_mut(4).zip(words) {
        room.copy_from_slice(word);
    }
}

/// Sends the request in `buffer`, which the kernel overwrites with its answer.
fn query(socket: &OwnedFd, interface: &str, request: &mut [u8]) -> io::Result<()> {
    // SAFETY: a structure of integers, arrays of them and a pointer may be all zero.
    let mut call: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays 0 and ends the name.
    let (_, room) = call.ifr_name.split_last_mut().unwrap_or((&mut 0, &mut []));
    if interface.len() > room.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (room, byte) in room.iter_mut().zip(interface.bytes()) {
        *room = byte.cast_signed();
    }
    call.ifr_ifru.ifru_data = request.as_mut_ptr().cast();
    // SAFETY: `call` lives across the call, and so does the buffer that it points to, which nobody else has access to
    // and which has room for what the command makes the kernel write.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut call) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Pairs the names of one answer with the values of another.
fn read(strings: &[u8], values: &[u8]) -> Vec<(String, u64)> {
    // Where the counts differ, the channels were changed in between, and the pairs would be wrong.
    let count = number(strings, 8);
    if count != number(values, 4) {
        return Vec::new();
    }
    let names = strings.get(STRINGS_HEADER..).unwrap_or_default().chunks_exact(NAME);
    let values = values.get(STATISTICS_HEADER..).unwrap_or_default().as_chunks().0;
    names
        .zip(values)
        .take(count as usize)
        .map(|(name, value)| (text(name), u64::from_ne_bytes(*value)))
        .collect()
}

/// A text that ends with its room or before a NUL byte.
fn text(bytes: &[u8]) -> String {
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).trim().to_owned()
}

fn number(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<u8> {
        let mut bytes = [ETHTOOL_GSTRINGS, ETH_SS_STATS, u32::try_from(names.len()).unwrap()]
            .map(u32::to_ne_bytes)
            .concat();
        for name in names {
            bytes.extend(name.bytes().chain(std::iter::repeat(0)).take(NAME));
        }
        bytes.resize(bytes.len() + 3 * NAME, 0);
        bytes
    }

    fn values(values: &[u64]) -> Vec<u8> {
        let mut bytes = [ETHTOOL_GSTATS, u32::try_from(values.len()).unwrap()].map(u32::to_ne_bytes).concat();
        bytes.extend(values.iter().flat_map(|value| value.to_ne_bytes()));
        bytes.resize(bytes.len() + 24, 0);
        bytes
    }

    #[test]
    fn names_and_values_are_paired() {
        let longest = "n".repeat(NAME);
        let read = read(&strings(&["rx_drops", &longest]), &values(&[7, u64::MAX]));
        assert_eq!(read, [("rx_drops".to_owned(), 7), (longest, u64::MAX)]);
    }

    #[test]
    fn answers_that_do_not_fit_together_are_no_counters() {
        assert_eq!(read(&strings(&["a", "b"]), &values(&[1])), []);
        assert_eq!(read(&[], &[]), []);
        // The kernel says more than there is room for.
        let mut short = strings(&["a"]);
        begin(&mut short, &[[0; 4], [0; 4], 1000_u32.to_ne_bytes()]);
        let mut value = values(&[1]);
        begin(&mut value, &[[0; 4], 1000_u32.to_ne_bytes()]);
        assert_eq!(read(&short, &value).first(), Some(&("a".to_owned(), 1)));
    }

    #[test]
    fn an_interface_without_counters_of_its_own_has_none() {
        assert_eq!(statistics("lo").unwrap(), []);
        for name in ["no-such-if", "a-name-longer-than-any-interface-has"] {
            assert_eq!(statistics(name).unwrap_err().raw_os_error(), Some(libc::ENODEV), "{name}");
        }
    }
}

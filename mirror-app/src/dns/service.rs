//! The data of SVCB and HTTPS records (RFC 9460).

use std::net::IpAddr;

use super::name;
use super::reason::Reason;

/// Parameter keys of addresses (RFC 9460, section 7.3).
const IPV4_HINT: u16 = 4;
const IPV6_HINT: u16 = 6;

/// Reads the record's data, which is `message[at..end]`: appends the target's name to `text` and the addresses that are hinted at to
/// `hints`, of which there are then at most `most`. Returns the priority, which is 0 for an alias.
pub fn read(
    message: &[u8],
    at: usize,
    end: usize,
    text: &mut String,
    hints: &mut Vec<IpAddr>,
    most: usize,
) -> Result<u16, Reason> {
    // Names in this data are not compressed, so that it can be read without what is before it.
    let data = message.get(at..end).ok_or(Reason::End)?;
    let (&priority, _) = data.split_first_chunk().ok_or(Reason::DataLength)?;
    let behind = name::append(data, 2, text).map_err(|reason| match reason {
        Reason::End => Reason::DataLength,
        other => other,
    })?;
    let mut parameters = data.get(behind..).ok_or(Reason::DataLength)?;
    while let Some((&[key_high, key_low, high, low], rest)) = parameters.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, rest) = rest.split_at_checked(length).ok_or(Reason::DataLength)?;
        parameters = rest;
        match u16::from_be_bytes([key_high, key_low]) {
            IPV4_HINT => append_addresses::<4>(value, hints, most)?,
            IPV6_HINT => append_addresses::<16>(value, hints, most)?,
            _ => {}
        }
    }
    if parameters.is_empty() { Ok(u16::from_be_bytes(priority)) } else { Err(Reason::DataLength) }
}

fn append_addresses<const N: usize>(value: &[u8], hints: &mut Vec<IpAddr>, most: usize) -> Result<(), Reason>
where
    IpAddr: From<[u8; N]>,
{
    let (addresses, rest) = value.as_chunks::<N>();
    if addresses.is_empty() || !rest.is_empty() {
        return Err(Reason::DataLength);
    }
    let room = most.saturating_sub(hints.len());
    hints.extend(addresses.iter().take(room).map(|&address| IpAddr::from(address)));
    Ok(())
}

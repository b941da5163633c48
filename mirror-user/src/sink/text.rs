//! Notations of addresses, numbers and times, appended to a buffer without going through `fmt`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::source::Timestamp;
use crate::wire::number::MacAddress;

/// Appends `number` in decimal.
pub(super) fn decimal(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends `bytes` as lower-case hexadecimal digits, two for each.
pub(super) fn hexadecimal<const BYTES: usize>(bytes: [u8; BYTES], out: &mut Vec<u8>) {
    let digits = bytes.map(|byte| [hexadecimal_digit(byte >> 4), hexadecimal_digit(byte)]);
    out.extend_from_slice(digits.as_flattened());
}

/// The digit for the lower four bits.
fn hexadecimal_digit(bits: u8) -> u8 {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    DIGITS[usize::from(bits & 0xf)]
}

/// Appends an address in the notation of ECS: upper case with hyphens.
pub(super) fn mac(address: MacAddress, out: &mut Vec<u8>) {
    let groups = address.0.map(|byte| {
        [hexadecimal_digit(byte >> 4), hexadecimal_digit(byte)].map(|digit| digit.to_ascii_uppercase())
    });
    let [a, b, c, d, e, f] = groups;
    let text = [
        a[0], a[1], b'-', b[0], b[1], b'-', c[0], c[1], b'-', d[0], d[1], b'-', e[0], e[1], b'-', f[0], f[1],
    ];
    out.extend_from_slice(&text);
}

/// Appends an address: IPv4 in dotted decimal, IPv6 as RFC 5952 says.
pub(super) fn ip(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => ipv4(address, out),
        IpAddr::V6(address) => ipv6(address, out),
    }
}

fn ipv4(address: Ipv4Addr, out: &mut Vec<u8>) {
    let [a, b, c, d] = address.octets();
    for octet in [a, b, c] {
        first_of(OCTETS[usize::from(octet)], out);
        out.push(b'.');
    }
    first_of(OCTETS[usize::from(d)], out);
}

/// Appends the first `length` of four bytes: all of them, and then fewer, which is quicker than a copy of a length
/// that the compiler does not know.
fn first_of((text, length): ([u8; 4], usize), out: &mut Vec<u8>) {
    out.extend_from_slice(&text);
    out.truncate(out.len() - text.len() + length);
}

/// Each octet in decimal, and how many digits that takes.
static OCTETS: [([u8; 4], usize); 256] = {
    let mut octets = [([0; 4], 0); 256];
    let mut octet = 0_u8;
    loop {
        let [hundreds, tens, ones] = [b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10];
        octets[octet as usize] = match octet {
            100.. => ([hundreds, tens, ones, 0], 3),
            10.. => ([tens, ones, 0, 0], 2),
            _ => ([ones, 0, 0, 0], 1),
        };
        if octet == u8::MAX {
            break octets;
        }
        octet += 1;
    }
};

fn ipv6(address: Ipv6Addr, out: &mut Vec<u8>) {
    if let Some(mapped) = address.to_ipv4_mapped() {
        out.extend_from_slice(b"::ffff:");
        return ipv4(mapped, out);
    }
    let groups = address.segments();
    let (start, length) = longest_zeros(groups);
    let (head, rest) = groups.split_at(start);
    let (_, tail) = rest.split_at(length);
    joined(head, out);
    if length > 0 {
        out.extend_from_slice(b"::");
    }
    joined(tail, out);
}

/// Where the longest run of at least two zero groups begins, the first of several such, and its length.
fn longest_zeros(groups: [u16; 8]) -> (usize, usize) {
    let mut longest = (0, 0);
    let mut run = 0;
    for (position, group) in groups.into_iter().enumerate() {
        run = if group == 0 { run + 1 } else { 0 };
        if run > longest.1.max(1) {
            longest = (position + 1 - run, run);
        }
    }
    longest
}

/// Appends groups of an IPv6 address with colons in between.
fn joined(groups: &[u16], out: &mut Vec<u8>) {
    for (position, number) in groups.iter().enumerate() {
        if position > 0 {
            out.push(b':');
        }
        group(*number, out);
    }
}

/// Appends a group of an IPv6 address without leading zeros.
fn group(group: u16, out: &mut Vec<u8>) {
    let [high, low] = group.to_be_bytes();
    let digits = [high >> 4, high, low >> 4, low].map(hexadecimal_digit);
    let leading_zeros = (group.leading_zeros() / 4).min(3);
    let text = (u32::from_be_bytes(digits) << (8 * leading_zeros)).to_be_bytes();
    first_of((text, 4 - leading_zeros as usize), out);
}

/// Appends a time as RFC 3339 says, in UTC and with nanoseconds.
pub(super) fn timestamp(timestamp: Timestamp, out: &mut Vec<u8>) {
    let Utc { year, month, day, hour, minute, second, nanosecond } = Utc::from(timestamp);
    let ([y0, y1], [y2, y3]) = (two_digits(year / 100), two_digits(year));
    let ([mo0, mo1], [d0, d1]) = (two_digits(month), two_digits(day));
    let ([h0, h1], [mi0, mi1], [s0, s1]) = (two_digits(hour), two_digits(minute), two_digits(second));
    let ([n0, n1], [n2, n3]) = (two_digits(nanosecond / 10_000_000), two_digits(nanosecond / 100_000));
    let ([n4, n5], [n6, n7]) = (two_digits(nanosecond / 1_000), two_digits(nanosecond / 10));
    let [_, n8] = two_digits(nanosecond);
    // At once: each separate append costs as much as some digits.
    out.extend_from_slice(&[
        y0, y1, y2, y3, b'-', mo0, mo1, b'-', d0, d1, b'T', h0, h1, b':', mi0, mi1, b':', s0, s1, b'.', n0,
        n1, n2, n3, n4, n5, n6, n7, n8, b'Z',
    ]);
}

/// The last two digits of a number.
#[inline]
fn two_digits(number: u32) -> [u8; 2] {
    TWO_DIGITS[(number % 100) as usize]
}

/// The numbers below 100 in two digits.
static TWO_DIGITS: [[u8; 2]; 100] = {
    let mut numbers = [[0; 2]; 100];
    let mut number = 0_u8;
    while number < 100 {
        numbers[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        number += 1;
    }
    numbers
};

/// A point in time in the Gregorian calendar, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Utc {
    /// 1970 or later.
    pub year: u32,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 59.
    pub second: u32,
    /// Below 10^9.
    pub nanosecond: u32,
}

impl From<Timestamp> for Utc {
    fn from(Timestamp(nanoseconds): Timestamp) -> Self {
        let seconds = nanoseconds / 1_000_000_000;
        let second_of_day = (seconds % 86_400) as u32;
        let (year, month, day) = date((seconds / 86_400) as u32);
        Self {
            year,
            month,
            day,
            hour: second_of_day / 3_600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
            nanosecond: (nanoseconds % 1_000_000_000) as u32,
        }
    }
}

/// Year, month and day of the day that lies this many days after 1970-01-01, for all days of a [`Timestamp`].
///
/// By Neri and Schneider, "Euclidean affine functions and their application to calendar algorithms" (2022): counted in
/// years that begin in March, so that the leap day is the last of its year, quotient and remainder of each
/// division by a fraction come out of one multiplication.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is the remainder")]
const fn date(days: u32) -> (u32, u32, u32) {
    const DAYS_BEFORE_1970: u32 = 719_468; // from 0000-03-01
    const DAYS_IN_400_YEARS: u32 = 146_097;
    /// 2^32 / 1461 quarters of a day, which is a year of the Julian calendar.
    const YEARS: u32 = 2_939_745;
    let quarters = 4 * (days + DAYS_BEFORE_1970) + 3;
    let century = quarters / DAYS_IN_400_YEARS;
    let quarters_of_century = (quarters % DAYS_IN_400_YEARS) | 3;
    let years = YEARS as u64 * quarters_of_century as u64;
    let year_of_century = (years >> 32) as u32;
    let day_of_year = years as u32 / YEARS / 4;
    // Months are 30.6 days long, the first of them is number 3; in units of 2^16 to the month.
    let months = 2_141 * day_of_year + 197_913;
    let (month, day) = (months >> 16, (months & 0xffff) / 2_141 + 1);
    let year = 100 * century + year_of_century;
    // Days from the 306th of a year that begins in March are in January and February.
    if day_of_year >= 306 { (year + 1, month - 12, day) } else { (year, month, day) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sink::arbitrary::ip_address;

    /// What `write` appends.
    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn addresses_look_as_in_the_standard_library(address in ip_address()) {
            prop_assert_eq!(written(|out| ip(address, out)), address.to_string());
        }

        #[test]
        fn mac_addresses_look_as_displayed(address in any::<[u8; 6]>().prop_map(MacAddress)) {
            prop_assert_eq!(written(|out| mac(address, out)), address.to_string());
        }

        #[test]
        fn hexadecimal_has_leading_zeros(number in any::<u64>()) {
            prop_assert_eq!(written(|out| hexadecimal(number.to_be_bytes(), out)), format!("{number:016x}"));
        }
    }

    #[test]
    fn every_pattern_of_zero_groups_is_shortened_as_in_the_standard_library() {
        for pattern in 0..=u8::MAX {
            let groups: [u16; 8] = std::array::from_fn(|bit| u16::from(pattern >> bit & 1) * 0xa0b);
            let address = IpAddr::from(groups);
            assert_eq!(written(|out| ip(address, out)), address.to_string());
        }
    }

    #[test]
    fn timestamps_are_rfc_3339() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
            (1_795_251_852_123_456_789, "2026-11-21T09:04:12.123456789Z"),
            (4_107_542_399_999_999_999, "2100-02-28T23:59:59.999999999Z"),
            (u64::MAX, "2554-07-21T23:34:33.709551615Z"),
        ];
        for (nanoseconds, expected) in cases {
            assert_eq!(written(|out| timestamp(Timestamp(nanoseconds), out)), expected);
        }
    }

    #[test]
    fn dates_follow_the_calendar_day_by_day() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..=u32::try_from(u64::MAX / 86_400_000_000_000).unwrap() {
            assert_eq!(date(days), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 if leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            (year, month, day) = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                _ if day == last => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
    }
}

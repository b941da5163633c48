//! Notations of addresses, numbers and times, appended to a buffer without going through `fmt`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::number::MacAddress;
use crate::time::Timestamp;

/// Text of up to eight bytes in a register, the first in the lowest byte; above it zeros.
#[derive(Clone, Copy)]
struct ShortText {
    bytes: u64,
    /// In bytes.
    length: u32,
}

impl ShortText {
    /// Both texts joined; they must not be longer than eight bytes together.
    const fn then(self, next: Self) -> Self {
        Self { bytes: self.bytes | next.bytes << (8 * self.length), length: self.length + next.length }
    }

    /// The text without its last byte.
    const fn without_last(self) -> Self {
        Self { length: self.length - 1, ..self }
    }

    fn append_to(self, out: &mut Vec<u8>) {
        first_of(&self.bytes.to_le_bytes(), self.length as usize, out);
    }
}

/// Appends the first `length` bytes of `text`: appends all of them and truncates. That is much quicker than a copy of a
/// length that the compiler does not know.
#[inline]
pub(super) fn first_of<const BYTES: usize>(text: &[u8; BYTES], length: usize, out: &mut Vec<u8>) {
    let end = out.len() + length;
    out.extend_from_slice(text);
    out.truncate(end);
}

/// Appends `number` in decimal.
#[inline]
pub(super) fn decimal(number: impl Into<u64>, out: &mut Vec<u8>) {
    let number = number.into();
    if let Ok(small) = u8::try_from(number) {
        OCTETS[usize::from(small)].without_last().append_to(out);
    } else if number < EIGHT_DIGITS {
        without_leading_zeros(number).append_to(out);
    } else {
        large_decimal(number, out);
    }
}

/// Numbers below this have up to eight digits.
const EIGHT_DIGITS: u64 = 100_000_000;

/// Appends a number of more than eight digits.
fn large_decimal(number: u64, out: &mut Vec<u8>) {
    let (high, low) = (number / EIGHT_DIGITS, number % EIGHT_DIGITS);
    if high < EIGHT_DIGITS {
        without_leading_zeros(high).append_to(out);
    } else {
        without_leading_zeros(high / EIGHT_DIGITS).append_to(out);
        out.extend_from_slice(&eight_digits(high % EIGHT_DIGITS));
    }
    out.extend_from_slice(&eight_digits(low));
}

/// A number of up to eight digits in decimal.
#[inline(never)]
fn without_leading_zeros(number: u64) -> ShortText {
    let digits = digits(number);
    let leading_zeros = (digits.trailing_zeros() / 8).min(7);
    ShortText { bytes: (digits | ZEROS) >> (8 * leading_zeros), length: 8 - leading_zeros }
}

/// The last eight digits of a number that has no more, with leading zeros.
fn eight_digits(number: u64) -> [u8; 8] {
    (digits(number) | ZEROS).to_le_bytes()
}

/// The digit 0 in each byte.
const ZEROS: u64 = u64::from_le_bytes(*b"00000000");

/// The eight digits of a number, each as a byte from 0 to 9, the first one lowest.
///
/// All lanes of the number are divided at once, by 10,000, by 100 and by 10: quotients by a multiplication that is exact
/// for what there can be in a lane, and the remainders go to the lane above.
const fn digits(number: u64) -> u64 {
    let thousands = number / 10_000;
    let lanes = thousands | (number - 10_000 * thousands) << 32;
    let hundreds = ((lanes * 10_486) >> 20) & 0x7f_0000_007f;
    let lanes = hundreds | (lanes - 100 * hundreds) << 16;
    let tens = ((lanes * 103) >> 10) & 0xf_000f_000f_000f;
    tens | (lanes - 10 * tens) << 8
}

/// Each octet in decimal, with a dot behind.
static OCTETS: [ShortText; 256] = {
    let mut octets = [ShortText { bytes: 0, length: 0 }; 256];
    let mut octet = 0_u8;
    loop {
        let [hundreds, tens, ones] = [b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10];
        let (text, length) = match octet {
            100.. => ([hundreds, tens, ones, b'.', 0, 0, 0, 0], 4),
            10.. => ([tens, ones, b'.', 0, 0, 0, 0, 0], 3),
            _ => ([ones, b'.', 0, 0, 0, 0, 0, 0], 2),
        };
        octets[octet as usize] = ShortText { bytes: u64::from_le_bytes(text), length };
        if octet == u8::MAX {
            break octets;
        }
        octet += 1;
    }
};

/// Appends `bytes` as lower-case hexadecimal digits, two for each.
pub(super) fn hexadecimal<const BYTES: usize>(bytes: [u8; BYTES], out: &mut Vec<u8>) {
    out.extend_from_slice(bytes.map(|byte| HEXADECIMAL[usize::from(byte)]).as_flattened());
}

/// Each byte in two hexadecimal digits.
static HEXADECIMAL: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < pairs.len() {
        pairs[byte] = [HEXADECIMAL_DIGITS[byte >> 4], HEXADECIMAL_DIGITS[byte & 0xf]];
        byte += 1;
    }
    pairs
};

const HEXADECIMAL_DIGITS: [u8; 16] = *b"0123456789abcdef";

/// Appends an address in the notation of ECS: upper case with hyphens.
pub(super) fn mac(address: MacAddress, out: &mut Vec<u8>) {
    let groups = address.0.map(|byte| HEXADECIMAL[usize::from(byte)].map(|digit| digit.to_ascii_uppercase()));
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
    let [a, b, c, d] = address.octets().map(|octet| OCTETS[usize::from(octet)]);
    a.then(b).append_to(out);
    c.then(d).without_last().append_to(out);
}

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

/// Position of the longest run of at least two zero groups, the first of several such, and its length.
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
        group(*number).append_to(out);
    }
}

/// A group of an IPv6 address without leading zeros.
fn group(group: u16) -> ShortText {
    let [high, low] = group.to_be_bytes().map(|byte| HEXADECIMAL[usize::from(byte)]);
    let leading_zeros = (group.leading_zeros() / 4).min(3);
    let text = u32::from_le_bytes([high[0], high[1], low[0], low[1]]) >> (8 * leading_zeros);
    ShortText { bytes: text.into(), length: 4 - leading_zeros }
}

/// Writes timestamps. It keeps the text of a second, as most timestamps are of the same second as the one before.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimestampWriter {
    /// Seconds since 1970-01-01.
    second: u64,
    /// The beginning of that second.
    text: [u8; 30],
}

impl Default for TimestampWriter {
    fn default() -> Self {
        Self { second: 0, text: *b"1970-01-01T00:00:00.000000000Z" }
    }
}

impl TimestampWriter {
    /// Appends a time as RFC 3339 says, in UTC and with nanoseconds.
    pub fn write(&mut self, Timestamp(nanoseconds): Timestamp, out: &mut Vec<u8>) {
        let second = nanoseconds / 1_000_000_000;
        if second != self.second {
            self.set_second(second);
        }
        let nanosecond = nanoseconds % 1_000_000_000;
        // In its place: a copy of parts that were put together elsewhere would wait for them.
        out.extend_from_slice(&self.text);
        if let Some(text) = out.last_chunk_mut::<30>() {
            text[20..28].copy_from_slice(&eight_digits(nanosecond / 10));
            text[28] = b'0' + (nanosecond % 10) as u8;
        }
    }

    #[inline(never)]
    fn set_second(&mut self, second: u64) {
        const DAY: u64 = 86_400;
        if second / DAY != self.second / DAY {
            self.set_day(((second / DAY) & 0xffff_ffff) as u32);
        }
        self.second = second;
        let second = (second % DAY) as u32;
        self.text[11..13].copy_from_slice(&two_digits(second / 3_600));
        self.text[14..16].copy_from_slice(&two_digits(second / 60 % 60));
        self.text[17..19].copy_from_slice(&two_digits(second % 60));
    }

    #[cold]
    fn set_day(&mut self, day: u32) {
        let (year, month, day) = date(day);
        self.text[0..2].copy_from_slice(&two_digits(year / 100));
        self.text[2..4].copy_from_slice(&two_digits(year));
        self.text[5..7].copy_from_slice(&two_digits(month));
        self.text[8..10].copy_from_slice(&two_digits(day));
    }
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

    /// The text that `write` appends.
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
        fn decimal_numbers_look_as_in_the_standard_library(number in any::<u64>(), shift in 0..64_u32) {
            let number = number >> shift;
            prop_assert_eq!(written(|out| decimal(number, out)), number.to_string());
        }

        #[test]
        fn hexadecimal_has_leading_zeros(number in any::<u64>()) {
            prop_assert_eq!(written(|out| hexadecimal(number.to_be_bytes(), out)), format!("{number:016x}"));
        }
    }

    #[test]
    fn decimal_numbers_are_right_where_the_number_of_digits_changes() {
        for power in (0..20).map(|exponent| 10_u64.pow(exponent)) {
            for number in [power - 1, power, power.saturating_add(1), power.saturating_mul(9)] {
                assert_eq!(written(|out| decimal(number, out)), number.to_string());
            }
        }
        for number in 0..10_000_u32 {
            assert_eq!(written(|out| decimal(number, out)), number.to_string());
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
        let mut clock = TimestampWriter::default();
        for (nanoseconds, expected) in cases {
            assert_eq!(written(|out| clock.write(Timestamp(nanoseconds), out)), expected);
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

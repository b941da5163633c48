//! Interfaces of a section, and the options that describe their clocks.

use crate::replay::link::LinkFormat;
use crate::replay::order::Order;
use crate::time::Timestamp;

/// Interfaces of a section that are kept at most; packets of further ones cannot be read.
const MOST: usize = 1 << 16;

/// An interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) link_type: u32,
    /// None where packets of its link type cannot be read.
    pub(super) link: Option<LinkFormat>,
    /// Bytes of a packet that are captured at most; 0: all.
    pub(super) snap_length: u32,
    resolution: Resolution,
    /// Seconds that are added to each time.
    offset: i64,
}

/// Unit of timestamps: a negative power of 10 or of 2 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Resolution(u8);

impl Resolution {
    /// The default resolution.
    const MICROSECONDS: Self = Self(6);

    /// So many units in nanoseconds, as far as they can be expressed.
    fn nanoseconds(self, units: u64) -> u128 {
        const SECOND: u128 = 1_000_000_000;
        let nanoseconds = u128::from(units) * SECOND;
        let exponent = u32::from(self.0 & 0x7f);
        if self.0 & 0x80 == 0 {
            // From 10^39 on the power does not fit, and the quotient is 0.
            10_u128.checked_pow(exponent).map_or(0, |power| nanoseconds / power)
        } else {
            nanoseconds >> exponent
        }
    }
}

impl Interface {
    /// The description that `bytes` begin with, without its options.
    pub(super) fn parse(order: Order, bytes: &[u8]) -> Option<Self> {
        let link_type = u32::from(order.u16(*bytes.get(8..)?.first_chunk()?));
        let [_, _, _, snap_length] = order.words(bytes)?;
        Some(Self {
            link_type,
            link: LinkFormat::of(link_type),
            snap_length,
            resolution: Resolution::MICROSECONDS,
            offset: 0,
        })
    }

    /// The time of so many units: 1970 where it would be before that, and 2554 where it would be later.
    pub(super) fn timestamp(&self, units: u64) -> Timestamp {
        let nanoseconds = i128::try_from(self.resolution.nanoseconds(units)).unwrap_or(i128::MAX);
        let time = nanoseconds.saturating_add(i128::from(self.offset) * 1_000_000_000);
        Timestamp(u64::try_from(time.max(0)).unwrap_or(u64::MAX))
    }
}

/// Code and length of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OptionHeader {
    code: u16,
    length: u16,
}

impl OptionHeader {
    pub(super) const LENGTH: u32 = 4;
    /// if_tsresol
    const RESOLUTION: u16 = 9;
    /// if_tsoffset
    const OFFSET: u16 = 14;

    pub(super) fn parse(order: Order, bytes: &[u8]) -> Option<Self> {
        let [c0, c1, l0, l1] = *bytes.first_chunk()?;
        Some(Self { code: order.u16([c0, c1]), length: order.u16([l0, l1]) })
    }

    /// Bytes of the value, with padding.
    pub(super) const fn padded(self) -> u32 {
        (self.length as u32).next_multiple_of(4)
    }

    /// `true` if it is the mark behind the last option.
    pub(super) const fn is_last(self) -> bool {
        self.code == 0
    }

    /// `true` if its value is used.
    pub(super) const fn counts(self) -> bool {
        matches!(self.code, Self::RESOLUTION | Self::OFFSET)
    }
}

/// The interfaces of a section.
#[derive(Debug, Default)]
pub(super) struct Interfaces(Vec<Option<Interface>>);

impl Interfaces {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds an interface; [`None`] for one whose description cannot be read.
    pub(super) fn push(&mut self, interface: Option<Interface>) {
        if self.0.len() < MOST {
            self.0.push(interface);
        }
    }

    pub(super) fn get(&self, number: u32) -> Option<Interface> {
        self.0.get(usize::try_from(number).ok()?).copied()?
    }

    pub(super) fn link_types(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flatten().map(|interface| interface.link_type)
    }

    /// Sets an option of the interface that was added last. A value that is too short says nothing.
    pub(super) fn set(&mut self, order: Order, option: OptionHeader, value: &[u8]) {
        let value = value.get(..option.length.into()).unwrap_or_default();
        let Some(Some(interface)) = self.0.last_mut() else { return };
        match (option.code, value) {
            (OptionHeader::RESOLUTION, [resolution, ..]) => interface.resolution = Resolution(*resolution),
            (OptionHeader::OFFSET, value) => {
                if let Some(bytes) = value.first_chunk() {
                    interface.offset = order.u64(*bytes).cast_signed();
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resolution_is_told_as_nanoseconds() {
        const SECOND: u64 = 1_000_000_000;
        for (resolution, units, nanoseconds) in [
            (0, 5, 5 * SECOND),
            (3, 1_500, SECOND + SECOND / 2),
            (6, 1_700_000_000_500_000, 1_700_000_000 * SECOND + SECOND / 2),
            (9, 1_700_000_000_000_000_001, 1_700_000_000_000_000_001),
            (12, 1_700_000_000_001_999, 1_700_000_000_001),
            (18, 7_000_000_000_123_456_789, 7_000_000_000),
            (38, u64::MAX, 0),
            (39, u64::MAX, 0),
            (0x7f, u64::MAX, 0),
            (0x80, 5, 5 * SECOND),
            (0x80 | 20, 3 << 19, SECOND + SECOND / 2),
            (0x80 | 32, 1_700_000_000 << 32 | 1 << 31, 1_700_000_000 * SECOND + SECOND / 2),
            (0x80 | 63, 3 << 62, SECOND + SECOND / 2),
            (0x80 | 64, u64::MAX, SECOND - 1),
            (0xff, u64::MAX, 0),
        ] {
            let actual = Resolution(resolution).nanoseconds(units);
            assert_eq!(actual, u128::from(nanoseconds), "resolution {resolution:#x}");
        }
    }

    #[test]
    fn times_keep_within_what_can_be_told() {
        let interface = |resolution, offset| Interface {
            link_type: 1,
            link: None,
            snap_length: 0,
            resolution: Resolution(resolution),
            offset,
        };
        assert_eq!(interface(6, 3600).timestamp(1), Timestamp(3_600_000_001_000));
        assert_eq!(interface(6, -3600).timestamp(7_200_000_000), Timestamp(3_600_000_000_000));
        assert_eq!(interface(6, -3600).timestamp(1), Timestamp(0));
        assert_eq!(interface(0, 0).timestamp(u64::MAX), Timestamp(u64::MAX));
        assert_eq!(interface(0, i64::MAX).timestamp(u64::MAX), Timestamp(u64::MAX));
        assert_eq!(interface(0, i64::MIN).timestamp(0), Timestamp(0));
    }
}

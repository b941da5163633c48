//! A part of the whole.

use std::fmt;
use std::str::FromStr;

/// A part of the whole, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(f64);

impl Share {
    /// Nothing.
    pub const NONE: Self = Self(0.0);
    /// Everything.
    pub const ALL: Self = Self(1.0);

    /// A tenth.
    pub(super) const TENTH: Self = Self(0.1);
    /// A fifth.
    pub(super) const FIFTH: Self = Self(0.2);
    /// Three tenths.
    pub(super) const THREE_TENTHS: Self = Self(0.3);

    /// A share of `fraction`; [`None`] outside of 0 to 1.
    pub fn new(fraction: f64) -> Option<Self> {
        (0.0..=1.0).contains(&fraction).then_some(Self(fraction))
    }

    /// The share as a fraction.
    pub const fn fraction(self) -> f64 {
        self.0
    }

    /// The sum of two shares; [`None`] where it exceeds 1.
    pub(super) fn plus(self, other: Self) -> Option<Self> {
        Self::new(self.0 + other.0)
    }

    /// The share of a whole of `whole` parts.
    #[expect(clippy::cast_possible_truncation, reason = "at most `whole`, which is at most 2^32")]
    pub(super) fn of(self, whole: u64) -> u64 {
        (self.0 * whole as f64).round() as u64
    }

    /// True where some are among them, or with `among` false, where some are not.
    pub(super) fn has(self, among: bool) -> bool {
        if among { self.0 > 0.0 } else { self.0 < 1.0 }
    }
}

impl FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::NONE),
            "on" => Ok(Self::ALL),
            _ => text
                .parse()
                .ok()
                .and_then(Self::new)
                .ok_or("expected `on`, `off` or a fraction from 0 to 1, like 0.25"),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

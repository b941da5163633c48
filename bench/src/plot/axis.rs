//! A linear axis with names in place of numbers.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::Ranged;

/// A linear axis with names at some places.
pub(super) struct Named {
    linear: RangedCoordf64,
    names: Vec<(f64, String)>,
}

impl Named {
    /// An axis over `range`, with names at their places.
    pub fn new(range: Range<f64>, names: impl IntoIterator<Item = (f64, String)>) -> Self {
        Self { linear: range.into(), names: names.into_iter().collect() }
    }

    /// The names of items of width 1, each in the middle of its item.
    pub fn middles<T>(items: &[(String, T)]) -> impl Iterator<Item = (f64, String)> {
        items.iter().enumerate().map(|(number, (name, _))| (number as f64 + 0.5, name.clone()))
    }
}

impl Ranged for Named {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.linear.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.names.iter().map(|(place, _)| *place).collect()
    }

    fn range(&self) -> Range<f64> {
        self.linear.range()
    }
}

impl ValueFormatter<f64> for Named {
    fn format_ext(&self, value: &f64) -> String {
        self.names.iter().find(|(place, _)| place == value).map(|(_, name)| name.clone()).unwrap_or_default()
    }
}

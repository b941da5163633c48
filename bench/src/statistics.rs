//! Summaries of repeated measurements.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The summary of repeated measurements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of measurements.
    pub count: usize,
    /// The median.
    pub median: f64,
    /// The lower quartile.
    pub lower_quartile: f64,
    /// The upper quartile.
    pub upper_quartile: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
}

impl Summary {
    /// Sums `values` up; none where there are none, or some are no numbers.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        if values.iter().any(|value| value.is_nan()) {
            return None;
        }
        values.sort_by(f64::total_cmp);
        let (&least, &greatest) = (values.first()?, values.last()?);
        Some(Self {
            count: values.len(),
            median: quantile(&values, 0.5)?,
            lower_quartile: quantile(&values, 0.25)?,
            upper_quartile: quantile(&values, 0.75)?,
            least,
            greatest,
        })
    }

    /// Distance between the quartiles as a part of the median: a measure of the machine's noise.
    pub fn spread(&self) -> f64 {
        if self.median == 0.0 { 0.0 } else { (self.upper_quartile - self.lower_quartile) / self.median.abs() }
    }

    /// The same in other units.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self {
            count: self.count,
            median: self.median * factor,
            lower_quartile: self.lower_quartile * factor,
            upper_quartile: self.upper_quartile * factor,
            least: self.least * factor,
            greatest: self.greatest * factor,
        }
    }
}

impl fmt::Display for Summary {
    /// Median and quartiles, with the precision that the formatter asks for.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = formatter.precision().unwrap_or(2);
        let Self { median, lower_quartile, upper_quartile, .. } = self;
        write!(formatter, "{median:.digits$} ({lower_quartile:.digits$}–{upper_quartile:.digits$})")
    }
}

/// The value below which a `fraction` of the sorted `values` lies, between two of them where there is none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place among the values, which is not negative"
)]
fn quantile(values: &[f64], fraction: f64) -> Option<f64> {
    let place = fraction * (values.len().checked_sub(1)?) as f64;
    let below = *values.get(place.floor() as usize)?;
    let above = *values.get(place.ceil() as usize)?;
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_values() {
        let summary = Summary::of([4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((summary.least, summary.greatest, summary.count), (1.0, 4.0, 4));
        assert_eq!((summary.lower_quartile, summary.median, summary.upper_quartile), (1.75, 2.5, 3.25));
        assert_eq!(summary.spread(), 1.5 / 2.5);
        assert_eq!(format!("{summary:.1}"), "2.5 (1.8–3.2)");
        assert_eq!(summary.scaled(2.0).median, 5.0);
    }

    #[test]
    fn one_value_has_no_spread_and_none_no_summary() {
        let one = Summary::of([7.0]).unwrap();
        assert_eq!((one.median, one.spread()), (7.0, 0.0));
        assert_eq!(Summary::of([]), None);
        assert_eq!(Summary::of([1.0, f64::NAN]), None);
        assert_eq!(Summary::of([0.0, 0.0]).unwrap().spread(), 0.0);
    }

    #[test]
    fn an_outlier_moves_the_median_little() {
        let steady: Vec<f64> = (0..10).map(|number| 100.0 + f64::from(number)).collect();
        let disturbed = Summary::of(steady.iter().copied().chain([10_000.0])).unwrap();
        assert_eq!(disturbed.median, 105.0);
    }
}

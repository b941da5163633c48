//! Plots as SVG, readable on light and dark pages.
//!
//! - `svg`: the elements; `scale`: from values to places.
//! - [`bars`], [`curves`] and [`intervals`]: the kinds of plots.

pub mod bars;
pub mod curves;
pub mod intervals;
mod scale;
mod svg;

/// Width of a plot in pixels.
const WIDTH: f64 = 760.0;
/// Room on the left for the labels of the axis.
const LEFT: f64 = 64.0;
/// Room on the right.
const RIGHT: f64 = 24.0;
/// Room at the top for title and legend.
const TOP: f64 = 76.0;
/// Room at the bottom for labels.
const BOTTOM: f64 = 56.0;

/// A colour class of the style sheet for each series, in turn.
fn colour(series: usize) -> String {
    format!("s{}", series % svg::COLOURS)
}

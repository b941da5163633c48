//! Plots as SVG, drawn by the library plotters.
//!
//! - `page`: the frame of every plot: title, note, legend and colours; `axis`: axes with names.
//! - [`bars`], [`curves`] and [`intervals`]: the kinds of plots.

mod axis;
pub mod bars;
pub mod curves;
pub mod intervals;
mod page;

use std::io;

use plotters::drawing::DrawingAreaErrorKind;
use thiserror::Error;

/// An error of the drawing library.
type DrawError = DrawingAreaErrorKind<io::Error>;

/// A plot could not be drawn.
#[derive(Debug, Error)]
#[error("cannot draw the plot \"{title}\"")]
pub struct PlotError {
    title: String,
    source: DrawError,
}

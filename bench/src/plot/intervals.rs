//! One row for each measurement: its median, its quartiles, and how far it reaches.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::PlotError;
use super::axis::Named;
use super::page::{self, GOAL, Heading, MARK};
use crate::statistics::Summary;

/// Height of a row in pixels.
const ROW: u32 = 26;
/// Height of the axis and its name.
const FOOT: u32 = 62;
/// Half the height of the quartiles and of the median, as parts of a row.
const BOX: f64 = 0.2;
const MEDIAN: f64 = 0.32;

/// Rows of intervals.
#[derive(Clone, Debug)]
pub struct Intervals {
    /// The title.
    pub title: String,
    /// The values, in words.
    pub note: String,
    /// Name of the axis.
    pub axis: String,
    /// Values that are to be reached.
    pub goals: Vec<f64>,
    /// Name of each row, and its values where they could be measured.
    pub rows: Vec<(String, Option<Summary>)>,
}

impl Intervals {
    /// Draws them.
    ///
    /// # Errors
    ///
    /// Those of the drawing library.
    pub fn draw(&self) -> Result<String, PlotError> {
        let Self { title, note, axis, goals, rows } = self;
        let count = rows.len().max(1);
        let height = page::HEADER + FOOT + ROW * u32::try_from(count).unwrap_or(1);
        let [least, most] = self.range();
        page::draw(Heading { title, note, series: &[] }, height, |area| {
            // From top to bottom.
            let down = Named::new(count as f64..0.0, Named::middles(rows));
            let mut chart = ChartBuilder::on(area)
                .x_label_area_size(44)
                .y_label_area_size(210)
                .build_cartesian_2d(least..most, down)?;
            let mut mesh = chart.configure_mesh();
            page::style_mesh(&mut mesh);
            mesh.disable_y_mesh().x_desc(axis).x_labels(12).draw()?;
            for &goal in goals {
                let ends = [(goal, 0.0), (goal, count as f64)];
                chart.draw_series(DashedLineSeries::new(ends, 5, 4, GOAL.into()))?;
            }
            let plot = chart.plotting_area();
            for (number, (_, value)) in rows.iter().enumerate() {
                let middle = number as f64 + 0.5;
                let Some(value) = value else {
                    let words = Text::new("not measured", (8, 0), page::note(HPos::Left, VPos::Center));
                    plot.draw(&(EmptyElement::at((least, middle)) + words))?;
                    continue;
                };
                let colour = page::colour(0);
                let range = [(value.least, middle), (value.greatest, middle)];
                let quartiles = [(value.lower_quartile, middle - BOX), (value.upper_quartile, middle + BOX)];
                let median = [middle - MEDIAN, middle + MEDIAN].map(|y| (value.median, y));
                plot.draw(&PathElement::new(range, colour))?;
                plot.draw(&Rectangle::new(quartiles, colour.filled()))?;
                plot.draw(&PathElement::new(median, MARK.stroke_width(2)))?;
            }
            Ok(())
        })
    }

    /// The values between which everything lies.
    fn range(&self) -> [f64; 2] {
        let values = || self.rows.iter().filter_map(|(_, value)| value.as_ref());
        let goals = || self.goals.iter().copied().chain([1.0]);
        let least = values().map(|value| value.least).chain(goals()).fold(1.0, f64::min);
        let most = values().map(|value| value.greatest).chain(goals()).fold(1.0, f64::max);
        [(least * 10.0).floor() / 10.0 - 0.05, (most * 10.0).ceil() / 10.0 + 0.05]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_named_and_what_is_missing_is_said() {
        let intervals = Intervals {
            title: "Retention".to_owned(),
            note: "of rxdrop".to_owned(),
            axis: "ratio".to_owned(),
            goals: vec![0.9],
            rows: vec![("128 bytes".to_owned(), Summary::of([0.84, 0.9, 1.06])), ("imix".to_owned(), None)],
        };
        let svg = intervals.draw().unwrap();
        for text in ["128 bytes", "imix", "not measured", "#DC2626", "\n0.8\n", "\n1.1\n", "ratio"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        assert!(!svg.contains("NaN"));
        assert!(!Intervals { rows: Vec::new(), ..intervals }.draw().unwrap().contains("NaN"));
    }
}

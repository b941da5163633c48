//! Groups of bars, one bar for each series, with the quartiles on each.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::PlotError;
use super::axis::Named;
use super::page::{self, Heading, MARK};
use crate::statistics::Summary;

/// Height of the plot in pixels.
const HEIGHT: u32 = 400;
/// The part of a group's width that is between groups.
const GAP: f64 = 0.28;

/// Groups of bars.
#[derive(Clone, Debug)]
pub struct Bars {
    /// The title.
    pub title: String,
    /// The values, in words.
    pub note: String,
    /// Names of the horizontal and of the vertical axis.
    pub axes: [String; 2],
    /// Names of the series.
    pub series: Vec<String>,
    /// Name of each group, and its value in each series, where there is one.
    pub groups: Vec<(String, Vec<Option<Summary>>)>,
}

impl Bars {
    /// Draws them.
    ///
    /// # Errors
    ///
    /// Those of the drawing library.
    pub fn draw(&self) -> Result<String, PlotError> {
        let Self { title, note, axes: [horizontal, vertical], series, groups } = self;
        let values = groups.iter().flat_map(|(_, values)| values.iter().flatten());
        let most = values.map(|value| value.upper_quartile).fold(0.0, f64::max);
        // Room for the value above the highest bar.
        let most = if most > 0.0 { most * 1.08 } else { 1.0 };
        let width = (1.0 - GAP) / series.len().max(1) as f64;
        page::draw(Heading { title, note, series }, HEIGHT, |area| {
            let groups_named = Named::new(0.0..groups.len().max(1) as f64, Named::middles(groups));
            let mut chart = ChartBuilder::on(area)
                .x_label_area_size(44)
                .y_label_area_size(56)
                .build_cartesian_2d(groups_named, 0.0..most)?;
            let mut mesh = chart.configure_mesh();
            page::style_mesh(&mut mesh);
            mesh.disable_x_mesh().x_desc(horizontal).y_desc(vertical).y_labels(6).draw()?;
            let plot = chart.plotting_area();
            for (group, (_, values)) in groups.iter().enumerate() {
                for (number, value) in values.iter().enumerate() {
                    let Some(value) = value else { continue };
                    let left = group as f64 + GAP / 2.0 + width * number as f64;
                    let (middle, gap) = (left + width / 2.0, width * 0.02);
                    let corners = [(left + gap, 0.0), (left + width - gap, value.median)];
                    let quartiles = [(middle, value.lower_quartile), (middle, value.upper_quartile)];
                    let style = page::note(HPos::Center, VPos::Bottom);
                    let text = Text::new(format!("{:.2}", value.median), (0, -5), style);
                    let bar = Rectangle::new(corners, page::colour(number).filled());
                    plot.draw(&bar)?;
                    plot.draw(&PathElement::new(quartiles, MARK.stroke_width(2)))?;
                    plot.draw(&(EmptyElement::at((middle, value.upper_quartile)) + text))?;
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_bar() {
        let value = |median| Summary::of([median]);
        let bars = Bars {
            title: "Throughput".to_owned(),
            note: "medians".to_owned(),
            axes: ["frame size".to_owned(), "Mpps".to_owned()],
            series: vec!["rxdrop".to_owned(), "pipeline".to_owned()],
            groups: vec![
                ("128".to_owned(), vec![value(6.0), value(5.4)]),
                ("1400".to_owned(), vec![value(4.0), None]),
            ],
        };
        let svg = bars.draw().unwrap();
        // The page, one in the legend for each series, and the bars.
        assert_eq!(svg.matches("<rect ").count(), 1 + 2 + 3);
        for text in ["Throughput", "pipeline", "\n5.40\n", "\n1400\n", "frame size", "Mpps"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        assert!(!svg.contains("NaN"));
        let empty = Bars { groups: Vec::new(), series: Vec::new(), ..bars };
        assert!(!empty.draw().unwrap().contains("NaN"));
    }

    #[test]
    fn a_bar_is_as_high_as_its_value() {
        let bars = Bars {
            title: String::new(),
            note: String::new(),
            axes: Default::default(),
            series: vec!["one".to_owned()],
            groups: [2.0, 4.0].map(|value| (value.to_string(), vec![Summary::of([value])])).to_vec(),
        };
        let svg = bars.draw().unwrap();
        let heights: Vec<f64> = svg
            .lines()
            .filter(|line| line.starts_with("<rect "))
            .filter_map(|line| line.split("height=\"").nth(1)?.split('"').next()?.parse().ok())
            .collect();
        let [_page, _legend, low, high] = *heights else { panic!("{svg}") };
        assert!((high - 2.0 * low).abs() <= 2.0, "{low} and {high}");
    }
}

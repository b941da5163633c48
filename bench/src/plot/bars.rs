//! Groups of bars, one bar for each series, with the quartiles on each.

use super::scale::{Scale, label};
use super::svg::{Anchor, Svg};
use super::{BOTTOM, LEFT, RIGHT, TOP, WIDTH, colour};
use crate::statistics::Summary;

/// Height of the plot in pixels.
const HEIGHT: f64 = 380.0;
/// The part of a group's width that is between groups.
const GAP: f64 = 0.28;

/// Groups of bars.
#[derive(Clone, Debug)]
pub struct Bars {
    /// The title.
    pub title: String,
    /// What the numbers are.
    pub note: String,
    /// Names of the series.
    pub series: Vec<String>,
    /// Name of each group, and its value in each series, where there is one.
    pub groups: Vec<(String, Vec<Option<Summary>>)>,
}

impl Bars {
    /// Draws it.
    pub fn draw(&self) -> String {
        let mut svg = Svg::new(HEIGHT, &self.title, &self.note, &self.series);
        let values = self.groups.iter().flat_map(|(_, values)| values.iter().flatten());
        let most = values.map(|value| value.upper_quartile).fold(0.0, f64::max);
        let scale = Scale::linear(most, [HEIGHT - BOTTOM, TOP]);
        for line in scale.lines() {
            svg.grid(scale.at(line), &label(line));
        }
        let width = (WIDTH - LEFT - RIGHT) / self.groups.len().max(1) as f64;
        let bar = width * (1.0 - GAP) / self.series.len().max(1) as f64;
        for (group, (name, values)) in self.groups.iter().enumerate() {
            let left = LEFT + width * group as f64;
            svg.text([left + width / 2.0, HEIGHT - BOTTOM + 22.0], Anchor::Middle, "", name);
            for (series, value) in values.iter().enumerate() {
                let x = left + width * GAP / 2.0 + bar * series as f64;
                let Some(value) = value else { continue };
                let y = scale.at(value.median);
                let class = format!("bar {}", colour(series));
                svg.rectangle([x + 1.0, y, bar - 2.0, HEIGHT - BOTTOM - y], &class);
                let middle = x + bar / 2.0;
                let ends = [value.lower_quartile, value.upper_quartile].map(|end| [middle, scale.at(end)]);
                svg.line(ends[0], ends[1], "mark");
                svg.text([middle, ends[1][1] - 6.0], Anchor::Middle, "note", &format!("{:.2}", value.median));
            }
        }
        svg.line([LEFT, HEIGHT - BOTTOM], [WIDTH - RIGHT, HEIGHT - BOTTOM], "axis");
        svg.finish()
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
            note: "millions of packets per second".to_owned(),
            series: vec!["rxdrop".to_owned(), "pipeline".to_owned()],
            groups: vec![
                ("128".to_owned(), vec![value(6.0), value(5.4)]),
                ("1400".to_owned(), vec![value(4.0), None]),
            ],
        };
        let svg = bars.draw();
        assert_eq!(svg.matches("class=\"bar ").count(), 3);
        for text in ["Throughput", "pipeline", ">5.40<", ">1400<"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        assert!(!svg.contains("NaN"));
        let empty = Bars { groups: Vec::new(), series: Vec::new(), ..bars };
        assert!(!empty.draw().contains("NaN"));
    }
}

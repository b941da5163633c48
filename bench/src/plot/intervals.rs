//! One row for each measurement: its median, its quartiles, and how far it reaches.

use super::scale::{Scale, label};
use super::svg::{Anchor, Svg};
use super::{BOTTOM, RIGHT, TOP, WIDTH, colour};
use crate::statistics::Summary;

/// Height of a row in pixels.
const ROW: f64 = 26.0;
/// Room on the left for the names of the rows.
const NAMES: f64 = 250.0;

/// Rows of intervals.
#[derive(Clone, Debug)]
pub struct Intervals {
    /// The title.
    pub title: String,
    /// What the numbers are.
    pub note: String,
    /// Values that are to be reached.
    pub goals: Vec<f64>,
    /// Name of each row, and its values where they could be measured.
    pub rows: Vec<(String, Option<Summary>)>,
}

impl Intervals {
    /// Draws it.
    pub fn draw(&self) -> String {
        let bottom = TOP + ROW * self.rows.len() as f64;
        let mut svg = Svg::new(bottom + BOTTOM, &self.title, &self.note, &[]);
        let values = || self.rows.iter().filter_map(|(_, value)| value.as_ref());
        let least = values().map(|value| value.least).chain(self.goals.iter().copied()).fold(1.0, f64::min);
        let most = values().map(|value| value.greatest).chain(self.goals.iter().copied()).fold(1.0, f64::max);
        let range = [(least * 10.0).floor() / 10.0 - 0.05, (most * 10.0).ceil() / 10.0 + 0.05];
        let scale = Scale::exact(range, [NAMES, WIDTH - RIGHT]);
        for line in scale.lines() {
            let x = scale.at(line);
            svg.line([x, TOP - 8.0], [x, bottom], "grid");
            svg.text([x, bottom + 20.0], Anchor::Middle, "", &label(line));
        }
        for goal in &self.goals {
            let x = scale.at(*goal);
            svg.line([x, TOP - 8.0], [x, bottom], "goal");
        }
        for (number, (name, value)) in self.rows.iter().enumerate() {
            let y = TOP + ROW * (number as f64 + 0.5);
            svg.text([NAMES - 12.0, y + 4.0], Anchor::End, "", name);
            let Some(value) = value else {
                svg.text([NAMES + 8.0, y + 4.0], Anchor::Start, "note", "not measured");
                continue;
            };
            let class = colour(0);
            svg.line([scale.at(value.least), y], [scale.at(value.greatest), y], &class);
            let (low, high) = (scale.at(value.lower_quartile), scale.at(value.upper_quartile));
            svg.rectangle([low, y - 5.0, (high - low).max(1.0), 10.0], &class);
            let middle = scale.at(value.median);
            svg.line([middle, y - 8.0], [middle, y + 8.0], "mark");
        }
        svg.finish()
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
            goals: vec![0.9],
            rows: vec![("128 bytes".to_owned(), Summary::of([0.84, 0.9, 1.06])), ("imix".to_owned(), None)],
        };
        let svg = intervals.draw();
        for text in ["128 bytes", "imix", "not measured", "class=\"goal\"", ">0.8<", ">1.1<"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        assert!(!svg.contains("NaN"));
    }
}

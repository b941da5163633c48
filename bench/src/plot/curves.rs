//! Latency curves: quantiles on an axis on which each further nine takes as much room, times on a logarithmic one.

use super::scale::{Scale, time_label};
use super::svg::{Anchor, Svg};
use super::{BOTTOM, LEFT, RIGHT, TOP, WIDTH, colour};

/// Height of the plot in pixels.
const HEIGHT: f64 = 420.0;
/// Nines after which the axis ends; the greatest time stands there.
const NINES: f64 = 6.0;
/// Quantiles that are named on the axis.
const NAMED: [(f64, &str); 6] =
    [(0.0, "0"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %")];

/// Latency curves.
#[derive(Clone, Debug)]
pub struct Curves {
    /// The title.
    pub title: String,
    /// What the numbers are.
    pub note: String,
    /// Name of each curve, and its quantiles (0 to 1) with their times in microseconds.
    pub curves: Vec<(String, Vec<(f64, f64)>)>,
}

impl Curves {
    /// Draws it.
    pub fn draw(&self) -> String {
        let series: Vec<String> = self.curves.iter().map(|(name, _)| name.clone()).collect();
        let mut svg = Svg::new(HEIGHT, &self.title, &self.note, &series);
        let times = || self.curves.iter().flat_map(|(_, points)| points.iter().map(|(_, time)| *time));
        let least = times().filter(|&time| time > 0.0).fold(f64::INFINITY, f64::min);
        let range = if least.is_finite() { [least, times().fold(0.0, f64::max)] } else { [1.0, 10.0] };
        let y = Scale::logarithmic(range, [HEIGHT - BOTTOM, TOP]);
        let x = Scale::exact([0.0, NINES], [LEFT, WIDTH - RIGHT]);
        for line in y.lines() {
            svg.grid(y.at(line), &time_label(line));
        }
        let bottom = HEIGHT - BOTTOM;
        for (quantile, name) in NAMED {
            let place = x.at(nines(quantile));
            svg.line([place, TOP], [place, bottom], "grid");
            svg.text([place, bottom + 22.0], Anchor::Middle, "", name);
        }
        svg.text([WIDTH - RIGHT, bottom + 22.0], Anchor::End, "", "max");
        svg.line([LEFT, bottom], [WIDTH - RIGHT, bottom], "axis");
        for (number, (_, points)) in self.curves.iter().enumerate() {
            let places: Vec<[f64; 2]> =
                points.iter().map(|&(quantile, time)| [x.at(nines(quantile)), y.at(time)]).collect();
            svg.curve(&places, &format!("curve {}", colour(number)));
            if let Some(place) = places.last() {
                svg.dot(*place, 3.5, &colour(number));
            }
        }
        svg.finish()
    }
}

/// How many nines a quantile begins with, and parts of nines.
fn nines(quantile: f64) -> f64 {
    if quantile >= 1.0 { NINES } else { -(1.0 - quantile).log10() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_nine_takes_as_much_room() {
        for (quantile, expected) in [(0.0, 0.0), (0.9, 1.0), (0.999, 3.0), (1.0, NINES)] {
            assert!((nines(quantile) - expected).abs() < 1e-9, "{quantile}");
        }
    }

    #[test]
    fn curves_are_drawn_also_where_there_is_nothing() {
        let points = vec![(0.0, 3.0), (0.5, 10.0), (1.0, 900.0)];
        let curves = Curves {
            title: "Latency".to_owned(),
            note: "microseconds".to_owned(),
            curves: vec![("10 %".to_owned(), points), ("90 %".to_owned(), Vec::new())],
        };
        let svg = curves.draw();
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_eq!(svg.matches("<circle").count(), 1);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert!(!Curves { curves: Vec::new(), ..curves }.draw().contains("NaN"));
    }
}

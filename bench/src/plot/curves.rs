//! Latency curves: quantiles on an axis on which each further nine takes as much room, times on a logarithmic one.

use plotters::prelude::*;

use super::PlotError;
use super::axis::Named;
use super::page::{self, Heading};

/// Height of the plot in pixels.
const HEIGHT: u32 = 440;
/// Nines after which the axis ends; the greatest time stands there.
const NINES: f64 = 6.0;
/// Quantiles that are named on the axis.
const NAMED: [(f64, &str); 7] = [
    (0.0, "0"),
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
    (1.0, "max"),
];

/// Latency curves.
#[derive(Clone, Debug)]
pub struct Curves {
    /// The title.
    pub title: String,
    /// The values, in words.
    pub note: String,
    /// Name of each curve, and its quantiles (0 to 1) with their times in microseconds.
    pub curves: Vec<(String, Vec<(f64, f64)>)>,
}

impl Curves {
    /// Draws them.
    ///
    /// # Errors
    ///
    /// Those of the drawing library.
    pub fn draw(&self) -> Result<String, PlotError> {
        let Self { title, note, curves } = self;
        let series: Vec<String> = curves.iter().map(|(name, _)| name.clone()).collect();
        let [least, most] = decades(curves.iter().flat_map(|(_, points)| points.iter().map(|point| point.1)));
        page::draw(Heading { title, note, series: &series }, HEIGHT, |area| {
            let names = NAMED.map(|(quantile, name)| (nines(quantile), name.to_owned()));
            let mut chart = ChartBuilder::on(area)
                .x_label_area_size(44)
                .y_label_area_size(72)
                .margin_right(14)
                .build_cartesian_2d(Named::new(0.0..NINES, names), (least..most).log_scale())?;
            let mut mesh = chart.configure_mesh();
            page::style_mesh(&mut mesh);
            mesh.x_desc("part of the packets").y_desc("latency").y_label_formatter(&time_label).draw()?;
            for (number, (_, points)) in curves.iter().enumerate() {
                let colour = page::colour(number);
                let points: Vec<_> =
                    points.iter().map(|&(quantile, time)| (nines(quantile), time.max(least))).collect();
                chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
                chart.draw_series(points.last().map(|&end| Circle::new(end, 4, colour.filled())))?;
            }
            Ok(())
        })
    }
}

/// Powers of ten that the positive ones of `times` lie between.
fn decades(times: impl Iterator<Item = f64> + Clone) -> [f64; 2] {
    let least = times.clone().filter(|&time| time > 0.0).fold(f64::INFINITY, f64::min);
    if !least.is_finite() {
        return [1.0, 10.0];
    }
    let from = 10_f64.powf(least.log10().floor());
    [from, 10_f64.powf(times.fold(from * 10.0, f64::max).log10().ceil())]
}

/// Number of nines that a quantile begins with, and parts of nines.
fn nines(quantile: f64) -> f64 {
    if quantile >= 1.0 { NINES } else { -(1.0 - quantile).log10() }
}

/// A power of ten of a time in microseconds, in the unit that suits it.
fn time_label(microseconds: &f64) -> String {
    let (value, unit) = match microseconds {
        1e6.. => (microseconds / 1e6, "s"),
        1e3.. => (microseconds / 1e3, "ms"),
        1.0.. => (*microseconds, "µs"),
        _ => (microseconds * 1e3, "ns"),
    };
    format!("{value:.0} {unit}")
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
    fn the_axis_of_times_has_whole_decades() {
        for (times, expected) in [
            (vec![3.0, 5_000.0], [1.0, 10_000.0]),
            (vec![0.0, 3.0], [1.0, 10.0]),
            (vec![0.0], [1.0, 10.0]),
            (vec![0.2, 0.3], [0.1, 1.0]),
        ] {
            let found = decades(times.iter().copied());
            let is_near = |(found, expected): (&f64, &f64)| (found / expected - 1.0).abs() < 1e-9;
            assert!(found.iter().zip(&expected).all(is_near), "{found:?} for {times:?}");
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
        let svg = curves.draw().unwrap();
        assert_eq!(svg.matches("stroke-width=\"2\"").count(), 1, "{svg}");
        assert_eq!(svg.matches("<circle").count(), 1);
        for text in ["\n1 µs\n", "\n1 ms\n", "\n99.9 %\n", "\nmax\n"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert!(!Curves { curves: Vec::new(), ..curves }.draw().unwrap().contains("NaN"));
    }

    #[test]
    fn times_have_units() {
        for (microseconds, expected) in [(0.1, "100 ns"), (10.0, "10 µs"), (1e3, "1 ms"), (1e7, "10 s")] {
            assert_eq!(time_label(&microseconds), expected);
        }
    }
}

//! From values to places.

/// About as many lines as an axis has.
const LINES: f64 = 5.0;

/// An axis: values from `from` to `to` lie between two places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    from: f64,
    to: f64,
    start: f64,
    end: f64,
    logarithmic: bool,
}

impl Scale {
    /// From 0 to a round number that is not below `most`.
    pub fn linear(most: f64, [start, end]: [f64; 2]) -> Self {
        let step = step(most);
        let to = if most > 0.0 { (most / step).ceil() * step } else { 1.0 };
        Self { from: 0.0, to, start, end, logarithmic: false }
    }

    /// From `from` to `to` as they are.
    pub const fn exact([from, to]: [f64; 2], [start, end]: [f64; 2]) -> Self {
        Self { from, to, start, end, logarithmic: false }
    }

    /// From a power of ten that is not above `least` to one that is not below `most`.
    pub fn logarithmic([least, most]: [f64; 2], [start, end]: [f64; 2]) -> Self {
        let from = 10_f64.powf(least.max(f64::MIN_POSITIVE).log10().floor());
        let to = 10_f64.powf(most.max(from * 10.0).log10().ceil());
        Self { from, to, start, end, logarithmic: true }
    }

    /// The place of a value.
    pub fn at(&self, value: f64) -> f64 {
        let part = if self.logarithmic {
            (value.max(self.from) / self.from).log10() / (self.to / self.from).log10()
        } else {
            (value - self.from) / (self.to - self.from)
        };
        self.start + part.clamp(0.0, 1.0) * (self.end - self.start)
    }

    /// Values that deserve a line.
    pub fn lines(&self) -> Vec<f64> {
        if self.logarithmic {
            let decades = (self.to / self.from).log10().round();
            return counted(decades).map(|number| self.from * 10_f64.powf(number)).collect();
        }
        let step = step(self.to - self.from);
        let first = (self.from / step).ceil();
        counted(((self.to / step) + 1e-9).floor() - first).map(|number| (first + number) * step).collect()
    }
}

/// 0.0, 1.0 and so on up to `last`.
fn counted(last: f64) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(0.0), |number| Some(number + 1.0)).take_while(move |&number| number <= last)
}

/// A round distance between lines: 1, 2 or 5 times a power of ten.
fn step(span: f64) -> f64 {
    if span <= 0.0 {
        return 1.0;
    }
    let rough = span / LINES;
    let magnitude = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * magnitude >= rough * 0.999);
    factor.unwrap_or(10.0) * magnitude
}

/// A value as a label: without needless digits.
pub(super) fn label(value: f64) -> String {
    let text =
        if value.abs() >= 10.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A time in microseconds as a label.
pub(super) fn time_label(microseconds: f64) -> String {
    let (value, unit) = match microseconds {
        1e6.. => (microseconds / 1e6, "s"),
        1e3.. => (microseconds / 1e3, "ms"),
        1.0.. => (microseconds, "µs"),
        _ => (microseconds * 1e3, "ns"),
    };
    format!("{} {unit}", label(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_round_and_reach_beyond_the_values() {
        for (most, expected) in [
            (7.1, vec![0.0, 2.0, 4.0, 6.0, 8.0]),
            (1.0, vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
            (93.0, vec![0.0, 20.0, 40.0, 60.0, 80.0, 100.0]),
        ] {
            let lines = Scale::linear(most, [0.0, 1.0]).lines();
            assert_eq!(lines.len(), expected.len(), "{lines:?}");
            assert!(lines.iter().zip(expected).all(|(line, value)| (line - value).abs() < 1e-9), "{lines:?}");
        }
        assert_eq!(Scale::linear(0.0, [0.0, 1.0]).at(0.0), 0.0);
    }

    #[test]
    fn a_logarithmic_axis_has_a_line_per_decade() {
        let scale = Scale::logarithmic([3.0, 5_000.0], [100.0, 0.0]);
        assert_eq!(scale.lines(), [1.0, 10.0, 100.0, 1000.0, 10_000.0]);
        assert!((scale.at(100.0) - 50.0).abs() < 1e-9);
        assert_eq!(scale.at(0.0), 100.0, "what is below stays at the edge");
    }

    #[test]
    fn labels_are_short() {
        for (value, expected) in [(0.0, "0"), (0.25, "0.25"), (0.2, "0.2"), (3.0, "3"), (1000.0, "1000")] {
            assert_eq!(label(value), expected);
        }
        for (microseconds, expected) in [(0.1, "100 ns"), (10.0, "10 µs"), (1e3, "1 ms"), (1e7, "10 s")] {
            assert_eq!(time_label(microseconds), expected);
        }
    }
}

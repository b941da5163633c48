//! The elements of a plot.

use std::fmt::Write as _;

use super::{LEFT, RIGHT, TOP, WIDTH, colour};

/// Colours in the style sheet.
pub(super) const COLOURS: usize = 5;

/// Colours of text, lines and series, on light pages and on dark ones.
const STYLE: &str = "\
text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:#334155}\
.title{font-size:17px;font-weight:600;fill:#0f172a}.note{font-size:12px;fill:#64748b}\
.page{fill:#ffffff}.grid{stroke:#e2e8f0}.axis{stroke:#94a3b8}.mark{stroke:#0f172a;stroke-width:1.5;fill:none}\
.goal{stroke:#dc2626;stroke-dasharray:5 4}\
.s0{fill:#2563eb;stroke:#2563eb}.s1{fill:#0d9488;stroke:#0d9488}.s2{fill:#d97706;stroke:#d97706}\
.s3{fill:#9333ea;stroke:#9333ea}.s4{fill:#64748b;stroke:#64748b}\
.curve{fill:none;stroke-width:2.2;stroke-linejoin:round}.bar{stroke:none}\
@media(prefers-color-scheme:dark){text{fill:#cbd5e1}.title{fill:#f8fafc}.note{fill:#94a3b8}.page{fill:#0f172a}\
.grid{stroke:#1e293b}.axis{stroke:#475569}.mark{stroke:#f8fafc}\
.s0{fill:#60a5fa;stroke:#60a5fa}.s1{fill:#2dd4bf;stroke:#2dd4bf}.s2{fill:#fbbf24;stroke:#fbbf24}\
.s3{fill:#c084fc;stroke:#c084fc}.s4{fill:#94a3b8;stroke:#94a3b8}}";

/// Where a text stands at its place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A document that is being drawn. Lengths are in pixels, from the upper left corner.
#[derive(Debug)]
pub(super) struct Svg(String);

impl Svg {
    /// A page of [`WIDTH`] and this height, with title, subtitle and a legend of the series.
    pub fn new(height: f64, title: &str, note: &str, series: &[String]) -> Self {
        let mut svg = Self(String::new());
        let _ = write!(
            svg.0,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" role=\"img\"><title>{}</title><style>{STYLE}</style>",
            escape(title)
        );
        svg.rectangle([0.0, 0.0, WIDTH, height], "page");
        svg.text([LEFT, 28.0], Anchor::Start, "title", title);
        svg.text([LEFT, 47.0], Anchor::Start, "note", note);
        let mut x = LEFT;
        for (number, name) in series.iter().enumerate() {
            svg.rectangle([x, TOP - 20.0, 12.0, 12.0], &colour(number));
            svg.text([x + 17.0, TOP - 10.0], Anchor::Start, "", name);
            x += 17.0 + 7.4 * name.chars().count() as f64 + 18.0;
        }
        svg
    }

    /// A rectangle: x, y, width and height.
    pub fn rectangle(&mut self, [x, y, width, height]: [f64; 4], class: &str) {
        let _ = write!(
            self.0,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" class=\"{class}\"/>"
        );
    }

    /// A straight line.
    pub fn line(&mut self, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], class: &str) {
        let _ = write!(
            self.0,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>"
        );
    }

    /// A line through points.
    pub fn curve(&mut self, points: &[[f64; 2]], class: &str) {
        let points: Vec<String> = points.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
        let _ = write!(self.0, "<polyline points=\"{}\" class=\"{class}\"/>", points.join(" "));
    }

    /// A dot.
    pub fn dot(&mut self, [x, y]: [f64; 2], radius: f64, class: &str) {
        let _ = write!(self.0, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" class=\"{class}\"/>");
    }

    /// A line of text.
    pub fn text(&mut self, [x, y]: [f64; 2], anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        let _ = write!(
            self.0,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{text}</text>"
        );
    }

    /// A horizontal line over the whole plot, with its label on the axis.
    pub fn grid(&mut self, y: f64, label: &str) {
        self.line([LEFT, y], [WIDTH - RIGHT, y], "grid");
        self.text([LEFT - 8.0, y + 4.0], Anchor::End, "", label);
    }

    /// The document.
    pub fn finish(self) -> String {
        self.0 + "</svg>\n"
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_break_out() {
        let mut svg = Svg::new(100.0, "a < b & \"c\"", "", &["<s>".to_owned()]);
        svg.text([1.0, 2.0], Anchor::End, "", "</svg>");
        let document = svg.finish();
        assert!(document.contains("a &lt; b &amp; &quot;c&quot;") && document.contains("&lt;s&gt;"));
        assert_eq!(document.matches("</svg>").count(), 1);
    }
}

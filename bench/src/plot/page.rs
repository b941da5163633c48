//! The frame of every plot: title, note and legend above it, and its colours.

use plotters::chart::MeshStyle;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{DrawError, PlotError};

/// Width of a plot in pixels.
const WIDTH: u32 = 760;
/// Space above a plot for title, note and legend.
pub(super) const HEADER: u32 = 84;
/// Space at the left, the right and the bottom edge.
const MARGIN: i32 = 18;
/// Points that the library asks for to write one pixel of text height.
const POINTS_PER_PIXEL: f64 = 1.24;

const TEXT: RGBColor = RGBColor(0x33, 0x41, 0x55);
const NOTE: RGBColor = RGBColor(0x5b, 0x67, 0x7a);
const GRID: RGBColor = RGBColor(0xe2, 0xe8, 0xf0);
const AXIS: RGBColor = RGBColor(0x94, 0xa3, 0xb8);
/// Title, and marks on coloured areas.
pub(super) const MARK: RGBColor = RGBColor(0x0f, 0x17, 0x2a);
/// A value that is to be reached.
pub(super) const GOAL: RGBColor = RGBColor(0xdc, 0x26, 0x26);
/// The series, in turn.
const SERIES: [RGBColor; 5] = [
    RGBColor(0x25, 0x63, 0xeb),
    RGBColor(0x0d, 0x94, 0x88),
    RGBColor(0xd9, 0x77, 0x06),
    RGBColor(0x93, 0x33, 0xea),
    RGBColor(0x64, 0x74, 0x8b),
];

/// The colour of a series.
pub(super) const fn colour(series: usize) -> RGBColor {
    SERIES[series % SERIES.len()]
}

/// Text of this height in pixels, `horizontal` and `vertical` of which stand at its place.
fn text(height: f64, colour: RGBColor, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    let font = ("sans-serif", height * POINTS_PER_PIXEL).into_font();
    TextStyle { color: colour.to_backend_color(), ..font.into() }.pos(Pos::new(horizontal, vertical))
}

/// Small text, `horizontal` and `vertical` of which stand at its place.
pub(super) fn note(horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    text(12.0, NOTE, horizontal, vertical)
}

/// Words above a plot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heading<'a> {
    pub title: &'a str,
    pub note: &'a str,
    /// Names of the series, for the legend.
    pub series: &'a [String],
}

/// An area of the page.
pub(super) type Area<'svg> = DrawingArea<SVGBackend<'svg>, Shift>;

/// Draws a page of this height in pixels; `plot` draws the part below the heading.
pub(super) fn draw(
    heading: Heading<'_>,
    height: u32,
    plot: impl FnOnce(&Area<'_>) -> Result<(), DrawError>,
) -> Result<String, PlotError> {
    let mut svg = String::new();
    let drawn = || -> Result<(), DrawError> {
        let page = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        page.fill(&WHITE)?;
        let (header, rest) = page.split_vertically(HEADER);
        heading.draw(&header)?;
        plot(&rest.margin(0, MARGIN, MARGIN, MARGIN))?;
        page.present()
    };
    drawn().map_err(|source| PlotError { title: heading.title.to_owned(), source })?;
    Ok(svg)
}

impl Heading<'_> {
    fn draw(&self, area: &Area<'_>) -> Result<(), DrawError> {
        let Self { title, note: words, series } = *self;
        let mut bold = text(17.0, MARK, HPos::Left, VPos::Center);
        bold.font = bold.font.style(FontStyle::Bold);
        area.draw_text(title, &bold, (MARGIN, 22))?;
        area.draw_text(words, &note(HPos::Left, VPos::Center), (MARGIN, 43))?;
        let mut x = MARGIN;
        for (number, name) in series.iter().enumerate() {
            area.draw(&Rectangle::new([(x, 58), (x + 12, 70)], colour(number).filled()))?;
            area.draw_text(name, &text(13.0, TEXT, HPos::Left, VPos::Center), (x + 17, 64))?;
            x += 40 + 7 * i32::try_from(name.chars().count()).unwrap_or(0);
        }
        Ok(())
    }
}

/// Sets the colours and texts of the grid and its axes.
pub(super) fn style_mesh<X, Y>(mesh: &mut MeshStyle<'_, '_, X, Y, SVGBackend<'_>>)
where
    X: Ranged + ValueFormatter<X::ValueType>,
    Y: Ranged + ValueFormatter<Y::ValueType>,
{
    mesh.axis_style(AXIS)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .label_style(text(13.0, TEXT, HPos::Center, VPos::Center))
        .axis_desc_style(note(HPos::Center, VPos::Center));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_break_out() {
        let series = ["<s>".to_owned()];
        let heading = Heading { title: "a < b & \"c\"", note: "</svg>", series: &series };
        let svg = draw(heading, 100, |_| Ok(())).unwrap();
        assert!(svg.contains("a &lt; b &amp; &quot;c&quot;") && svg.contains("&lt;s&gt;"), "{svg}");
        assert_eq!(svg.matches("</svg>").count(), 1, "{svg}");
    }
}

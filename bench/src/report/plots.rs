//! The plots of a report.

use super::{MeasuredCell, Report};
use crate::experiment::latency::Curve;
use crate::experiment::matrix::Place;
use crate::experiment::rate::Rate;
use crate::experiment::retention::Retention;
use crate::plot::PlotError;
use crate::plot::bars::Bars;
use crate::plot::curves::Curves;
use crate::plot::intervals::Intervals;
use crate::statistics::Summary;

/// Retention that is to be reached: on mirrored sessions, and directly in GENEVE.
const GOALS: [f64; 2] = [0.9, 0.95];

/// A plot and its file.
pub(super) struct Plot {
    /// Name of its file.
    pub file: &'static str,
    /// Its title.
    pub title: String,
    /// The drawing.
    pub svg: String,
}

/// Draws every plot that the report has figures for.
pub(super) fn draw(report: &Report) -> Result<Vec<Plot>, PlotError> {
    let latency = report.latency.as_ref().map(|latency| latencies(&latency.curves, latency.rate));
    [by_frame_size(report), by_flows(report), retention(report), latency].into_iter().flatten().collect()
}

fn by_frame_size(report: &Report) -> Option<Result<Plot, PlotError>> {
    let drop_of = |retention: &Retention| {
        let same = |rate: &&Rate| rate.traffic == retention.traffic;
        report.xdp_drop.iter().find(same).map(|rate| rate.delivered)
    };
    let groups = report.cells(Place::FrameSize).map(|MeasuredCell { retention, .. }| {
        (retention.traffic.frame_size.clone(), [vec![drop_of(retention)], peaks(retention)].concat())
    });
    let series = &["xdp-drop", "rxdrop", "pipeline"];
    bars(
        "throughput-by-frame-size.svg",
        "Throughput directly in GENEVE by frame size",
        "frame size in bytes",
        series,
        groups,
    )
}

fn by_flows(report: &Report) -> Option<Result<Plot, PlotError>> {
    let mut cells: Vec<_> = report.cells(Place::Flows).map(|cell| &cell.retention).collect();
    cells.sort_by_key(|retention| retention.traffic.flows);
    let groups = cells.into_iter().map(|retention| (flows(retention.traffic.flows), peaks(retention)));
    let series = &["rxdrop", "pipeline"];
    bars(
        "throughput-by-flows.svg",
        "Throughput directly in GENEVE by number of flows",
        "flows",
        series,
        groups,
    )
}

/// The highest rates of the bare loop and of the pipeline.
fn peaks(retention: &Retention) -> Vec<Option<Summary>> {
    vec![Some(retention.unpaced.bare.delivered), Some(retention.unpaced.pipeline.delivered)]
}

fn bars(
    file: &'static str,
    title: &str,
    axis: &str,
    series: &[&str],
    groups: impl Iterator<Item = (String, Vec<Option<Summary>>)>,
) -> Option<Result<Plot, PlotError>> {
    let bars = Bars {
        title: title.to_owned(),
        note: "offered as fast as possible; bars are medians, lines the quartiles".to_owned(),
        axes: [axis, "million packets per second"].map(str::to_owned),
        series: series.iter().copied().map(str::to_owned).collect(),
        groups: groups.collect(),
    };
    (!bars.groups.is_empty()).then(|| Ok(Plot { file, svg: bars.draw()?, title: bars.title }))
}

fn retention(report: &Report) -> Option<Result<Plot, PlotError>> {
    let row = |cell: &MeasuredCell| (cell.name.clone(), Some(cell.retention.unpaced.ratio));
    let intervals = Intervals {
        title: "Throughput of the pipeline as a part of rxdrop's".to_owned(),
        note: "unpaced, in turns, all pairs: median, quartiles, range; goals dashed: 0.9 mirrored, 0.95 in GENEVE"
            .to_owned(),
        axis: "delivered by the pipeline / delivered by rxdrop".to_owned(),
        goals: GOALS.to_vec(),
        rows: report.retention.iter().map(row).collect(),
    };
    let draw = || Ok(Plot { file: "retention.svg", svg: intervals.draw()?, title: intervals.title.clone() });
    (!intervals.rows.is_empty()).then(draw)
}

/// A number of flows, short.
fn flows(count: u64) -> String {
    match count {
        1_000_000.. if count.is_multiple_of(1_000_000) => format!("{}M", count / 1_000_000),
        1_000.. if count.is_multiple_of(1_000) => format!("{}k", count / 1_000),
        _ => count.to_string(),
    }
}

fn latencies(curves: &[Curve], rate: f64) -> Result<Plot, PlotError> {
    let curves = curves.iter().map(|curve| {
        let points = curve.quantiles.iter().map(|&(quantile, time)| (quantile, time as f64 / 1e3));
        (format!("{:.0} %", curve.fraction * 100.0), points.collect())
    });
    let curves = Curves {
        title: "Latency from the intended time of sending to the record".to_owned(),
        note: format!("by percentile, at parts of {rate:.2} million packets per second"),
        curves: curves.collect(),
    };
    Ok(Plot { file: "latency.svg", svg: curves.draw()?, title: curves.title })
}

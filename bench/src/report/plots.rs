//! The plots of a report.

use super::Report;
use crate::experiment::latency::Curve;
use crate::experiment::matrix::Axis;
use crate::experiment::rate::Rate;
use crate::experiment::retention::Retention;
use crate::plot::bars::Bars;
use crate::plot::curves::Curves;
use crate::plot::intervals::Intervals;
use crate::statistics::Summary;

/// Retention that is to be reached: at a million flows, and at 64,000.
const GOALS: [f64; 2] = [0.8, 0.9];

/// A plot and its file.
pub(super) struct Plot {
    /// Name of its file.
    pub file: &'static str,
    /// What it shows.
    pub title: String,
    /// The drawing.
    pub svg: String,
}

/// Draws what there are figures for.
pub(super) fn draw(report: &Report) -> Vec<Plot> {
    [
        by_frame_size(report),
        by_flows(report),
        retention(report),
        report.latency.as_ref().map(|latency| latencies(&latency.curves, latency.rate)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn by_frame_size(report: &Report) -> Option<Plot> {
    let drop_of = |retention: &Retention| {
        let same = |rate: &&Rate| rate.traffic == retention.traffic;
        report.xdp_drop.iter().find(same).map(|rate| rate.delivered)
    };
    let groups = report.along(Axis::FrameSize).map(|retention| {
        (retention.traffic.frame_size.clone(), [vec![drop_of(retention)], peaks(retention)].concat())
    });
    let series = ["xdp-drop", "rxdrop", "pipeline"].map(str::to_owned).to_vec();
    bars("throughput-by-frame-size.svg", "Throughput by frame size (bytes)", series, groups.collect())
}

fn by_flows(report: &Report) -> Option<Plot> {
    let groups =
        report.along(Axis::Flows).map(|retention| (flows(retention.traffic.flows), peaks(retention)));
    let series = ["rxdrop", "pipeline"].map(str::to_owned).to_vec();
    bars("throughput-by-flows.svg", "Throughput by number of flows", series, groups.collect())
}

/// What the bare loop and the pipeline take at most.
fn peaks(retention: &Retention) -> Vec<Option<Summary>> {
    vec![Some(retention.bare_peak.delivered), Some(retention.pipeline_peak.delivered)]
}

fn bars(
    file: &'static str,
    title: &str,
    series: Vec<String>,
    groups: Vec<(String, Vec<Option<Summary>>)>,
) -> Option<Plot> {
    let note =
        "millions of packets per second, as fast as possible; medians, and quartiles as lines".to_owned();
    let bars = Bars { title: title.to_owned(), note, series, groups };
    (!bars.groups.is_empty()).then(|| Plot { file, title: bars.title.clone(), svg: bars.draw() })
}

fn retention(report: &Report) -> Option<Plot> {
    let rows: Vec<_> = report
        .retention
        .iter()
        .map(|cell| (row_name(cell.axis, &cell.retention), cell.retention.ratio))
        .collect();
    let title = "What the pipeline retains of rxdrop".to_owned();
    let note = "delivered at the same offered rate: median, quartiles and reach; dashed the goals, 0.8 at 1M flows, 0.9 at 64k".to_owned();
    let intervals = Intervals { title: title.clone(), note, goals: GOALS.to_vec(), rows };
    (!intervals.rows.is_empty()).then(|| Plot { file: "retention.svg", title, svg: intervals.draw() })
}

/// What is special about a cell.
pub(super) fn row_name(axis: Axis, retention: &Retention) -> String {
    let traffic = &retention.traffic;
    match axis {
        Axis::FrameSize if traffic.frame_size == "imix" => "imix".to_owned(),
        Axis::FrameSize => format!("frames of {} bytes", traffic.frame_size),
        Axis::Flows if traffic.flows == 1 => "1 flow".to_owned(),
        Axis::Flows => format!("{} flows", flows(traffic.flows)),
        Axis::Vxlan if traffic.vxlan > 0.0 => format!("{} bytes, VXLAN", traffic.frame_size),
        Axis::Vxlan => format!("{} bytes, no VXLAN", traffic.frame_size),
        Axis::Records => format!("{} records", retention.records.name()),
        Axis::Sink => format!("{} records to {}", retention.records.name(), retention.sink.name()),
    }
}

/// A number of flows, short.
fn flows(count: u64) -> String {
    match count {
        1_000_000.. if count.is_multiple_of(1_000_000) => format!("{}M", count / 1_000_000),
        1_000.. if count.is_multiple_of(1_000) => format!("{}k", count / 1_000),
        _ => count.to_string(),
    }
}

fn latencies(curves: &[Curve], rate: f64) -> Plot {
    let title = "Latency from the intended time of sending to the record".to_owned();
    let note = format!("by percentile, at parts of {rate:.2} million packets per second");
    let curves = curves.iter().map(|curve| {
        let points = curve.quantiles.iter().map(|&(quantile, time)| (quantile, time as f64 / 1e3));
        (format!("{:.0} %", curve.fraction * 100.0), points.collect())
    });
    let svg = Curves { title: title.clone(), note, curves: curves.collect() }.draw();
    Plot { file: "latency.svg", title, svg }
}

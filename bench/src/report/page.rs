//! The page in Markdown.

use std::fmt::Write as _;

use super::Report;
use super::plots::{Plot, row_name};
use crate::experiment::latency::Curve;
use crate::micro::allocations::Allocations;
use crate::micro::scaling::Scaling;

/// Writes the page.
pub(super) fn write(report: &Report, plots: &[Plot]) -> String {
    let mut page = Page(String::from("# Measured\n\n"));
    page.circumstances(report);
    for Plot { file, title, .. } in plots {
        page.line(&format!("![{title}]({file})\n"));
    }
    page.retention(report);
    page.rates(report);
    page.latency(report);
    page.overload(report);
    page.micro(report);
    page.comparison(report);
    page.not_measured(report);
    page.0
}

struct Page(String);

impl Page {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn heading(&mut self, heading: &str) {
        self.line(&format!("## {heading}\n"));
    }

    /// A table: all but the first column are numbers.
    fn table<Row: IntoIterator<Item = String>>(&mut self, head: &[&str], rows: impl Iterator<Item = Row>) {
        self.line(&format!("| {} |", head.join(" | ")));
        self.line(&format!("|---|{}", "--:|".repeat(head.len().saturating_sub(1))));
        for row in rows {
            let row: Vec<String> = row.into_iter().collect();
            self.line(&format!("| {} |", row.join(" | ")));
        }
        self.line("");
    }

    fn circumstances(&mut self, report: &Report) {
        let Report { machine, modes, .. } = report;
        let commit = machine.commit.as_deref().unwrap_or("unknown");
        let minutes = report.seconds / 60.0;
        self.line(&format!(
            "`{}`, started {}, {minutes:.1} minutes.\n",
            report.command,
            date(report.started)
        ));
        self.line(&format!("- Machine: {machine}; commit {commit}."));
        let huge = &machine.transparent_huge_pages;
        let jit = if machine.bpf_jit { "on" } else { "off" };
        let governor = machine.governor.as_deref().unwrap_or("none");
        self.line(&format!(
            "- Settings: transparent huge pages {huge}, {} huge pages reserved, BPF JIT {jit}, governor {governor}.",
            machine.huge_pages
        ));
        if !machine.mitigations.is_empty() {
            self.line(&format!("- Mitigations: {}.", machine.mitigations.join("; ")));
        }
        let super::Modes { driver, xdp, af_xdp, source } = modes;
        self.line(&format!("- Path: {driver}, {xdp} XDP, AF_XDP in {af_xdp} mode; packets from {source}."));
        if let Some(processors) = report.processors {
            self.line(&format!(
                "- Processor {} runs the generator and the kernel's receive path, processor {} the worker.",
                processors.generator, processors.worker
            ));
        }
        self.line("- Values are medians, with quartiles in parentheses.\n");
    }

    fn retention(&mut self, report: &Report) {
        if report.retention.is_empty() {
            return;
        }
        self.heading("The pipeline against rxdrop");
        self.line(
            "Both receivers are measured in turns (A B A B) at the same offered rate; retention is the rate that the \
             pipeline delivers, divided by the rate that rxdrop delivers. Pairs whose offered rates differ by more than \
             5 % are discarded. Unless a row says otherwise: frames of 128 bytes, 64,000 flows, flow records, sink \
             null. *Unpaced* rates are those with a generator that sends as fast as it can.\n",
        );
        let head = [
            "",
            "retention",
            "range",
            "pairs kept, discarded",
            "offered Mpps",
            "unpaced pipeline",
            "unpaced rxdrop",
            "ratio",
            "user space ns per packet",
        ];
        let rows = report.retention.iter().map(|cell| {
            let retention = &cell.retention;
            let ratio = retention.ratio.as_ref();
            let kept = retention.pairs.len() - retention.thrown_out;
            [
                row_name(cell.axis, retention),
                ratio.map_or("not measured".to_owned(), |ratio| format!("{ratio:.3}")),
                ratio.map_or(String::new(), |ratio| format!("{:.3}–{:.3}", ratio.least, ratio.greatest)),
                format!("{kept}, {}", retention.thrown_out),
                format!("{:.2}", retention.offered),
                format!("{:.2}", retention.pipeline_peak.delivered),
                format!("{:.2}", retention.bare_peak.delivered),
                format!("{:.3}", retention.peak_ratio),
                retention.nanoseconds_per_packet().map_or(String::new(), |time| format!("{time:.0}")),
            ]
        });
        self.table(&head, rows);
    }

    fn rates(&mut self, report: &Report) {
        if !report.xdp_drop.is_empty() {
            self.heading("A drop in the driver");
            let rows = report.xdp_drop.iter().map(|rate| {
                [rate.traffic.to_string(), format!("{:.2}", rate.offered), format!("{:.2}", rate.delivered)]
            });
            self.table(&["", "offered Mpps", "dropped Mpps"], rows);
        }
        if !report.ndr.is_empty() {
            self.heading("Rates without loss");
            self.line("Binary search with short trials, confirmed by a long one (RFC 2544, section 26.1).\n");
            let rows = report
                .ndr
                .iter()
                .map(|ndr| [ndr.receiver.to_owned(), ndr.loss_free.to_string(), ndr.some_loss.to_string()]);
            self.table(&["", "no loss", "0.5 % loss"], rows);
        }
    }

    fn latency(&mut self, report: &Report) {
        let Some(latency) = &report.latency else { return };
        self.heading("Latency");
        self.line(&format!(
            "Time from the intended sending of a packet to the encoding of its record, in microseconds, at parts of \
             {:.2} Mpps. Lost packets have no latency.\n",
            latency.rate
        ));
        let rows = latency.curves.iter().map(|curve| {
            let Curve { fraction, offered, packets, lost, p50, p99, p999, max, .. } = curve;
            let mut row = vec![format!("{:.0} % ({offered:.2} Mpps)", fraction * 100.0)];
            row.extend([p50, p99, p999, max].map(|&time| format!("{:.1}", time as f64 / 1e3)));
            row.push(format!("{lost} of {packets}"));
            row
        });
        self.table(&["offered", "p50", "p99", "p99.9", "max", "lost"], rows);
    }

    fn overload(&mut self, report: &Report) {
        let Some(overload) = &report.overload else { return };
        self.heading("Overload");
        self.line(&format!("```text\n{overload}\n```\n"));
    }

    fn micro(&mut self, report: &Report) {
        let micro = &report.micro;
        if !micro.times.is_empty() {
            self.heading("Parts in memory");
            let rows = micro.times.iter().map(|time| {
                [format!("{}, per {}", time.name, time.item), format!("{:.1}", time.nanoseconds)]
            });
            self.table(&["", "ns"], rows);
        }
        if !micro.instructions.is_empty() {
            let rows = micro
                .instructions
                .iter()
                .map(|(stage, count)| [stage.name().to_owned(), format!("{count:.0}")]);
            self.table(&["", "instructions per packet"], rows);
        }
        if !micro.allocations.is_empty() {
            let rows = micro.allocations.iter().map(|Allocations { records, packets, worker, sink }| {
                [
                    format!("{} records, {packets} packets", records.name()),
                    worker.to_string(),
                    sink.to_string(),
                ]
            });
            self.table(&["in the steady state", "allocations of the worker", "of the sink"], rows);
        }
        if let Some(Scaling { compute, workers, ratio }) = &micro.scaling {
            let rows = [
                ("loops that only compute", compute),
                ("workers", workers),
                ("workers against loops", ratio),
            ];
            let rows = rows.into_iter().map(|(name, part)| [name.to_owned(), format!("{part:.3}")]);
            self.table(&["two side by side", "speed as a part of that alone"], rows);
        }
    }

    fn comparison(&mut self, report: &Report) {
        let Some(comparison) = &report.comparison else { return };
        self.heading("Other programs");
        self.line(&format!("{}, the same packets for each.\n", comparison.traffic));
        let rows = comparison.programs.iter().map(|program| {
            let name = program.version.as_ref().map_or(String::new(), |version| format!(" ({version})"));
            [
                format!("{}{name}", program.program),
                program.offered.to_string(),
                program.delivered.to_string(),
                format!("{:.3}", program.rate()),
                format!("{:.0}", program.nanoseconds_per_packet()),
                program.busy_nanoseconds.map_or(String::new(), |busy| format!("{busy:.0}")),
            ]
        });
        let head =
            ["", "offered", "delivered", "Mpps", "processor ns per packet", "of which without polling"];
        self.table(&head, rows);
        for skipped in &comparison.skipped {
            self.line(&format!("- {} was skipped: {}.", skipped.program, skipped.reason));
        }
        self.line("");
    }

    fn not_measured(&mut self, report: &Report) {
        let reasons: Vec<_> = report.not_measured.iter().chain(&report.micro.not_measured).collect();
        if reasons.is_empty() {
            return;
        }
        self.heading("Not measured");
        for reason in reasons {
            self.line(&format!("- {reason}"));
        }
    }
}

/// The day and time, in UTC, of a number of seconds since 1970 (the algorithm of H. Hinnant's `civil_from_days`).
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (rest / 3600, rest / 60 % 60);
    let mut date = String::new();
    let _ = write!(date, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC");
    date
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_767_225_599, "2025-12-31 23:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }

    #[test]
    fn tables_have_as_many_cells_as_their_head() {
        let mut page = Page(String::new());
        page.table(&["", "a", "b"], [["x", "1", "2"].map(str::to_owned)].into_iter());
        assert_eq!(page.0, "|  | a | b |\n|---|--:|--:|\n| x | 1 | 2 |\n\n");
    }
}

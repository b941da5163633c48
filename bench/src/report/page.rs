//! The page in Markdown.

use std::fmt::Write as _;

use super::plots::Plot;
use super::{LIMITS, Report};
use crate::experiment::latency::Curve;
use crate::experiment::matrix::Place;
use crate::experiment::retention::{Pair, Retention};
use crate::experiment::timestamps::TimestampError;
use crate::micro::allocations::Allocations;
use crate::micro::scaling::Scaling;

/// Writes the page.
pub(super) fn write(report: &Report, plots: &[Plot]) -> String {
    let mut page = Page(String::from("# Measured\n\n"));
    page.headline(report);
    page.circumstances(report);
    for Plot { file, title, .. } in plots {
        page.line(&format!("![{title}]({file})\n"));
    }
    page.retention(report);
    page.xdp(report);
    page.timestamps(report);
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
        self.heading("Circumstances");
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

    fn headline(&mut self, report: &Report) {
        let Some(cell) = report.cells(Place::Headline).next() else { return };
        let Retention { traffic, unpaced, paced, .. } = &cell.retention;
        self.heading("Headline");
        self.line(&format!(
            "On {traffic}, the pipeline delivers **{:.3}** of what rxdrop, a bare AF_XDP loop, receives: median of all \
             {} pairs, quartiles {:.3} and {:.3}, from {:.3} to {:.3}. Unpaced, in turns: {:.2} Mpps against {:.2}.\n",
            unpaced.ratio.median,
            unpaced.pairs.len(),
            unpaced.ratio.lower_quartile,
            unpaced.ratio.upper_quartile,
            unpaced.ratio.least,
            unpaced.ratio.greatest,
            unpaced.pipeline.delivered,
            unpaced.bare.delivered,
        ));
        self.line("`sudo mirror-bench headline` repeats it, with every pair, in three minutes.\n");
        self.line(&format!("{LIMITS}\n"));
        let rows = [("unpaced", unpaced), ("paced", paced)].into_iter().flat_map(|(words, turns)| {
            turns.pairs.iter().enumerate().map(move |(number, pair)| {
                let Pair { bare, pipeline } = pair;
                let rates = [
                    bare.offered_rate(),
                    bare.delivered_rate(),
                    pipeline.offered_rate(),
                    pipeline.delivered_rate(),
                ];
                let [in_records, open] = [pipeline.recorded, pipeline.open].map(Option::unwrap_or_default);
                let mut row = vec![format!("{words} {}", number + 1)];
                row.extend(rates.map(|rate| format!("{:.3}", rate / 1e6)));
                row.extend([in_records, open].map(|packets| packets.to_string()));
                row.push(format!("{:.3}", pair.ratio()));
                row
            })
        });
        let head = [
            "pair",
            "rxdrop: offered Mpps",
            "delivered",
            "pipeline: offered Mpps",
            "delivered",
            "packets in records written meanwhile",
            "packets in flows open at the end",
            "ratio",
        ];
        self.table(&head, rows);
    }

    fn retention(&mut self, report: &Report) {
        if report.retention.is_empty() {
            return;
        }
        self.heading("The pipeline against rxdrop");
        self.line(
            "Both receivers are measured in turns (A B A B). *Retention* is the rate that the pipeline delivers, divided by \
             the rate that rxdrop delivers, while the generator sends as fast as it can; every pair counts. Beside it, both are offered \
             the same rate, nine tenths of what can be offered to the slower, for the loss of each. A packet counts as delivered \
             when it is in a record that the sink wrote, or in a flow that is open at the end; the account of every run \
             balances to the packet.\n",
        );
        self.rows(
            "Mirrored sessions",
            "Unless a row says otherwise: flow records, sink null.",
            report,
            |places| places.contains(&Place::Headline) || places.contains(&Place::Mirrored),
        );
        self.rows(
            "Directly in GENEVE",
            "Unless a row says otherwise: TCP over IPv4 in frames of 128 bytes, 64,000 flows that do not end, flow records, \
             sink null.",
            report,
            |places| places.contains(&Place::Geneve),
        );
    }

    fn rows(&mut self, heading: &str, words: &str, report: &Report, belongs: impl Fn(&[Place]) -> bool) {
        let cells: Vec<_> = report.retention.iter().filter(|cell| belongs(&cell.places)).collect();
        if cells.is_empty() {
            return;
        }
        self.line(&format!("### {heading}\n\n{words}\n"));
        let head = [
            "",
            "retention",
            "range",
            "pairs",
            "pipeline Mpps",
            "rxdrop Mpps",
            "user space ns per packet",
            "paced: offered Mpps, pipeline and rxdrop",
            "loss %, pipeline and rxdrop",
        ];
        let rows = cells.into_iter().map(|cell| {
            let Retention { unpaced, paced, .. } = &cell.retention;
            let user_space = unpaced.pipeline.nanoseconds_per_packet;
            [
                cell.name.clone(),
                format!("{:.3}", unpaced.ratio),
                format!("{:.3}–{:.3}", unpaced.ratio.least, unpaced.ratio.greatest),
                unpaced.pairs.len().to_string(),
                format!("{:.2}", unpaced.pipeline.delivered),
                format!("{:.2}", unpaced.bare.delivered),
                user_space.map_or(String::new(), |time| format!("{time:.0}")),
                format!("{:.2}, {:.2}", paced.pipeline.offered.median, paced.bare.offered.median),
                format!("{:.3}, {:.3}", paced.pipeline.loss.median * 100.0, paced.bare.loss.median * 100.0),
            ]
        });
        self.table(&head, rows);
    }

    fn xdp(&mut self, report: &Report) {
        if report.xdp.is_empty() {
            return;
        }
        self.heading("The XDP program alone");
        self.line(
            "Nanoseconds per packet on the processor of generator and kernel, with a receiver that only recycles, unpaced \
             and in turns: behind the least program that redirects, and behind the daemon's.\n",
        );
        let rows = report.xdp.iter().flat_map(|cost| {
            let least = [
                cost.traffic.to_string(),
                "the least that redirects".to_owned(),
                format!("{:.1}", cost.least),
                String::new(),
                String::new(),
            ];
            let programs = cost.programs.iter().map(|program| {
                let difference = &program.difference;
                [
                    String::new(),
                    program.name.clone(),
                    format!("{:.1}", program.nanoseconds),
                    format!("{difference:.1}"),
                    format!("{:.1}–{:.1}", difference.least, difference.greatest),
                ]
            });
            std::iter::once(least).chain(programs).collect::<Vec<_>>()
        });
        self.table(&["traffic", "program", "ns", "difference, round by round", "range"], rows);
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

    fn timestamps(&mut self, report: &Report) {
        let Some(timestamps) = &report.timestamps else { return };
        self.heading("Timestamps");
        self.line(
            "Receive times that are worked out from those of some packets (`--timestamps batched`), compared with the times that the \
             program took: the error over all packets, in microseconds.\n",
        );
        let rows = timestamps.errors.iter().map(|error| {
            let TimestampError { offered, spins, stamped, p50, p99, max, out_of_order, .. } = error;
            let worker = if *spins { "spins" } else { "sleeps for set times" };
            let mut row =
                vec![format!("{offered:.3}"), worker.to_owned(), format!("{:.1} %", stamped * 100.0)];
            row.extend([p50, p99, max].map(|&time| format!("{:.1}", time as f64 / 1e3)));
            row.push(out_of_order.to_string());
            row
        });
        let head = ["offered Mpps", "worker", "stamped", "p50", "p99", "max", "out of order"];
        self.table(&head, rows);
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
        self.line(&format!(
            "{}; the same warm-up and the same offer for each, in turns. The other programs receive from the kernel's network \
             stack, on the generator's processor, and have a processor of their own like the pipeline's worker; the processor \
             time is their own.\n",
            comparison.traffic
        ));
        let rows = comparison.offers.iter().flat_map(|offer| {
            let rate = offer.rate.map_or("all there is".to_owned(), |rate| format!("{rate:.2} Mpps"));
            offer.programs.iter().map(move |program| {
                let version =
                    program.version.as_ref().map_or(String::new(), |version| format!(" ({version})"));
                [
                    format!("{rate} to {}{version}", program.program),
                    program.rounds.len().to_string(),
                    format!("{:.3}", program.offered),
                    format!("{:.3}", program.delivered),
                    format!("{:.2}", program.loss.scaled(100.0)),
                    format!("{:.0}", program.nanoseconds),
                    program.busy_nanoseconds.map_or(String::new(), |busy| format!("{busy:.0}")),
                ]
            })
        });
        let head = [
            "",
            "rounds",
            "offered Mpps",
            "delivered Mpps",
            "loss %",
            "processor ns per delivered packet",
            "of which in the worker without polling",
        ];
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

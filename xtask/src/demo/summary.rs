//! The outcome of a run in a few lines: what was sent, what became of it, where it lies, and what to do next.

use std::fmt::Write as _;
use std::path::Path;

use super::accounting::{Check, Generated, Ledger, is_loss};
use super::arguments::{Arguments, RecordKind};
use super::number::grouped;
use super::output::Output;
use super::records::Records;

/// The summary as text.
pub fn summary(
    ledger: &Ledger,
    generated: &Generated,
    records: &Records,
    checks: &[Check],
    arguments: &Arguments,
    output: &Output,
    capture: &Path,
) -> String {
    let sum = |lost: bool| -> u64 {
        ledger.dropped.iter().filter(|(reason, _)| is_loss(reason) == lost).map(|(_, count)| count).sum()
    };
    let (lost, malformed) = (sum(true), sum(false));
    let kind = match arguments.records {
        RecordKind::Flow => "records of flows",
        RecordKind::Packet => "records of packets",
    };
    let flows = arguments.flows;
    let rows = [
        (
            "sent",
            generated.sent,
            format!("tunnel packets of {} flows in {:.1} s", grouped(flows.into()), generated.seconds),
        ),
        ("captured", ledger.received, "reached the worker".to_owned()),
        ("recorded", ledger.recorded, format!("in {} {kind}", grouped(records.lines))),
        ("malformed", malformed, "sent so on purpose; each is counted under its fault".to_owned()),
        ("lost", lost, told_losses(ledger)),
    ];
    let mut text = String::from("\nsummary (packets)\n");
    // Writing into a string cannot fail.
    for (name, count, note) in rows {
        let _ = writeln!(text, "{}", format!("  {name:<9}  {:>12}  {note}", grouped(count)).trim_end());
    }
    let _ = writeln!(text, "  {}", meaning(lost, checks));
    let _ =
        writeln!(text, "  records    {}\n  ledger     {}", output.records.display(), output.ledger.display());
    let _ = write!(
        text,
        "what to try next\n  \
         head -1 {records} | python3 -m json.tool    one record, field by field\n  \
         cargo xtask demo --records packet --rate 0    as fast as it goes: what is lost then has a reason\n  \
         {capture} replay FILE    capture files of your own, without privileges\n  \
         docs/capture.md    on an interface of your own\n",
        records = output.records.display(),
        capture = capture.display(),
    );
    text
}

/// The reasons of the losses.
fn told_losses(ledger: &Ledger) -> String {
    let lost = ledger.dropped.iter().filter(|(reason, count)| **count > 0 && is_loss(reason));
    lost.map(|(reason, count)| format!("{reason}: {}", grouped(*count))).collect::<Vec<_>>().join(", ")
}

/// The outcome in one sentence.
fn meaning(lost: u64, checks: &[Check]) -> &'static str {
    match (checks.iter().all(|check| check.holds), lost) {
        (true, 0) => "every packet is accounted for, and none was lost",
        (true, _) => {
            "every packet is accounted for; the machine was too slow for some, which a lower --rate avoids"
        }
        (false, _) => "packets are NOT all accounted for: see WRONG among the checks below",
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Demo {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn shown(ledger: &str, holds: bool) -> String {
        let generated =
            r#"{"sent": 1000, "seconds": 5.04, "pps": 1000, "by_kind": {"valid": 994, "geneve_version": 6}}"#;
        let output = Output { directory: "d".into(), records: "d/records".into(), ledger: "d/ledger".into() };
        summary(
            &serde_json::from_str(ledger).unwrap(),
            &serde_json::from_str(generated).unwrap(),
            &Records { lines: 20, packets: 994, samples: Vec::new() },
            &[Check { claim: String::new(), holds }],
            &Demo::parse_from(["demo"]).arguments,
            &output,
            Path::new("mirror-capture"),
        )
    }

    #[test]
    fn a_run_without_loss_says_so() {
        let text = shown(
            r#"{"balanced": true, "seen": 1000, "received": 1000, "recorded": 994,
                "dropped": {"geneve_version": 6, "rx_ring_full": 0}}"#,
            true,
        );
        let expected = "
summary (packets)
  sent              1,000  tunnel packets of 10,000 flows in 5.0 s
  captured          1,000  reached the worker
  recorded            994  in 20 records of flows
  malformed             6  sent so on purpose; each is counted under its fault
  lost                  0
  every packet is accounted for, and none was lost
  records    d/records
  ledger     d/ledger
";
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn losses_have_their_reasons_and_a_remedy() {
        let ledger = r#"{"balanced": true, "seen": 1000, "received": 990, "recorded": 980,
            "dropped": {"geneve_version": 6, "rx_ring_full": 10, "sink_queue_full": 4}}"#;
        let text = shown(ledger, true);
        assert!(text.contains("  lost                 14  rx_ring_full: 10, sink_queue_full: 4\n"), "{text}");
        assert!(text.contains("a lower --rate avoids") && !text.contains("none was lost"), "{text}");
        assert!(shown(ledger, false).contains("NOT all accounted for"));
    }
}

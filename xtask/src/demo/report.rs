//! The details of a run, as text.

use std::fmt::Write as _;

use super::accounting::{Check, Generated, Ledger, VALID, is_loss};
use super::number::grouped;

/// The way of the packets as a table, from the generator to the file.
pub fn table(ledger: &Ledger, generated: &Generated) -> String {
    let mut rows = vec![("sent by the generator".to_owned(), generated.sent, String::new())];
    rows.push(("seen by the XDP program".to_owned(), ledger.seen, String::new()));
    let dropped = |loss: bool| {
        let reasons = ledger.dropped.iter();
        reasons.filter(move |(reason, count)| **count > 0 && is_loss(reason) == loss)
    };
    for (reason, count) in dropped(true) {
        rows.push((format!("  lost: {reason}"), *count, String::new()));
    }
    rows.push(("received by the worker".to_owned(), ledger.received, String::new()));
    for (reason, count) in dropped(false) {
        let sent = generated.by_kind.get(reason).copied().unwrap_or(0);
        rows.push((format!("  dropped: {reason}"), *count, format!("(sent: {})", grouped(sent))));
    }
    let valid = generated.by_kind.get(VALID).copied().unwrap_or(0);
    rows.push(("recorded".to_owned(), ledger.recorded, format!("(valid ones sent: {})", grouped(valid))));

    let width = rows.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, count, note) in rows {
        let line = format!("  {name:<width$}  {:>15}  {note}", grouped(count));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The claims, one to a line, and whether each holds.
pub fn verdicts(checks: &[Check]) -> String {
    checks.iter().fold(String::new(), |mut text, Check { claim, holds }| {
        let verdict = if *holds { "ok" } else { "WRONG" };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "  {verdict:<5}  {claim}");
        text
    })
}

/// A JSON text with a line for each member, in the order and with the spelling that it has.
pub fn indented(json: &str) -> String {
    let mut text = String::new();
    let mut depth = 0_usize;
    let (mut in_string, mut escaped) = (false, false);
    let break_line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.push_str(&"  ".repeat(depth));
    };
    for character in json.trim().chars() {
        if in_string {
            text.push(character);
            in_string = escaped || character != '"';
            escaped = character == '\\' && !escaped;
            continue;
        }
        match character {
            '{' | '[' => {
                depth += 1;
                text.push(character);
                break_line(&mut text, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                break_line(&mut text, depth);
                text.push(character);
            }
            ',' => {
                text.push(character);
                break_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            _ if character.is_whitespace() => {}
            _ => {
                in_string = character == '"';
                text.push(character);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_follows_the_packets() {
        let ledger: Ledger = serde_json::from_str(
            r#"{"balanced": true, "seen": 1000, "received": 990, "recorded": 985,
                "dropped": {"geneve_version": 5, "rx_ring_full": 10, "vxlan_flags": 0}}"#,
        )
        .unwrap();
        let generated: Generated = serde_json::from_str(
            r#"{"sent": 1000, "seconds": 1, "pps": 1000, "by_kind": {"valid": 994, "geneve_version": 6}}"#,
        )
        .unwrap();
        assert_eq!(
            table(&ledger, &generated),
            "  sent by the generator                1,000\n\
             \x20 seen by the XDP program              1,000\n\
             \x20   lost: rx_ring_full                    10\n\
             \x20 received by the worker                 990\n\
             \x20   dropped: geneve_version                5  (sent: 6)\n\
             \x20 recorded                               985  (valid ones sent: 994)\n"
        );
    }

    #[test]
    fn json_is_broken_into_lines_and_not_changed_otherwise() {
        let json = r#"{"b":1,"a":{"text":"a, b: {\"c\\"},"list":[1,"x"]}"#;
        let text = indented(json);
        assert_eq!(
            text,
            "{\n  \"b\": 1,\n  \"a\": {\n    \"text\": \"a, b: {\\\"c\\\\\"\n  },\n  \"list\": [\n    1,\n    \"x\"\n  ]\n}"
        );
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&text), value(json));
    }
}

//! Server names and JA4 against the values of the published implementation.

use serde_json::Value;

use crate::{captures, flows};

#[test]
fn as_the_published_implementation() {
    let Some(path) = captures::path("ja4-expected.json") else { return };
    let expected: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut compared = 0;
    for (name, expected) in expected.as_object().unwrap() {
        let Some(path) = captures::path(name) else { return };
        let (flows, _) = flows::inspect(&flows::packets(&path), |_| {});
        for expected in expected.as_array().unwrap() {
            let text = |key: &str| expected.get(key).and_then(Value::as_str).unwrap_or_default();
            let flow = flows
                .iter()
                .find(|flow| {
                    flow.tuple.0.to_string() == text("src")
                        && flow.tuple.1.to_string() == text("srcport")
                        && flow.tuple.2.to_string() == text("dst")
                        && flow.tuple.3.to_string() == text("dstport")
                })
                .unwrap_or_else(|| panic!("{name}: no flow {expected}"));
            if text("ja4").is_empty() {
                continue;
            }
            let summary =
                flow.summary.as_ref().unwrap_or_else(|| panic!("{name}: nothing found in {expected}"));
            let client = summary.tls.as_ref().and_then(|tls| tls.client.as_ref()).unwrap();
            assert_eq!(client.ja4.as_str(), text("ja4"), "{name}: {expected}");
            assert_eq!(
                client.server_name.as_deref().unwrap_or_default(),
                text("domain"),
                "{name}: {expected}"
            );
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared} handshakes were compared");
}

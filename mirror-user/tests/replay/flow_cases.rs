//! Small captures of traffic that is easily misunderstood, and what their flow records must say: `tests/cases`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::program::replay;

/// The flow records of captures that are replayed in one call, in the order of their start.
fn flows(names: &[&str]) -> Vec<Value> {
    let paths: Vec<PathBuf> = names
        .iter()
        .map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name))
        .collect();
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let replayed = replay(&paths, |command| {
        command.args(["--records", "flow"]);
    });
    let replayed = replayed.succeeded();
    let mut flows: Vec<Value> =
        replayed.records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    flows.sort_by_key(|flow| flow["event"]["start"].to_string());
    flows
}

/// The members of a record at these JSON pointers.
fn told<const N: usize>(flow: &Value, pointers: [&str; N]) -> [Value; N] {
    pointers.map(|pointer| flow.pointer(pointer).cloned().unwrap_or_default())
}

/// Time of day of a flow's start, and its duration in nanoseconds.
fn times(flow: &Value) -> (String, u64) {
    let start = flow["event"]["start"].as_str().unwrap();
    (start[11..23].to_owned(), flow["event"]["duration"].as_u64().unwrap())
}

fn state(flow: &Value) -> &str {
    flow["mirror"]["tcp"]["state"].as_str().unwrap()
}

#[test]
fn a_slow_capture_has_the_times_of_its_packets() {
    let [flow] = &flows(&["slow_100.pcap"])[..] else { panic!() };
    assert_eq!(times(flow), ("22:13:20.000".to_owned(), 9_900_000_000));
    assert_eq!(flow["source"]["packets"], 100);
}

#[test]
fn a_handshake_amid_slow_packets_has_its_own_times() {
    let flows = flows(&["slow_handshake.pcap"]);
    let [tcp] = flows.iter().filter(|flow| flow["network"]["transport"] == "tcp").collect::<Vec<_>>()[..]
    else {
        panic!()
    };
    assert_eq!(tcp["mirror"]["tcp"]["handshake"], 20_000_000);
    assert_eq!(times(tcp).1, 20_000_000);
    let udp: u64 = flows
        .iter()
        .filter(|flow| flow["network"]["transport"] == "udp")
        .map(|flow| flow["network"]["packets"].as_u64().unwrap())
        .sum();
    assert_eq!(udp, 125);
    for flow in flows {
        let within =
            "2023-11-14T22:13:20.000000000Z".to_owned()..="2023-11-14T22:14:22.500000000Z".to_owned();
        for time in ["start", "end"] {
            assert!(within.contains(&flow["event"][time].as_str().unwrap().to_owned()), "{flow:#}");
        }
    }
}

#[test]
fn files_out_of_order_keep_their_times() {
    let flows = flows(&["day_a.pcap", "day_b.pcap"]);
    let starts: Vec<_> = flows.iter().map(|flow| times(flow).0).collect();
    assert_eq!(starts, ["21:13:20.000", "22:13:20.000", "22:13:21.000"]);
}

#[test]
fn two_ends_that_ping_each_other_are_two_flows() {
    let flows = flows(&["icmp_cross_ping.pcap"]);
    let told: Vec<_> = flows
        .iter()
        .map(|flow| {
            told(flow, ["/source/ip", "/network/community_id", "/source/packets", "/destination/packets"])
        })
        .collect();
    // The Community IDs are tshark's.
    assert_eq!(
        told,
        [
            ["10.0.0.1".into(), "1:YcMyyWJfhc95EW1GfXt6jlZ3DiQ=".into(), 3.into(), 3.into()],
            ["10.0.0.2".into(), "1:E5tNYkCqpM09ZPfoLcq+JJj0QuQ=".into(), 3.into(), 3.into()],
        ] as [[Value; 4]; 2]
    );
}

#[test]
fn a_late_syn_belongs_to_its_connection() {
    let [flow] = &flows(&["syn_last.pcap"])[..] else { panic!() };
    assert_eq!((flow["source"]["ip"].as_str(), state(flow)), (Some("10.0.0.1"), "closed"));
    assert_eq!((&flow["network"]["packets"], &flow["mirror"]["initiator"]), (&8.into(), &"syn".into()));
}

#[test]
fn a_reset_outside_the_window_ends_nothing() {
    let [flow] = &flows(&["rst_off_window.pcap"])[..] else { panic!() };
    assert_eq!((state(flow), &flow["network"]["packets"]), ("open", &15.into()));
}

#[test]
fn ports_that_are_used_again_are_two_flows() {
    let flows = flows(&["reuse_open.pcap"]);
    let told: Vec<_> =
        flows.iter().map(|flow| (times(flow).0, state(flow), &flow["event"]["reason"])).collect();
    assert_eq!(
        told,
        [
            ("22:13:20.000".to_owned(), "open", &"reused".into()),
            ("22:13:50.000".to_owned(), "closed", &"shutdown".into()),
        ]
    );
}

#[test]
fn fragments_in_reverse_are_one_flow() {
    let [flow] = &flows(&["frag_reverse.pcap"])[..] else { panic!() };
    let told = told(flow, ["/network/packets", "/network/bytes", "/source/port", "/destination/port"]);
    assert_eq!(told, [3, 3110, 5000, 53].map(Value::from));
}

#[test]
fn a_silent_connection_keeps_its_source() {
    let flows = flows(&["idle_server_push.pcap"]);
    let told: Vec<_> =
        flows.iter().map(|flow| told(flow, ["/source/ip", "/event/reason", "/mirror/initiator"])).collect();
    assert_eq!(
        told,
        [["10.0.0.1", "idle", "syn"], ["10.0.0.1", "shutdown", "earlier_flow"]]
            .map(|flow| flow.map(Value::from))
    );
}

#[test]
fn window_probes_are_no_retransmissions() {
    let [flow] = &flows(&["zwp.pcap"])[..] else { panic!() };
    let told = told(flow, ["/mirror/source/tcp/retransmissions", "/mirror/destination/tcp/retransmissions"]);
    assert_eq!(told, [0, 0].map(Value::from));
}

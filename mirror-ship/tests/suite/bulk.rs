//! The bulk API, with every fault that it may have.

use mirror_ship::command;
use mirror_ship::cursor::CursorFile;

use crate::double::{Double, Fault};
use crate::support::{Place, assert_balance, once, only};

fn destination(address: &str) -> String {
    format!("[[destination]]\nname = 'siem'\nkind = 'bulk'\nurl = '{address}'\nrequest-bytes = 200000\n")
}

#[test]
fn each_record_is_there_once_after_every_fault() {
    use Fault::{HalfAnswer, None, Reset, SomeThrottled, Throttled, Unavailable};
    for faults in [
        &[][..],
        &[Reset],
        &[None, None, Reset, Reset],
        &[Unavailable, Throttled, SomeThrottled],
        &[HalfAnswer],
        &[None, SomeThrottled, HalfAnswer, Unavailable, Reset],
        &[Unavailable; 7],
    ] {
        let double = Double::start(faults);
        let place = Place::new();
        place.write(1, 1500);
        let config = place.config(&destination(&double.address));
        once(&config);
        let cursor = only(&config).cursor;
        assert_balance(&cursor, 1500);
        assert_eq!(cursor.delivered.records, 1500, "{faults:?}");
        let state = double.state.lock().unwrap();
        assert_eq!((state.documents.len(), state.faults.len()), (1500, 0), "{faults:?}");
        let fails = faults.iter().any(|fault| matches!(fault, Reset | HalfAnswer)) || faults.len() == 7;
        assert_eq!(cursor.retries > 0, fails, "{faults:?}: {cursor:?}");
        let had_some = faults.contains(&HalfAnswer);
        assert!(!had_some || state.conflicts > 0, "what was there is sent again, and not stored again");
    }
}

#[test]
fn what_the_cluster_refuses_is_kept_as_dead_letters() {
    let double = Double::start(&[Fault::SomeMalformed]);
    let place = Place::new();
    place.write(1, 500);
    let config = place.config(&destination(&double.address));
    once(&config);
    let cursor = only(&config).cursor;
    assert_balance(&cursor, 500);
    let dead = cursor.dropped["dead_letter"].records;
    let text = std::fs::read_to_string(
        place.state().join("siem.dead-letters/0000000000000001-0000000000000001.ndjson"),
    )
    .unwrap();
    let letters: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(dead > 5 && letters.len() as u64 == dead, "{dead}");
    let state = double.state.lock().unwrap();
    assert_eq!(state.documents.len() as u64 + dead, 500);
    for letter in letters {
        assert_eq!(
            (&letter["status"], &letter["error"]["type"]),
            (&400.into(), &"document_parsing_exception".into())
        );
        assert_eq!(letter["document"]["event"]["id"], letter["id"]);
    }
}

#[test]
fn a_cluster_that_is_away_costs_nothing_but_time() {
    // A port that nothing listens on.
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let place = Place::new();
    place.write(1, 100);
    let config = place.config(&destination(&address));
    assert!(!command::check(&config).unwrap());
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| command::deliver(&config, true, &stop).unwrap());
        std::thread::sleep(std::time::Duration::from_millis(1500));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        running.join().unwrap();
    });
    let cursor = CursorFile::new(&place.state(), "siem").read().unwrap();
    assert!(cursor.retries >= 2 && cursor.sequence == 0, "{cursor:?}");
    assert_eq!(only(&config).lag_records, 100);
}

#[test]
fn template_and_authorization_come_first() {
    let double = Double::start(&[]);
    let place = Place::new();
    place.write(1, 10);
    let secret = place.state().join("key");
    std::fs::write(&secret, "ApiKey abc\n").unwrap();
    let config = place.config(&format!("{}authorization-file = {secret:?}\n", destination(&double.address)));
    assert!(command::check(&config).unwrap());
    once(&config);
    let state = double.state.lock().unwrap();
    assert_eq!(state.authorization.as_deref(), Some("ApiKey abc"));
    let template = &state.templates["logs-mirror.flow-default"];
    let properties = &template["template"]["mappings"]["properties"];
    assert_eq!(properties["source"]["properties"]["ip"]["type"], "ip");
    assert_eq!(properties["network"]["properties"]["community_id"]["type"], "keyword");
    assert!(template["data_stream"].is_object());
    let document = state.documents.values().next().unwrap();
    assert!(document["@timestamp"].as_str().unwrap().starts_with("2025-11-28T08:00:00."), "{document}");
}

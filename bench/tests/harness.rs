//! Every command of the harness, on a veth pair of its own, as short as can be: what it measures means nothing here,
//! but every number must be there and fit the others.

use std::process::Command;

use mirror_testkit::processors::allowed_processors;
use mirror_testkit::root::skipped_without_root;
use serde_json::Value;

/// Runs `mirror-bench` with `arguments` and returns the result in its JSON.
fn run(arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mirror-bench"));
    let output = command.args(arguments).args(["--quick", "--json"]).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let mut document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["quick"], true);
    assert!(document["machine"]["kernel"].as_str().is_some_and(|kernel| !kernel.is_empty()));
    document["result"].take()
}

/// Like [`run`], for what needs a network; none without root or a second processor.
fn run_live(arguments: &[&str]) -> Option<Value> {
    if skipped_without_root() {
        return None;
    }
    if allowed_processors().len() < 2 {
        println!("SKIPPED: generator and worker need a processor each");
        return None;
    }
    Some(run(arguments))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn rates() {
    for (command, receiver) in [("xdp-drop", "xdp-drop"), ("rxdrop", "rxdrop"), ("pipeline", "pipeline")] {
        let Some(result) = run_live(&[command, "--traffic", "geneve", "--rate", "50000"]) else { return };
        assert_eq!(result["receiver"], receiver);
        assert_eq!(result["traffic"]["frame_size"], "128");
        for measured in result["measured"].as_array().unwrap() {
            let (offered, received) = (number(&measured["offered"]), number(&measured["received"]));
            assert!(offered > 0.0 && received > 0.0 && received <= offered, "{command}: {measured}");
            assert!(number(&measured["delivered"]) <= received, "{command}: {measured}");
        }
        assert_eq!(result["nanoseconds_per_packet"].is_object(), command == "pipeline");
    }
}

/// A worker with a packet every 50 µs sleeps nearly all the time.
#[test]
fn sleeping_is_no_time_per_packet() {
    let Some(result) = run_live(&["pipeline", "--rate", "20000", "--duration", "0.5"]) else { return };
    let nanoseconds = number(&result["nanoseconds_per_packet"]["median"]);
    assert!((10.0..25_000.0).contains(&nanoseconds), "{result}");
}

#[test]
fn frames_in_several_buffers_reach_the_bare_loop() {
    let Some(result) = run_live(&["rxdrop", "--frame-size", "5000", "--rate", "5000"]) else { return };
    for measured in result["measured"].as_array().unwrap() {
        assert!(number(&measured["received"]) <= number(&measured["offered"]), "one count for each packet");
        assert!(number(&measured["received"]) > 0.0);
    }
}

#[test]
fn retention() {
    let Some(cells) =
        run_live(&["retention", "--rate", "50000", "--records", "packet,flow", "--flows", "100"])
    else {
        return;
    };
    let [cell] = cells.as_array().unwrap().as_slice() else { panic!("one cell: {cells}") };
    assert_eq!((&cell["records"], &cell["sink"]), (&Value::from("packet,flow"), &Value::from("null")));
    for turns in ["unpaced", "paced"] {
        assert_pairs(&cell[turns]);
    }
    assert!(cell["unpaced"]["rate"].is_null() && number(&cell["paced"]["rate"]) == 0.05, "{cell}");
}

/// Checks that every pair counts, and that the pipeline's packets are where it says.
fn assert_pairs(turns: &Value) {
    let pairs = turns["pairs"].as_array().unwrap();
    assert_eq!(turns["ratio"]["count"], pairs.len());
    assert!(!pairs.is_empty());
    for pair in pairs {
        let [bare, pipeline] = [&pair["bare"], &pair["pipeline"]];
        assert!(number(&bare["delivered"]) > 0.0 && bare["recorded"].is_null(), "{bare}");
        let [delivered, received] = ["delivered", "received"].map(|key| number(&pipeline[key]));
        assert!(delivered > 0.0 && delivered <= received, "{pipeline}");
        let [recorded, open] = ["recorded", "open"].map(|key| number(&pipeline[key]));
        assert!(recorded + open > 0.0, "told apart: {pipeline}");
    }
}

#[test]
fn the_headline_shows_every_pair_and_its_limits() {
    let Some(retention) = run_live(&["headline", "--pairs", "2"]) else { return };
    assert_eq!(
        (&retention["traffic"]["tunnels"], &retention["traffic"]["ends"]),
        (&1000.into(), &true.into())
    );
    assert_eq!(retention["unpaced"]["pairs"].as_array().unwrap().len(), 2);
    assert_pairs(&retention["unpaced"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_mirror-bench"));
    let output = command.args(["headline", "--quick"]).output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    for text in ["(all 1 pairs, unpaced)", "in records, open", "one host", "veth", "copy mode"] {
        assert!(page.contains(text), "{text} in {page}");
    }
}

#[test]
fn records_of_connections_are_made_while_the_clock_runs() {
    let arguments = ["pipeline", "--flows", "500", "--rate", "50000", "--closing-timeout", "0.05"];
    let Some(result) = run_live(&[&arguments[..], &["--duration", "2.5"]].concat()) else { return };
    for measured in result["measured"].as_array().unwrap() {
        let [delivered, recorded, open] = ["delivered", "recorded", "open"].map(|key| number(&measured[key]));
        assert!(recorded > delivered / 4.0, "in records: {measured}");
        assert!(open > 0.0 && open < delivered, "and in flows that were open: {measured}");
    }
}

#[test]
fn the_cost_of_the_xdp_program_is_measured_in_rounds() {
    let Some(result) = run_live(&["xdp", "--rounds", "2"]) else { return };
    let programs = result["programs"].as_array().unwrap();
    assert!(!programs.is_empty());
    let rounds = result["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 2);
    for round in rounds {
        let round = round.as_array().unwrap();
        assert_eq!(round.len(), 1 + programs.len(), "the least program, then the others");
        for measured in round {
            assert!(number(&measured["received"]) > 0.0, "packets come through the program: {measured}");
        }
    }
    for program in programs {
        assert!(number(&program["nanoseconds"]["median"]) > 0.0, "{program}");
        assert_eq!(program["difference"]["count"], 2);
    }
}

#[test]
fn ndr() {
    let Some(result) = run_live(&["ndr", "--receiver", "pipeline"]) else { return };
    assert!(number(&result["greatest"]) > 0.0);
    for (key, loss) in [("loss_free", 0.0), ("some_loss", 0.005)] {
        let found = &result[key];
        assert_eq!(number(&found["loss"]), loss);
        let trials = found["trials"].as_array().unwrap();
        assert!(!trials.is_empty());
        for trial in trials {
            let lost = number(&trial["response"]["loss"]);
            assert!(trial["passed"] == false || lost <= loss, "{trial}");
        }
        if let Some(rate) = found["rate"].as_u64() {
            let last = trials.last().unwrap();
            assert_eq!(last["passed"], true);
            assert!((number(&last["response"]["offered_rate"]) - rate as f64).abs() < 2.0, "{last}");
        }
    }
}

#[test]
fn latency() {
    let Some(result) = run_live(&["latency", "--rate", "20000", "--fractions", "0.5,1"]) else { return };
    let curves = result["curves"].as_array().unwrap();
    assert_eq!(curves.len(), 2);
    for curve in curves {
        let [packets, lost] = ["packets", "lost"].map(|key| number(&curve[key]));
        assert!(packets > 0.0 && lost < packets, "records have the stamps of their packets: {curve}");
        let times = ["p50", "p99", "p999", "max"].map(|key| number(&curve[key]));
        assert!(times.is_sorted() && times[0] > 0.0, "{curve}");
        assert!(times[3] < 60e9, "{curve}");
    }
}

#[test]
fn overload() {
    let Some(result) = run_live(&["overload", "--traffic", "geneve", "--rate", "50000"]) else { return };
    assert_eq!(result["balanced"], true);
    assert!(number(&result["offered"]) > number(&result["sustainable"]), "{result}");
    assert!(number(&result["delivered"]) > 0.0);
    assert!(!result["samples"].as_array().unwrap().is_empty());
}

#[test]
fn compare() {
    let Some(result) = run_live(&["compare", "--rate", "20000"]) else { return };
    let offers = result["offers"].as_array().unwrap();
    let [bearable, most] = offers.as_slice() else { panic!("two offers: {result}") };
    assert!(number(&bearable["rate"]) == 0.02 && most["rate"].is_null(), "{result}");
    for offer in offers {
        let programs = offer["programs"].as_array().unwrap();
        let names: Vec<&str> = programs
            .iter()
            .chain(result["skipped"].as_array().unwrap())
            .map(|program| program["program"].as_str().unwrap())
            .collect();
        assert_eq!(names[0], "mirror-capture");
        for name in ["tcpdump", "suricata", "gwlbtun"] {
            assert!(names.contains(&name), "neither compared nor named as skipped: {name}");
        }
        for program in programs {
            let rounds = program["rounds"].as_array().unwrap();
            assert_eq!(program["delivered"]["count"], rounds.len());
            for round in rounds {
                let [offered, delivered] = ["offered", "delivered"].map(|key| number(&round[key]));
                assert!(delivered > 0.0 && delivered <= offered, "{program}");
                assert!(number(&round["processor_seconds"]) > 0.0, "{program}");
            }
        }
    }
}

#[test]
fn micro() {
    let result = run(&["micro"]);
    let times = result["times"].as_array().unwrap();
    assert!(times.len() > 10);
    for time in times {
        let nanoseconds = number(&time["nanoseconds"]["median"]);
        assert!(nanoseconds > 0.0 && nanoseconds < 1e6, "{time}");
    }
    for allocations in result["allocations"].as_array().unwrap() {
        assert_eq!(allocations["worker"], 0, "{allocations}");
    }
    // A build for tests has other instructions than one for speed, so they are named among what is missing.
    let not_measured = result["not_measured"].as_array().unwrap();
    assert!(not_measured.iter().any(|reason| reason.as_str().unwrap().contains("instructions")));
    assert!(result["scaling"].is_object() || not_measured.len() == 2, "{result}");
}

#[test]
fn report() {
    if skipped_without_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mirror-bench"));
    let output =
        command.args(["report", "--suite", "smoke", "--output"]).arg(directory.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    let report: Value = serde_json::from_str(&read("report.json")).unwrap();
    assert_eq!(report["suite"], "smoke");
    let page = read("report.md");
    assert!(page.contains("## Parts in memory"), "{page}");
    if report["processors"].is_null() {
        assert!(page.contains("everything with a network"), "{page}");
        return;
    }
    assert_eq!(report["not_measured"], Value::Array(Vec::new()));
    for plot in ["throughput-by-frame-size", "throughput-by-flows", "retention", "latency"] {
        assert!(page.contains(&format!("({plot}.svg)")), "{plot} in {page}");
        let svg = read(&format!("{plot}.svg"));
        assert!(svg.starts_with("<svg") && !svg.contains("NaN"), "{plot}");
    }
    for row in ["| mirrored sessions, flow records |", "| imix |", "| 1M flows |"] {
        assert_eq!(page.matches(row).count(), 1, "{row} in {page}");
    }
    let place = |heading| page.find(heading).unwrap_or_else(|| panic!("{heading} in {page}"));
    assert!(place("## Headline") < place("## Circumstances"), "the headline comes first");
    for text in ["one host", "copy mode", "## The XDP program alone", "the least that redirects"] {
        assert!(page.contains(text), "{text} in {page}");
    }
}

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mirror_testkit::root::skipped_without_root;
use mirror_testkit::veth::{VethOptions, VethPair};
use serde_json::Value;
use tempfile::TempDir;

use super::{Run, script};

const HUGE_PAGES: &str = "/proc/sys/vm/nr_hugepages";

/// The number of the host's huge pages: put back when this is dropped, and for one test at a time.
struct HugePages {
    before: u64,
    _alone: MutexGuard<'static, ()>,
}

impl HugePages {
    fn hold() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        Self { before: Self::now(), _alone: alone }
    }

    fn now() -> u64 {
        fs::read_to_string(HUGE_PAGES).unwrap().trim().parse().unwrap()
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        // A failure would only hide the one that the test is about.
        let _ = fs::write(HUGE_PAGES, self.before.to_string());
    }
}

/// A veth with two queues, whose packets are steered, and a directory for the state file.
struct Bed {
    pages: HugePages,
    pair: VethPair,
    states: TempDir,
}

impl Bed {
    fn new() -> Self {
        let bed = Self {
            pages: HugePages::hold(),
            pair: VethPair::new(VethOptions { queues: 2, ..VethOptions::default() }).unwrap(),
            states: TempDir::new().unwrap(),
        };
        bed.pair.receiver.run("sh", &["-c", &format!("echo 1 > {}", file("queues/rx-1/rps_cpus"))]).unwrap();
        bed
    }

    fn state(&self) -> PathBuf {
        self.states.path().join("made/by/tune.state")
    }

    /// Runs `tune COMMAND` for the interface, with `arguments`.
    fn tune(&self, command: &str, arguments: &[&str]) -> Run {
        let mut tune = self.pair.receiver.command(script());
        tune.args([command, "--interface", VethPair::RECEIVING, "--state"]).arg(self.state()).args(arguments);
        Run::of(&mut tune)
    }

    /// Applies what a veth has: huge pages (two more than there are), busy polling and steering.
    fn apply(&self, arguments: &[&str]) -> Run {
        let pages = (self.pages.before + 2).to_string();
        let levers = ["--only", "huge-pages,busy-poll,rps", "--huge-pages", &pages];
        self.tune("apply", &[&levers, arguments].concat())
    }

    fn read(&self, path: &str) -> String {
        self.pair.receiver.run("cat", &[path]).unwrap().trim().to_owned()
    }

    /// Each value that [`Self::apply`] is about.
    fn values(&self) -> [String; 5] {
        [
            HUGE_PAGES.to_owned(),
            file("napi_defer_hard_irqs"),
            file("gro_flush_timeout"),
            file("queues/rx-0/rps_cpus"),
            file("queues/rx-1/rps_cpus"),
        ]
        .map(|path| self.read(&path))
    }

    /// Files in the directory of the state file.
    fn left(&self) -> usize {
        self.state().parent().and_then(|directory| fs::read_dir(directory).ok()).map_or(0, Iterator::count)
    }
}

fn file(name: &str) -> String {
    format!("/sys/class/net/{}/{name}", VethPair::RECEIVING)
}

/// True where a mask of processors is empty.
fn is_empty(mask: &str) -> bool {
    mask.trim_matches(['0', ',']).is_empty()
}

#[test]
fn what_apply_sets_undo_puts_back() {
    if skipped_without_root() {
        return;
    }
    let bed = Bed::new();
    let before = bed.values();
    assert!(!is_empty(&before[4]), "nothing is steered: {before:?}");

    let said = bed.apply(&[]).done();
    for lever in ["huge-pages", "busy-poll", "rps"] {
        assert!(said.contains(&format!("set {lever}: ")), "no {lever} in: {said}");
    }
    let set = bed.values();
    assert_eq!(set[..3], [(bed.pages.before + 2).to_string().as_str(), "2", "200000"]);
    assert!(is_empty(&set[3]) && is_empty(&set[4]), "{set:?}");

    bed.tune("undo", &[]).done();
    assert_eq!(bed.values(), before);
    assert_eq!(bed.left(), 0);
    bed.tune("undo", &[]).refused(1, &["tune.state", VethPair::RECEIVING]);
}

#[test]
fn show_has_the_values_and_what_they_were() {
    if skipped_without_root() {
        return;
    }
    let bed = Bed::new();
    let before = bed.values();
    let shown = || serde_json::from_str::<Value>(&bed.tune("show", &["--json"]).done()).unwrap();
    assert_eq!(shown()["state"], Value::Null);
    bed.apply(&[]).done();

    let shown = shown();
    assert_eq!(shown["interface"], VethPair::RECEIVING);
    assert_eq!(shown["driver"], "veth");
    assert_eq!(shown["state"], bed.state().to_str().unwrap());
    let values = shown["values"].as_array().unwrap();
    let value = |name: &str| values.iter().find(|value| value["name"] == name).unwrap();
    for (name, before) in [
        (HUGE_PAGES.to_owned(), &before[0]),
        (file("gro_flush_timeout"), &before[2]),
        (file("queues/rx-1/rps_cpus"), &before[4]),
    ] {
        assert_eq!(value(&name)["value"], bed.read(&name), "{name}");
        assert_eq!(value(&name)["before"], before.as_str(), "{name}");
    }
    let absent = shown["not_here"].as_array().unwrap();
    assert!(absent.contains(&"nic-ring".into()) && absent.contains(&"irq-affinity".into()), "{absent:?}");
    assert!(bed.tune("show", &[]).done().contains("tuned, as "));
}

#[test]
fn it_is_not_applied_twice() {
    if skipped_without_root() {
        return;
    }
    let bed = Bed::new();
    let before = bed.values();
    bed.apply(&[]).done();
    let (set, state) = (bed.values(), fs::read(bed.state()).unwrap());
    bed.apply(&["--gro-flush-timeout", "1"]).refused(1, &["tuned already", "tune.state", "tune undo"]);
    assert_eq!((bed.values(), fs::read(bed.state()).unwrap()), (set, state));
    bed.tune("undo", &[]).done();
    assert_eq!(bed.values(), before);
}

#[test]
fn a_step_that_fails_is_rolled_back() {
    if skipped_without_root() {
        return;
    }
    let bed = Bed::new();
    let before = bed.values();
    // The kernel refuses it, after the steps before it were made.
    let failed = bed.apply(&["--gro-flush-timeout", "99999999999999999999999"]);
    failed.refused(
        1,
        &["gro_flush_timeout", "out of range", "--skip busy-poll", "everything is as it was before"],
    );
    assert_eq!(bed.values(), before);
    assert_eq!(bed.left(), 0);
}

#[test]
fn a_dry_run_changes_nothing() {
    if skipped_without_root() {
        return;
    }
    let bed = Bed::new();
    let before = bed.values();
    let said = bed.apply(&["--dry-run"]).done();
    assert!(said.contains("would set busy-poll: ") && said.contains("0 -> 200000"), "{said}");
    assert_eq!(bed.values(), before);
    assert_eq!(bed.left(), 0);

    bed.apply(&[]).done();
    let set = bed.values();
    let said = bed.tune("undo", &["--dry-run"]).done();
    assert!(said.contains("would put back busy-poll: ") && said.contains("200000 -> 0"), "{said}");
    assert_eq!(bed.values(), set);
    bed.tune("undo", &[]).done();
}

#[test]
fn what_a_veth_lacks_is_named_and_an_error_only_where_it_was_asked_for() {
    if skipped_without_root() {
        return;
    }
    let bed = Bed::new();
    let before = bed.values();
    let said = bed.tune("apply", &["--dry-run"]).done();
    for lever in ["channels", "nic-ring", "coalescing", "irq-affinity", "busy-poll"] {
        assert!(said.contains(&format!("skipped: {lever}: ")), "no {lever} in: {said}");
    }
    for asked in [["--nic-ring", "512"], ["--only", "huge-pages,nic-ring"]] {
        bed.tune("apply", &asked).refused(1, &["nic-ring: ", VethPair::RECEIVING, "nothing was changed"]);
    }
    assert_eq!(bed.values(), before);
    assert_eq!(bed.left(), 0);
}

#[test]
fn undo_puts_the_host_back_also_when_the_interface_is_gone() {
    if skipped_without_root() {
        return;
    }
    let bed = Bed::new();
    bed.apply(&[]).done();
    assert_eq!(HugePages::now(), bed.pages.before + 2);
    let ip = |arguments: &[&str]| bed.pair.receiver.run("ip", arguments).unwrap();
    ip(&["link", "del", VethPair::RECEIVING]);
    // Another one of the same name, whose values are nobody's business.
    ip(&["link", "add", VethPair::RECEIVING, "type", "veth"]);
    bed.pair.receiver.run("sh", &["-c", &format!("echo 7 > {}", file("napi_defer_hard_irqs"))]).unwrap();
    let said = bed.tune("undo", &[]).done();
    assert!(said.contains("gone"), "{said}");
    assert_eq!(HugePages::now(), bed.pages.before);
    assert_eq!(bed.read(&file("napi_defer_hard_irqs")), "7");
    assert_eq!(bed.left(), 0);
}

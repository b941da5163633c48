//! The command's outputs: before it starts, beside others, and where they do not take everything.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use mirror_testkit::root::skipped_without_root;
use serde_json::Value;
use tempfile::TempDir;

use crate::golden;
use crate::program::{command, replay};

/// Enough captures for some megabytes of records.
const MANY: usize = 40;

fn many() -> Vec<PathBuf> {
    vec![golden::mixed().capture(); MANY]
}

fn messages(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A replay of standard input that has begun and waits for more of it.
fn replay_that_waits(output: &Path) -> Child {
    let mut child = command()
        .arg("-")
        .arg("--output")
        .arg(output)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // All but the last byte of the last packet.
    let capture = fs::read(golden::mixed().capture()).unwrap();
    child.stdin.as_mut().unwrap().write_all(&capture[..capture.len() - 1]).unwrap();
    child
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "still not: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[test]
fn a_second_capture_to_the_same_place_is_refused() {
    for name in ["records.ndjson", "records/"] {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join(name);
        let mut first = replay_that_waits(&path);
        wait_until("the first has its output", || path.exists());

        let second = command().arg(golden::mixed().capture()).arg("--output").arg(&path).output().unwrap();
        let messages = messages(&second);
        assert_eq!(second.status.code(), Some(1), "{messages}");
        let expected = format!(
            "error: cannot write to {}: process {} (mirror-capture) writes there already",
            path.display(),
            first.id()
        );
        assert!(messages.contains(&expected), "{messages}");

        let capture = fs::read(golden::mixed().capture()).unwrap();
        first.stdin.take().unwrap().write_all(&capture[capture.len() - 1..]).unwrap();
        assert!(first.wait().unwrap().success());
        let file = match fs::read_dir(&path) {
            Ok(entries) => entries.map(|entry| entry.unwrap().path()).next().unwrap(),
            Err(_) => path,
        };
        golden::mixed().check(&fs::read_to_string(file).unwrap());
    }
}

#[test]
fn a_start_that_fails_leaves_the_output_as_it_was() {
    let directory = TempDir::new().unwrap();
    let before = directory.path().join("before.ndjson");
    fs::write(&before, "the records of yesterday\n").unwrap();
    let leftover = directory.path().join(".mirror-20261121T090412Z-w00-000000.ndjson.partial");
    fs::write(&leftover, "{}\n{\"torn").unwrap();
    let not_there = directory.path().join("not/there/");
    for output in [&before, &directory.path().join("new.ndjson"), directory.path(), &not_there] {
        let failed = command()
            .arg(golden::mixed().capture())
            .arg("--output")
            .arg(output)
            .args(["--ledger", "/no/such/folder/ledger"])
            .output()
            .unwrap();
        assert_eq!(failed.status.code(), Some(1), "{}", messages(&failed));
        let mut names: Vec<_> =
            fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        assert_eq!(names, [&leftover, &before].map(Clone::clone), "{}", messages(&failed));
        assert_eq!(fs::read(&before).unwrap(), b"the records of yesterday\n");
        assert_eq!(fs::read(&leftover).unwrap(), b"{}\n{\"torn");
    }
}

#[test]
fn files_are_for_owner_and_group_only() {
    let directory = TempDir::new().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let run = |umask: &str, output: &Path, ledger: &Path| {
        let status = Command::new("sh")
            .args(["-c", "umask $0; exec \"$@\"", umask])
            .arg(command().get_program())
            .args(command().get_args())
            .arg(golden::mixed().capture())
            .arg("--output")
            .arg(output)
            .arg("--ledger")
            .arg(ledger)
            .output()
            .unwrap();
        assert!(status.status.success(), "{}", messages(&status));
    };
    for (umask, file_mode, directory_mode) in [("000", 0o640, 0o750), ("077", 0o600, 0o700)] {
        let place = directory.path().join(umask);
        let (file, ledger, below) = (place.join("a/file"), place.join("ledger"), place.join("b/c/"));
        run(umask, &below, &below.join("ledger"));
        fs::create_dir(place.join("a")).unwrap();
        run(umask, &file, &ledger);
        assert_eq!((mode(&file), mode(&ledger)), (file_mode, file_mode));
        assert_eq!((mode(&below), mode(&place.join("b"))), (directory_mode, directory_mode));
        let mut files = 0;
        for entry in fs::read_dir(&below).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), file_mode);
            files += 1;
        }
        assert_eq!(files, 2, "records and ledger");
    }
}

#[test]
fn links_that_others_have_planted_are_not_followed() {
    let private = TempDir::new().unwrap();
    let secret = private.path().join("secret");
    let leftover = ".mirror-20261121T090412Z-w00-000000.ndjson.partial";
    for (planted, output, ledger, code, expected) in [
        ("records.ndjson", "records.ndjson", "ledger", 1, "symbolic link"),
        ("records", "records/", "ledger", 1, "records/: it is a symbolic link"),
        (".mirror-probe", "", "ledger", 1, ".mirror-probe: a symbolic link"),
        (leftover, "", "ledger", 0, ".partial, which an earlier run left: a symbolic link"),
        ("ledger.partial", "", "ledger", 1, "ledger: a symbolic link"),
    ] {
        for target in [&secret, private.path()] {
            let shared = TempDir::new().unwrap();
            fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
            fs::write(&secret, "{}\n{\"half a line").unwrap();
            symlink(target, shared.path().join(planted)).unwrap();
            let ended = command()
                .arg(golden::mixed().capture())
                .arg("--output")
                .arg(shared.path().join(output))
                .arg("--ledger")
                .arg(shared.path().join(ledger))
                .output()
                .unwrap();
            let messages = messages(&ended);
            assert_eq!(ended.status.code(), Some(code), "{planted}: {messages}");
            assert!(messages.contains(expected), "{planted}: {messages}");
            assert_eq!(fs::read(&secret).unwrap(), b"{}\n{\"half a line", "{planted}");
            assert_eq!(fs::read_dir(&private).unwrap().count(), 1, "{planted}");
            assert!(fs::symlink_metadata(shared.path().join(planted)).unwrap().is_symlink(), "{planted}");
        }
    }
}

#[test]
fn a_reader_that_leaves_is_no_fault_and_what_the_pipe_took_is_recorded() {
    let directory = TempDir::new().unwrap();
    let ledger = directory.path().join("ledger.json");
    let mut child = command()
        .args(many())
        .arg("--ledger")
        .arg(&ledger)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut read = vec![0; 100_000];
    stdout.read_exact(&mut read).unwrap();
    drop(stdout);
    let ended = child.wait_with_output().unwrap();
    let messages = messages(&ended);
    assert_eq!(ended.status.code(), Some(0), "{messages}");
    assert!(!messages.contains("ERROR") && !messages.contains("error:"), "{messages}");

    let ledger: Value = serde_json::from_slice(&fs::read(ledger).unwrap()).unwrap();
    assert_eq!(ledger["balanced"], true);
    // The same captures into a file say how many records are in so many bytes.
    let whole = directory.path().join("whole");
    replay(&many().iter().map(PathBuf::as_path).collect::<Vec<_>>(), |command| {
        command.arg("--output").arg(&whole);
    })
    .succeeded();
    let taken = usize::try_from(ledger["run"]["output_bytes"].as_u64().unwrap()).unwrap();
    assert!(taken >= read.len(), "{taken}");
    let lines = fs::read(&whole).unwrap()[..taken].iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!(ledger["recorded"], lines);
    assert!(ledger["dropped"]["sink_write_failed"].as_u64().unwrap() > 0);
}

#[test]
fn nobody_needs_to_read_what_the_program_says() {
    let directory = TempDir::new().unwrap();
    let ledger = directory.path().join("ledger.json");
    for (name, code) in [("records", 0), ("no/such/folder/records", 1)] {
        // Something is logged in between: a leftover is recovered.
        fs::write(directory.path().join(".mirror-20261121T090412Z-w00-000000.ndjson.partial"), "{}\n")
            .unwrap();
        let mut child = command()
            .args(many())
            .arg("--output")
            .arg(if code == 0 { directory.path().to_owned() } else { directory.path().join(name) })
            .arg("--ledger")
            .arg(&ledger)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(code), "{name}");
    }
    let ledger: Value = serde_json::from_slice(&fs::read(ledger).unwrap()).unwrap();
    assert_eq!(ledger["balanced"], true);
    assert_eq!(ledger["dropped"]["sink_panicked"], 0);
    assert!(directory.path().join("mirror-20261121T090412Z-w00-000000.ndjson").exists());
}

/// Replays many captures by way of a shell, which sets something up; `script` runs it as `"$@"`. The ledger, and what
/// the program said.
fn replay_by(script: &str, output: &Path, place: &Path) -> (Value, String) {
    let ledger = place.join("ledger.json");
    let ended = Command::new("sh")
        .args(["-ec", script])
        .arg(place)
        .arg(command().get_program())
        .args(command().get_args())
        .args(many())
        .arg("--output")
        .arg(output)
        .arg("--ledger")
        .arg(&ledger)
        .output()
        .unwrap();
    let messages = messages(&ended);
    assert_eq!(ended.status.code(), Some(1), "{messages}");
    let ledger: Value = serde_json::from_slice(&fs::read(&ledger).expect(&messages)).unwrap();
    assert_eq!(ledger["balanced"], true, "{messages}");
    (ledger, messages)
}

fn whole_lines(file: &Path) -> u64 {
    let records = fs::read_to_string(file).unwrap();
    assert!(records.ends_with('\n'));
    assert!(records.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    records.lines().count() as u64
}

#[test]
fn a_file_that_reaches_its_limit_has_whole_records_and_they_are_counted() {
    let directory = TempDir::new().unwrap();
    let output = directory.path().join("records");
    // In blocks of 512 or 1,024 bytes, as the shell has it.
    let (ledger, messages) = replay_by("ulimit -f 301; exec \"$@\"", &output, directory.path());
    assert!(messages.contains("raise the limit on the size of files"), "{messages}");
    let recorded = ledger["recorded"].as_u64().unwrap();
    assert!(recorded > 200);
    assert_eq!(whole_lines(&output), recorded);
    assert_eq!(ledger["run"]["output_bytes"], size(&output));
    assert!(size(&output) > 301 * 512 - 2048, "filled as far as records fit");
    assert!(ledger["dropped"]["sink_write_failed"].as_u64().unwrap() > 0);
}

#[test]
fn a_file_system_that_is_full_has_whole_records_and_they_are_counted() {
    if skipped_without_root() {
        return;
    }
    let directory = TempDir::new().unwrap();
    // In a mount namespace of its own, which goes with the shell.
    let script = "exec unshare --mount sh -ec '
        mkdir $0/small; mount -t tmpfs -o size=300k none $0/small
        code=0; \"$@\" || code=$?
        cp $0/small/records $0/records
        exit $code' \"$0\" \"$@\"";
    let output = directory.path().join("small/records");
    let (ledger, messages) = replay_by(script, &output, directory.path());
    assert!(messages.contains("free space on that file system"), "{messages}");
    let recorded = ledger["recorded"].as_u64().unwrap();
    assert_eq!(whole_lines(&directory.path().join("records")), recorded);
    assert!(size(&directory.path().join("records")) > 300 * 1024 - 2048, "filled as far as records fit");
    assert!(ledger["dropped"]["sink_write_failed"].as_u64().unwrap() > 0);
}

/// A file system whose device takes less than it promises: writes succeed, and fsync fails.
#[test]
fn what_cannot_be_made_durable_is_lost_by_name_and_not_published() {
    if skipped_without_root() {
        return;
    }
    if !Path::new("/dev/loop-control").exists() || Command::new("mkfs.ext4").arg("-V").output().is_err() {
        println!("SKIPPED: no loop devices, or no mkfs.ext4");
        return;
    }
    for (name, is_directory) in [("records/", true), ("records", false)] {
        let directory = TempDir::new().unwrap();
        let script = "exec unshare --mount sh -ec '
            mkdir $0/backing $0/disk
            mount -t tmpfs -o size=1m none $0/backing
            truncate -s 64M $0/backing/image
            mkfs.ext4 -q -O ^has_journal -E lazy_itable_init=1 -N 64 $0/backing/image
            mount -o loop $0/backing/image $0/disk
            code=0; \"$@\" || code=$?
            ls -aR $0/disk > $0/names
            exit $code' \"$0\" \"$@\"";
        let output = directory.path().join("disk").join(name);
        let (ledger, messages) = replay_by(script, &output, directory.path());
        let lost = ledger["dropped"]["sink_sync_failed"].as_u64().unwrap();
        assert!(lost > 0, "{ledger:#}\n{messages}");
        assert_eq!(ledger["recorded"].as_u64().unwrap(), 0, "{ledger:#}");
        assert!(messages.contains("durable: "), "{messages}");
        let names = fs::read_to_string(directory.path().join("names")).unwrap();
        if is_directory {
            let published = names.lines().filter(|name| name.starts_with("mirror-")).count();
            assert_eq!(published, 0, "{names}");
            assert!(names.lines().any(|name| name.ends_with(".unsynced")), "{names}");
        }
    }
}

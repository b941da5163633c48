//! Several files as one stream, and files with damage of any kind.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Instant;

use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::TempDir;

use super::step::Step;
use super::testing::read_all;
use super::*;

/// A pcap file with packets of these payloads, a microsecond apart.
fn pcap(payloads: &[&[u8]]) -> Vec<u8> {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let mut file = words(&[0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 65_535, 1]);
    for (number, payload) in (0..).zip(payloads) {
        let length = u32::try_from(payload.len()).unwrap();
        file.extend(words(&[0, number, length, length]));
        file.extend_from_slice(payload);
    }
    file
}

fn open(paths: &[&Path]) -> Result<ReplaySource, ReplayError> {
    let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
    ReplaySource::open(paths, Arc::default(), Arc::default())
}

/// The payloads of all packets, to the end.
fn payloads(source: &mut ReplaySource) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    loop {
        match source.receive().unwrap() {
            Received::Frames(frames) => {
                found.extend((0..frames).map(|index| source.frame(index).data.to_vec()));
                source.release();
            }
            Received::Idle => {}
            Received::End => return found,
        }
    }
}

#[test]
fn a_bad_file_is_named_and_the_others_are_read() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let whole = pcap(&[b"one", b"two"]);
    fs::write(path("a"), &whole).unwrap();
    fs::write(path("b"), &whole[..whole.len() - 1]).unwrap();
    fs::write(path("c"), b"no capture at all").unwrap();
    fs::write(path("d"), b"").unwrap();
    fs::write(path("f"), [zstd::encode_all(&whole[..], 0).unwrap(), vec![0xee; 300]].concat()).unwrap();
    let names = ["a", "b", "c", "d", "e", "f"].map(path);
    let names: Vec<&Path> = names.iter().map(PathBuf::as_path).collect();
    let mut source = open(&names).unwrap();
    let found = payloads(&mut source);
    assert_eq!(found.len(), 2 + 1 + 2);
    let (report, _) = source.into_report();
    let problems = report.error().unwrap().problems;
    for (problem, (name, reason)) in problems.iter().zip([
        ("b", "cut off"),
        ("c", "neither pcap nor pcapng"),
        ("d", "is empty"),
        ("e", "No such file"),
        ("f", "cannot be decompressed"),
    ]) {
        let name = path(name).display().to_string();
        assert!(problem.contains(&name) && problem.contains(reason), "{problem}");
    }
    assert_eq!(problems.len(), 5, "{problems:?}");
    assert_eq!(report.found(), 6, "the packet that was cut off is counted");
    let unread: u64 = report.unread().iter().map(|(_, packets)| packets).sum();
    assert_eq!(unread, 1);
}

#[test]
fn where_no_file_is_a_capture_the_source_does_not_open() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("text");
    fs::write(&path, b"text").unwrap();
    assert_eq!(open(&[&path]).err().unwrap().problems.len(), 1);
    assert!(open(&[]).is_err());
}

/// Packets of a pipe are handed out as they come, and nothing waits for the pipe to end.
#[test]
fn a_pipe_is_read_as_it_fills() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let mut source = open(&[&path]).unwrap();
    let mut writer = fs::OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
    let file = pcap(&[b"one", b"two"]);
    let (first, second) = file.split_at(file.len() - 3);
    writer.write_all(first).unwrap();
    let started = Instant::now();
    let mut receive = |expected: &[u8]| loop {
        assert!(started.elapsed() < Duration::from_secs(10));
        match source.receive().unwrap() {
            Received::Frames(frames) => {
                assert_eq!((frames, source.frame(0).data), (1, expected));
                source.release();
                break;
            }
            Received::Idle => {}
            Received::End => panic!("the pipe is open"),
        }
    };
    receive(b"one");
    writer.write_all(second).unwrap();
    receive(b"two");
    assert_eq!(source.receive().unwrap(), Received::Idle);
    source.stop.store(true, Ordering::Relaxed);
    assert_eq!(source.receive().unwrap(), Received::End);
}

/// Captures of each format, as they are and compressed.
fn whole() -> Vec<Vec<u8>> {
    let payloads: Vec<Vec<u8>> = (0..40_u8).map(|number| vec![number; 60 + usize::from(number)]).collect();
    let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    let plain = pcap(&payloads);
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let pcapng = ["packet_block", "comment_latin1", "mac_len", "ts_2e32", "orig_lt_cap"]
        .map(|name| fs::read(cases.join(name).with_extension("pcapng")).unwrap());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let compressed = [zstd::encode_all(&plain[..], 0).unwrap(), gzip.finish().unwrap()];
    [plain].into_iter().chain(pcapng).chain(compressed).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Bytes that are changed, left out, repeated or put in between: reading ends, without a panic, and what stands before
    /// the damage is read. That no more memory is taken than the window has is by its construction.
    #[test]
    fn damage_of_any_kind_ends(
        file in prop::sample::select(whole()),
        damages in prop::collection::vec((any::<Index>(), 0..6_u8, any::<[u8; 4]>()), 1..6),
    ) {
        let (sound, _) = read_all(&file);
        let mut damaged = file.clone();
        let mut first = file.len();
        for (place, kind, bytes) in damages {
            let place = place.index(damaged.len());
            first = first.min(place);
            match kind {
                0 => damaged[place] = bytes[0],
                1 => damaged[place] ^= 1 << (bytes[0] % 8),
                2 => damaged.truncate(place.max(1)),
                3 => drop(damaged.splice(place..place, bytes)),
                4 => drop(damaged.drain(place..(place + 3).min(damaged.len() - 1).max(place))),
                _ => {
                    let end = (place + 4).min(damaged.len());
                    damaged[place..end].fill(0xff);
                }
            }
        }
        let (packets, steps) = read_all(&damaged);
        prop_assert!(matches!(steps.last(), Some(Step::End | Step::Fault(_))));
        // The packets that end before the first damage, by reading the file up to there.
        let (before, _) = read_all(&file[..first]);
        for (packet, expected) in packets.iter().zip(before.iter().take_while(|packet| sound.contains(packet))) {
            prop_assert_eq!(packet, expected);
        }
        prop_assert!(packets.len() >= before.len().saturating_sub(1));
    }
}

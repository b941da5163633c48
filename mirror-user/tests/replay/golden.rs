//! The project's own captures, and the records that they must give.
//!
//! They lie in `tests/golden`, each as `NAME.pcap`, `NAME.ndjson` with the records of its packets, and
//! `NAME.flows.ndjson` with those of its flows. Where traffic or records are meant to change,
//! `MIRROR_BLESS=1 cargo test -p mirror-user --test replay are_the_golden_ones` writes them anew; look at the
//! difference before it is committed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use mirror_testkit::generator::file::{self, Schedule};
use mirror_testkit::generator::report::Report;
use mirror_testkit::traffic::{FrameSize, Profile, Share, Traffic};

/// One capture.
#[derive(Debug)]
pub struct Golden {
    name: &'static str,
    packets: u64,
    profile: Profile,
}

/// Every capture.
pub fn all() -> [Golden; 2] {
    [mixed(), sizes()]
}

/// Everything that the generator can make: both tunnels, both families, three protocols, every fault.
pub fn mixed() -> Golden {
    let profile = Profile {
        flows: 40,
        frame_size: FrameSize::Bytes(200),
        vxlan: share(0.6),
        ipv6: share(0.5),
        udp: share(0.3),
        icmp: share(0.3),
        malformed: share(0.25),
        endpoints: 3,
        seed: 5,
        ..Profile::default()
    };
    Golden { name: "mixed", packets: 100, profile }
}

/// Mirrored packets of 64, 576 and 1,500 bytes.
pub fn sizes() -> Golden {
    let profile = Profile {
        flows: 8,
        frame_size: FrameSize::InternetMix,
        ipv6: share(0.5),
        icmp: share(0.2),
        seed: 2,
        ..Profile::default()
    };
    Golden { name: "sizes", packets: 24, profile }
}

fn share(fraction: f64) -> Share {
    Share::new(fraction).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

impl Golden {
    /// The capture.
    pub fn capture(&self) -> PathBuf {
        folder().join(self.name).with_extension("pcap")
    }

    /// The file of its packets' records.
    pub fn records(&self) -> PathBuf {
        folder().join(self.name).with_extension("ndjson")
    }

    /// The file of its flows' records.
    pub fn flows(&self) -> PathBuf {
        folder().join(self.name).with_extension("flows.ndjson")
    }

    /// Packets in the capture.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Makes the capture again, and says how many packets it has of each kind.
    pub fn generate(&self, path: &Path) -> Report {
        let traffic = Traffic::new(&self.profile).unwrap();
        let schedule = Schedule { start: Duration::from_secs(1_767_225_600), rate: 3_000_000 };
        file::write(&traffic, path, self.packets, schedule, &AtomicBool::new(false)).unwrap()
    }

    /// Checks that `records` are those of the capture, byte for byte.
    pub fn check(&self, records: &str) {
        let expected = fs::read_to_string(self.records()).unwrap();
        let (mut lines, mut expected_lines) = (records.lines(), expected.lines());
        for number in 1.. {
            let (line, expected) = (lines.next(), expected_lines.next());
            assert_eq!(line, expected, "{}, record {number}", self.name);
            if line.is_none() {
                break;
            }
        }
        assert!(records == expected, "{}: differs in a line end", self.name);
    }
}

//! The memory that the options ask for, and whether there is so much: said at the start, since memory that is not there
//! ends a capture at its worst moment.
//!
//! The sum is that of a capture at its fullest. Flow tables and batches take their memory only when it is first needed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use thiserror::Error;
use tracing::{debug, info};

use super::preflight::free_huge_page_bytes;
use crate::config::Config;
use crate::flow::FlowTable;
use crate::privacy::WorkerPrivacy;
use crate::record::Batch;
use crate::rules::Rules;
use crate::sink::SinkConfig;
use crate::xsk::XskConfig;

/// Memory of the program itself, in bytes: code, stacks, and the XDP program's maps.
const PROGRAM: u64 = 32 << 20;

/// Memory that the options ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    parts: Vec<Part>,
}

/// Memory for one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    purpose: &'static str,
    /// The options that it depends on.
    options: &'static str,
    /// In bytes, for each queue or worker.
    each: u64,
    count: u64,
    /// `true` if it lies on huge pages, which are reserved apart from other memory.
    huge: bool,
}

impl Part {
    fn bytes(&self) -> u64 {
        self.each.saturating_mul(self.count)
    }
}

/// Memory that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Available {
    /// In bytes, besides huge pages.
    pub bytes: u64,
    /// Source of that figure.
    pub by: String,
    /// Free huge pages, in bytes.
    pub huge: u64,
}

/// There is less memory than the options ask for.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the options ask for {arithmetic}, but {} are available ({by}); ask for less by {remedy}", size(*.available))]
pub struct MemoryError {
    /// The parts and their sum.
    arithmetic: String,
    available: u64,
    /// Source of that figure.
    by: String,
    /// The options of the largest part.
    remedy: &'static str,
}

impl Demand {
    /// Memory of a capture from so many queues, whose sockets are made by `sockets`.
    pub fn of_capture(
        config: &Config,
        rules: &Rules,
        sockets: &XskConfig,
        huge_pages: bool,
        queues: usize,
    ) -> Self {
        let count = queues as u64;
        let buffers = Part {
            purpose: "packet buffers",
            options: "--frames",
            each: sockets.buffer_memory(),
            count,
            huge: huge_pages,
        };
        let rings = Part {
            purpose: "rings",
            options: "--frames and --rx-ring",
            each: sockets.ring_memory(),
            count,
            huge: false,
        };
        let mut demand = Self::of_pipeline(config, rules, queues);
        demand.parts.splice(..0, [buffers, rings]);
        demand
    }

    /// Memory of so many workers, wherever their packets come from.
    pub fn of_pipeline(config: &Config, rules: &Rules, workers: usize) -> Self {
        let part = |purpose, options, each, count| Part { purpose, options, each, count, huge: false };
        let has_flows = rules.any(|recording| recording.follows());
        let flows = if has_flows { FlowTable::bytes(&config.flow) } else { 0 };
        let is_inspected = rules.any(|recording| recording.follows() && recording.payload);
        let applications = if is_inspected { config.application.bytes() } else { 0 };
        let is_enriched = config.enrichment.map.is_some();
        let of_sink = |sink: &SinkConfig| sink.memory(workers, is_enriched);
        let records = config.sink.iter().fold(0u64, |sum, sink| sum.saturating_add(of_sink(sink)));
        let privacy = match config.privacy.len() {
            0 => 0,
            rules => {
                let batches: usize = config.sink.iter().map(|sink| sink.queue_batches).sum();
                let labels = Batch::memory_of_labels().saturating_mul(batches as u64);
                WorkerPrivacy::memory(rules).saturating_add(labels)
            }
        };
        let mut parts = vec![
            part("flow tables", "--max-flows and --max-tunnels", flows, workers as u64),
            part(
                "applications",
                "--application-flows and --application-memory",
                applications,
                workers as u64,
            ),
            part("records", "--queue-batches", records, 1),
            part("privacy", "the number of [[privacy]] rules", privacy, workers as u64),
            part("the program", "nothing", PROGRAM, 1),
        ];
        parts.retain(|part| part.bytes() > 0);
        Self { parts }
    }

    /// Compares it with what there is. Returns what is to be said of it.
    ///
    /// # Errors
    ///
    /// When there is less.
    pub fn check(&self, available: Option<&Available>) -> Result<String, MemoryError> {
        let sum = |huge| {
            let parts = self.parts.iter().filter(|part| part.huge == huge);
            parts.fold(0, |sum: u64, part| sum.saturating_add(part.bytes()))
        };
        let (bytes, huge) = (sum(false), sum(true));
        let mut text = format!("{} of memory at most", size(bytes));
        let Some(available) = available else {
            return Ok(format!("{text}: {}", self.arithmetic()));
        };
        if bytes > available.bytes {
            let largest = self.parts.iter().filter(|part| !part.huge).max_by_key(|part| part.bytes());
            return Err(MemoryError {
                arithmetic: format!("{} of memory ({})", size(bytes), self.arithmetic()),
                available: available.bytes,
                by: available.by.clone(),
                remedy: largest.map_or("", |part| part.options),
            });
        }
        let Available { bytes: there, by, huge: huge_there } = available;
        // Writing to a string cannot fail.
        let _ = write!(text, ", {} are available ({by}): {}", size(*there), self.arithmetic());
        if huge > 0 {
            let _ = write!(text, "; of {} of free huge pages, {}", size(*huge_there), size(huge));
        }
        Ok(text)
    }

    fn arithmetic(&self) -> String {
        let mut parts = Vec::new();
        for part in &self.parts {
            let pages = if part.huge { " on huge pages" } else { "" };
            let times = if part.count == 1 { String::new() } else { format!("{} x ", part.count) };
            parts.push(format!("{} {times}{}{pages}", part.purpose, size(part.each)));
        }
        parts.join(", ")
    }
}

/// Makes sure that there is as much memory as `demand` says, and says how much that is.
///
/// # Errors
///
/// When there is less.
pub(super) fn require(demand: &Demand, is_capture: bool) -> Result<(), MemoryError> {
    let said = demand.check(available().as_ref())?;
    if is_capture {
        info!("{said}");
    } else {
        debug!("{said}");
    }
    Ok(())
}

fn size(bytes: u64) -> ByteSize {
    ByteSize::b(bytes)
}

/// Memory that there is for this process; [`None`] where the system does not say.
fn available() -> Option<Available> {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let cgroup = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let root = Path::new("/sys/fs/cgroup");
    // Where version 1 has the place, version 2 stands beside it.
    let root = if root.join("cgroup.controllers").exists() { root.to_owned() } else { root.join("unified") };
    least(mem_available(&meminfo), cgroup_left(&root, &cgroup), free_huge_page_bytes())
}

/// The lesser of what the machine has and what the control group leaves.
fn least(machine: Option<u64>, group: Option<(u64, PathBuf)>, huge: u64) -> Option<Available> {
    match (machine, group) {
        (Some(machine), Some((left, _))) if machine <= left => {
            Some(Available { bytes: machine, by: "MemAvailable".to_owned(), huge })
        }
        (_, Some((left, limit))) => Some(Available { bytes: left, by: limit.display().to_string(), huge }),
        (Some(machine), None) => Some(Available { bytes: machine, by: "MemAvailable".to_owned(), huge }),
        (None, None) => None,
    }
}

/// `MemAvailable` of `/proc/meminfo`: what can be used without swapping, in bytes.
fn mem_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Memory that the tightest `memory.max` of the process's control group and those above it leaves, and that file. Files in the
/// page cache that were not used lately are given up for more useful things, so they do not count as used.
fn cgroup_left(root: &Path, cgroup: &str) -> Option<(u64, PathBuf)> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let group = root.join(path);
    let groups = group.ancestors().take_while(|group| group.starts_with(root));
    let left = groups.filter_map(|group| {
        let limit = group.join("memory.max");
        let number = |name| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
        let most = number("memory.max")?;
        let statistics = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let idle_files = statistics.lines().find_map(|line| line.strip_prefix("inactive_file "));
        let idle_files = idle_files.and_then(|number| number.trim().parse().ok()).unwrap_or(0);
        let used = number("memory.current").unwrap_or(0).saturating_sub(idle_files);
        Some((most.saturating_sub(used), limit))
    });
    left.min_by_key(|(left, _)| *left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{ApplicationConfig, FlowConfig};
    use crate::xsk::CopyMode;

    const MIB: u64 = 1 << 20;

    fn config(toml: &str) -> Config {
        toml::from_str::<Config>(toml).unwrap().check().unwrap()
    }

    fn sockets(config: &Config) -> XskConfig {
        XskConfig {
            rx_ring: config.capture.rx_ring,
            frames: config.capture.frames(),
            copy_mode: CopyMode::Copy,
            huge_pages: true,
            busy_poll: None,
            spin: false,
        }
    }

    fn capture(toml: &str, huge_pages: bool, queues: usize) -> Demand {
        let config = config(toml);
        Demand::of_capture(&config, &config.rules().unwrap(), &sockets(&config), huge_pages, queues)
    }

    fn sum(demand: &Demand, huge: bool) -> u64 {
        demand.parts.iter().filter(|part| part.huge == huge).map(Part::bytes).sum()
    }

    fn available(bytes: u64) -> Available {
        Available { bytes, by: "MemAvailable".to_owned(), huge: 64 * MIB }
    }

    #[test]
    fn every_option_that_takes_memory_counts() {
        let of = |toml: &str, queues| sum(&capture(toml, false, queues), false);
        let one = of("", 1);
        let table = FlowTable::bytes(&FlowConfig::default());
        assert!(one > 32 * MIB + table + PROGRAM, "{one}");
        // Four workers that share an output have three buffers to encode into, each, and it has one.
        assert_eq!(of("", 4) - PROGRAM, 4 * (one - PROGRAM) + 9 * sink_buffer(), "each queue has its own");
        let directory = "[[sink]]\ndestination = \"records/\"";
        assert_eq!(of(directory, 4) - PROGRAM, 4 * (of(directory, 1) - PROGRAM), "and a sink of its own");
        let rings_of = |frames: u64, ring: u64| frames * (2 * 8 + 128) + ring * (16 + 8);
        let cases = [
            ("[capture]\nframes = 16384", 8192 * 4096 + rings_of(8192, 0)),
            ("[capture]\nrx_ring = 8192\nframes = 8192", rings_of(0, 4096)),
            ("[[sink]]\nqueue_batches = 65", Batch::memory(0)),
        ];
        for (toml, more) in cases {
            assert_eq!(of(toml, 1), one + more, "{toml}");
        }
        let flows = FlowConfig { max_flows: 1 << 21, ..FlowConfig::default() };
        assert_eq!(of("[flow]\nmax_flows = 2097152", 1), one + FlowTable::bytes(&flows) - table);
        let tunnels = FlowConfig { max_tunnels: 60_000, ..FlowConfig::default() };
        assert_eq!(
            of("[flow]\nmax_tunnels = 60000", 2) - of("", 2),
            2 * (FlowTable::bytes(&tunnels) - table)
        );
        let applications = ApplicationConfig::default().bytes();
        assert_eq!(
            of("[output]\nrecords = [\"packet\"]", 1),
            one - table - applications,
            "no table without flows"
        );
        assert_eq!(of("[application]\napplications = false", 1), one - applications);
        assert_eq!(of("[output]\npayload = false", 1), one - applications);
        let pcapng = "[[sink]]\nformat = \"pcapng\"";
        assert!(
            of(pcapng, 1) > one - table - applications + 64 * (2 << 20),
            "packet bytes travel in batches"
        );
    }

    #[test]
    fn the_sum_for_32_queues_and_ten_million_flows_is_the_documented_one() {
        let demand = capture("[flow]\nmax_flows = 312500\n[[sink]]\ndestination = \"records/\"", false, 32);
        let said = demand.check(None).unwrap();
        let documented =
            include_str!("../../../docs/tuning.md").lines().map(str::trim).any(|line| line == said);
        assert!(documented, "not in docs/tuning.md: {said}");
    }

    fn sink_buffer() -> u64 {
        config("").sink[0].memory(1, false) - 64 * Batch::memory(0)
    }

    #[test]
    fn huge_pages_count_apart() {
        let (small, huge) = (capture("", false, 2), capture("", true, 2));
        assert_eq!(sum(&huge, true), 64 * MIB);
        assert_eq!(sum(&small, false), sum(&huge, false) + 64 * MIB);
        let said = huge.check(Some(&available(1 << 40))).unwrap();
        assert!(said.ends_with("; of 64.0 MiB of free huge pages, 64.0 MiB"), "{said}");
        assert!(said.contains("packet buffers 2 x 32.0 MiB on huge pages, "), "{said}");
        // What does not fit otherwise fits with them.
        let between = available(sum(&huge, false));
        assert!(huge.check(Some(&between)).is_ok() && small.check(Some(&between)).is_err());
    }

    #[test]
    fn more_than_there_is_is_refused_with_the_arithmetic() {
        let demand = Demand {
            parts: vec![
                Part {
                    purpose: "packet buffers",
                    options: "--frames",
                    each: 32 * MIB,
                    count: 4,
                    huge: false,
                },
                Part {
                    purpose: "flow tables",
                    options: "--max-flows",
                    each: 190 * MIB,
                    count: 4,
                    huge: false,
                },
                Part {
                    purpose: "records",
                    options: "--queue-batches",
                    each: 100 * MIB,
                    count: 1,
                    huge: false,
                },
            ],
        };
        let all = (4 * 32 + 4 * 190 + 100) * MIB;
        assert_eq!(
            demand.check(Some(&available(all))).unwrap(),
            "988.0 MiB of memory at most, 988.0 MiB are available (MemAvailable): packet buffers 4 x 32.0 MiB, flow \
             tables 4 x 190.0 MiB, records 100.0 MiB"
        );
        assert_eq!(
            demand.check(Some(&available(all - MIB))).unwrap_err().to_string(),
            "the options ask for 988.0 MiB of memory (packet buffers 4 x 32.0 MiB, flow tables 4 x 190.0 MiB, records \
             100.0 MiB), but 987.0 MiB are available (MemAvailable); ask for less by --max-flows"
        );
        assert!(demand.check(None).unwrap().starts_with("988.0 MiB of memory at most: packet"), "not known");
        let absurd = capture("[[sink]]\nqueue_batches = 9223372036854775807", false, 1);
        let error = absurd.check(Some(&available(1 << 50))).unwrap_err().to_string();
        assert!(error.ends_with("ask for less by --queue-batches"), "{error}");
    }

    #[test]
    fn the_tightest_limit_counts() {
        let group = |left| Some((left, PathBuf::from("/sys/fs/cgroup/a/memory.max")));
        for (machine, group, expected) in [
            (Some(10), None, Some((10, "MemAvailable"))),
            (Some(10), group(20), Some((10, "MemAvailable"))),
            (Some(30), group(20), Some((20, "/sys/fs/cgroup/a/memory.max"))),
            (None, group(20), Some((20, "/sys/fs/cgroup/a/memory.max"))),
            (None, None, None),
        ] {
            let found = least(machine, group, 0);
            let found = found.as_ref().map(|found| (found.bytes, found.by.as_str()));
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn available_memory_is_read() {
        let text = "MemTotal:       24684104 kB\nMemAvailable:   23556096 kB\nHugePages_Free:  0\n";
        assert_eq!(mem_available(text), Some(23_556_096 * 1024));
        assert_eq!(mem_available("MemTotal: 1 kB\n"), None);
        assert!(super::available().is_some(), "on this machine");
    }

    #[test]
    fn control_groups_are_read_up_to_the_root() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("system.slice/mirror.service");
        fs::create_dir_all(&group).unwrap();
        let write = |directory: &Path, name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
        let left = |cgroup| cgroup_left(root.path(), cgroup);
        let own = "1:cpu:/elsewhere\n0::/system.slice/mirror.service\n";
        assert_eq!(left(own), None, "no limit, as in the root");
        write(&group, "memory.max", "max\n");
        assert_eq!(left(own), None, "max is none");

        write(&group, "memory.max", "1000000\n");
        write(&group, "memory.current", "300000\n");
        write(&group, "memory.stat", "anon 100000\ninactive_file 200000\nactive_file 0\n");
        assert_eq!(left(own), Some((900_000, group.join("memory.max"))));
        let slice = root.path().join("system.slice");
        write(&slice, "memory.max", "2000000\n");
        write(&slice, "memory.current", "1500000\n");
        assert_eq!(left(own), Some((500_000, slice.join("memory.max"))));
        write(&slice, "memory.current", "2500000\n");
        assert_eq!(left(own), Some((0, slice.join("memory.max"))));
        assert_eq!(left("0::/\n"), None);
        assert_eq!(left("1:memory:/a\n"), None, "version 1 only");
        // In a container the group's own files are at the root.
        write(root.path(), "memory.max", "400000\n");
        assert_eq!(left("0::/\n"), Some((400_000, root.path().join("memory.max"))));
        assert_eq!(left("0::/not/there\n"), Some((400_000, root.path().join("memory.max"))));
    }
}

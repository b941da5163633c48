//! The machine that figures depend on, its kernel, and their settings.

use std::fmt;
use std::fs;
use std::process::Command;

use mirror_testkit::processors::allowed_processors;
use rustix::system::uname;
use serde::{Deserialize, Serialize};

/// The machine, its kernel and their settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's own name.
    pub processor: String,
    /// Processors that the program may use.
    pub processors: usize,
    /// True on a virtual machine.
    pub virtual_machine: bool,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Release of the kernel.
    pub kernel: String,
    /// The setting of transparent huge pages: `always`, `madvise` or `never`.
    pub transparent_huge_pages: String,
    /// Huge pages that are reserved.
    pub huge_pages: u64,
    /// The frequency governor, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governor: Option<String>,
    /// True if the kernel compiles eBPF programs just in time.
    pub bpf_jit: bool,
    /// Mitigations of processor faults, where they are in force: `name: mitigation`.
    pub mitigations: Vec<String>,
    /// Version of this program.
    pub version: String,
    /// True for a release build.
    pub optimised: bool,
    /// The commit that it was run in, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

impl Machine {
    /// This machine. Fields that cannot be read are left empty.
    pub fn current() -> Self {
        let processor = read("/proc/cpuinfo");
        let memory = read("/proc/meminfo");
        Self {
            processor: field(&processor, "model name").unwrap_or("unknown").to_owned(),
            processors: allowed_processors().len(),
            virtual_machine: field(&processor, "flags")
                .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            memory_mib: number(field(&memory, "MemTotal")) / 1024,
            kernel: uname().release().to_string_lossy().into_owned(),
            transparent_huge_pages: chosen(&read("/sys/kernel/mm/transparent_hugepage/enabled")).to_owned(),
            huge_pages: number(field(&memory, "HugePages_Total")),
            governor: Some(read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty()),
            bpf_jit: read("/proc/sys/net/core/bpf_jit_enable").trim() != "0",
            mitigations: mitigations(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            optimised: !cfg!(debug_assertions),
            commit: commit(),
        }
    }
}

impl fmt::Display for Machine {
    /// One line for a reader.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, processors, virtual_machine, memory_mib, kernel, version, optimised, .. } =
            self;
        let kind = if *virtual_machine { "virtual" } else { "physical" };
        let gibibytes = memory_mib.div_ceil(1024);
        write!(
            formatter,
            "{processor}, {processors} {kind} processor(s), {gibibytes} GiB, Linux {kernel}, "
        )?;
        write!(formatter, "mirror-bench {version}")?;
        if !optimised {
            formatter.write_str(", NOT BUILT FOR SPEED (use cargo build --release)")?;
        }
        Ok(())
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first line `name: value`.
fn field<'text>(text: &'text str, name: &str) -> Option<&'text str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
}

/// The number that a value begins with.
fn number(value: Option<&str>) -> u64 {
    value.and_then(|value| value.split(' ').next()?.parse().ok()).unwrap_or(0)
}

/// The word in brackets, as sysfs marks what is chosen.
fn chosen(text: &str) -> &str {
    text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("", |(word, _)| word)
}

fn mitigations() -> Vec<String> {
    let entries = fs::read_dir("/sys/devices/system/cpu/vulnerabilities").into_iter().flatten().flatten();
    let mut mitigations: Vec<String> = entries
        .filter_map(|entry| {
            let text = fs::read_to_string(entry.path()).ok()?;
            let mitigation = text.trim().strip_prefix("Mitigation: ")?;
            Some(format!("{}: {mitigation}", entry.file_name().to_str()?))
        })
        .collect();
    mitigations.sort();
    mitigations
}

fn commit() -> Option<String> {
    let output =
        Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_files_are_read() {
        let memory = "MemTotal:       24623460 kB\nHugePages_Total:       3\n";
        assert_eq!(number(field(memory, "MemTotal")), 24_623_460);
        assert_eq!(number(field(memory, "HugePages_Total")), 3);
        assert_eq!(number(field(memory, "MemFree")), 0);
        assert_eq!(chosen("always [madvise] never\n"), "madvise");
        assert_eq!(chosen(""), "");
    }

    #[test]
    fn this_machine_has_a_kernel_and_processors() {
        let machine = Machine::current();
        assert!(machine.processors > 0 && machine.memory_mib > 0, "{machine}");
        assert!(machine.kernel.starts_with(|c: char| c.is_ascii_digit()), "{machine}");
        assert_eq!(machine.to_string().contains("NOT BUILT FOR SPEED"), cfg!(debug_assertions));
    }
}

//! The tools and packages of a machine: looked up once, so that planning is a pure function.

use std::fs;
use std::process::Command;

use mirror_testkit::process::find;
use mirror_testkit::root::is_root;

use super::distribution::Distribution;
use super::scope::Scope;
use crate::cargo;

/// The versions of LLVM that bpf-linker 0.13 can be built with (its features `llvm-21` to `llvm-23`).
pub const BPF_LINKER_LLVM: std::ops::RangeInclusive<u32> = 21..=23;

/// The means to install packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// This program is root.
    Root,
    /// `sudo` is there.
    Sudo,
    /// Neither.
    None,
}

/// The nightly toolchain, which alone can compile for the BPF target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nightly {
    /// The major version of the LLVM in it.
    pub llvm: u32,
    /// True where the sources of `core` are there, which are compiled for the BPF target.
    pub sources: bool,
}

/// The things on a machine that set-up could install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its distribution.
    pub distribution: Distribution,
    /// The means to install packages.
    pub privilege: Privilege,
    /// Those of the distribution's packages that matter here and are installed.
    pub packages: Vec<String>,
    /// The versions of LLVM among [`BPF_LINKER_LLVM`] that the package lists have.
    pub llvm_available: Vec<u32>,
    /// Those of them that are installed.
    pub llvm_installed: Vec<u32>,
    /// True where `rustup` is there.
    pub rustup: bool,
    /// The nightly toolchain, if it is there.
    pub nightly: Option<Nightly>,
    /// True where `cargo fmt` and `cargo clippy` run.
    pub lints: bool,
    /// True where bpf-linker runs.
    pub bpf_linker: bool,
}

impl Machine {
    /// Looks at this machine. Changes nothing.
    pub fn probe() -> Self {
        let distribution =
            Distribution::from_os_release(&fs::read_to_string("/etc/os-release").unwrap_or_default());
        let wanted: Vec<&str> = distribution.packages(Scope::Tests).map(|package| package.name).collect();
        let packages = distribution.installed(&wanted);
        let llvm: Vec<(u32, String)> =
            BPF_LINKER_LLVM.map(|major| (major, distribution.llvm_package(major))).collect();
        let llvm_names: Vec<&str> = llvm.iter().map(|(_, name)| name.as_str()).collect();
        let llvm_packages = distribution.installed(&llvm_names);
        Self {
            privilege: if is_root() {
                Privilege::Root
            } else if find("sudo").is_some() {
                Privilege::Sudo
            } else {
                Privilege::None
            },
            packages,
            llvm_available: distribution.available_llvm(BPF_LINKER_LLVM),
            llvm_installed: llvm
                .iter()
                .filter(|(_, name)| llvm_packages.contains(name))
                .map(|(major, _)| *major)
                .collect(),
            rustup: find("rustup").is_some(),
            nightly: nightly(),
            lints: says(cargo::command().args(["fmt", "--version"])).is_some()
                && says(cargo::command().args(["clippy", "--version"])).is_some(),
            bpf_linker: says(Command::new("bpf-linker").arg("--version")).is_some(),
            distribution,
        }
    }
}

/// The output of a command, if it runs and succeeds.
fn says(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn nightly() -> Option<Nightly> {
    let rustc = |argument: &[&str]| {
        // Asking must not install: newer rustups fetch a toolchain that is named and not there.
        let mut command = Command::new("rustup");
        says(command.args(["run", "nightly", "rustc"]).args(argument).env("RUSTUP_AUTO_INSTALL", "0"))
    };
    let llvm = llvm_major(&rustc(&["--version", "--verbose"])?)?;
    let sysroot = rustc(&["--print", "sysroot"])?;
    let core = std::path::Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/Cargo.toml");
    Some(Nightly { llvm, sources: core.is_file() })
}

/// The major version of LLVM in the output of `rustc --version --verbose`.
fn llvm_major(version: &str) -> Option<u32> {
    let llvm = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    llvm.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_names_its_llvm() {
        let text =
            "rustc 1.97.0-nightly (e50aa6fba 2026-05-19)\nrelease: 1.97.0-nightly\nLLVM version: 22.1.4\n";
        assert_eq!(llvm_major(text), Some(22));
        assert_eq!(llvm_major("rustc 1.97.0-nightly\n"), None);
    }
}

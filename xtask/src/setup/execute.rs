//! Carries out one step of a plan: says what it runs, that it goes on, and why it failed.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use mirror_testkit::interrupt::{Interrupt, Interrupted};
use mirror_testkit::process::{self, ProcessError, Running};

use super::machine::{Machine, Privilege};
use super::plan::{BPF_LINKER, Step};
use crate::cargo;

/// Between two lines that tell that a command goes on.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Between two looks at a command.
const POLL: Duration = Duration::from_millis(50);
/// Number of last lines that a failed command is shown with.
const TAIL: usize = 15;

/// A step that could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Its command failed.
    #[error("could not {step}: `{command}` failed\n{output}\n{remedy}")]
    Failed {
        /// The step.
        step: String,
        /// The command line.
        command: String,
        /// The command's last lines.
        output: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// Its command could not be run, or this program was asked to stop.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// This program was asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Carries `step` out.
///
/// # Errors
///
/// When its command fails, except for a refresh of the package lists: a source of packages that is not needed
/// here may be out of reach, and those that are needed tell when a package is to be installed from them.
pub fn execute(step: &Step, machine: &Machine, interrupt: &Interrupt) -> Result<(), StepError> {
    let mut command = command(step, machine);
    let line = process::show(&command);
    println!("set-up: {step}");
    println!("    {line}");
    let started = Instant::now();
    let (mut running, mut stdout, mut stderr) = Running::spawn(&mut command)?;
    let mut next = HEARTBEAT;
    let status = loop {
        if let Some(status) = running.ended()? {
            break status;
        }
        interrupt.check()?;
        if started.elapsed() >= next {
            let last = stdout.last().or_else(|| stderr.last()).unwrap_or_default();
            println!("    {} s: {}", next.as_secs(), last.trim());
            next += HEARTBEAT;
        }
        thread::sleep(POLL);
    };
    if status.success() {
        return Ok(());
    }
    let mut output = stdout.finish();
    output.extend(stderr.finish());
    let tail = output[output.len().saturating_sub(TAIL)..].join("\n");
    if *step == Step::RefreshLists {
        println!("    failed, and going on with the lists that are there:\n{tail}");
        return Ok(());
    }
    Err(StepError::Failed {
        step: step.to_string(),
        command: line,
        remedy: remedy(step, &output.join("\n")),
        output: tail,
    })
}

/// The command line of `step`.
fn command(step: &Step, machine: &Machine) -> Command {
    let distribution = &machine.distribution;
    match step {
        Step::RefreshLists => as_root(machine.privilege, distribution.refresh()),
        Step::InstallPackages(names) => {
            let mut command = as_root(machine.privilege, distribution.install());
            command.args(names);
            command
        }
        Step::InstallNightly => rustup(&["toolchain", "install", "nightly", "--profile", "minimal"]),
        Step::InstallSources => rustup(&["component", "add", "rust-src", "--toolchain", "nightly"]),
        Step::InstallLints => rustup(&["component", "add", "rustfmt", "clippy"]),
        Step::InstallBpfLinker { llvm } => {
            let mut command = cargo::command();
            command
                .env("LLVM_PREFIX", distribution.llvm_prefix(*llvm))
                // One that is there but does not run is to be replaced.
                .args(["install", "bpf-linker", "--version", BPF_LINKER, "--locked", "--force"])
                .args(["--no-default-features", "--features", &format!("llvm-{llvm}")]);
            command
        }
    }
}

fn as_root(privilege: Privilege, (program, arguments): (&str, &[&str])) -> Command {
    let mut command = match privilege {
        Privilege::Sudo => {
            let mut sudo = Command::new("sudo");
            sudo.arg(program);
            sudo
        }
        Privilege::Root | Privilege::None => Command::new(program),
    };
    command.args(arguments);
    command
}

fn rustup(arguments: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.args(arguments);
    command
}

/// The remedy for a failed command, judged by its output.
fn remedy(step: &Step, output: &str) -> &'static str {
    const UNREACHABLE: [&str; 12] = [
        "could not resolve",
        "couldn't resolve",
        "temporary failure resolving",
        "temporary failure in name resolution",
        "failed to lookup address",
        "dns error",
        "could not connect",
        "failed to connect",
        "connection refused",
        "network is unreachable",
        "timed out",
        "error sending request",
    ];
    let output = output.to_lowercase();
    if UNREACHABLE.iter().any(|words| output.contains(words)) {
        return "the machine cannot reach the server: connect it, or set the proxy, then run this again";
    }
    match step {
        Step::RefreshLists | Step::InstallPackages(_) => {
            "mend what the package manager says, then run this again"
        }
        Step::InstallNightly | Step::InstallSources | Step::InstallLints => {
            "install it with rustup on a machine that may fetch it and copy rustup's directory, or allow the fetch"
        }
        Step::InstallBpfLinker { .. } => {
            "put a bpf-linker on PATH, as its project publishes it, or mend what the compiler says"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::distribution::Distribution;
    use super::*;

    fn machine(distribution: Distribution, privilege: Privilege) -> Machine {
        Machine {
            distribution,
            privilege,
            packages: Vec::new(),
            llvm_available: Vec::new(),
            llvm_installed: Vec::new(),
            rustup: true,
            nightly: None,
            lints: false,
            bpf_linker: false,
        }
    }

    #[test]
    fn steps_become_command_lines() {
        let debian = machine(Distribution::Debian, Privilege::Root);
        let amazon = machine(Distribution::AmazonLinux2023, Privilege::Sudo);
        let packages = Step::InstallPackages(vec!["m4".to_owned(), "clang".to_owned()]);
        let cases = [
            (&Step::RefreshLists, &debian, "apt-get update"),
            (&Step::RefreshLists, &amazon, "sudo dnf --assumeyes makecache"),
            (
                &packages,
                &debian,
                "env DEBIAN_FRONTEND=noninteractive apt-get install --assume-yes --no-install-recommends m4 clang",
            ),
            (&packages, &amazon, "sudo dnf --assumeyes install --setopt=install_weak_deps=False m4 clang"),
            (&Step::InstallSources, &amazon, "rustup component add rust-src --toolchain nightly"),
        ];
        for (step, machine, expected) in cases {
            assert_eq!(process::show(&command(step, machine)), expected);
        }
    }

    #[test]
    fn bpf_linker_is_built_as_the_user_with_the_llvm_that_was_chosen() {
        for (distribution, prefix) in
            [(Distribution::Debian, "/usr/lib/llvm-22"), (Distribution::AmazonLinux2023, "/usr/lib64/llvm22")]
        {
            let command =
                command(&Step::InstallBpfLinker { llvm: 22 }, &machine(distribution, Privilege::Sudo));
            let program = Path::new(command.get_program());
            assert_eq!(program.file_name().and_then(|name| name.to_str()), Some("cargo"));
            assert!(process::show(&command).ends_with("--no-default-features --features llvm-22"));
            assert!(process::show(&command).starts_with(&format!("LLVM_PREFIX={prefix} ")));
        }
    }

    #[test]
    fn a_machine_without_a_network_is_told_so() {
        let said = [
            "Temporary failure resolving 'archive.invalid'",
            "error: could not download file: error sending request for url",
            "Could not resolve host: archive.invalid",
        ];
        for words in said {
            assert!(remedy(&Step::InstallNightly, words).contains("cannot reach"), "{words}");
        }
        assert!(remedy(&Step::InstallNightly, "error: refused").contains("copy rustup's directory"));
    }
}

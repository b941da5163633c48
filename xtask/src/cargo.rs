//! Cargo: its command, and its messages on the products of a build.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use mirror_testkit::interrupt::Interrupt;
use mirror_testkit::process::{self, Running};
use serde::Deserialize;

/// The directory of the workspace.
pub fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// The cargo that runs this program, to be run in the workspace.
pub fn command() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(workspace());
    command
}

/// The directory that holds what is built.
///
/// # Errors
///
/// When cargo cannot read the workspace.
pub fn target_directory() -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }
    let text = process::output(command().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Metadata = serde_json::from_str(&text).context("cargo's metadata cannot be read")?;
    Ok(metadata.target_directory)
}

/// The products of a build.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Built {
    /// Executables by name.
    pub executables: BTreeMap<String, PathBuf>,
    /// Output directories of build scripts, by package.
    pub out_directories: BTreeMap<String, PathBuf>,
}

/// Runs `cargo build` with `arguments`. Progress and diagnostics go to standard error, as ever.
///
/// # Errors
///
/// When the build fails; cargo has printed the reason.
pub fn build(arguments: &[&str], interrupt: &Interrupt) -> Result<Built> {
    let mut command = command();
    command.args(["build", "--message-format", "json-render-diagnostics"]).args(arguments);
    let line = process::show(&command);
    let (running, mut messages) = Running::spawn_for_output(&mut command)?;
    let status = running.wait(interrupt)?;
    if !status.success() {
        bail!("`{line}` failed ({status}); its words are above");
    }
    Ok(read_messages(messages.finish()))
}

/// The two of cargo's messages that matter here (Cargo Book, "External tools").
#[derive(Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Message {
    CompilerArtifact {
        target: Target,
        executable: Option<PathBuf>,
    },
    BuildScriptExecuted {
        package_id: String,
        out_dir: PathBuf,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

fn read_messages(lines: Vec<String>) -> Built {
    let mut built = Built::default();
    // A line that is no message was printed by something that cargo ran.
    for message in lines.into_iter().filter_map(|line| serde_json::from_str(&line).ok()) {
        match message {
            Message::CompilerArtifact { target, executable: Some(path) } => {
                built.executables.insert(target.name, path);
            }
            Message::BuildScriptExecuted { package_id, out_dir } => {
                built.out_directories.insert(package_name(&package_id).to_owned(), out_dir);
            }
            Message::CompilerArtifact { .. } | Message::Other => {}
        }
    }
    built
}

/// The name in a package id: `KIND+URL#NAME@VERSION`, or `KIND+URL#VERSION` where the last part of the URL is the
/// name (Cargo Book, "Package ID specifications").
fn package_name(id: &str) -> &str {
    let (url, fragment) = id.split_once('#').unwrap_or((id, ""));
    match fragment.split_once('@') {
        Some((name, _)) => name,
        None => url.rsplit('/').next().unwrap_or(url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_id_holds_its_name_in_one_of_two_places() {
        assert_eq!(package_name("path+file:///src/mirror/mirror-ebpf#0.1.0"), "mirror-ebpf");
        assert_eq!(package_name("path+file:///src/mirror/bench#mirror-bench@0.1.0"), "mirror-bench");
        assert_eq!(package_name("registry+https://example.org/index#libc@0.2.174"), "libc");
    }

    #[test]
    fn executables_and_output_directories_are_found_among_the_messages() {
        let lines = [
            r#"{"reason":"compiler-artifact","target":{"name":"libc"},"executable":null,"fresh":true}"#,
            r#"{"reason":"compiler-artifact","target":{"name":"mirror-bench"},"executable":"/t/mirror-bench"}"#,
            r#"{"reason":"build-script-executed","package_id":"path+file:///m/mirror-ebpf#0.1.0","out_dir":"/t/out"}"#,
            "a line of some build script",
            r#"{"reason":"build-finished","success":true}"#,
        ];
        let built = read_messages(lines.map(str::to_owned).into());
        assert_eq!(
            built.executables,
            BTreeMap::from([("mirror-bench".to_owned(), PathBuf::from("/t/mirror-bench"))])
        );
        assert_eq!(
            built.out_directories,
            BTreeMap::from([("mirror-ebpf".to_owned(), PathBuf::from("/t/out"))])
        );
    }
}

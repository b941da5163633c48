//! Python environments for tests that let another program read what ours wrote.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python of an environment in `directory` (a test's `CARGO_TARGET_TMPDIR`) that has what the file `requirements` asks
/// for. It is made when it is missing, and named after the file's content.
///
/// # Errors
///
/// With the reason why there is none, for a line that begins with `SKIPPED: `.
pub fn environment(directory: &Path, requirements: &Path) -> Result<PathBuf, String> {
    let told = |error: std::io::Error| format!("{}: {error}", requirements.display());
    let mut hasher = DefaultHasher::new();
    fs::read(requirements).map_err(told)?.hash(&mut hasher);
    let root = directory.join(format!("python-{:016x}", hasher.finish()));
    let python = root.join("bin/python");
    let complete = root.join("complete");
    // Test programs may run beside each other.
    let lock = File::create(root.with_extension("lock")).map_err(told)?;
    lock.lock().map_err(told)?;
    if !complete.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&root))?;
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--requirement"])
            .arg(requirements))?;
        File::create(complete).map_err(told)?;
    }
    Ok(python)
}

/// Runs a script with arguments, and returns what it printed.
///
/// # Errors
///
/// With its last words, when it fails.
pub fn script(python: &Path, script: &str, arguments: &[&Path]) -> Result<String, String> {
    let mut command = Command::new(python);
    command.arg("-c").arg(script).args(arguments);
    let output = command.output().map_err(|error| format!("{}: {error}", python.display()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}", words.lines().last().unwrap_or("no words")))
}

//! Command lines: found, shown, and run for their output.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::error::ProcessError;

/// The path at which the shell would find `program`.
pub fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}

/// The command line as one would type it.
pub fn show(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        value.map(|value| format!("{}={}", name.to_string_lossy(), quote(&value.to_string_lossy())))
    });
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let words = words.map(|word| quote(&word.to_string_lossy()));
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:=+@%^,".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Runs a command that is done in no time, and returns what it wrote to standard output.
///
/// # Errors
///
/// When it cannot be run or ends with an error; its standard error is in the message.
pub fn output(command: &mut Command) -> Result<String, ProcessError> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ProcessError::Spawn { command: show(command), source })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(ProcessError::Failed { command: show(command), status: output.status, output: words })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("cargo");
        command.env("LLVM_PREFIX", "/usr/lib/llvm-22").args([
            "install",
            "--version",
            "^0.13",
            "a b",
            "it's",
            "",
        ]);
        assert_eq!(
            show(&command),
            r"LLVM_PREFIX=/usr/lib/llvm-22 cargo install --version ^0.13 'a b' 'it'\''s' ''"
        );
    }

    #[test]
    fn an_error_holds_what_the_child_said() {
        let error = output(Command::new("sh").args(["-c", "echo the cause >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("the cause"), "{error}");
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = output(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(matches!(&error, ProcessError::Spawn { command, .. } if command == "no-such-program-here"));
    }
}

//! Builds the XDP programs of this very package for the `bpf` target, so that the host library can hold the
//! objects. Runs again whenever a source, the lock file or the toolchain has changed: an object is never stale.

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail, ensure};

/// Remedy for a missing prerequisite.
const MEND: &str = "run `cargo xtask setup` (it installs what is missing, and says what)";

fn main() -> ExitCode {
    if env::var_os("CARGO_FEATURE_BPF").is_some() {
        return ExitCode::SUCCESS; // the inner build, whose programs this script exists to build
    }
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}"); // `main` would add a backtrace, which hides the remedy
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<()> {
    for path in [
        "build.rs",
        "Cargo.toml",
        "src",
        "../mirror-common",
        "../mirror-traffic",
        "../Cargo.toml",
        "../Cargo.lock",
    ] {
        println!("cargo:rerun-if-changed={path}");
    }
    println!("cargo:rerun-if-env-changed=PATH");
    require_linker()?;
    require_toolchain()?;
    build_programs()
}

/// Names a missing `bpf-linker` before the compiler fails on it in its own words.
fn require_linker() -> Result<()> {
    let linker = env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .map(|directory| directory.join("bpf-linker"))
        .find(|path| path.is_file());
    match linker {
        Some(path) => println!("cargo:rerun-if-changed={}", path.display()),
        None => bail!("bpf-linker is missing from PATH: {MEND}"),
    }
    Ok(())
}

/// Names a missing nightly toolchain, which the `bpf` target needs because it has no compiled `core` library.
fn require_toolchain() -> Result<()> {
    let sysroot = Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]).output();
    let sysroot = match sysroot {
        Ok(output) if output.status.success() => PathBuf::from(String::from_utf8(output.stdout)?.trim()),
        Ok(_) => bail!("the nightly Rust toolchain is missing: {MEND}"),
        Err(error) => bail!("rustup cannot be run ({error}): {MEND}"),
    };
    let rustlib = sysroot.join("lib/rustlib");
    ensure!(
        rustlib.join("src/rust/library/core/Cargo.toml").is_file(),
        "rust-src of the nightly toolchain is missing: {MEND}"
    );
    // The list of what is installed, which rustup writes anew at every update.
    println!("cargo:rerun-if-changed={}", rustlib.join("components").display());
    Ok(())
}

/// Builds the binaries of this package for the `bpf` target, into `OUT_DIR`. Silent unless it fails.
fn build_programs() -> Result<()> {
    let endian = env::var("CARGO_CFG_TARGET_ENDIAN")?;
    ensure!(
        endian == "little",
        "the XDP programs are written for little-endian machines; this target is {endian}-endian"
    );
    let flags = [
        format!("--cfg=bpf_target_arch=\"{}\"", env::var("CARGO_CFG_TARGET_ARCH")?),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        // A header may lie at any address. Where the machine cannot read it in one go, the verifier refuses the program.
        "-Ctarget-feature=+allows-misaligned-mem-access".to_owned(),
    ];
    let mut cargo = Command::new("rustup");
    cargo.args(["run", "nightly", "cargo", "build", "--package", "mirror-ebpf", "--bins", "--release"]);
    cargo.args(["--target", "bpfel-unknown-none", "-Z", "build-std=core"]);
    cargo.args(["--no-default-features", "--features", "bpf"]);
    // A target directory of its own: the outer build holds the lock of the common one.
    cargo.arg("--target-dir").arg(env::var("OUT_DIR")?);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    // What the outer build says of its compiler (or of clippy in its place) is not for the inner one.
    for variable in
        ["CARGO", "RUSTC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTDOC", "RUSTUP_TOOLCHAIN"]
    {
        cargo.env_remove(variable);
    }
    let output = cargo.output().with_context(|| format!("cannot run {cargo:?}"))?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        bail!("the XDP programs do not build; the compiler's words are above");
    }
    Ok(())
}

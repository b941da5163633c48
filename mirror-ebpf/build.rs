//! Builds the XDP programs of this very package for the `bpf` target, so that the host library can hold the
//! objects. Runs again whenever a source, the lock file or the toolchain has changed: an object is never stale.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use aya_build::{Package, Toolchain, build_ebpf};

fn main() -> Result<()> {
    if env::var_os("CARGO_FEATURE_BPF").is_some() {
        return Ok(()); // the inner build, whose programs this script exists to build
    }
    for path in ["../mirror-common/src", "../mirror-common/Cargo.toml", "../Cargo.toml", "../Cargo.lock"] {
        println!("cargo:rerun-if-changed={path}");
    }
    println!("cargo:rerun-if-env-changed=PATH");
    require_tools()?;
    let package =
        Package { name: "mirror-ebpf", root_dir: ".", no_default_features: true, features: &["bpf"] };
    build_ebpf([package], Toolchain::Nightly)
        .context("the eBPF programs do not build; the compiler's words are above")
}

/// Names a missing prerequisite and the command that mends it, before the compiler fails on it in its own words.
fn require_tools() -> Result<()> {
    const MEND: &str = "run `cargo xtask setup` (it installs what is missing, and says what)";
    let linker = env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .map(|directory| directory.join("bpf-linker"))
        .find(|path| path.is_file());
    match linker {
        Some(path) => println!("cargo:rerun-if-changed={}", path.display()),
        None => bail!("bpf-linker is missing from PATH: {MEND}"),
    }
    let sysroot = Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]).output();
    let sysroot = match sysroot {
        Ok(output) if output.status.success() => PathBuf::from(String::from_utf8(output.stdout)?.trim()),
        Ok(_) => bail!("the nightly Rust toolchain is missing: {MEND}"),
        Err(error) => bail!("rustup cannot be run ({error}): {MEND}"),
    };
    let source = sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml");
    if !source.is_file() {
        bail!("rust-src of the nightly toolchain is missing: {MEND}");
    }
    println!("cargo:rerun-if-changed={}", source.display());
    Ok(())
}

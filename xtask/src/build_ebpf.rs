//! Builds the XDP programs and says what is in them.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use mirror_testkit::interrupt::Interrupt;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

use crate::cargo;
use crate::setup::{self, Scope};

/// The package whose build script makes the objects, and their names in its output directory.
const PACKAGE: &str = "mirror-ebpf";
const OBJECTS: [&str; 2] = ["capture", "generate"];

/// Arguments of `build-ebpf`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Use the release profile's build directory. The programs themselves are always optimised.
    #[arg(long)]
    release: bool,
}

/// Builds the objects, copies them to `target/bpf` and lists what they contain.
///
/// # Errors
///
/// When a prerequisite is missing (the message names it and what installs it), or when the build fails.
pub fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<ExitCode> {
    setup::require(Scope::Ebpf)?;
    let profile: &[&str] = if arguments.release { &["--release"] } else { &[] };
    let built = cargo::build(&[&["--package", PACKAGE], profile].concat(), interrupt)?;
    let made = built
        .out_directories
        .get(PACKAGE)
        .with_context(|| format!("cargo names no output directory of {PACKAGE}'s build script"))?;
    let directory = cargo::target_directory()?.join("bpf");
    fs::create_dir_all(&directory).with_context(|| format!("{} cannot be made", directory.display()))?;
    for name in OBJECTS {
        let (from, to) = (made.join(name), directory.join(name));
        fs::copy(&from, &to)
            .with_context(|| format!("{} cannot be copied to {}", from.display(), to.display()))?;
        show(&to)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(path: &Path) -> Result<()> {
    let bytes = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let contents = Contents::read(&bytes).with_context(|| format!("{} is no BPF object", path.display()))?;
    println!("{} ({} bytes)", path.display(), bytes.len());
    for (section, program) in &contents.programs {
        println!("  program {program} (section {section})");
    }
    for map in &contents.maps {
        println!("  map {map}");
    }
    Ok(())
}

/// The programs and maps that a loader finds in an object.
#[derive(Debug, Default, PartialEq, Eq)]
struct Contents {
    /// Section and name of each program.
    programs: Vec<(String, String)>,
    /// Name of each map.
    maps: Vec<String>,
}

impl Contents {
    /// Reads the symbols as a loader does: a function in a section of its own kind is a program (`.text` holds
    /// what programs call), and each object in the section `maps` is a map.
    fn read(bytes: &[u8]) -> object::Result<Self> {
        let file = object::File::parse(bytes)?;
        let mut contents = Self::default();
        for symbol in file.symbols() {
            let Some(section) = symbol.section_index() else { continue };
            let section = file.section_by_index(section)?.name()?.to_owned();
            let name = symbol.name()?.to_owned();
            match symbol.kind() {
                SymbolKind::Text if section != ".text" => contents.programs.push((section, name)),
                SymbolKind::Data if section == "maps" || section == ".maps" => contents.maps.push(name),
                _ => {}
            }
        }
        contents.programs.sort();
        contents.maps.sort();
        Ok(contents)
    }
}

#[cfg(test)]
mod tests {
    use object::write::{Symbol, SymbolSection};
    use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolScope};

    use super::*;

    /// An object with one symbol for each of `symbols`: its section, name and kind.
    fn build(symbols: &[(&str, &str, SymbolKind)]) -> Vec<u8> {
        let mut file = object::write::Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
        for &(section, name, kind) in symbols {
            let section_kind = if kind == SymbolKind::Text { SectionKind::Text } else { SectionKind::Data };
            let section = file.add_section(Vec::new(), section.into(), section_kind);
            let value = file.append_section_data(section, &[0; 8], 8);
            file.add_symbol(Symbol {
                name: name.into(),
                value,
                size: 8,
                kind,
                scope: SymbolScope::Linkage,
                weak: false,
                section: SymbolSection::Section(section),
                flags: SymbolFlags::None,
            });
        }
        file.write().unwrap()
    }

    #[test]
    fn programs_and_maps_are_told_from_other_symbols() {
        let bytes = build(&[
            ("xdp.frags", "mirror_capture", SymbolKind::Text),
            (".text", "a_function", SymbolKind::Text),
            ("maps", "XSKS", SymbolKind::Data),
            (".rodata", "CONFIG", SymbolKind::Data),
            ("maps", "COUNTERS", SymbolKind::Data),
        ]);
        assert_eq!(
            Contents::read(&bytes).unwrap(),
            Contents {
                programs: vec![("xdp.frags".to_owned(), "mirror_capture".to_owned())],
                maps: vec!["COUNTERS".to_owned(), "XSKS".to_owned()],
            }
        );
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        assert!(Contents::read(b"not an object").is_err());
    }
}

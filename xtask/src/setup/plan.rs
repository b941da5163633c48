//! From what a machine has to what is missing, and to the steps that mend it. Nothing here looks at the machine.

use std::fmt;

use super::distribution::Distribution;
use super::machine::{BPF_LINKER_LLVM, Machine, Privilege};
use super::scope::Scope;

/// The version of bpf-linker that is built, as cargo writes requirements.
pub const BPF_LINKER: &str = "^0.13";

/// Something that a machine lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its name.
    pub name: &'static str,
    /// Its purpose.
    pub purpose: &'static str,
    /// The means that would provide it.
    remedy: Remedy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    Package,
    Nightly,
    Sources,
    Lints,
    BpfLinker,
}

/// One thing that set-up does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Refresh the package lists of the distribution.
    RefreshLists,
    /// Install packages of the distribution.
    InstallPackages(Vec<String>),
    /// Install the nightly toolchain.
    InstallNightly,
    /// Install the sources of the standard library for it.
    InstallSources,
    /// Install rustfmt and clippy for the toolchain in use.
    InstallLints,
    /// Build and install bpf-linker with this version of LLVM.
    InstallBpfLinker {
        /// LLVM's major version.
        llvm: u32,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RefreshLists => formatter.write_str("refresh the distribution's package lists"),
            Self::InstallPackages(names) => write!(formatter, "install {}", names.join(", ")),
            Self::InstallNightly => formatter.write_str("install the nightly Rust toolchain"),
            Self::InstallSources => formatter.write_str("install rust-src for the nightly toolchain"),
            Self::InstallLints => formatter.write_str("install rustfmt and clippy"),
            Self::InstallBpfLinker { llvm } => {
                write!(formatter, "build and install bpf-linker with LLVM {llvm} (one to five minutes)")
            }
        }
    }
}

/// A reason why set-up cannot install something. Each names the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// The distribution is not known.
    #[error(
        "{system} is not a system that set-up can install packages on: put a bpf-linker {BPF_LINKER} on PATH, and \
         install what Debian calls {}",
        debian_packages()
    )]
    Distribution {
        /// The system's name.
        system: String,
    },
    /// Neither root nor sudo.
    #[error("installing packages needs root, and there is no sudo: run `cargo xtask setup` as root")]
    Privilege,
    /// No rustup, so no nightly.
    #[error(
        "rustup is missing, and the BPF target needs a nightly toolchain: install Rust by rustup, then run this again"
    )]
    Rustup,
    /// No fitting LLVM.
    #[error(
        "the distribution has no LLVM that bpf-linker {BPF_LINKER} can be built with for this nightly toolchain \
         (LLVM {nightly} or newer, of {} to {}): put a bpf-linker on PATH, as its project publishes it for {}",
        BPF_LINKER_LLVM.start(), BPF_LINKER_LLVM.end(), std::env::consts::ARCH
    )]
    Llvm {
        /// The version of LLVM in the nightly toolchain.
        nightly: u32,
    },
}

fn debian_packages() -> String {
    Distribution::Debian.packages(Scope::Tests).map(|package| package.name).collect::<Vec<_>>().join(", ")
}

/// The things that `machine` lacks for `scope`.
pub fn missing(machine: &Machine, scope: Scope) -> Vec<Missing> {
    let mut missing = Vec::new();
    // What a system that set-up does not know has installed cannot be asked for; a build will tell.
    if !matches!(machine.distribution, Distribution::Other(_)) {
        missing.extend(
            machine
                .distribution
                .packages(scope)
                .filter(|package| !machine.packages.iter().any(|name| name == package.name))
                .map(|package| Missing {
                    name: package.name,
                    purpose: package.purpose,
                    remedy: Remedy::Package,
                }),
        );
    }
    let mut tool = |present: bool, name, purpose, remedy| {
        if !present {
            missing.push(Missing { name, purpose, remedy });
        }
    };
    let nightly = machine.nightly.as_ref();
    tool(nightly.is_some(), "nightly toolchain", "compiles Rust for the BPF target", Remedy::Nightly);
    let sources = nightly.is_some_and(|nightly| nightly.sources);
    tool(sources, "rust-src", "is `core`, which is compiled for the BPF target", Remedy::Sources);
    tool(machine.bpf_linker, "bpf-linker", "links the XDP programs", Remedy::BpfLinker);
    if scope >= Scope::Tests {
        tool(machine.lints, "rustfmt and clippy", "check the code", Remedy::Lints);
    }
    missing
}

/// The next steps towards having what is `missing`, in their order; `refreshed` tells whether the package lists
/// are fresh. Afterwards the machine is looked at again: which LLVM fits is known only when the lists are
/// fresh and the nightly toolchain is there.
///
/// # Errors
///
/// When something is missing and no step is left to take.
pub fn plan(machine: &Machine, missing: &[Missing], refreshed: bool) -> Result<Vec<Step>, Obstacle> {
    let lacks = |remedy| missing.iter().any(|missing| missing.remedy == remedy);
    if !machine.rustup && [Remedy::Nightly, Remedy::Sources, Remedy::Lints].into_iter().any(lacks) {
        return Err(Obstacle::Rustup);
    }
    let names = missing.iter().filter(|missing| missing.remedy == Remedy::Package);
    let mut packages: Vec<String> = names.map(|missing| missing.name.to_owned()).collect();
    let mut tools = Vec::new();
    if lacks(Remedy::Nightly) {
        tools.push(Step::InstallNightly);
    }
    if lacks(Remedy::Sources) {
        tools.push(Step::InstallSources);
    }
    if lacks(Remedy::Lints) {
        tools.push(Step::InstallLints);
    }
    let mut lists_needed = false;
    if lacks(Remedy::BpfLinker)
        && let Some(nightly) = &machine.nightly
    {
        // LLVM reads bitcode of its own version and of older ones.
        let fitting = |majors: &[u32]| majors.iter().copied().filter(|major| *major >= nightly.llvm).min();
        if let Some(llvm) = fitting(&machine.llvm_installed) {
            tools.push(Step::InstallBpfLinker { llvm });
        } else if let Some(llvm) = fitting(&machine.llvm_available) {
            packages.push(machine.distribution.llvm_package(llvm));
            tools.push(Step::InstallBpfLinker { llvm });
        } else if !refreshed {
            lists_needed = true;
        } else if packages.is_empty() && tools.is_empty() {
            return Err(match &machine.distribution {
                Distribution::Other(system) => Obstacle::Distribution { system: system.clone() },
                Distribution::Debian | Distribution::AmazonLinux2023 => {
                    Obstacle::Llvm { nightly: nightly.llvm }
                }
            });
        }
    }
    let mut steps = Vec::new();
    if !refreshed && (lists_needed || !packages.is_empty()) {
        steps.push(Step::RefreshLists);
    }
    if !packages.is_empty() {
        steps.push(Step::InstallPackages(packages));
    }
    if machine.privilege == Privilege::None && !steps.is_empty() {
        return Err(Obstacle::Privilege);
    }
    steps.extend(tools);
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::super::machine::Nightly;
    use super::*;

    /// A machine as it comes: a stable toolchain by rustup, root, and none of the packages.
    fn fresh(distribution: Distribution) -> Machine {
        Machine {
            distribution,
            privilege: Privilege::Root,
            packages: Vec::new(),
            llvm_available: Vec::new(),
            llvm_installed: Vec::new(),
            rustup: true,
            nightly: None,
            lints: true,
            bpf_linker: false,
        }
    }

    fn complete(distribution: Distribution) -> Machine {
        Machine {
            packages: distribution.packages(Scope::Tests).map(|package| package.name.to_owned()).collect(),
            nightly: Some(Nightly { llvm: 22, sources: true }),
            bpf_linker: true,
            ..fresh(distribution)
        }
    }

    fn steps(machine: &Machine, refreshed: bool) -> Result<Vec<Step>, Obstacle> {
        plan(machine, &missing(machine, Scope::Tests), refreshed)
    }

    fn names(distribution: &Distribution) -> Vec<String> {
        distribution.packages(Scope::Tests).map(|package| package.name.to_owned()).collect()
    }

    const KNOWN: [Distribution; 2] = [Distribution::Debian, Distribution::AmazonLinux2023];

    #[test]
    fn a_complete_machine_needs_nothing() {
        for distribution in KNOWN {
            let machine = complete(distribution);
            assert_eq!(missing(&machine, Scope::Tests), []);
            assert_eq!(steps(&machine, false), Ok(Vec::new()));
        }
    }

    #[test]
    fn a_fresh_machine_gets_everything_in_two_rounds() {
        for distribution in KNOWN {
            let mut machine = fresh(distribution.clone());
            let first = steps(&machine, false).unwrap();
            assert_eq!(
                first,
                [
                    Step::RefreshLists,
                    Step::InstallPackages(names(&distribution)),
                    Step::InstallNightly,
                    Step::InstallSources,
                ]
            );

            machine.packages = names(&distribution);
            machine.nightly = Some(Nightly { llvm: 22, sources: true });
            machine.llvm_available = vec![21, 22];
            let second = steps(&machine, true).unwrap();
            let llvm = distribution.llvm_package(22);
            assert_eq!(second, [Step::InstallPackages(vec![llvm]), Step::InstallBpfLinker { llvm: 22 }]);
        }
    }

    #[test]
    fn the_llvm_is_the_oldest_that_reads_the_nightlys_bitcode() {
        /// Nightly's LLVM, those installed, those available; the one to build with, and whether it is installed first.
        type Case = (u32, &'static [u32], &'static [u32], Option<(u32, bool)>);
        let cases: [Case; 7] = [
            (22, &[], &[21, 22, 23], Some((22, true))),
            (22, &[], &[21, 23], Some((23, true))),
            (22, &[22], &[21, 22, 23], Some((22, false))),
            (22, &[23], &[21, 22, 23], Some((23, false))),
            (22, &[21], &[21], None),
            (21, &[], &[21], Some((21, true))),
            (24, &[23], &[23], None),
        ];
        for distribution in KNOWN {
            for (nightly, installed, available, expected) in cases {
                let machine = Machine {
                    nightly: Some(Nightly { llvm: nightly, sources: true }),
                    llvm_available: available.to_vec(),
                    llvm_installed: installed.to_vec(),
                    bpf_linker: false,
                    ..complete(distribution.clone())
                };
                let expected = match expected {
                    None => Err(Obstacle::Llvm { nightly }),
                    Some((llvm, false)) => Ok(vec![Step::InstallBpfLinker { llvm }]),
                    Some((llvm, true)) => Ok(vec![
                        Step::InstallPackages(vec![distribution.llvm_package(llvm)]),
                        Step::InstallBpfLinker { llvm },
                    ]),
                };
                assert_eq!(steps(&machine, true), expected, "{nightly} {installed:?} {available:?}");
            }
        }
    }

    #[test]
    fn stale_lists_are_refreshed_before_an_llvm_is_given_up() {
        let machine = Machine { bpf_linker: false, ..complete(Distribution::Debian) };
        assert_eq!(steps(&machine, false), Ok(vec![Step::RefreshLists]));
    }

    #[test]
    fn one_missing_thing_is_one_step() {
        let complete = complete(Distribution::Debian);
        let without_m4 = complete.packages.iter().filter(|name| *name != "m4").cloned().collect();
        let cases = [
            (
                Machine { packages: without_m4, ..complete.clone() },
                vec![Step::RefreshLists, Step::InstallPackages(vec!["m4".to_owned()])],
            ),
            (
                Machine { nightly: Some(Nightly { llvm: 22, sources: false }), ..complete.clone() },
                vec![Step::InstallSources],
            ),
            (Machine { lints: false, ..complete.clone() }, vec![Step::InstallLints]),
        ];
        for (machine, expected) in cases {
            assert_eq!(steps(&machine, false), Ok(expected));
        }
    }

    #[test]
    fn a_smaller_scope_needs_less() {
        let machine = Machine { lints: false, ..fresh(Distribution::Debian) };
        let named =
            |scope| missing(&machine, scope).into_iter().map(|missing| missing.name).collect::<Vec<_>>();
        assert_eq!(named(Scope::Ebpf), ["nightly toolchain", "rust-src", "bpf-linker"]);
        assert!(named(Scope::Demo).contains(&"clang"));
        assert!(!named(Scope::Demo).contains(&"tshark"));
        assert!(!named(Scope::Demo).contains(&"rustfmt and clippy"));
        assert!(named(Scope::Tests).contains(&"tshark"));
    }

    #[test]
    fn an_obstacle_names_its_remedy() {
        let debian = fresh(Distribution::Debian);
        let other = Distribution::Other("Plan 9".to_owned());
        let cases = [
            (Machine { privilege: Privilege::None, ..debian.clone() }, Obstacle::Privilege, "as root"),
            (Machine { rustup: false, ..debian }, Obstacle::Rustup, "install Rust by rustup"),
            (
                Machine { bpf_linker: false, ..complete(other) },
                Obstacle::Distribution { system: "Plan 9".to_owned() },
                "libelf-dev",
            ),
        ];
        for (machine, expected, remedy) in cases {
            let obstacle = steps(&machine, true).unwrap_err();
            assert_eq!(obstacle, expected);
            assert!(obstacle.to_string().contains(remedy), "{obstacle}");
        }
    }

    #[test]
    fn tools_need_no_root() {
        let machine = Machine {
            privilege: Privilege::None,
            llvm_installed: vec![22],
            bpf_linker: false,
            ..complete(Distribution::Debian)
        };
        assert_eq!(steps(&machine, false), Ok(vec![Step::InstallBpfLinker { llvm: 22 }]));
    }
}

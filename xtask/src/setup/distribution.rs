//! The distributions that set-up knows: their packages' names, and the commands that ask for and install them.
//!
//! The Debian half was run on Debian 12, from a minimal system to a working build. Ubuntu has the same names. The
//! Amazon Linux half has not been run; its names of LLVM packages are inferred from Fedora's way of naming them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use super::scope::Scope;

/// A Linux distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Debian, Ubuntu and what is made from them: `apt-get`.
    Debian,
    /// Amazon Linux 2023: `dnf`.
    AmazonLinux2023,
    /// Any other, by the name that it gives itself.
    Other(String),
}

/// A package of the distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: &'static str,
    /// Its purpose.
    pub purpose: &'static str,
    /// The least that needs it.
    pub scope: Scope,
}

const fn package(scope: Scope, name: &'static str, purpose: &'static str) -> Package {
    Package { name, purpose, scope }
}

const COMPILER: &str = "compiles libbpf and libxdp, which receive from AF_XDP";
const CLANG: &str =
    "compiles libxdp's own BPF programs; its libclang reads the headers for the Rust bindings";
const LLVM: &str = "has llc, which libxdp's build asks for";
const MAKE: &str = "runs libxdp's build";
const M4: &str = "expands libxdp's sources";
const PKG_CONFIG: &str = "finds the libraries for libxdp's build";
const LIBELF: &str = "reads BPF objects, for libbpf";
const ZLIB: &str = "reads compressed sections, for libbpf";
const LIBPCAP: &str = "is what libxdp's build insists on, for a tool that is not built here";
const IPROUTE: &str = "makes the network namespaces of the demo and the live tests";
const ETHTOOL: &str = "sets the offloads of their interfaces";
const VALGRIND: &str = "counts the instructions per packet, which a test holds against the committed ones";
const NFDUMP: &str = "collects the flows that the shipper exports";
const OPENSSL: &str = "makes the certificates of test servers";
const TSHARK: &str = "is the independent decoder that the tests compare with";

/// Debian's and Ubuntu's names.
const DEBIAN: &[Package] = &[
    package(Scope::Demo, "gcc", COMPILER),
    package(Scope::Demo, "clang", CLANG),
    package(Scope::Demo, "llvm", LLVM),
    package(Scope::Demo, "make", MAKE),
    package(Scope::Demo, "m4", M4),
    package(Scope::Demo, "pkg-config", PKG_CONFIG),
    package(Scope::Demo, "libelf-dev", LIBELF),
    package(Scope::Demo, "zlib1g-dev", ZLIB),
    package(Scope::Demo, "libpcap-dev", LIBPCAP),
    package(Scope::Demo, "iproute2", IPROUTE),
    package(Scope::Demo, "ethtool", ETHTOOL),
    package(Scope::Tests, "tshark", TSHARK),
    package(Scope::Tests, "valgrind", VALGRIND),
    package(Scope::Tests, "nfdump", NFDUMP),
    package(Scope::Tests, "openssl", OPENSSL),
];

/// Amazon Linux 2023's names.
const AMAZON_LINUX_2023: &[Package] = &[
    package(Scope::Demo, "gcc", COMPILER),
    package(Scope::Demo, "clang", CLANG),
    package(Scope::Demo, "llvm", LLVM),
    package(Scope::Demo, "make", MAKE),
    package(Scope::Demo, "m4", M4),
    package(Scope::Demo, "pkgconf-pkg-config", PKG_CONFIG),
    package(Scope::Demo, "elfutils-libelf-devel", LIBELF),
    package(Scope::Demo, "zlib-devel", ZLIB),
    package(Scope::Demo, "libpcap-devel", LIBPCAP),
    package(Scope::Demo, "iproute", IPROUTE),
    package(Scope::Demo, "ethtool", ETHTOOL),
    package(Scope::Tests, "wireshark-cli", TSHARK),
    package(Scope::Tests, "valgrind", VALGRIND),
    package(Scope::Tests, "openssl", OPENSSL),
];

impl Distribution {
    /// Reads `/etc/os-release` (os-release(5)).
    pub fn from_os_release(text: &str) -> Self {
        let fields: BTreeMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim().trim_matches(['"', '\''])))
            .collect();
        let field = |name| fields.get(name).copied().unwrap_or_default();
        let is = |id: &str| field("ID") == id || field("ID_LIKE").split_whitespace().any(|like| like == id);
        if is("debian") || is("ubuntu") {
            Self::Debian
        } else if field("ID") == "amzn" && field("VERSION_ID") == "2023" {
            Self::AmazonLinux2023
        } else {
            let name = [field("PRETTY_NAME"), field("ID")].into_iter().find(|name| !name.is_empty());
            Self::Other(name.unwrap_or("an unnamed system").to_owned())
        }
    }

    /// The packages that `scope` needs. For a distribution that set-up does not know these are Debian's
    /// names, for a person to translate.
    pub fn packages(&self, scope: Scope) -> impl Iterator<Item = Package> + use<> {
        let packages = match self {
            Self::Debian | Self::Other(_) => DEBIAN,
            Self::AmazonLinux2023 => AMAZON_LINUX_2023,
        };
        packages.iter().copied().filter(move |package| package.scope <= scope)
    }

    /// Those of `names` that are installed.
    pub fn installed(&self, names: &[&str]) -> Vec<String> {
        // Both commands fail when one of the names is unknown, and print the others all the same.
        let text = match self {
            Self::Debian => {
                let format = "${db:Status-Status} ${Package}\\n";
                printed(Command::new("dpkg-query").args(["--show", "--showformat", format]).args(names))
            }
            Self::AmazonLinux2023 => printed(
                Command::new("rpm").args(["--query", "--queryformat", "installed %{NAME}\\n"]).args(names),
            ),
            Self::Other(_) => String::new(),
        };
        text.lines().filter_map(|line| line.strip_prefix("installed ")).map(str::to_owned).collect()
    }

    /// Name of the package with which programs are linked to LLVM `major`, where the distribution has one.
    pub fn llvm_package(&self, major: u32) -> String {
        match self {
            Self::Debian | Self::Other(_) => format!("llvm-{major}-dev"),
            Self::AmazonLinux2023 => format!("llvm{major}-devel"),
        }
    }

    /// The directory of that package, for bpf-linker's build (`LLVM_PREFIX`).
    pub fn llvm_prefix(&self, major: u32) -> PathBuf {
        PathBuf::from(match self {
            Self::Debian | Self::Other(_) => format!("/usr/lib/llvm-{major}"),
            Self::AmazonLinux2023 => format!("/usr/lib64/llvm{major}"),
        })
    }

    /// Those of `majors` for which the package lists of this machine have a [`llvm_package`](Self::llvm_package).
    pub fn available_llvm(&self, majors: impl Iterator<Item = u32>) -> Vec<u32> {
        let majors: Vec<u32> = majors.collect();
        let names: Vec<String> = majors.iter().map(|major| self.llvm_package(*major)).collect();
        let listed = match self {
            Self::Debian => {
                candidates(&printed(Command::new("apt-cache").arg("policy").args(&names).env("LC_ALL", "C")))
            }
            Self::AmazonLinux2023 => {
                let format = "%{name}\n";
                let query = ["--quiet", "--cacheonly", "repoquery", "--queryformat", format];
                printed(Command::new("dnf").args(query).args(&names)).lines().map(str::to_owned).collect()
            }
            Self::Other(_) => Vec::new(),
        };
        majors
            .into_iter()
            .zip(names)
            .filter(|(_, name)| listed.contains(name))
            .map(|(major, _)| major)
            .collect()
    }

    /// The command that refreshes the package lists: program and arguments.
    pub fn refresh(&self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Debian | Self::Other(_) => ("apt-get", &["update"]),
            Self::AmazonLinux2023 => ("dnf", &["--assumeyes", "makecache"]),
        }
    }

    /// The command that installs the packages whose names follow it: program and arguments.
    pub fn install(&self) -> (&'static str, &'static [&'static str]) {
        match self {
            // `env` hands the variable through sudo, which drops the caller's.
            Self::Debian | Self::Other(_) => (
                "env",
                &[
                    "DEBIAN_FRONTEND=noninteractive",
                    "apt-get",
                    "install",
                    "--assume-yes",
                    "--no-install-recommends",
                ],
            ),
            Self::AmazonLinux2023 => ("dnf", &["--assumeyes", "install", "--setopt=install_weak_deps=False"]),
        }
    }
}

/// The output of a query; nothing when it cannot be run.
fn printed(command: &mut Command) -> String {
    match command.output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(_) => String::new(),
    }
}

/// The packages in the output of `apt-cache policy` that can be installed.
fn candidates(policy: &str) -> Vec<String> {
    let mut package = "";
    let mut candidates = Vec::new();
    for line in policy.lines() {
        if let Some(name) = line.strip_suffix(':').filter(|name| !name.starts_with(' ')) {
            package = name;
        } else if line.trim_start().strip_prefix("Candidate: ").is_some_and(|version| version != "(none)") {
            candidates.push(package.to_owned());
        }
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_tells_the_distribution() {
        let cases = [
            (
                "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n",
                Distribution::Debian,
            ),
            ("NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n", Distribution::Debian),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", Distribution::Debian),
            (
                "NAME=\"Amazon Linux\"\nID=\"amzn\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"2023\"\n",
                Distribution::AmazonLinux2023,
            ),
            (
                "PRETTY_NAME=\"Amazon Linux 2\"\nID=\"amzn\"\nVERSION_ID=\"2\"\n",
                Distribution::Other("Amazon Linux 2".to_owned()),
            ),
            ("ID=alpine\n", Distribution::Other("alpine".to_owned())),
            ("", Distribution::Other("an unnamed system".to_owned())),
        ];
        for (text, expected) in cases {
            assert_eq!(Distribution::from_os_release(text), expected, "{text}");
        }
    }

    #[test]
    fn a_scope_holds_what_the_smaller_ones_need() {
        for distribution in [Distribution::Debian, Distribution::AmazonLinux2023] {
            let count = |scope| distribution.packages(scope).count();
            assert_eq!(count(Scope::Ebpf), 0);
            assert!(count(Scope::Demo) < count(Scope::Tests));
        }
    }

    #[test]
    fn a_candidate_is_a_package_with_a_version_to_install() {
        let policy = "llvm-21-dev:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n\
                      llvm-22-dev:\n  Installed: (none)\n  Candidate: 1:22.1.8-1~deb12u1\n  Version table:\n     \
                      1:22.1.8-1~deb12u1 500\n        500 bookworm-security/main amd64 Packages\n";
        assert_eq!(candidates(policy), ["llvm-22-dev"]);
        assert!(candidates("").is_empty());
    }
}

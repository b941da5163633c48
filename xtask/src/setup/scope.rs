//! The extent of a set-up.

/// The extent of a set-up; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Building the XDP programs.
    Ebpf,
    /// Building and running the programs of the demo.
    Demo,
    /// Running every check and test.
    Tests,
}

//! `mirror-capture run` as a child process, for tests: its log, its records and its ledger.
//!
//! Everything that does not go as a test needs it is a panic, with the daemon's log in the message.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::namespace::Namespace;
use crate::process::{Lines, Running};
use crate::veth::VethPair;

/// The time that the daemon may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `mirror-capture run`, stopped when dropped.
#[derive(Debug)]
pub struct Daemon {
    running: Running,
    log: Lines,
    /// Number of the log's lines that [`Daemon::wait_for`] has gone past.
    passed: usize,
    directory: TempDir,
}

/// A daemon that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard error.
    pub log: String,
    /// Its ledger; null where it has written none.
    pub ledger: Value,
    directory: TempDir,
}

impl Daemon {
    /// Starts `program` as a daemon in `namespace`, with more `arguments` and environment `variables`, without waiting for
    /// anything. Records of packets and the ledger go to a directory of its own.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn spawn(
        program: &Path,
        namespace: &Namespace,
        interface: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let directory = tempfile::tempdir().expect("there is room for a temporary directory");
        let mut command = namespace.command(program);
        command.args(["run", "--interface", interface]);
        command.arg("--output").arg(directory.path().join("records"));
        command.args(["--records", "packet"]).arg("--ledger").arg(directory.path().join("ledger.json"));
        command.envs(variables.iter().copied()).args(arguments);
        let (running, _, log) =
            Running::spawn(&mut command).unwrap_or_else(|error| panic!("{error}: {error:?}"));
        Self { running, log, passed: 0, directory }
    }

    /// Starts `program` as a daemon on the receiving end of `pair`, and waits until it captures.
    ///
    /// # Panics
    ///
    /// When it does not capture in time.
    pub fn start(program: &Path, pair: &VethPair, arguments: &[&str]) -> Self {
        let mut daemon = Self::spawn(program, &pair.receiver, VethPair::RECEIVING, arguments, &[]);
        daemon.wait_for("capturing on");
        daemon
    }

    /// Waits until the daemon logs a line with `text`, behind the line that the call before waited for.
    ///
    /// # Panics
    ///
    /// When it does not in time.
    pub fn wait_for(&mut self, text: &str) {
        match self.log.wait_for(text, self.passed, PATIENCE) {
            Some(line) => self.passed = line + 1,
            None => panic!("the daemon did not log {text:?}, but:\n{}", self.log.text()),
        }
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// When the kernel refuses.
    pub fn signal(&self, signal: Signal) {
        self.running.signal(signal).expect("the daemon can be signalled");
    }

    /// The file that its records go to.
    pub fn records(&self) -> PathBuf {
        self.directory.path().join("records")
    }

    /// False once it has ended.
    ///
    /// # Panics
    ///
    /// When the kernel does not know it.
    pub fn is_running(&mut self) -> bool {
        self.running.ended().expect("the daemon is a child of this process").is_none()
    }

    /// Asks the daemon to stop, and waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not end in time.
    pub fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.join()
    }

    /// Waits for the daemon to end by itself.
    ///
    /// # Panics
    ///
    /// When it does not end in time.
    pub fn join(self) -> Ended {
        let Self { mut running, mut log, directory, .. } = self;
        let status = running
            .wait_at_most(PATIENCE)
            .expect("the daemon is a child of this process")
            .unwrap_or_else(|| panic!("the daemon does not end:\n{}", log.text()));
        let ledger = fs::read(directory.path().join("ledger.json")).unwrap_or_else(|_| b"null".to_vec());
        let ledger = serde_json::from_slice(&ledger).expect("the ledger is JSON");
        Ended { status, log: log.finish().join("\n"), ledger, directory }
    }
}

impl Ended {
    /// The file that its records went to.
    pub fn records(&self) -> PathBuf {
        self.directory.path().join("records")
    }

    /// The ledger's dropped packets, by reason.
    ///
    /// # Panics
    ///
    /// When there is no ledger.
    pub fn dropped(&self) -> BTreeMap<String, u64> {
        serde_json::from_value(self.ledger["dropped"].clone()).expect("the ledger has numbers by reason")
    }

    /// A number of the ledger.
    ///
    /// # Panics
    ///
    /// When it has none of the name `key`.
    pub fn number(&self, key: &str) -> u64 {
        self.ledger[key].as_u64().unwrap_or_else(|| panic!("no {key} in {}", self.ledger))
    }

    /// Losses that depend on the machine's load, not on the daemon.
    ///
    /// # Panics
    ///
    /// When there is no ledger.
    pub fn overrun(&self) -> u64 {
        let dropped = self.dropped();
        ["fill_ring_empty", "rx_ring_full", "sink_queue_full"].iter().map(|reason| dropped[*reason]).sum()
    }

    /// Checks what holds for every run: a clean end, and each of the packets of `report` accounted for.
    ///
    /// # Panics
    ///
    /// When one of them is not.
    #[cfg(feature = "generator")]
    pub fn assert_accounts_for(&self, report: &crate::generator::report::Report) {
        assert!(self.status.success(), "{}\n{}", self.status, self.log);
        assert_eq!(self.ledger["balanced"], true, "{:#}", self.ledger);
        assert_eq!(self.number("seen"), report.sent, "{report}\n{:#}", self.ledger);
        let dropped = self.dropped();
        assert_eq!(self.number("seen"), self.number("recorded") + dropped.values().sum::<u64>());
        for &(kind, sent) in report.by_kind.iter().filter(|(kind, _)| *kind != crate::traffic::VALID) {
            if self.overrun() == 0 {
                assert_eq!(dropped[kind], sent, "{kind}: {:#}", self.ledger);
            } else {
                assert!(dropped[kind] <= sent, "{kind}: {:#}", self.ledger);
            }
        }
        let records = fs::read(self.records()).expect("the records are there");
        let lines = records.iter().filter(|&&byte| byte == b'\n').count();
        assert_eq!(lines as u64, self.number("recorded"), "a line in the file for each record");
    }
}

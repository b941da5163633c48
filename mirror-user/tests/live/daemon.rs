//! The daemon as a child process, traffic for it, and what holds for every run.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mirror_bench::generator::interface::Interface;
use mirror_bench::generator::report::Report;
use mirror_bench::generator::{self, Source};
use mirror_bench::traffic::{Profile, Share, Traffic};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Namespace, VethPair};

/// How long the daemon may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `mirror-capture run`, killed when dropped.
pub struct Daemon {
    child: Child,
    /// Its standard error, line by line.
    log: mpsc::Receiver<String>,
    reader: Option<JoinHandle<()>>,
    lines: Vec<String>,
    directory: TempDir,
}

/// How a daemon ended.
pub struct Ended {
    pub status: ExitStatus,
    pub log: String,
    pub ledger: Value,
    directory: TempDir,
}

impl Daemon {
    /// Starts the daemon in `namespace`, without waiting for anything. Records and ledger go to a directory of its own.
    pub fn spawn(namespace: &Namespace, interface: &str, arguments: &[&str]) -> Self {
        Self::spawn_with(namespace, interface, arguments, &[])
    }

    /// As [`Self::spawn`], with more environment variables.
    pub fn spawn_with(
        namespace: &Namespace,
        interface: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = namespace.command(env!("CARGO_BIN_EXE_mirror-capture"));
        command.args(["run", "--interface", interface]);
        command.arg("--output").arg(directory.path().join("records"));
        command.args(["--records", "packet"]).arg("--ledger").arg(directory.path().join("ledger.json"));
        command.envs(variables.iter().copied());
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = mpsc::channel();
        let reader = thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, log, reader: Some(reader), lines: Vec::new(), directory }
    }

    /// Starts the daemon and waits until it captures.
    pub fn start(pair: &VethPair, arguments: &[&str]) -> Self {
        let mut daemon = Self::spawn(&pair.receiver, VethPair::RECEIVING, arguments);
        daemon.wait_for("capturing on");
        daemon
    }

    /// Waits until the daemon says `text`.
    pub fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while let Ok(line) = self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            let found = line.contains(text);
            self.lines.push(line);
            if found {
                return;
            }
        }
        panic!("the daemon did not say {text:?}, but:\n{}", self.lines.join("\n"));
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// The file that its records go to.
    pub fn records(&self) -> PathBuf {
        self.directory.path().join("records")
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Asks the daemon to stop, and waits for its end.
    pub fn stop(self) -> Ended {
        self.signal(rustix::process::Signal::TERM);
        self.join()
    }

    /// Waits for the daemon to end by itself.
    pub fn join(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the daemon does not end:\n{}", self.lines.join("\n"));
            thread::sleep(Duration::from_millis(10));
        };
        self.reader.take().unwrap().join().unwrap();
        self.lines.extend(self.log.try_iter());
        let directory = std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap());
        let ledger = fs::read(directory.path().join("ledger.json")).unwrap_or_else(|_| b"null".to_vec());
        Ended {
            status,
            log: self.lines.join("\n"),
            ledger: serde_json::from_slice(&ledger).unwrap(),
            directory,
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended already, or the test has failed and needs it no more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    pub fn records(&self) -> PathBuf {
        self.directory.path().join("records")
    }

    pub fn dropped(&self) -> BTreeMap<String, u64> {
        serde_json::from_value(self.ledger["dropped"].clone()).unwrap()
    }

    pub fn number(&self, key: &str) -> u64 {
        self.ledger[key].as_u64().unwrap_or_else(|| panic!("no {key} in {}", self.ledger))
    }

    /// Losses that the machine's load decides about, not the daemon.
    pub fn overrun(&self) -> u64 {
        let dropped = self.dropped();
        ["fill_ring_empty", "rx_ring_full", "sink_queue_full"].iter().map(|reason| dropped[*reason]).sum()
    }

    /// The claims that hold for every run: a clean end, and each packet that was sent accounted for.
    pub fn assert_accounts_for(&self, report: &Report) {
        assert!(self.status.success(), "{}\n{}", self.status, self.log);
        assert_eq!(self.ledger["balanced"], true, "{:#}", self.ledger);
        assert_eq!(self.number("seen"), report.sent, "{report}\n{:#}", self.ledger);
        let dropped = self.dropped();
        assert_eq!(self.number("seen"), self.number("recorded") + dropped.values().sum::<u64>());
        for &(kind, sent) in report.by_kind.iter().filter(|(kind, _)| *kind != "valid") {
            if self.overrun() == 0 {
                assert_eq!(dropped[kind], sent, "{kind}: {:#}", self.ledger);
            } else {
                assert!(dropped[kind] <= sent, "{kind}: {:#}", self.ledger);
            }
        }
        let lines = fs::read(self.records()).unwrap().iter().filter(|&&byte| byte == b'\n').count();
        assert_eq!(lines as u64, self.number("recorded"), "a line in the file for each record");
    }
}

/// Traffic of all kinds: VXLAN and not, both families, every malformed kind.
pub fn mixed() -> Profile {
    Profile {
        flows: 1000,
        vxlan: Share::new(0.5).unwrap(),
        ipv6: Share::new(0.25).unwrap(),
        icmp: Share::new(0.05).unwrap(),
        malformed: Share::new(0.02).unwrap(),
        ..Profile::default()
    }
}

pub fn settings(packets: u64, source: Source) -> generator::Settings {
    generator::Settings { source, packets: Some(packets), duration: None, rate: Some(200_000), cpu: Some(0) }
}

/// Sends traffic out of the sending end until `stop`.
pub fn send(
    pair: &VethPair,
    profile: &Profile,
    settings: &generator::Settings,
    stop: &AtomicBool,
) -> Result<Report, String> {
    let traffic = Traffic::new(profile).unwrap();
    pair.sender.enter(|| {
        let interface = Interface::new(VethPair::SENDING).map_err(|error| error.to_string())?;
        generator::send(&traffic, &interface, settings, stop).map_err(|error| error.to_string())
    })
}

pub fn send_all(pair: &VethPair, profile: &Profile, settings: &generator::Settings) -> Report {
    send(pair, profile, settings, &AtomicBool::new(false)).unwrap()
}

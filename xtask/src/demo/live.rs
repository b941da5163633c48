//! The two programs at work: the daemon in one namespace, the generator in the other.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mirror_testkit::interrupt::Interrupt;
use mirror_testkit::process::{self, Lines, Running};
use mirror_testkit::veth::VethPair;

use super::accounting::Generated;
use super::arguments::Arguments;
use super::number::{grouped, millions};
use super::output::Output;

/// Shares of the traffic: VXLAN inside GENEVE, IPv6 in the mirrored packets, and malformed packets.
const TRAFFIC: [&str; 6] = ["--vxlan", "0.5", "--ipv6", "0.25", "--malformed", "0.001"];
/// A ring that bridges the time for which others have the worker's processor: 80 ms at the default rate, in 64 MiB.
const RINGS: [&str; 4] = ["--rx-ring", "16384", "--frames", "16384"];
/// The word on the daemon's standard error by which it tells that it receives.
const READY: &str = "capturing";
/// The daemon's exit code when its ledger does not balance.
const UNBALANCED: i32 = 3;
/// Time that the daemon may take to receive.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// Time that the daemon may take to write its records, once told to end.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Time without a received packet after which the traffic has ended.
const QUIET: Duration = Duration::from_millis(300);
/// Between two lines of progress.
const SHOWN_EVERY: Duration = Duration::from_millis(500);
/// Between two looks at programs that run.
const POLL: Duration = Duration::from_millis(100);

/// The running daemon.
pub struct Daemon {
    running: Running,
    stderr: Lines,
}

impl Daemon {
    /// Starts the daemon and waits until it receives. It has a core to itself where there are two.
    ///
    /// # Errors
    ///
    /// When it ends or does not receive in time; its output is in the message.
    pub fn start(
        pair: &VethPair,
        program: &Path,
        arguments: &Arguments,
        output: &Output,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let mut command = pair.receiver.command(program);
        command.args(["run", "--interface", VethPair::RECEIVING, "--mode", arguments.mode.name()]);
        command.args(["--records", arguments.records.name()]);
        command.args(RINGS);
        command.arg("--output").arg(&output.records).arg("--ledger").arg(&output.ledger);
        if thread::available_parallelism().is_ok_and(|cores| cores.get() >= 2) {
            command.args(["--cpus", "1"]);
        }
        println!("\nthe daemon, in a network namespace of its own:\n  {}", process::show(&command));
        let (running, _, stderr) = Running::spawn(&mut command)?;
        let mut daemon = Self { running, stderr };
        let started = Instant::now();
        while !daemon.stderr.contain(READY) {
            interrupt.check()?;
            daemon.require_running()?;
            if started.elapsed() > READY_LIMIT {
                let Self { running, mut stderr } = daemon;
                drop(running);
                bail!(
                    "the daemon does not receive after {} s (no line with `{READY}`); it said:\n{}",
                    READY_LIMIT.as_secs(),
                    stderr.finish().join("\n")
                );
            }
            thread::sleep(POLL);
        }
        Ok(daemon)
    }

    fn require_running(&mut self) -> Result<()> {
        if let Some(status) = self.running.ended()? {
            bail!("the daemon ended too early ({status}); it said:\n{}", self.stderr.finish().join("\n"));
        }
        Ok(())
    }

    /// Tells the daemon to end and waits until it has written everything.
    ///
    /// # Errors
    ///
    /// When it does not end in time, or fails; its output is in the message.
    pub fn stop(self) -> Result<()> {
        let Self { running, mut stderr } = self;
        let status = running.terminate(STOP_LIMIT);
        let words = stderr.finish().join("\n");
        let status = status.with_context(|| format!("the daemon said:\n{words}"))?;
        // An unbalanced ledger is written all the same, and is judged with the rest.
        if !status.success() && status.code() != Some(UNBALANCED) {
            bail!("the daemon failed ({status}); it said:\n{words}");
        }
        Ok(())
    }
}

/// Sends the traffic, shows its progress, and waits until no more arrives.
///
/// # Errors
///
/// When the generator fails, or the daemon ends meanwhile.
pub fn send(
    pair: &VethPair,
    program: &Path,
    arguments: &Arguments,
    daemon: &mut Daemon,
    interrupt: &Interrupt,
) -> Result<Generated> {
    let mut command = pair.sender.command(program);
    command.args(["generate", "--interface", VethPair::SENDING]);
    let numbers = [
        ("--packets", arguments.packets),
        ("--flows", arguments.flows.into()),
        ("--frame-size", arguments.frame_size.into()),
        ("--rate", arguments.rate),
    ];
    for (name, value) in numbers {
        if (name, value) != ("--rate", 0) {
            command.args([name, &value.to_string()]);
        }
    }
    command.args(TRAFFIC).args(["--cpu", "0", "--json"]);
    println!("the generator, in another, at the other end of the cable:\n  {}\n", process::show(&command));

    let mut progress = Progress::start(arguments.packets);
    let (mut running, mut stdout, mut stderr) = Running::spawn(&mut command)?;
    let status = loop {
        if let Some(status) = running.ended()? {
            break status;
        }
        interrupt.check()?;
        daemon.require_running()?;
        progress.show(pair.received()?);
        thread::sleep(POLL);
    };
    let report = stdout.finish().join("\n");
    if !status.success() {
        bail!(
            "the generator failed ({status}); it said:\n{}",
            [stderr.finish().join("\n"), report].join("\n")
        );
    }
    progress.finish(settled(pair, interrupt)?);
    serde_json::from_str(&report)
        .with_context(|| format!("the generator's report cannot be understood: {report}"))
}

/// Waits until no more packets arrive. Returns how many have.
fn settled(pair: &VethPair, interrupt: &Interrupt) -> Result<u64> {
    let mut arrived = pair.received()?;
    let mut since = Instant::now();
    while since.elapsed() < QUIET {
        interrupt.check()?;
        thread::sleep(POLL);
        let now = pair.received()?;
        if now != arrived {
            (arrived, since) = (now, Instant::now());
        }
    }
    Ok(arrived)
}

/// The number of packets that have arrived, on one line of a terminal, or on a line twice a second elsewhere.
struct Progress {
    packets: u64,
    started: Instant,
    /// Time of the last reading of the rate, and the number of packets until then.
    last: (Instant, u64),
}

impl Progress {
    fn start(packets: u64) -> Self {
        let now = Instant::now();
        Self { packets, started: now, last: (now, 0) }
    }

    fn show(&mut self, arrived: u64) {
        let (then, before) = self.last;
        if then.elapsed() < SHOWN_EVERY {
            return;
        }
        let rate = arrived.saturating_sub(before) as f64 / then.elapsed().as_secs_f64();
        self.last = (Instant::now(), arrived);
        let line = format!("{}, {} packets/s", self.line(arrived), millions(rate));
        if io::stdout().is_terminal() {
            print!("\r\x1b[2K{line}");
            // A terminal that is gone is told of by the next line that is printed.
            let _ = io::stdout().flush();
        } else {
            println!("{line}");
        }
    }

    fn finish(&self, arrived: u64) {
        let erase = if io::stdout().is_terminal() { "\r\x1b[2K" } else { "" };
        println!("{erase}{}", self.line(arrived));
    }

    fn line(&self, arrived: u64) -> String {
        let (arrived, packets) = (grouped(arrived), grouped(self.packets));
        format!("{:5.1} s: {arrived} of {packets} packets arrived", self.started.elapsed().as_secs_f64())
    }
}

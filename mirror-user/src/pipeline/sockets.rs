//! Plan by which AF_XDP sockets are made: what is asked for, and what is tried where it is not to be had.

use std::fs;
use std::path::Path;

use tracing::{info, warn};

use super::error::PipelineError;
use super::memory::Demand;
use super::preflight::free_huge_page_bytes;
use crate::config::{CaptureConfig, Config};
use crate::error::chain;
use crate::nic::Nic;
use crate::number::QueueId;
use crate::rules::Rules;
use crate::value::{Switch, Timestamps};
use crate::xdp::AttachModeRequest;
use crate::xsk::bind::Alternative;
use crate::xsk::{CopyMode, FRAME_SIZE, WaitMode, XskConfig, XskError, XskSource, ZERO_COPY_MTU};

/// Plan for sockets, worked out once for all queues.
#[derive(Clone)]
pub(super) struct SocketPlan {
    /// Name that the interface has now.
    pub(super) interface: String,
    config: XskConfig,
    wait: WaitMode,
    pub(super) timestamps: Timestamps,
    strict: bool,
}

impl SocketPlan {
    /// Decides by what is asked for and what the interface and the machine have, and says where that differs.
    ///
    /// # Errors
    ///
    /// When it differs, and [`CaptureConfig::strict`] forbids that.
    pub(super) fn new(nic: &Nic, capture: &CaptureConfig, queues: usize) -> Result<Self, PipelineError> {
        let fall_back = |reason: String| match capture.strict {
            true => Err(PipelineError::Strict { reason }),
            false => {
                warn!("{reason}");
                Ok(())
            }
        };
        let copy_mode = match zero_copy(capture.zero_copy, capture.mode, nic.mtu) {
            ZeroCopy::Ask => CopyMode::ZeroCopy,
            ZeroCopy::No => CopyMode::Copy,
            ZeroCopy::TooLarge if capture.zero_copy == Switch::On => {
                fall_back(format!(
                    "zero-copy is not to be had on {} with its MTU of {}: drivers drop frames of several buffers, so it may \
                     be {ZERO_COPY_MTU} at most (`ip link set {} mtu {ZERO_COPY_MTU}`)",
                    nic.name, nic.mtu, nic.name
                ))?;
                CopyMode::Copy
            }
            ZeroCopy::TooLarge => {
                info!(
                    "an MTU of {} is too large for zero-copy ({ZERO_COPY_MTU}): the kernel copies",
                    nic.mtu
                );
                CopyMode::Copy
            }
        };
        let wanted = u64::from(capture.frames()) * u64::from(FRAME_SIZE) * queues as u64;
        let huge_pages = match (capture.huge_pages, free_huge_page_bytes()) {
            (Switch::On, _) => true,
            (Switch::Off, _) | (Switch::Auto, 0) => false,
            (Switch::Auto, free) if free >= wanted => true,
            (Switch::Auto, free) => {
                fall_back(format!(
                    "packet buffers on small pages: they take {} MiB, and of the huge pages {} MiB are free (sysctl \
                     vm.nr_hugepages)",
                    wanted >> 20,
                    free >> 20
                ))?;
                false
            }
        };
        if capture.busy_poll().is_some() {
            for problem in interrupts_left_on(&Path::new("/sys/class/net").join(&nic.name)) {
                warn!(
                    "--busy-poll: {problem}; `scripts/tune apply --interface {} --busy-poll` sets both",
                    nic.name
                );
            }
        }
        let config = XskConfig {
            rx_ring: capture.rx_ring,
            frames: capture.frames(),
            copy_mode,
            huge_pages,
            busy_poll: capture.busy_poll(),
            // Decided for each worker: see `on_cpu`.
            spin: false,
        };
        Ok(Self {
            interface: nic.name.clone(),
            config,
            wait: capture.wait,
            timestamps: capture.timestamps,
            strict: capture.strict,
        })
    }

    /// The plan for the sockets of a worker on this processor, when the kernel keeps those of `isolated` for what is pinned to
    /// them.
    pub(super) fn on_cpu(&self, cpu: usize, isolated: &[usize]) -> Self {
        let spin = match self.wait {
            WaitMode::Auto => isolated.contains(&cpu),
            WaitMode::Adaptive => false,
            WaitMode::Spin => true,
        };
        Self { config: XskConfig { spin, ..self.config }, ..self.clone() }
    }

    /// The memory that a capture with such sockets takes, from so many queues.
    pub(super) fn demand(&self, config: &Config, rules: &Rules, queues: usize) -> Demand {
        let buffers = self.config.buffer_memory() * queues as u64;
        // What does not find a place there falls back to small pages.
        let huge_pages = self.config.huge_pages && free_huge_page_bytes() >= buffers;
        Demand::of_capture(config, rules, &self.config, huge_pages, queues)
    }

    /// Makes the socket, falling back step by step, each step with its reason in the log.
    ///
    /// # Errors
    ///
    /// When nothing is left to try, or a fall-back is forbidden.
    pub(super) fn open(&self, queue: QueueId) -> Result<XskSource, PipelineError> {
        self.open_with(queue, |config| XskSource::open(&self.interface, queue, config))
    }

    fn open_with<Source>(
        &self,
        queue: QueueId,
        mut open: impl FnMut(&XskConfig) -> Result<Source, XskError>,
    ) -> Result<Source, PipelineError> {
        let mut config = self.config;
        loop {
            let error = match open(&config) {
                Ok(source) => return Ok(source),
                Err(error) => error,
            };
            let (next, instead) = match error.alternative() {
                Alternative::None => return Err(error.into()),
                Alternative::SmallPages => {
                    (XskConfig { huge_pages: false, ..config }, "packet buffers on small pages")
                }
                Alternative::Copy => {
                    (XskConfig { copy_mode: CopyMode::Copy, ..config }, "the kernel copies, no zero-copy")
                }
            };
            if self.strict {
                return Err(PipelineError::Strict { reason: chain(&error).to_string() });
            }
            warn!("queue {queue}: {instead}: {}", chain(&error));
            config = next;
        }
    }
}

/// Decision on zero-copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ZeroCopy {
    Ask,
    No,
    /// Not with frames that may be as large as the interface's.
    TooLarge,
}

fn zero_copy(wanted: Switch, mode: AttachModeRequest, mtu: u32) -> ZeroCopy {
    match (wanted, mode) {
        // Packets reach a program in generic mode after the kernel has copied them.
        (Switch::Off, _) | (Switch::Auto, AttachModeRequest::Generic) => ZeroCopy::No,
        _ if mtu > ZERO_COPY_MTU => ZeroCopy::TooLarge,
        _ => ZeroCopy::Ask,
    }
}

/// Settings in the interface's directory of sysfs that keep interrupts going while the worker polls busily.
fn interrupts_left_on(directory: &Path) -> Vec<String> {
    ["napi_defer_hard_irqs", "gro_flush_timeout"]
        .into_iter()
        .filter(|name| fs::read_to_string(directory.join(name)).is_ok_and(|value| value.trim() == "0"))
        .map(|name| format!("{name} of the interface is 0, so that interrupts are used all the same"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn plan(strict: bool) -> SocketPlan {
        let config = XskConfig {
            rx_ring: 64,
            frames: 128,
            copy_mode: CopyMode::ZeroCopy,
            huge_pages: true,
            busy_poll: None,
            spin: false,
        };
        let timestamps = Timestamps::default();
        SocketPlan { interface: "eth1".to_owned(), config, wait: WaitMode::Auto, timestamps, strict }
    }

    fn no_huge_pages() -> XskError {
        XskError::Umem { mib: 1, huge_pages: true, error: io::Error::from_raw_os_error(libc::ENOMEM) }
    }

    fn refused(mode: CopyMode, errno: i32) -> XskError {
        XskError::Bind {
            interface: "eth1".to_owned(),
            queue: QueueId(0),
            mode,
            error: io::Error::from_raw_os_error(errno),
            remedy: "",
        }
    }

    /// A kernel that has neither huge pages nor zero-copy.
    fn poor(config: &XskConfig) -> Result<XskConfig, XskError> {
        match config {
            XskConfig { huge_pages: true, .. } => Err(no_huge_pages()),
            XskConfig { copy_mode: CopyMode::ZeroCopy, .. } => {
                Err(refused(CopyMode::ZeroCopy, libc::EOPNOTSUPP))
            }
            config => Ok(*config),
        }
    }

    #[test]
    fn falls_back_step_by_step_unless_that_is_forbidden() {
        let opened = plan(false).open_with(QueueId(0), poor).unwrap();
        assert_eq!((opened.copy_mode, opened.huge_pages), (CopyMode::Copy, false));
        let error = plan(true).open_with(QueueId(0), poor).unwrap_err().to_string();
        assert!(
            error.starts_with("--strict: no memory for 1 MiB of packet buffers on huge pages"),
            "{error}"
        );
    }

    #[test]
    fn what_copying_cannot_mend_is_an_error() {
        for errno in [libc::ENODEV, libc::EBUSY, libc::EPERM] {
            let mut attempts = 0;
            let refuse = |config: &XskConfig| {
                attempts += 1;
                Err::<(), _>(refused(config.copy_mode, errno))
            };
            let error = plan(true).open_with(QueueId(0), refuse).unwrap_err();
            assert!(
                matches!(error, PipelineError::Xsk(XskError::Bind { mode: CopyMode::ZeroCopy, .. })),
                "{error}"
            );
            assert_eq!(attempts, 1, "{error}");
        }
    }

    #[test]
    fn a_worker_spins_on_a_processor_of_its_own_or_where_that_is_asked_for() {
        for (wait, spins) in
            [(WaitMode::Auto, [false, true]), (WaitMode::Adaptive, [false; 2]), (WaitMode::Spin, [true; 2])]
        {
            let plan = SocketPlan { wait, ..plan(false) };
            assert_eq!([0, 3].map(|cpu| plan.on_cpu(cpu, &[2, 3]).config.spin), spins, "{wait:?}");
        }
    }

    #[test]
    fn zero_copy_is_asked_for_where_it_can_be_had() {
        use AttachModeRequest::{Auto, Generic, Native};
        use ZeroCopy::{Ask, No, TooLarge};
        for (wanted, mode, mtu, expected) in [
            (Switch::Auto, Auto, 1500, Ask),
            (Switch::Auto, Native, 3814, Ask),
            (Switch::Auto, Native, 3815, TooLarge),
            (Switch::Auto, Generic, 1500, No),
            (Switch::On, Auto, 3814, Ask),
            (Switch::On, Auto, 9001, TooLarge),
            (Switch::On, Generic, 1500, Ask),
            (Switch::Off, Native, 1500, No),
            (Switch::Off, Native, 9001, No),
        ] {
            assert_eq!(zero_copy(wanted, mode, mtu), expected, "{wanted:?} {mode:?} {mtu}");
        }
    }

    #[test]
    fn settings_that_keep_interrupts_on_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert!(interrupts_left_on(path).is_empty(), "an old kernel has no such settings");
        fs::write(path.join("napi_defer_hard_irqs"), "2\n").unwrap();
        fs::write(path.join("gro_flush_timeout"), "0\n").unwrap();
        let problems = interrupts_left_on(path);
        assert!(problems.len() == 1 && problems[0].starts_with("gro_flush_timeout of the interface is 0"));
    }
}

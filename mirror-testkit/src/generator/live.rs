//! Frames that an XDP program makes inside the kernel: `BPF_PROG_TEST_RUN` in live-frames mode (Linux 5.18 or
//! later).
//!
//! The kernel calls the program over and over in the context of one long system call, and redirects the frames to
//! the interface's transmit function in bulks of 16. A second program, on the tracepoint behind that function, counts
//! what the driver accepted, so the count holds for every driver; on veth it equals `tx_queue_*_xdp_xmit` of
//! `ethtool -S`. What the driver of a veth accepts stands in the ring of the other end, whose native XDP program is then
//! given all of it. Without such a program and without GRO there, the other end takes nothing out of its ring, so the
//! driver accepts nothing, also under a generic-mode program: that is an error here. With GRO, a generic-mode program
//! or the network stack gets the frames, and may lose them uncounted.

use std::error::Error;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{io, iter};

use aya::maps::{Array, MapData, MapError};
use aya::programs::{Program, ProgramError, RawTracePoint, TestRun as _, TestRunAttrs, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader};
use mirror_traffic::Progress;
use mirror_traffic::header::HEADER_LENGTH;
use mirror_traffic::program::{
    ACCOUNT_PROGRAM, ACCOUNT_TRACEPOINT, DUE_FRACTION, FRAME_LENGTH, INTERFACE, INTERVAL, MIX, PACKETS,
    PROGRESS_MAP, SEND_PROGRAM, TEMPLATES_MAP,
};
use mirror_traffic::progress::PROGRESS_WORDS;
use rustix::thread::gettid;
use rustix::time::{ClockId, clock_gettime};
use signal_hook::consts::SIGUSR1;
use thiserror::Error;

use super::cpu::{CpuError, pin};
use super::interface::Interface;
use super::report::Report;
use super::settings::Settings;
use super::sys;
use crate::traffic::Traffic;

/// Bytes of the longest frame that the kernel takes: frame, headroom and the kernel's own bookkeeping share a page.
/// The bookkeeping leaves 3,408 of 4,096 bytes on Linux 6.18 with its default options.
pub const LONGEST_FRAME: usize = 3_400;
/// Frames that the kernel makes before it lets the receiver run on the same CPU. More would overrun the ring of a
/// veth, which holds 256.
const BATCH: u32 = 64;
/// Time between two looks at the progress.
const WATCH: Duration = Duration::from_millis(1);
/// Packets after which it is clear whether the driver accepts any.
const TRIAL: u64 = 4 * BATCH as u64;
/// The signal that ends the system call.
const SIGNAL: i32 = SIGUSR1;

/// For the handler of [`SIGNAL`], which has nothing to do: that it is called ends the system call.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// A template, as the map holds it.
type Words = [u16; HEADER_LENGTH / 2];

/// A failure to send live frames.
#[derive(Debug, Error)]
pub enum LiveError {
    /// The process may not.
    #[error("live frames are not permitted: run as root or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON")]
    NotPermitted,
    /// The kernel knows no live frames, or has less room in a page than expected.
    #[error(
        "this kernel refuses live frames (BPF_F_TEST_XDP_LIVE_FRAMES), which need Linux 5.18 and fit into a page: \
         use --source socket"
    )]
    Unsupported,
    /// Frames exceed a page.
    #[error(
        "frames of {longest} bytes are too long for live frames, which take {LONGEST_FRAME}: use --source socket"
    )]
    TooLong {
        /// Bytes of the longest frame.
        longest: usize,
    },
    /// Nothing comes out at the other end.
    #[error(
        "the driver of {0} accepts no XDP frames: on a veth pair, attach a native XDP program to the other end or \
         turn GRO on there (`ethtool -K PEER gro on`); or use --source socket"
    )]
    NotAccepted(String),
    /// The interface stopped accepting frames before its driver saw them.
    #[error(
        "of {offered} packets {unreported} never reached the driver of {interface}, which went down or was \
         reconfigured meanwhile; the counts would be wrong"
    )]
    Unreported {
        /// Name of the interface.
        interface: String,
        /// Packets offered.
        offered: u64,
        /// Packets that the kernel dropped on the way.
        unreported: u64,
    },
    /// The program cannot be loaded.
    #[error("the generator's eBPF object cannot be loaded")]
    Load(#[source] EbpfError),
    /// A map or program is not what it should be.
    #[error("the generator's eBPF object has no usable {0}")]
    Object(&'static str),
    /// The kernel stopped running the program.
    #[error("live frames stopped")]
    Run(#[source] io::Error),
    /// A program cannot be loaded or attached.
    #[error("the generator's program {name} cannot be loaded")]
    Program {
        /// Its name.
        name: &'static str,
        /// The kernel's answer.
        source: ProgramError,
    },
    /// A map cannot be read or written.
    #[error("the generator's map {name} cannot be accessed")]
    Map {
        /// Its name.
        name: &'static str,
        /// The kernel's answer.
        source: MapError,
    },
    /// The CPU to send from cannot be used.
    #[error(transparent)]
    Cpu(#[from] CpuError),
    /// No handler for the signal that ends a run.
    #[error("a signal handler cannot be set up: {0}")]
    Signal(io::Error),
}

impl LiveError {
    /// True where the socket may do instead: it is certain that no packet has arrived anywhere, and the reason is none that
    /// holds for the socket too.
    pub(super) const fn leaves_the_socket(&self) -> bool {
        !matches!(self, Self::Unreported { .. } | Self::Run(_) | Self::Map { .. } | Self::Cpu(_))
    }
}

/// Sends `traffic` out of `interface`.
pub(super) fn send(
    traffic: &Traffic,
    interface: &Interface,
    settings: &Settings,
    stop: &AtomicBool,
) -> Result<Report, LiveError> {
    let longest = traffic.longest_frame();
    if longest > LONGEST_FRAME {
        return Err(LiveError::TooLong { longest });
    }
    let mut object = load(traffic, interface, settings)?;
    let map = object.take_map(PROGRESS_MAP).ok_or(LiveError::Object(PROGRESS_MAP))?;
    let progress = ProgressMap(Array::try_from(map).map_err(map_error(PROGRESS_MAP))?);
    attach_account(&mut object)?;
    let program: &mut Xdp = program(&mut object, SEND_PROGRAM)?;
    program.load().map_err(program_error(SEND_PROGRAM))?;
    let sender = Sender {
        program,
        frame: &traffic.buffer(),
        settings,
        progress: &progress,
        over: AtomicBool::new(false),
    };
    let handler = signal_hook::flag::register(SIGNAL, &INTERRUPTED).map_err(LiveError::Signal)?;
    let thread = OnceLock::new();
    let result = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            if let Some(cpu) = settings.cpu {
                pin(cpu)?; // a thread of its own, so that the caller's stays where it is
            }
            let _ = thread.set(gettid());
            sender.run()
        });
        while !sending.is_finished() {
            std::thread::sleep(WATCH);
            if sender.is_done() || stop.load(Ordering::Relaxed) {
                sender.over.store(true, Ordering::Relaxed);
                if let Some(thread) = thread.get() {
                    sys::interrupt(*thread, SIGNAL);
                }
            }
        }
        sending.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    signal_hook::low_level::unregister(handler);
    result.and_then(|()| report(traffic, interface, &progress.read()?))
}

/// The sending side of a run.
struct Sender<'a> {
    program: &'a Xdp,
    /// The contents of the kernel's pages.
    frame: &'a [u8],
    settings: &'a Settings,
    progress: &'a ProgressMap,
    /// Set before the system call is interrupted for good.
    over: AtomicBool,
}

impl Sender<'_> {
    /// Lets the kernel run the program until all packets are sent or the run is over.
    fn run(&self) -> Result<(), LiveError> {
        while !self.over.load(Ordering::Relaxed) {
            let left = self.settings.packets.unwrap_or(u64::MAX) - self.progress.read()?.offered;
            if left == 0 {
                break;
            }
            // A paced program is also called when no packet is due, so the watcher has to end the call.
            let repeat = match self.settings.rate {
                None => u32::try_from(left).unwrap_or(u32::MAX),
                Some(_) => u32::MAX,
            };
            let attrs = TestRunAttrs::new().xdp_live_frames(BATCH);
            let options =
                TestRunOptions { data_in: Some(self.frame), repeat, attrs, ..TestRunOptions::new() };
            match self.program.test_run(options) {
                Ok(_) => {}
                Err(ProgramError::SyscallError(error)) => match error.io_error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::InvalidInput => return Err(LiveError::Unsupported),
                    io::ErrorKind::PermissionDenied => return Err(LiveError::NotPermitted),
                    _ => return Err(LiveError::Run(error.io_error)),
                },
                Err(source) => return Err(LiveError::Program { name: SEND_PROGRAM, source }),
            }
        }
        Ok(())
    }

    /// True where there is no reason to go on.
    fn is_done(&self) -> bool {
        // An error here is one for the sending side, too.
        let Ok(progress) = self.progress.read() else { return true };
        let vain = progress.offered >= TRIAL && progress.reported == progress.refused;
        let enough = self.settings.packets.is_some_and(|packets| progress.offered >= packets);
        let late = progress.first_ns != 0
            && self.settings.duration.is_some_and(|duration| {
                monotonic().saturating_sub(Duration::from_nanos(progress.first_ns)) >= duration
            });
        vain || enough || late
    }
}

/// The map in which the programs keep their counts.
struct ProgressMap(Array<MapData, [u64; PROGRESS_WORDS]>);

impl ProgressMap {
    fn read(&self) -> Result<Progress, LiveError> {
        self.0.get(&0, 0).map(|words| Progress::from_words(&words)).map_err(map_error(PROGRESS_MAP))
    }
}

/// Loads the generator's object with its globals and templates.
fn load(traffic: &Traffic, interface: &Interface, settings: &Settings) -> Result<Ebpf, LiveError> {
    let mix = traffic.mix().words();
    let packets = settings.packets.unwrap_or(u64::MAX);
    let frame_length = traffic.buffer_length() as u64;
    let interval = settings.rate.map_or(0, |rate| DUE_FRACTION * 1_000_000_000 / rate.max(1));
    let mut object = EbpfLoader::new()
        .override_global(MIX, &mix, true)
        .override_global(INTERFACE, &interface.index, true)
        .override_global(FRAME_LENGTH, &frame_length, true)
        .override_global(PACKETS, &packets, true)
        .override_global(INTERVAL, &interval, true)
        .load(mirror_ebpf::generate())
        .map_err(|error| if is_denied(&error) { LiveError::NotPermitted } else { LiveError::Load(error) })?;
    let map = object.map_mut(TEMPLATES_MAP).ok_or(LiveError::Object(TEMPLATES_MAP))?;
    let mut templates = Array::<_, Words>::try_from(map).map_err(map_error(TEMPLATES_MAP))?;
    for (index, header) in (0..).zip(traffic.templates()) {
        templates.set(index, header.0, 0).map_err(map_error(TEMPLATES_MAP))?;
    }
    Ok(object)
}

/// Starts to count what drivers accept.
fn attach_account(object: &mut Ebpf) -> Result<(), LiveError> {
    let account: &mut RawTracePoint = program(object, ACCOUNT_PROGRAM)?;
    let failed = |source: ProgramError| match is_denied(&source) {
        true => LiveError::NotPermitted,
        false => LiveError::Program { name: ACCOUNT_PROGRAM, source },
    };
    account.load().map_err(failed)?;
    account.attach(ACCOUNT_TRACEPOINT).map_err(failed)?;
    Ok(())
}

/// The program `name` of `object`.
fn program<'object, Kind>(
    object: &'object mut Ebpf,
    name: &'static str,
) -> Result<&'object mut Kind, LiveError>
where
    &'object mut Kind: TryFrom<&'object mut Program, Error = ProgramError>,
{
    object.program_mut(name).ok_or(LiveError::Object(name))?.try_into().map_err(program_error(name))
}

/// The report of a run. The offered packets that were not reported on never reached the driver.
fn report(traffic: &Traffic, interface: &Interface, progress: &Progress) -> Result<Report, LiveError> {
    let Progress { offered, reported, refused, .. } = *progress;
    if offered > 0 && reported == refused {
        return Err(LiveError::NotAccepted(interface.name.clone()));
    }
    if reported < offered {
        let unreported = offered - reported;
        return Err(LiveError::Unreported { interface: interface.name.clone(), offered, unreported });
    }
    let seconds = Duration::from_nanos(progress.last_ns - progress.first_ns).as_secs_f64();
    let sent =
        progress.offered_kinds.iter().zip(progress.refused_kinds).map(|(offered, refused)| offered - refused);
    let bytes = progress.offered_bytes - progress.refused_bytes;
    Ok(Report::new("live", traffic, offered, bytes, seconds, traffic.kinds().zip(sent).collect()))
}

/// The clock of `bpf_ktime_get_ns`.
fn monotonic() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::from_secs(time.tv_sec.cast_unsigned()) + Duration::from_nanos(time.tv_nsec.cast_unsigned())
}

/// True where the kernel refused for want of a capability, somewhere down the chain of causes.
fn is_denied(error: &(dyn Error + 'static)) -> bool {
    let denied = |error: &(dyn Error + 'static)| {
        error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) == Some(libc::EPERM)
    };
    iter::successors(Some(error), |error| (*error).source()).any(denied)
}

fn map_error(name: &'static str) -> impl Fn(MapError) -> LiveError {
    move |source| LiveError::Map { name, source }
}

fn program_error(name: &'static str) -> impl Fn(ProgramError) -> LiveError {
    move |source| LiveError::Program { name, source }
}

#[cfg(test)]
mod tests {
    use mirror_traffic::Position;

    use super::*;
    use crate::generator::settings::Source;
    use crate::traffic::{FrameSize, Lifetimes, Profile, Share};

    /// The program's frames one by one, in an ordinary test run, against those of user space.
    #[test]
    fn the_program_makes_the_frames_of_user_space() {
        const REDIRECT: u32 = 4;
        let share = |fraction| Share::new(fraction).unwrap();
        let varied = Profile {
            frame_size: FrameSize::InternetMix,
            flows: 700,
            vxlan: share(0.5),
            ipv6: share(0.5),
            udp: share(0.4),
            icmp: share(0.3),
            malformed: share(0.2),
            ..Profile::default()
        };
        let small = Profile { frame_size: FrameSize::Bytes(128), vxlan: Share::NONE, ..Profile::default() };
        // Few enough flows at a time for some to end.
        let mirrored = Profile { flows: 50, ..Profile::mirrored() };
        let all = Profile { flows: 50, lifetimes: Lifetimes::HeavyTailed, ..varied.clone() };
        for profile in [varied, small, Profile::default(), mirrored, all] {
            let traffic = Traffic::new(&profile).unwrap();
            let interface = Interface { name: "lo".to_owned(), index: 1, mac: [0; 6], mtu: usize::MAX };
            let settings =
                Settings { source: Source::Live, packets: None, duration: None, rate: None, cpu: None };
            let mut object = match load(&traffic, &interface, &settings) {
                Err(LiveError::NotPermitted) => {
                    eprintln!("SKIPPED: loading eBPF programs needs CAP_BPF and CAP_NET_ADMIN");
                    return;
                }
                object => object.unwrap(),
            };
            let program: &mut Xdp = program(&mut object, SEND_PROGRAM).unwrap();
            program.load().unwrap();
            let mut buffer = traffic.buffer();
            let mut made = traffic.buffer();
            for number in 0..3000 {
                let frame = traffic.buffer();
                let options = TestRunOptions {
                    data_in: Some(&frame),
                    data_out: Some(&mut made),
                    ..TestRunOptions::new()
                };
                let result = program.test_run(options).unwrap();
                let expected = traffic.frame(&Position::new(number, profile.flows), &mut buffer);
                assert_eq!(result.return_value, REDIRECT, "packet {number}");
                assert_eq!(&made[..result.data_size_out as usize], expected.bytes, "packet {number}");
            }
        }
    }
}

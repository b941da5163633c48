//! `mirror-bench generate`.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{ArgGroup, Args};
use mirror_testkit::generator::file::{self, Schedule};
use mirror_testkit::generator::interface::Interface;
use mirror_testkit::generator::report::Report;
use mirror_testkit::generator::{self, Settings, Source};
use mirror_testkit::interrupt::Interrupt;
use mirror_testkit::traffic::{Addresses, Profile, Share, Traffic};

use super::common::seconds;
use super::traffic::{Shape, TrafficKind};

/// Packets per second in a capture file, where none are asked for.
const FILE_RATE: u64 = 1_000_000;

/// Arguments of `generate`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").required(true).multiple(false))]
pub struct Generate {
    /// Send from this interface, in the network namespace of the process.
    #[arg(long, group = "target", value_name = "INTERFACE")]
    interface: Option<String>,
    /// Write a capture file (pcap) instead; needs --packets or --duration.
    #[arg(long, group = "target", value_name = "FILE")]
    output: Option<PathBuf>,

    /// Stop after this many packets.
    #[arg(long)]
    packets: Option<u64>,
    /// Stop after this many seconds; without it and --packets, at Ctrl-C.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Packets per second; without it, as fast as possible (in a file: 1000000).
    #[arg(long, value_name = "PPS", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    rate: Option<u64>,

    /// The traffic from which the options below depart [default: mirrored packets of 256 bytes in 1,000 endless flows]
    #[arg(long, value_enum)]
    traffic: Option<TrafficKind>,
    #[command(flatten)]
    shape: Shape,
    /// Share of flows of ICMP echo.
    #[arg(long, value_name = "SHARE", default_value = "off")]
    icmp: Share,
    /// Share of malformed packets, spread evenly over the kinds of faults.
    #[arg(long, value_name = "SHARE", default_value = "off")]
    malformed: Share,
    /// Everything that looks random follows from this number.
    #[arg(long, default_value_t = Profile::default().seed)]
    seed: u64,

    /// Ethernet destination.
    #[arg(long, value_name = "MAC", value_parser = mac_address, default_value = "ff:ff:ff:ff:ff:ff")]
    destination_mac: [u8; 6],
    /// Outer IPv4 source, the load balancer.
    #[arg(long, value_name = "ADDRESS", default_value_t = Addresses::default().source)]
    source_address: Ipv4Addr,
    /// Outer IPv4 destination, the appliance.
    #[arg(long, value_name = "ADDRESS", default_value_t = Addresses::default().destination)]
    destination_address: Ipv4Addr,

    /// The way that frames take onto the interface.
    #[arg(long, value_enum, default_value_t = Source::Auto, conflicts_with = "output")]
    source: Source,
    /// The CPU that sends.
    #[arg(long, conflicts_with = "output")]
    cpu: Option<usize>,
    /// Time of the first packet in the file: seconds since 1970-01-01 00:00:00 UTC.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "1767225600", conflicts_with = "interface")]
    start: Duration,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Generate {
    /// Generates, and prints the report.
    ///
    /// # Errors
    ///
    /// When the arguments contradict each other, or nothing can be generated.
    pub fn run(&self) -> Result<()> {
        let interrupt = Interrupt::watch().context("cannot handle signals")?;
        let stop = interrupt.flag();
        let report = match (&self.interface, &self.output) {
            (Some(interface), _) => self.send(interface, stop)?,
            (None, Some(path)) => {
                let packets = self.packets_in_file()?;
                let schedule = Schedule { start: self.start, rate: self.rate.unwrap_or(FILE_RATE) };
                file::write(&self.traffic(Addresses::default().source_mac)?, path, packets, schedule, stop)?
            }
            (None, None) => anyhow::bail!("nowhere to send to: name an --interface or an --output file"),
        };
        self.print(&report)
    }

    fn send(&self, interface: &str, stop: &AtomicBool) -> Result<Report> {
        let interface = Interface::new(interface)?;
        let settings = Settings {
            source: self.source,
            packets: self.packets,
            duration: self.duration,
            rate: self.rate,
            cpu: self.cpu,
        };
        Ok(generator::send(&self.traffic(interface.mac)?, &interface, &settings, stop)?)
    }

    fn traffic(&self, source_mac: [u8; 6]) -> Result<Traffic> {
        let profile = Profile {
            icmp: self.icmp,
            malformed: self.malformed,
            seed: self.seed,
            addresses: Addresses {
                source_mac,
                destination_mac: self.destination_mac,
                source: self.source_address,
                destination: self.destination_address,
            },
            ..self.shape.of(&self.traffic.map_or_else(Profile::default, TrafficKind::profile))
        };
        Ok(Traffic::new(&profile)?)
    }

    /// The lower of the two limits.
    fn packets_in_file(&self) -> Result<u64> {
        let in_duration = self.duration.map(|duration| {
            let rate = self.rate.unwrap_or(FILE_RATE);
            u64::try_from(duration.as_nanos() * u128::from(rate) / 1_000_000_000).unwrap_or(u64::MAX)
        });
        let limits = self.packets.into_iter().chain(in_duration);
        limits.min().context("a file without an end: limit it with --packets or --duration")
    }

    fn print(&self, report: &Report) -> Result<()> {
        if self.json {
            println!("{}", serde_json::to_string(report)?);
        } else {
            println!("{report}");
        }
        Ok(())
    }
}

fn mac_address(text: &str) -> Result<[u8; 6], &'static str> {
    let octets: Option<Vec<u8>> =
        text.split([':', '-']).map(|octet| u8::from_str_radix(octet, 16).ok()).collect();
    octets.and_then(|octets| octets.try_into().ok()).ok_or("expected six octets, like 02:00:00:00:00:01")
}

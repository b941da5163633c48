//! The growth of an interface's counters since the meter was started.
//!
//! The counters belong to a device that can be reset, be given a new name, or vanish while they are watched. A counter
//! that falls was reset, and counts from 0 again; one that cannot be read any more has the value that was read last. In
//! no case is one number subtracted from a smaller one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

use serde::Serialize;

use super::ethtool;
use crate::error::chain;

/// Counters of the kernel for each interface, as the files of its `statistics` directory are named: first the two that
/// measure traffic, then those of packets that were lost on the way in (`struct rtnl_link_stats64`).
const INTERFACE: [&str; 6] =
    ["rx_packets", "rx_bytes", "rx_dropped", "rx_missed_errors", "rx_over_errors", "rx_fifo_errors"];

/// Losses among the kernel's counters, in packets.
pub const LOSSES: [&str; 4] = ["rx_dropped", "rx_missed_errors", "rx_over_errors", "rx_fifo_errors"];

/// The growth of counters while they were watched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CounterGrowth {
    /// Growth of each counter.
    #[serde(flatten)]
    pub counters: BTreeMap<String, u64>,
    /// Counters that were set back meanwhile. They count from there on; what was added just before is not known.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub set_back: BTreeSet<String>,
    /// The error of the last reading; the counters are those of the last reading without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

/// Watches counters that only ever grow, unless they are set back.
#[derive(Debug, Default)]
struct Meter {
    last: BTreeMap<String, u64>,
    growth: CounterGrowth,
}

impl Meter {
    /// Adds the growth of the counters since the last call. The first call is the start.
    fn update(&mut self, counters: impl IntoIterator<Item = (String, u64)>) {
        let Self { last, growth } = self;
        let starts = last.is_empty();
        for (name, now) in counters {
            let before = last.insert(name.clone(), now);
            // A counter that came into being later (of a channel, say) was 0 before.
            let before = if starts { now } else { before.unwrap_or(0) };
            let added = now.checked_sub(before).unwrap_or_else(|| {
                growth.set_back.insert(name.clone());
                now
            });
            let counter = growth.counters.entry(name).or_default();
            *counter = counter.saturating_add(added);
        }
        growth.incomplete = None;
    }

    fn fail(&mut self, error: &io::Error) {
        self.growth.incomplete = Some(chain(error).to_string());
    }
}

/// The meters of one interface: the kernel's counters, and the driver's own that count losses.
#[derive(Debug, Default)]
pub struct NicMeter {
    interface: Meter,
    driver: Meter,
}

impl NicMeter {
    /// Starts the meters of the interface `name`.
    pub fn start(name: &str) -> Self {
        let mut meter = Self::default();
        meter.read_interface(name);
        meter.read_driver(name);
        meter
    }

    /// Reads the kernel's counters.
    pub fn read_interface(&mut self, name: &str) {
        match interface_counters(Path::new("/sys/class/net"), name) {
            Ok(counters) => self.interface.update(counters),
            Err(error) => self.interface.fail(&error),
        }
    }

    /// Reads the driver's counters; some drivers ask the device for them.
    pub fn read_driver(&mut self, name: &str) {
        match ethtool::statistics(name) {
            Ok(counters) => {
                let is_of_losses = |(name, _): &(String, u64)| is_loss_counter(name);
                self.driver.update(counters.into_iter().filter(is_of_losses));
            }
            Err(error) => self.driver.fail(&error),
        }
    }

    /// The growth of the kernel's counters since the start.
    pub fn interface(&self) -> &CounterGrowth {
        &self.interface.growth
    }

    /// The growth of the driver's own counters that [count losses](is_loss_counter) since the start.
    pub fn driver(&self) -> &CounterGrowth {
        &self.driver.growth
    }
}

fn interface_counters(class: &Path, name: &str) -> io::Result<Vec<(String, u64)>> {
    let directory = class.join(name).join("statistics");
    let mut counters = Vec::with_capacity(INTERFACE.len());
    for counter in INTERFACE {
        let text = fs::read_to_string(directory.join(counter))?;
        let value = text.trim().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        counters.push((counter.to_owned(), value));
    }
    Ok(counters)
}

/// `true` if a driver's counter of this name counts packets that were lost before XDP saw them.
///
/// By the sources of the drivers: ENA has `rx_drops` and `rx_overruns` for the device, and the allowances of the
/// instance, each of which counts packets that were queued or dropped; mlx5 `rx_out_of_buffer`, Intel's drivers
/// `rx_no_buffer_count`, `rx_no_dma_resources` and `rx_missed_errors`, gve `rx_queue_drop_cnt`. Several are also in the
/// kernel's counters, so that the two are not to be added up.
pub fn is_loss_counter(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "rx_drops",
        "rx_overruns",
        "rx_missed",
        "rx_missed_errors",
        "rx_out_of_buffer",
        "rx_discards_phy",
        "rx_no_dma_resources",
        "rx_queue_drop_cnt",
        "rx_buf_alloc_fail",
    ];
    NAMES.contains(&name) || name.ends_with("_allowance_exceeded") || name.starts_with("rx_no_buffer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(list: &[(&str, u64)]) -> Vec<(String, u64)> {
        list.iter().map(|&(name, value)| (name.to_owned(), value)).collect()
    }

    #[test]
    fn a_counter_that_is_set_back_never_wraps() {
        let mut meter = Meter::default();
        for (rx_packets, total, set_back) in [
            (1_000, 0, false),
            (1_500, 500, false),
            (3, 503, true),
            (10, 510, true),
            (u64::MAX, u64::MAX, true),
        ] {
            meter.update(counters(&[("rx_packets", rx_packets)]));
            assert_eq!(meter.growth.counters["rx_packets"], total, "{rx_packets}");
            assert_eq!(meter.growth.set_back.contains("rx_packets"), set_back, "{rx_packets}");
        }
    }

    #[test]
    fn counters_that_cannot_be_read_any_more_keep_their_last_value() {
        let class = tempfile::tempdir().unwrap();
        let directory = class.path().join("eth7/statistics");
        fs::create_dir_all(&directory).unwrap();
        let write = |value: u64| {
            for counter in INTERFACE {
                fs::write(directory.join(counter), format!("{value}\n")).unwrap();
            }
        };
        let mut meter = Meter::default();
        let read = |meter: &mut Meter| match interface_counters(class.path(), "eth7") {
            Ok(counters) => meter.update(counters),
            Err(error) => meter.fail(&error),
        };
        write(5);
        read(&mut meter);
        write(12);
        read(&mut meter);
        fs::remove_dir_all(&directory).unwrap();
        read(&mut meter);
        assert_eq!(meter.growth.counters["rx_packets"], 7);
        assert_eq!(meter.growth.counters["rx_missed_errors"], 7);
        assert!(meter.growth.incomplete.is_some());
    }

    #[test]
    fn counters_that_come_into_being_later_count_from_nothing() {
        let mut meter = Meter::default();
        meter.update(counters(&[("rx_drops", 10)]));
        meter.update(counters(&[("rx_drops", 10), ("rx_no_buffer_count", 4)]));
        assert_eq!(meter.growth.counters["rx_no_buffer_count"], 4);
        assert_eq!(meter.growth.counters["rx_drops"], 0);
    }

    /// The names that ENA has (`ena_ethtool.c` of amzn-drivers): those of packets that never reached the program
    /// are kept, and no others.
    #[test]
    fn the_losses_among_the_counters_of_ena() {
        let names = [
            ("total_resets", false),
            ("reset_fail", false),
            ("tx_timeout", false),
            ("wd_expired", false),
            ("interface_up", false),
            ("interface_down", false),
            ("admin_q_pause", false),
            ("rx_drops", true),
            ("rx_overruns", true),
            ("tx_drops", false),
            ("bw_in_allowance_exceeded", true),
            ("bw_out_allowance_exceeded", true),
            ("pps_allowance_exceeded", true),
            ("conntrack_allowance_exceeded", true),
            ("linklocal_allowance_exceeded", true),
            ("conntrack_allowance_available", false),
            ("ena_srd_mode", false),
            ("ena_srd_rx_pkts", false),
            ("queue_0_tx_cnt", false),
            ("queue_0_rx_cnt", false),
            ("queue_0_rx_xdp_redirect", false),
            // A redirect that the socket's rings refused, which the capture counts itself.
            ("queue_0_rx_xdp_aborted", false),
            ("queue_0_rx_xdp_drop", false),
            ("ena_admin_q_aborted_cmd", false),
        ];
        for (name, expected) in names {
            assert_eq!(is_loss_counter(name), expected, "{name}");
        }
    }
}

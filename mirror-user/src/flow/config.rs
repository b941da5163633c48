//! Options of a flow table.

use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::tunnels::Tunnels;
use crate::number::QueueId;
use crate::value::{Seed, ValueError, duration, whole_number};

/// Options of a worker's flow table. [`FlowConfig::default`] fits VPC Flow Logs.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "Flows")]
pub struct FlowConfig {
    /// Flows per worker at a time, 163 bytes each, 195 with IPv6; beyond that the flow that has been idle for longest
    /// ends early
    // 1 to MOST_FLOWS. The memory is used from the first time that there are so many.
    #[arg(long, value_name = "N", value_parser = whole_number::<u32>)]
    pub max_flows: u32,
    /// Tunnels per worker with flows at a time; beyond that the flows of the tunnel that has been idle for longest end
    /// early
    // 1 to MOST_TUNNELS, where tunnels are told apart also by their outer addresses and attachment. Where one endpoint has
    // more than half of the tunnels, the longest idle one of that endpoint gives way.
    #[arg(long, value_name = "N", value_parser = whole_number::<u32>)]
    pub max_tunnels: u32,
    /// End a flow after this long without a packet
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// Write a record of a long flow this often, at most 15m apart
    // A record covers at most this long. It is made by the first packet after that time, or when the flow has been quiet for
    // that time.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    #[serde(with = "duration")]
    pub active_timeout: Duration,
    /// End the flow of a closed TCP connection after this long without a packet
    // Also of one that was reset or refused.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    #[serde(with = "duration")]
    pub closing_timeout: Duration,
    /// Seed of flow sampling, decimal or 0x…: appliances with the same seed select the same flows. Senders must not know
    /// it [default: random at each start]
    // The secret of the hash that selects flows when they are sampled (FlowTable::set_sampling).
    #[arg(long, value_name = "N")]
    pub sampling_seed: Option<Seed>,
    /// Time for which fragments of a packet belong together, whichever comes first
    #[arg(skip)]
    #[serde(skip)]
    pub fragment_timeout: Duration,
    /// Secret of the table's hash, which senders must not know. The records do not depend on it
    #[arg(skip)]
    #[serde(skip)]
    pub seed: u64,
    /// Receive queue that the packets come from, for the records
    #[arg(skip)]
    #[serde(skip)]
    pub queue: QueueId,
}

impl FlowConfig {
    /// The highest [`FlowConfig::max_flows`].
    pub const MOST_FLOWS: u32 = (1 << 26) - 1;
    /// The highest [`FlowConfig::max_tunnels`].
    pub const MOST_TUNNELS: u32 = Tunnels::MOST;
    /// The longest [`FlowConfig::active_timeout`]: 15 minutes, so that times within a record take 40 bits.
    pub const LONGEST_ACTIVE: Duration = Duration::from_mins(15);

    /// Checks that every value is in its range.
    ///
    /// # Errors
    ///
    /// The first value that is not.
    pub fn check(&self) -> Result<(), ValueError> {
        let most = |key, what, count: u32, most| match count {
            1.. if count <= most => Ok(()),
            _ => Err(ValueError::new(
                key,
                format!("a maximum of {count} {what} per worker; set it to 1 to {most}"),
            )),
        };
        most("--max-flows", "flows", self.max_flows, Self::MOST_FLOWS)?;
        most("--max-tunnels", "tunnels", self.max_tunnels, Self::MOST_TUNNELS)?;
        for (key, name, timeout, longest) in [
            ("--active-timeout", "active", self.active_timeout, Self::LONGEST_ACTIVE),
            ("--idle-timeout", "idle", self.idle_timeout, LONGEST_TIMEOUT),
            ("--closing-timeout", "closing", self.closing_timeout, LONGEST_TIMEOUT),
            ("fragment_timeout", "fragment", self.fragment_timeout, LONGEST_TIMEOUT),
        ] {
            if timeout.is_zero() || timeout > longest {
                let problem =
                    format!("{name} timeout of {timeout:?}; set it above 0 and to at most {longest:?}");
                return Err(ValueError::new(key, problem));
            }
        }
        Ok(())
    }
}

/// A day: beyond it a timeout is a mistake.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(24);

impl Default for FlowConfig {
    /// A million flows; idle after 120 s, as a Gateway Load Balancer forgets flows other than TCP; a record
    /// per 60 s, as VPC Flow Logs aggregate; closing for 5 s; fragments for 30 s, as Linux reassembles. The seed of the
    /// hash is 0: set it to a random number where senders are not trusted.
    fn default() -> Self {
        Self {
            max_flows: 1 << 20,
            max_tunnels: 1 << 14,
            idle_timeout: Duration::from_secs(120),
            active_timeout: Duration::from_secs(60),
            closing_timeout: Duration::from_secs(5),
            sampling_seed: None,
            fragment_timeout: Duration::from_secs(30),
            seed: 0,
            queue: QueueId(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let good = FlowConfig::default();
        assert_eq!(good.check(), Ok(()));
        let minute = Duration::from_mins(1);
        for (bad, key) in [
            (FlowConfig { max_flows: 0, ..good }, "--max-flows"),
            (FlowConfig { max_flows: 1 << 26, ..good }, "--max-flows"),
            (FlowConfig { max_tunnels: 0, ..good }, "--max-tunnels"),
            (FlowConfig { max_tunnels: 1 << 16, ..good }, "--max-tunnels"),
            (FlowConfig { active_timeout: Duration::ZERO, ..good }, "--active-timeout"),
            (FlowConfig { active_timeout: 16 * minute, ..good }, "--active-timeout"),
            (FlowConfig { idle_timeout: Duration::ZERO, ..good }, "--idle-timeout"),
            (FlowConfig { closing_timeout: Duration::MAX, ..good }, "--closing-timeout"),
            (FlowConfig { fragment_timeout: Duration::ZERO, ..good }, "fragment_timeout"),
        ] {
            assert_eq!(bad.check().unwrap_err().key, key);
        }
        let error = FlowConfig { idle_timeout: Duration::ZERO, ..good }.check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "--idle-timeout: idle timeout of 0ns; set it above 0 and to at most 86400s"
        );
    }
}

//! What a flow table is told.

use std::time::Duration;

use thiserror::Error;

use super::tunnels::Tunnels;
use crate::number::QueueId;

/// What a flow table is told. [`FlowConfig::default`] fits VPC Flow Logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowConfig {
    /// Flows in the table at most, 1 to [`FlowConfig::MOST_FLOWS`]. At this number the longest idle flow
    /// makes room for a new one. A flow takes 159 bytes in IPv4, 191 in IPv6, of memory that is used from the
    /// first time that there are so many.
    pub max_flows: u32,
    /// Tunnels with flows in the table at most, 1 to [`FlowConfig::MOST_TUNNELS`], where tunnels are told apart also by
    /// their outer addresses and attachment. At this number the flows of the longest idle tunnel end to make room for a
    /// new one; where one endpoint has more than half of the tunnels, the longest idle one of that endpoint.
    pub max_tunnels: u32,
    /// A flow without a packet for this long has ended.
    pub idle: Duration,
    /// A record covers at most this long, up to [`FlowConfig::LONGEST_ACTIVE`]. It is made by the first
    /// packet after that time, or when the flow has been quiet for that time.
    pub active: Duration,
    /// A TCP connection that was closed, reset or refused has ended after this long without a packet.
    pub closing: Duration,
    /// Fragments of a packet belong together for this long, whichever comes first.
    pub fragment: Duration,
    /// The secret of the hash, which senders must not know. The records do not depend on it.
    pub seed: u64,
    /// The secret of the hash that selects flows when they are [sampled](super::FlowTable::set_sampling). All workers
    /// and appliances need the same for them to select the same flows.
    pub sampling_seed: u64,
    /// Where the packets come from, for the records.
    pub queue: QueueId,
}

impl FlowConfig {
    /// The highest [`FlowConfig::max_flows`].
    pub const MOST_FLOWS: u32 = (1 << 26) - 1;
    /// The highest [`FlowConfig::max_tunnels`].
    pub const MOST_TUNNELS: u32 = Tunnels::MOST;
    /// The longest [`FlowConfig::active`]: 15 minutes, so that times within a record take 40 bits.
    pub const LONGEST_ACTIVE: Duration = Duration::from_mins(15);

    /// The same, if it can be followed.
    ///
    /// # Errors
    ///
    /// The first value that is out of range.
    pub fn checked(self) -> Result<Self, FlowConfigError> {
        if !(1..=Self::MOST_FLOWS).contains(&self.max_flows) {
            return Err(FlowConfigError::Flows(self.max_flows));
        }
        if !(1..=Self::MOST_TUNNELS).contains(&self.max_tunnels) {
            return Err(FlowConfigError::Tunnels(self.max_tunnels));
        }
        if self.active.is_zero() || self.active > Self::LONGEST_ACTIVE {
            return Err(FlowConfigError::Active(self.active));
        }
        for (name, timeout) in [("idle", self.idle), ("closing", self.closing), ("fragment", self.fragment)] {
            if timeout.is_zero() || timeout > LONGEST_TIMEOUT {
                return Err(FlowConfigError::Timeout(name, timeout));
            }
        }
        Ok(self)
    }
}

/// A day: beyond it a timeout is a mistake.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(24);

impl Default for FlowConfig {
    /// A million flows; idle after 120 s, as a Gateway Load Balancer forgets flows other than TCP; a record
    /// per 60 s, as VPC Flow Logs aggregate; closing for 5 s; fragments for 30 s, as Linux reassembles. Both
    /// seeds are 0: set them to random numbers where senders are not trusted.
    fn default() -> Self {
        Self {
            max_flows: 1 << 20,
            max_tunnels: 1 << 14,
            idle: Duration::from_secs(120),
            active: Duration::from_secs(60),
            closing: Duration::from_secs(5),
            fragment: Duration::from_secs(30),
            seed: 0,
            sampling_seed: 0,
            queue: QueueId(0),
        }
    }
}

/// Why a [`FlowConfig`] cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FlowConfigError {
    /// [`FlowConfig::max_flows`].
    #[error("flow table: a maximum of {0} flows per worker; set it to 1 to {most}", most = FlowConfig::MOST_FLOWS)]
    Flows(u32),
    /// [`FlowConfig::max_tunnels`].
    #[error(
        "flow table: a maximum of {0} tunnels per worker; set it to 1 to {most}", most = FlowConfig::MOST_TUNNELS
    )]
    Tunnels(u32),
    /// [`FlowConfig::active`].
    #[error(
        "flow table: an active timeout of {0:?}; set it above 0 and to at most {longest:?}",
        longest = FlowConfig::LONGEST_ACTIVE
    )]
    Active(Duration),
    /// One of the other timeouts.
    #[error("flow table: {0} timeout of {1:?}; set it above 0 and to at most {LONGEST_TIMEOUT:?}")]
    Timeout(&'static str, Duration),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let good = FlowConfig::default();
        assert_eq!(good.checked(), Ok(good));
        let minute = Duration::from_mins(1);
        for (bad, error) in [
            (FlowConfig { max_flows: 0, ..good }, FlowConfigError::Flows(0)),
            (FlowConfig { max_flows: 1 << 26, ..good }, FlowConfigError::Flows(1 << 26)),
            (FlowConfig { max_tunnels: 0, ..good }, FlowConfigError::Tunnels(0)),
            (FlowConfig { max_tunnels: 1 << 16, ..good }, FlowConfigError::Tunnels(1 << 16)),
            (FlowConfig { active: Duration::ZERO, ..good }, FlowConfigError::Active(Duration::ZERO)),
            (FlowConfig { active: 16 * minute, ..good }, FlowConfigError::Active(16 * minute)),
            (FlowConfig { idle: Duration::ZERO, ..good }, FlowConfigError::Timeout("idle", Duration::ZERO)),
            (
                FlowConfig { closing: Duration::MAX, ..good },
                FlowConfigError::Timeout("closing", Duration::MAX),
            ),
            (
                FlowConfig { fragment: Duration::ZERO, ..good },
                FlowConfigError::Timeout("fragment", Duration::ZERO),
            ),
        ] {
            assert_eq!(bad.checked(), Err(error));
        }
        assert_eq!(
            FlowConfigError::Timeout("idle", Duration::ZERO).to_string(),
            "flow table: idle timeout of 0ns; set it above 0 and to at most 86400s"
        );
    }
}

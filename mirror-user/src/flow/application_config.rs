//! Options of looking into the payload of flows.

use std::time::Duration;

use clap::Args;
use mirror_app::InspectorConfig;
use serde::{Deserialize, Serialize};

use crate::value::{ValueError, duration, size, whole_number};

/// Options of looking into the first payload of flows, for what it tells of their applications. Table `[application]` of
/// the file.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "Applications")]
pub struct ApplicationConfig {
    /// Look into the first payload of flows for TLS, QUIC, DNS, HTTP and other protocols
    // Where payload may be recorded, and while packets come whole and the worker keeps up.
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set)]
    pub applications: bool,
    /// Flows per worker of which something is known or looked for, some 300 bytes each
    // Beyond that, a flow of which nothing was found yet gives way.
    #[arg(long, value_name = "N", value_parser = whole_number::<u32>)]
    pub application_flows: u32,
    /// Memory per worker for messages of which a part is still to come
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    #[serde(with = "size")]
    pub application_memory: u64,
    /// Wait this long for the rest of a message
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    #[serde(with = "duration")]
    pub application_timeout: Duration,
}

/// Bytes of a flow in the inspector.
const PER_FLOW: u64 = 300;

impl Default for ApplicationConfig {
    fn default() -> Self {
        let InspectorConfig { flows, buffer_bytes, timeout, .. } = InspectorConfig::default();
        Self {
            applications: true,
            application_flows: flows,
            application_memory: buffer_bytes as u64,
            application_timeout: Duration::from_nanos(timeout),
        }
    }
}

impl ApplicationConfig {
    /// The highest [`ApplicationConfig::application_flows`].
    pub const MOST_FLOWS: u32 = (1 << 24) - 1;
    /// The longest [`ApplicationConfig::application_timeout`].
    const LONGEST_TIMEOUT: Duration = Duration::from_mins(15);

    /// Checks that every value is in its range.
    ///
    /// # Errors
    ///
    /// The first value that is not.
    pub fn check(&self) -> Result<(), ValueError> {
        if !(1..=Self::MOST_FLOWS).contains(&self.application_flows) {
            let problem = format!("{} flows; set it to 1 to {}", self.application_flows, Self::MOST_FLOWS);
            return Err(ValueError::new("--application-flows", problem));
        }
        let least = InspectorConfig::default().direction_bytes as u64;
        if self.application_memory < least {
            let problem = format!("less than {least} bytes, which one message may take");
            return Err(ValueError::new("--application-memory", problem));
        }
        if self.application_timeout.is_zero() || self.application_timeout > Self::LONGEST_TIMEOUT {
            let problem = format!("set it above 0 and to at most {:?}", Self::LONGEST_TIMEOUT);
            return Err(ValueError::new("--application-timeout", problem));
        }
        Ok(())
    }

    /// Bytes that a worker takes when as many flows are known as may be, without the names that were found.
    pub const fn bytes(&self) -> u64 {
        if self.applications { self.application_flows as u64 * PER_FLOW + self.application_memory } else { 0 }
    }

    /// The bounds of a worker's inspector; none where payload is not looked into.
    pub fn inspector(&self) -> Option<InspectorConfig> {
        self.applications.then(|| InspectorConfig {
            flows: self.application_flows,
            buffer_bytes: usize::try_from(self.application_memory).unwrap_or(usize::MAX),
            timeout: u64::try_from(self.application_timeout.as_nanos()).unwrap_or(u64::MAX),
            ..InspectorConfig::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let good = ApplicationConfig::default();
        assert_eq!(good.check(), Ok(()));
        for (bad, key) in [
            (ApplicationConfig { application_flows: 0, ..good }, "--application-flows"),
            (ApplicationConfig { application_flows: 1 << 24, ..good }, "--application-flows"),
            (ApplicationConfig { application_memory: 1000, ..good }, "--application-memory"),
            (ApplicationConfig { application_timeout: Duration::ZERO, ..good }, "--application-timeout"),
            (ApplicationConfig { application_timeout: Duration::MAX, ..good }, "--application-timeout"),
        ] {
            assert_eq!(bad.check().unwrap_err().key, key);
        }
        assert_eq!(ApplicationConfig { applications: false, ..good }.inspector(), None);
    }
}

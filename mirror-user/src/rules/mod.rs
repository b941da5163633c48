//! Rules: the records that may be made of each tunnel's packets.
//!
//! - [`rule`]: a rule as the configuration states it.
//! - [`headers`]: the length of a packet's headers, where its payload must not be recorded.
//!
//! The most specific of the rules that apply to a packet decides alone: endpoint and VNI before the endpoint before the VNI
//! before the rest. The XDP program truncates packets by the same order
//! ([`mirror_common::tunnel::most_specific`]).

pub mod headers;
mod recording;
pub mod rule;

use mirror_common::tunnel::{TunnelKey, most_specific};

pub use self::headers::header_length;
pub use self::recording::{ApplicationKinds, Recording};
pub use self::rule::{RecordKind, Rule, RuleError};
use crate::key_map::KeyMap;
use crate::number::{EndpointId, Vni};
use crate::packet::{PlainTunnel, Tunnel};

/// The resolved rules of all tunnels.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    by_tunnel: KeyMap<TunnelKey, Recording>,
    /// Kinds of the keys in `by_tunnel`: a set of the bits in [`mirror_common::tunnel::kind`].
    kinds: u16,
    rest: Recording,
}

impl Rules {
    /// Resolves `rules`. `default` holds for what a rule leaves out, and where no rule applies.
    ///
    /// # Errors
    ///
    /// The first rule that is out of range, or for the same tunnels as one before.
    pub fn new(rules: &[Rule], default: Recording) -> Result<Self, RuleError> {
        let mut resolved = Self::default();
        let mut rest = None;
        for (number, rule) in (1..).zip(rules) {
            let recording = rule.recording(number, default)?;
            let earlier = match rule.key(number)? {
                Some(key) => {
                    resolved.kinds |= key.kind();
                    resolved.by_tunnel.insert(key, recording)
                }
                None => rest.replace(recording),
            };
            if earlier.is_some() {
                return Err(RuleError::Duplicate { rule: number });
            }
        }
        resolved.rest = rest.unwrap_or(default);
        Ok(resolved)
    }

    /// The same rule for every tunnel.
    pub fn uniform(rest: Recording) -> Self {
        Self { rest, ..Self::default() }
    }

    /// The recording of packets that no rule applies to.
    pub const fn rest(&self) -> Recording {
        self.rest
    }

    /// `true` if `holds` for any tunnel.
    pub fn any(&self, holds: impl Fn(&Recording) -> bool) -> bool {
        self.by_tunnel.values().chain([&self.rest]).any(holds)
    }

    /// `true` if the same holds for every tunnel.
    pub const fn are_uniform(&self) -> bool {
        self.kinds == 0
    }

    /// The kinds of records of applications that any tunnel may have.
    pub fn applications(&self) -> ApplicationKinds {
        let all = self.by_tunnel.values().chain([&self.rest]);
        all.fold(ApplicationKinds::NONE, |kinds, recording| kinds.or(recording.applications))
    }

    /// The recording of packets of `tunnel`.
    #[inline]
    pub fn resolve(&self, tunnel: &Tunnel) -> Recording {
        self.find(tunnel).unwrap_or(self.rest)
    }

    /// The recording by the rule for packets of `tunnel`; [`None`] where no rule but [`Rules::rest`] applies.
    #[inline(always)]
    pub fn find(&self, tunnel: &Tunnel) -> Option<Recording> {
        if self.kinds == 0 {
            return None;
        }
        self.look_up(tunnel.endpoint, tunnel.vxlan_vni.or(tunnel.geneve_vni))
    }

    /// The same for a load balancer's tunnel.
    #[inline(always)]
    pub fn find_plain(&self, tunnel: &PlainTunnel) -> Option<Recording> {
        if self.kinds == 0 {
            return None;
        }
        self.look_up(Some(tunnel.endpoint), tunnel.vxlan_vni.or(Some(tunnel.geneve_vni)))
    }

    #[inline(never)] // kept out of the code of those without such rules
    fn look_up(&self, endpoint: Option<EndpointId>, vni: Option<Vni>) -> Option<Recording> {
        let endpoint = endpoint.map(|endpoint| endpoint.0);
        let look_up = |key: &TunnelKey| self.by_tunnel.get(key).copied();
        most_specific(self.kinds, endpoint, vni.map(Vni::get), look_up)
    }

    /// The snap lengths by which the kernel is to truncate in place of that of [`rest`](Self::rest); none where all
    /// packets are truncated alike.
    pub fn snap_lengths(&self) -> Vec<(TunnelKey, Option<u32>)> {
        if self.by_tunnel.values().all(|recording| recording.snap_length == self.rest.snap_length) {
            return Vec::new();
        }
        self.by_tunnel.iter().map(|(key, recording)| (*key, recording.snap_length)).collect()
    }
}

#[cfg(test)]
mod tests;

//! The packets that a privacy rule is for.

use std::collections::BTreeMap;
use std::fmt;

use crate::number::{EndpointId, Vni};
use crate::packet::Tunnel;

/// The owner of the mirrored interface, as the enrichment map knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its account: 12 digits.
    pub account: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// Owners of tunnels: what an enrichment map knows.
pub trait Identities: Send {
    /// A number that changes whenever answers may be others than before.
    fn version(&self) -> u64;

    /// The owner of the interface whose packets come by `tunnel`; [`None`] where it is not known.
    fn of(&self, tunnel: &Tunnel) -> Option<Identity>;
}

/// The selectors of a rule; all that there are must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// The endpoint.
    pub endpoint: Option<EndpointId>,
    /// The VNI: that of the mirror session; of a packet without VXLAN, that of GENEVE.
    pub vni: Option<Vni>,
    /// The account.
    pub account: Option<String>,
    /// Tags, all of which the interface must have.
    pub tags: BTreeMap<String, String>,
}

impl Selector {
    /// `true` if it is for packets with this endpoint and VNI, whose owner is `identity` where it is known.
    pub fn matches(
        &self,
        endpoint: Option<EndpointId>,
        vni: Option<Vni>,
        identity: Option<&Identity>,
    ) -> bool {
        let owner = || match identity {
            Some(identity) => {
                self.account.as_ref().is_none_or(|account| *account == identity.account)
                    && self.tags.iter().all(|(name, value)| identity.tags.get(name) == Some(value))
            }
            None => !self.needs_identity(),
        };
        self.endpoint.is_none_or(|wanted| endpoint == Some(wanted))
            && self.vni.is_none_or(|wanted| vni == Some(wanted))
            && owner()
    }

    /// `true` if it goes by the owner.
    pub fn needs_identity(&self) -> bool {
        self.account.is_some() || !self.tags.is_empty()
    }

    /// `true` if it is for every packet.
    pub fn is_for_all(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Selector {
    /// As in a sentence: "gwlbe_id …, vni 7"; "every packet".
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.endpoint.map(|endpoint| format!("gwlbe_id {endpoint}"));
        let parts = parts.into_iter().chain(self.vni.map(|vni| format!("vni {vni}")));
        let parts = parts.chain(self.account.as_ref().map(|account| format!("account {account}")));
        let parts: Vec<String> =
            parts.chain(self.tags.iter().map(|(name, value)| format!("tag {name}={value}"))).collect();
        if parts.is_empty() {
            formatter.write_str("every packet")
        } else {
            formatter.write_str(&parts.join(", "))
        }
    }
}

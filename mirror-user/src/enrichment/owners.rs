//! Owners of tunnels, by which privacy rules go.

use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;

use super::current::Enrichment;
use crate::packet::Tunnel;
use crate::privacy::{Identities, Identity};

/// The owners that the map in force knows.
#[derive(Clone, Debug)]
pub struct Owners(Arc<Enrichment>);

impl Owners {
    /// By the map in force.
    pub fn new(enrichment: &Arc<Enrichment>) -> Self {
        Self(Arc::clone(enrichment))
    }
}

impl Identities for Owners {
    /// The number of maps that were taken up.
    fn version(&self) -> u64 {
        self.0.loads.load(Acquire)
    }

    fn of(&self, tunnel: &Tunnel) -> Option<Identity> {
        let index = self.0.current.load();
        let session = index.find(tunnel)?.session();
        Some(Identity { account: session.account.clone(), tags: session.tags.clone() })
    }
}

//! Names for addresses, by the DNS answers that clients got.
//!
//! All that is known of one client is in one shard, behind a lock that is held for one answer or one question: flows ask once, and
//! packets do not. What is known is forgotten in the order in which it was learnt, when there is more than the limits allow.
//!
//! An answer *names* for as long as it may be used, by its time to live within a floor and a ceiling. Behind that it is *kept* for
//! some time yet, because clients use answers for longer than they should: it names nothing then, but it still agrees with a claim.
//!
//! A claim is contradicted only where the answers of the client are known without a gap for as long as one may be in use. A client
//! of which something was forgotten early counts as known from then on.

mod client;
mod shard;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::dns::Message;
use client::Chain;
use shard::Shard;

/// Limits of [`Names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most addresses and names that are kept of all clients.
    pub entries: usize,
    /// Most bytes for them, as they are accounted for: names by their lengths, the rest by its size.
    pub bytes: usize,
    /// Time for which an answer names at least.
    pub floor: Duration,
    /// Time for which an answer names at most.
    pub ceiling: Duration,
    /// Time for which an answer is kept; not below the ceiling.
    pub kept: Duration,
    /// Time for which a client's answers have to be known before one of its claims is contradicted: that for which it may use
    /// older answers, which were not seen.
    pub settled: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 1 << 18,
            bytes: 64 << 20,
            floor: Duration::from_secs(60),
            ceiling: Duration::from_secs(24 * 3600),
            kept: Duration::from_secs(24 * 3600),
            settled: Duration::from_secs(3600),
        }
    }
}

/// What the answers that a client got say to a name that it claims for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Too little is known.
    Unknown,
    /// An answer gave the address for the name.
    Agrees,
    /// Answers for the name gave other addresses only.
    OtherAddress,
    /// Answers gave the address for other names only, and the name was not asked for.
    OtherName,
}

impl Finding {
    /// `true` where no answer gave the address for the name, though there were answers for one of them.
    pub const fn is_mismatch(self) -> bool {
        matches!(self, Self::OtherAddress | Self::OtherName)
    }
}

/// Numbers that tell how the cache fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Responses that were learnt from.
    pub learnt: u64,
    /// Responses with nothing to learn: queries, failures, multicast DNS, other classes.
    pub ignored: u64,
    /// Addresses and names that were forgotten because their time was over.
    pub expired: u64,
    /// Those that were forgotten before, because there was no room.
    pub evicted: u64,
    /// Addresses and names at present.
    pub entries: u64,
    /// Bytes accounted for at present.
    pub bytes: u64,
}

/// The names of addresses, for use by all workers.
#[derive(Debug)]
pub struct Names {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
}

/// Shards, so that workers seldom wait for each other.
const SHARDS: usize = 32;

impl Names {
    /// An empty cache.
    pub fn new(limits: Limits) -> Self {
        let limits = Limits { entries: limits.entries / SHARDS, bytes: limits.bytes / SHARDS, ..limits };
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new(limits))).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Learns from a response that `client` got, in the network that `scope` stands for, at `now`, which is the time since any fixed
    /// point.
    pub fn learn(&self, scope: u64, client: IpAddr, message: &Message, now: Duration) {
        let client = Key::new(scope, client);
        let chain = Chain::of(message);
        let mut shard = self.shard(client);
        match chain {
            Some(chain) => shard.learn(client, &chain, now),
            None => shard.ignored(),
        }
    }

    /// The name that `client` asked for last of those whose answers gave the address `server` and may still be used.
    pub fn name_of(&self, scope: u64, client: IpAddr, server: IpAddr, now: Duration) -> Option<Arc<str>> {
        let client = Key::new(scope, client);
        self.shard(client).name_of(client, server.to_canonical(), now)
    }

    /// What is known of the claim that `server` has the name `claimed`, in lower case without a dot at its end.
    ///
    /// Not for what is said inside of a connection to a proxy, which has another address than the name.
    pub fn check(&self, scope: u64, client: IpAddr, server: IpAddr, claimed: &str, now: Duration) -> Finding {
        let client = Key::new(scope, client);
        self.shard(client).check(client, server.to_canonical(), claimed, now)
    }

    /// `true` where [`Names::check`] finds a mismatch.
    pub fn contradicts(
        &self,
        scope: u64,
        client: IpAddr,
        server: IpAddr,
        claimed: &str,
        now: Duration,
    ) -> bool {
        self.check(scope, client, server, claimed, now).is_mismatch()
    }

    /// The counters, summed up.
    pub fn counters(&self) -> Counters {
        self.shards.iter().map(|shard| lock(shard).counters()).fold(Counters::default(), |all, one| {
            Counters {
                learnt: all.learnt + one.learnt,
                ignored: all.ignored + one.ignored,
                expired: all.expired + one.expired,
                evicted: all.evicted + one.evicted,
                entries: all.entries + one.entries,
                bytes: all.bytes + one.bytes,
            }
        })
    }

    fn shard(&self, client: Key) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(client);
        let index = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        lock(&self.shards[index])
    }
}

/// A shard is whole after every statement, so that a panic elsewhere is no reason to lose it.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client in its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    scope: u64,
    client: IpAddr,
}

impl Key {
    fn new(scope: u64, client: IpAddr) -> Self {
        Self { scope, client: client.to_canonical() }
    }
}

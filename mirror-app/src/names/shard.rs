//! Some of the clients, within limits.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::client::{Address, Chain, Client, Name, Named};
use super::{Counters, Finding, Key, Limits};

/// Bytes that an address, a name of one, or a name of a client is accounted for, besides the letters of names: their own, their
/// share of a table that is half full, and their place in the order.
const ADDRESS: usize = 2 * size_of::<(IpAddr, Address)>() + size_of::<Turn>();
const NAMED: usize = 2 * size_of::<Named>();
const NAME: usize = 2 * size_of::<(Arc<str>, Name)>() + size_of::<Turn>();

/// Entries whose time is looked at whenever something is learnt.
const EXPIRED_AT_ONCE: usize = 4;

/// An entry, in the order of learning.
#[derive(Debug)]
struct Turn {
    number: u64,
    client: Key,
    entry: Entry,
}

#[derive(Debug)]
enum Entry {
    Address(IpAddr),
    Name(Arc<str>),
}

/// A part of the clients.
#[derive(Debug)]
pub(super) struct Shard {
    limits: Limits,
    clients: HashMap<Key, Client>,
    /// What was learnt, in its order. An entry that was learnt again is there more than once, of which only the last counts.
    turns: VecDeque<Turn>,
    next_turn: u64,
    entries: usize,
    bytes: usize,
    counters: Counters,
}

impl Shard {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            clients: HashMap::new(),
            turns: VecDeque::new(),
            next_turn: 0,
            entries: 0,
            bytes: 0,
            counters: Counters::default(),
        }
    }

    pub fn ignored(&mut self) {
        self.counters.ignored += 1;
    }

    pub fn counters(&self) -> Counters {
        Counters { entries: self.entries as u64, bytes: self.bytes as u64, ..self.counters }
    }

    pub fn name_of(&self, client: Key, server: IpAddr, now: Duration) -> Option<Arc<str>> {
        self.clients.get(&client)?.name_of(server, now)
    }

    pub fn check(&self, client: Key, server: IpAddr, claimed: &str, now: Duration) -> Finding {
        match self.clients.get(&client) {
            Some(known) => known.check(server, claimed, now, &self.limits),
            None => Finding::Unknown,
        }
    }

    pub fn learn(&mut self, key: Key, chain: &Chain<'_>, now: Duration) {
        self.counters.learnt += 1;
        let client = self.clients.entry(key).or_insert_with(|| Client::new(now));
        let kept_until = now + self.limits.kept.max(self.limits.ceiling);
        let Limits { floor, ceiling, .. } = self.limits;
        let used = |ttl: u32| Duration::from_secs(u64::from(ttl)).min(ceiling).max(floor);
        let mut number = self.next_turn;
        let mut learnt = |entry| {
            number += 1;
            self.turns.push_back(Turn { number, client: key, entry });
            number
        };
        let share = |client: &Client, name: &str| {
            client.names.get_key_value(name).map_or_else(|| Arc::from(name), |(known, _)| Arc::clone(known))
        };
        let mut bytes: isize = 0;
        let names: Vec<Arc<str>> = chain.names.iter().map(|name| share(client, name)).collect();
        for &(server, ttl) in &chain.addresses {
            let until = now + used(ttl);
            let address = client.addresses.entry(server).or_insert_with(|| {
                self.entries += 1;
                self.bytes += ADDRESS;
                Address::default()
            });
            let before = address.names.len();
            for (position, name) in names.iter().enumerate().rev() {
                bytes += address.note(name, position == 0, until);
            }
            self.bytes += (address.names.len() - before) * NAMED;
            address.turn = learnt(Entry::Address(server));
            address.until = kept_until;
        }
        let asked = share(client, chain.claimed());
        let name = client.names.entry(Arc::clone(&asked)).or_insert_with(|| {
            self.entries += 1;
            self.bytes += NAME + asked.len();
            Name::default()
        });
        for &(server, ttl) in &chain.addresses {
            name.note(server, now, used(ttl));
        }
        name.open |= chain.open;
        name.turn = learnt(Entry::Name(asked));
        name.until = kept_until;
        self.next_turn = number;
        self.bytes = self.bytes.saturating_add_signed(bytes);
        self.shrink(now);
    }

    /// Forgets what is too old, a few entries at a time, and what there is no room for.
    fn shrink(&mut self, now: Duration) {
        for _ in 0..EXPIRED_AT_ONCE {
            let Some(front) = self.turns.front() else { break };
            match self.until(front) {
                None => {}
                Some(until) if until < now => self.counters.expired += 1,
                Some(_) => break,
            }
            self.forget_first(None);
        }
        while self.entries > self.limits.entries || self.bytes > self.limits.bytes {
            if self.turns.is_empty() {
                break;
            }
            self.forget_first(Some(now));
        }
        // Entries that were learnt again leave their earlier turns behind.
        if self.turns.len() > 2 * self.entries + 64 {
            let turns = std::mem::take(&mut self.turns);
            self.turns = turns.into_iter().filter(|turn| self.until(turn).is_some()).collect();
        }
    }

    /// Time up to which the entry is kept, if this is the turn in which it was learnt last.
    fn until(&self, turn: &Turn) -> Option<Duration> {
        let client = self.clients.get(&turn.client)?;
        let (last, until) = match &turn.entry {
            Entry::Address(address) => {
                client.addresses.get(address).map(|address| (address.turn, address.until))?
            }
            Entry::Name(name) => client.names.get(name).map(|name| (name.turn, name.until))?,
        };
        (last == turn.number).then_some(until)
    }

    /// Forgets the entry that was learnt first; before its time, if it is evicted at a time.
    fn forget_first(&mut self, evicted: Option<Duration>) {
        let Some(turn) = self.turns.pop_front() else { return };
        if self.until(&turn).is_none() {
            return;
        }
        let Some(client) = self.clients.get_mut(&turn.client) else { return };
        self.bytes -= match turn.entry {
            Entry::Address(address) => client.addresses.remove(&address).map_or(0, |address| {
                let letters: usize = address.names.iter().map(|named| named.name.len()).sum();
                ADDRESS + address.names.len() * NAMED + letters
            }),
            Entry::Name(name) => client.names.remove(&name).map_or(0, |_| NAME + name.len()),
        };
        self.entries -= 1;
        if let Some(now) = evicted {
            self.counters.evicted += 1;
            client.since = now;
        }
        if client.addresses.is_empty() && client.names.is_empty() {
            self.clients.remove(&turn.client);
        }
    }
}

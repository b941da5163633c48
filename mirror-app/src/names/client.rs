//! The answers that one client got.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Finding, Limits};
use crate::dns::{Class, Data, Message, RecordType, ResponseCode};

/// Most names of one address; the oldest goes first.
const MAX_NAMES: usize = 16;
/// Most names on the way from the one that was asked for to the addresses, both ends included.
const MAX_CHAIN: usize = 8;

/// What a response says: a name that was asked for, the names that it stands for, and the addresses of the last of them.
pub(super) struct Chain<'m> {
    /// The name that was asked for, then those that it is an alias of.
    pub names: Vec<&'m str>,
    /// Each address with its time to live in seconds, which is the least on the way to it.
    pub addresses: Vec<(IpAddr, u32)>,
    /// The name has services or aliases whose addresses other answers give.
    pub open: bool,
}

impl<'m> Chain<'m> {
    /// The chain of a response; [`None`] where there is nothing to learn.
    pub fn of(message: &'m Message) -> Option<Self> {
        let question = message.question()?;
        let usable = message.flags().is_response()
            && message.response_code() == ResponseCode::NOERROR
            && message.questions().len() == 1
            && message.questions_left_out() == 0
            && question.class == Class::IN;
        if !usable {
            return None;
        }
        let mut chain = Self { names: vec![question.name], addresses: Vec::new(), open: false };
        let mut least = u32::MAX;
        // Aliases stand in order (RFC 1034, section 4.3.1), but it is not relied upon.
        while let Some((target, ttl)) = chain.names.last().and_then(|&last| alias(message, last)) {
            if chain.names.len() == MAX_CHAIN || chain.names.contains(&target) {
                chain.open = true;
                break;
            }
            chain.names.push(target);
            least = least.min(ttl);
        }
        let last = chain.names.last().copied().unwrap_or(question.name);
        for answer in message.answers().filter(|answer| answer.name == last) {
            let ttl = least.min(seconds(answer.ttl));
            match answer.data {
                Data::Address(address) => chain.addresses.push((address.to_canonical(), ttl)),
                Data::Service { target, hints, .. } => {
                    chain.open |= target != ".";
                    chain.addresses.extend(hints.iter().map(|hint| (hint.to_canonical(), ttl)));
                }
                _ => chain.open |= matches!(answer.record_type, RecordType::SRV | RecordType::MX),
            }
        }
        // An answer that was not kept may have had any address.
        chain.open |= message.answers_left_out() > 0;
        (chain.open || !chain.addresses.is_empty()).then_some(chain)
    }

    /// The name that a client of the service would claim: without labels such as `_443._https`.
    pub fn claimed(&self) -> &'m str {
        let mut name = self.names.first().copied().unwrap_or_default();
        while let Some((_, rest)) = name.split_once('.').filter(|(label, _)| label.starts_with('_')) {
            name = rest;
        }
        name
    }
}

/// The name that `owner` is an alias of, and for how many seconds.
fn alias<'m>(message: &'m Message, owner: &str) -> Option<(&'m str, u32)> {
    message
        .answers()
        .filter(|answer| answer.record_type == RecordType::CNAME && answer.name == owner)
        .find_map(|answer| match answer.data {
            Data::Name(target) => Some((target, seconds(answer.ttl))),
            _ => None,
        })
}

/// A time to live, in which the first bit means 0 (RFC 2181, section 8).
const fn seconds(ttl: u32) -> u32 {
    if ttl > i32::MAX as u32 { 0 } else { ttl }
}

/// An address that answers gave.
#[derive(Debug, Default)]
pub(super) struct Address {
    /// The names that it was given for, the last learnt at the end.
    pub names: Vec<Named>,
    /// More names than are kept.
    pub more: bool,
    /// The turn in which it was learnt last.
    pub turn: u64,
    /// Time behind which it is forgotten.
    pub until: Duration,
}

/// A name of an address.
#[derive(Debug)]
pub(super) struct Named {
    pub name: Arc<str>,
    /// Asked for, and not only met on the way from alias to address.
    pub asked: bool,
    /// Time up to which it names.
    pub until: Duration,
}

/// A name that answers were given for.
#[derive(Debug, Default)]
pub(super) struct Name {
    /// Time up to which one of the answers names, for IPv4 and for IPv6: a client may know one by an answer that was not seen.
    pub names_until: [Duration; 2],
    /// The longest time for which one of them may be used.
    pub longest: Duration,
    /// Other addresses are possible than those that answers for this name give.
    pub open: bool,
    /// The turn in which it was learnt last.
    pub turn: u64,
    /// Time behind which it is forgotten.
    pub until: Duration,
}

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    /// Time from which on its answers are known without a gap.
    pub since: Duration,
    pub addresses: HashMap<IpAddr, Address>,
    pub names: HashMap<Arc<str>, Name>,
}

impl Client {
    pub fn new(since: Duration) -> Self {
        Self { since, addresses: HashMap::new(), names: HashMap::new() }
    }

    pub fn name_of(&self, server: IpAddr, now: Duration) -> Option<Arc<str>> {
        let names = &self.addresses.get(&server)?.names;
        names
            .iter()
            .rev()
            .find(|named| named.asked && now <= named.until)
            .map(|named| Arc::clone(&named.name))
    }

    pub fn check(&self, server: IpAddr, claimed: &str, now: Duration, limits: &Limits) -> Finding {
        let address = self.addresses.get(&server);
        let agrees = |named: &Named| {
            // A client completes short names by the domains that it searches.
            let completed = named.name.strip_prefix(claimed).is_some_and(|rest| rest.starts_with('.'));
            *named.name == *claimed || completed && !claimed.contains('.')
        };
        if address.is_some_and(|address| address.names.iter().any(agrees)) {
            return Finding::Agrees;
        }
        let known_for = |time: Duration| now.saturating_sub(self.since) >= time.max(limits.settled);
        let names_now = |address: &Address| address.names.iter().any(|named| now <= named.until);
        match (self.names.get(claimed), address) {
            (Some(name), _) if name.open || address.is_some_and(|address| address.more) => Finding::Unknown,
            (Some(name), _) if now <= name.names_until(server) && known_for(name.longest) => {
                Finding::OtherAddress
            }
            (None, Some(address)) if !address.more && names_now(address) && known_for(Duration::ZERO) => {
                Finding::OtherName
            }
            _ => Finding::Unknown,
        }
    }
}

impl Name {
    /// Time up to which one of the answers of the address's family names.
    pub fn names_until(&self, address: IpAddr) -> Duration {
        let [ipv4, ipv6] = self.names_until;
        if address.is_ipv6() { ipv6 } else { ipv4 }
    }

    /// Notes that the name was given this address for some time.
    pub fn note(&mut self, address: IpAddr, now: Duration, used: Duration) {
        let [ipv4, ipv6] = &mut self.names_until;
        let until = if address.is_ipv6() { ipv6 } else { ipv4 };
        *until = (*until).max(now + used);
        self.longest = self.longest.max(used);
    }
}

impl Address {
    /// Notes a name. Returns how many bytes of names there are more, or less.
    pub fn note(&mut self, name: &Arc<str>, asked: bool, until: Duration) -> isize {
        let mut bytes = 0;
        let length = |name: &str| isize::try_from(name.len()).unwrap_or(isize::MAX);
        let known = self.names.iter().position(|named| named.name == *name);
        let (asked, until) = match known.map(|at| self.names.remove(at)) {
            Some(earlier) => (asked || earlier.asked, until.max(earlier.until)),
            None => {
                bytes += length(name);
                (asked, until)
            }
        };
        if self.names.len() == MAX_NAMES {
            bytes -= length(&self.names.remove(0).name);
            self.more = true;
        }
        self.names.push(Named { name: Arc::clone(name), asked, until });
        bytes
    }
}

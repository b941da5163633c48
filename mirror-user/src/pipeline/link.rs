//! The interface during a capture: what has become of it, what that means, and what to do about it.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing::{info, warn};

use crate::error::chain;
use crate::nic::{Nic, receive_queues};
use crate::xdp::AttachMode;
use crate::xdp::interface::Interface;
use crate::xdp::link_events::{Departure, LinkEvents, interface};
use crate::xsk::ZERO_COPY_MTU;

/// Largest packet from a Gateway Load Balancer, without its Ethernet header: 8,500 bytes and 68 of encapsulation.
const LARGEST_GWLB_PACKET: u32 = 8568;

/// Time after sockets were bound in which the link comes and goes for that.
const SETTLED: Duration = Duration::from_secs(10);

/// Time for which the notification of an interface that is gone is waited for: a move to another namespace is notified
/// when it is done.
const DEPARTURE: Duration = Duration::from_millis(300);

/// A loss of the interface or of the program on it, after which a capture cannot go on.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LinkLost {
    /// The interface was deleted.
    #[error("{name} was deleted; start again when it is back (systemd does with Restart=on-failure)")]
    Deleted {
        /// Its last name.
        name: String,
    },
    /// The interface was moved.
    #[error(
        "{name} was moved to another network namespace; start again in there (`ip netns exec NAMESPACE mirror-capture run \
         …`), or when it is back"
    )]
    Moved {
        /// Its last name.
        name: String,
    },
    /// The capture program is not attached any more.
    #[error(
        "another process has detached the capture program from {name}; find out which (`bpftool net` shows the programs \
         of each interface), then start again"
    )]
    Detached {
        /// The interface.
        name: String,
    },
    /// Another program has taken the place of the capture program.
    #[error(
        "another XDP program (id {id}, {mode} mode) has taken the place of the capture program on {name}: stop the process \
         that attached it (`bpftool prog show id {id}` and `bpftool net` tell of it), then start again"
    )]
    Replaced {
        /// The interface.
        name: String,
        /// Id of that program.
        id: u32,
        /// Its mode.
        mode: AttachMode,
    },
}

/// The state of the interface.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    name: String,
    mtu: u32,
    is_up: bool,
    has_carrier: bool,
    queues: u32,
    program: Option<(AttachMode, u32)>,
}

/// A difference between two states.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Renamed,
    Down,
    Up,
    NoCarrier,
    Carrier,
    Mtu,
    Queues,
}

impl State {
    fn of(interface: &Interface) -> Self {
        Self {
            name: interface.name.clone(),
            mtu: interface.mtu,
            is_up: interface.is_up(),
            has_carrier: interface.has_carrier(),
            queues: receive_queues(&interface.name),
            program: interface.program(),
        }
    }

    fn changes(&self, now: &Self) -> Vec<Change> {
        let carrier = self.has_carrier != now.has_carrier;
        [
            (self.name != now.name, Change::Renamed),
            (self.is_up && !now.is_up, Change::Down),
            (!self.is_up && now.is_up, Change::Up),
            // An interface that is down has none, and one that comes up gets it a little later.
            (self.is_up && now.is_up && carrier && !now.has_carrier, Change::NoCarrier),
            (self.is_up && now.is_up && carrier && now.has_carrier, Change::Carrier),
            (self.mtu != now.mtu, Change::Mtu),
            // Zero: it was renamed while its queues were counted.
            (self.queues != now.queues && now.queues != 0, Change::Queues),
        ]
        .into_iter()
        .filter_map(|(holds, change)| holds.then_some(change))
        .collect()
    }
}

/// Watches the interface of a capture.
pub(super) struct Link {
    /// The interface as it is now.
    nic: Nic,
    state: State,
    events: LinkEvents,
    /// Id of the capture program.
    program: u32,
    /// A queue is served in zero-copy mode.
    zero_copy: bool,
    /// Since when it is down or without carrier.
    silent_since: Option<Instant>,
    /// When the sockets were made anew for a reset, at last.
    reset: Option<Instant>,
}

/// Findings of a look at the interface that others must see to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// It has got more receive queues.
    pub(super) queues_were_added: bool,
    /// It may have been reset, so that its sockets in zero-copy mode receive nothing any more.
    pub(super) was_reset: bool,
}

impl Link {
    /// Watches `nic`, to which the program with the id `program` is attached.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a netlink socket, or the interface is gone already.
    pub(super) fn watch(nic: Nic, program: u32, zero_copy: bool) -> io::Result<Self> {
        let events = LinkEvents::subscribe()?;
        let state = interface(nic.index)?.as_ref().map(State::of).ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { nic, state, events, program, zero_copy, silent_since: None, reset: Some(Instant::now()) })
    }

    /// The interface as it was when it was looked at last; its name is that of now.
    pub(super) fn nic(&self) -> &Nic {
        &self.nic
    }

    /// `true` if the interface may have changed since the last look. To be asked often.
    ///
    /// # Errors
    ///
    /// When the capture cannot go on.
    pub(super) fn has_news(&mut self) -> Result<bool, LinkLost> {
        // A socket that fails is no reason to stop: the looks notice all but departures for a moment.
        let notified = self.events.take(self.nic.index).unwrap_or_default();
        let name = || self.nic.name.clone();
        match notified.departed {
            Some(Departure::Deleted) => Err(LinkLost::Deleted { name: name() }),
            Some(Departure::Moved) => Err(LinkLost::Moved { name: name() }),
            None => Ok(notified.changed),
        }
    }

    /// Looks at the interface, and says what has changed.
    ///
    /// # Errors
    ///
    /// When the capture cannot go on.
    pub(super) fn look(&mut self) -> Result<News, LinkLost> {
        let now = match interface(self.nic.index) {
            Ok(Some(interface)) => State::of(&interface),
            Ok(None) => return Err(self.departed()),
            Err(error) => {
                warn!("the kernel does not answer for {}: {}", self.nic.name, chain(&error));
                return Ok(News::default());
            }
        };
        let before = std::mem::replace(&mut self.state, now);
        let changes = before.changes(&self.state);
        for change in &changes {
            self.tell(change, &before);
        }
        let is_back = changes.iter().any(|change| matches!(change, Change::Up | Change::Carrier));
        let news = News {
            queues_were_added: self.state.queues > before.queues && before.queues != 0,
            was_reset: is_back && self.zero_copy && may_be_reset(&mut self.reset, Instant::now()),
        };
        let name = self.state.name.clone();
        match self.state.program {
            Some((_, id)) if id == self.program => Ok(news),
            Some((mode, id)) => Err(LinkLost::Replaced { name, id, mode }),
            None => Err(LinkLost::Detached { name }),
        }
    }

    /// The way in which the interface left, which is notified a little after it has.
    fn departed(&mut self) -> LinkLost {
        let deadline = Instant::now() + DEPARTURE;
        loop {
            match self.has_news() {
                Err(lost) => return lost,
                Ok(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                Ok(_) => return LinkLost::Deleted { name: self.nic.name.clone() },
            }
        }
    }

    /// Says what a change means, and takes it up.
    fn tell(&mut self, change: &Change, before: &State) {
        let State { name, mtu, queues, .. } = &self.state;
        match change {
            Change::Renamed => {
                info!("{} is named {name} now; the capture goes on", before.name);
                self.nic.name.clone_from(name);
            }
            Change::Down => {
                warn!("{name} is down: nothing arrives until it is up again (`ip link set dev {name} up`)");
                self.silent_since.get_or_insert_with(Instant::now);
            }
            Change::NoCarrier => {
                warn!("{name} has lost its carrier: nothing arrives until the other end is up again");
                self.silent_since.get_or_insert_with(Instant::now);
            }
            Change::Up | Change::Carrier => {
                let silent = self.silent_since.take().map_or(Duration::ZERO, |since| since.elapsed());
                info!("{name} is up again after {:.1} s; the capture goes on", silent.as_secs_f64());
            }
            Change::Mtu => {
                info!("the MTU of {name} was changed from {} to {mtu}", before.mtu);
                self.nic.mtu = *mtu;
                if let Some(warning) = mtu_warning(&self.nic, self.zero_copy) {
                    warn!("{warning}");
                }
            }
            Change::Queues if *queues > before.queues => warn!(
                "{name} has {queues} receive queues now, {} before: tunnel packets on those without a worker pass to the \
                 kernel unseen; start again to serve them, or go back with `ethtool -L {name} …`",
                before.queues
            ),
            Change::Queues => warn!(
                "{name} has {queues} receive queue(s) now, {} before: workers of the others receive nothing; start again \
                 to spread the load over processors anew",
                before.queues
            ),
        }
    }
}

/// `true` if a link that came back at `now` may have been reset, other than by the sockets themselves: with ENA, each that
/// is bound in zero-copy mode takes the link down for a moment.
fn may_be_reset(last: &mut Option<Instant>, now: Instant) -> bool {
    let by_itself = last.is_some_and(|last| now.duration_since(last) < SETTLED);
    if !by_itself {
        *last = Some(now);
    }
    !by_itself
}

/// A warning of packets that are lost for the interface's MTU.
pub(super) fn mtu_warning(nic: &Nic, zero_copy: bool) -> Option<String> {
    let Nic { name, mtu, .. } = nic;
    if zero_copy && *mtu > ZERO_COPY_MTU {
        return Some(format!(
            "{name} has an MTU of {mtu}, but in zero-copy mode drivers drop frames that do not fit one packet buffer \
             (packets of {ZERO_COPY_MTU} bytes): `ip link set dev {name} mtu {ZERO_COPY_MTU}`, or start again to have the \
             kernel copy"
        ));
    }
    let is_ena = nic.driver.as_deref() == Some("ena");
    (is_ena && *mtu < LARGEST_GWLB_PACKET).then(|| {
        format!(
            "{name} has an MTU of {mtu}; a Gateway Load Balancer sends packets of up to {LARGEST_GWLB_PACKET} bytes: `ip \
             link set dev {name} mtu 9001`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State {
            name: "eth1".to_owned(),
            mtu: 9001,
            is_up: true,
            has_carrier: true,
            queues: 4,
            program: Some((AttachMode::Native, 17)),
        }
    }

    #[test]
    fn changes_are_told_apart() {
        let down = State { is_up: false, has_carrier: false, ..state() };
        let dark = State { has_carrier: false, ..state() };
        for (before, now, changes) in [
            (state(), state(), vec![]),
            (state(), State { name: "eth2".to_owned(), ..state() }, vec![Change::Renamed]),
            (state(), down.clone(), vec![Change::Down]),
            (down.clone(), state(), vec![Change::Up]),
            (down, dark.clone(), vec![Change::Up]),
            (state(), dark.clone(), vec![Change::NoCarrier]),
            (dark, state(), vec![Change::Carrier]),
            (state(), State { mtu: 1500, queues: 2, ..state() }, vec![Change::Mtu, Change::Queues]),
            (state(), State { name: "eth2".to_owned(), queues: 0, ..state() }, vec![Change::Renamed]),
        ] {
            assert_eq!(before.changes(&now), changes, "{before:?} to {now:?}");
        }
    }

    #[test]
    fn a_link_that_comes_back_was_reset_unless_sockets_have_just_been_bound() {
        let start = Instant::now();
        let mut last = Some(start);
        for (seconds, expected) in [(1, false), (9, false), (11, true), (12, false), (20, false), (22, true)]
        {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(may_be_reset(&mut last, now), expected, "{seconds}");
        }
    }

    #[test]
    fn an_mtu_that_loses_packets_is_warned_of_with_a_remedy() {
        let nic = |mtu, driver: &str| Nic {
            name: "eth1".to_owned(),
            index: 2,
            mtu,
            queues: 1,
            driver: Some(driver.to_owned()),
            numa_node: None,
        };
        for (mtu, driver, zero_copy, expected) in [
            (9001, "ena", false, None),
            (1500, "ena", false, Some("mtu 9001`")),
            (1500, "veth", false, None),
            (9001, "ena", true, Some("mtu 3814`, or start again")),
            (3814, "veth", true, None),
        ] {
            let warning = mtu_warning(&nic(mtu, driver), zero_copy);
            assert_eq!(warning.is_some(), expected.is_some(), "{mtu} {driver} {zero_copy}: {warning:?}");
            if let (Some(warning), Some(expected)) = (warning, expected) {
                assert!(warning.contains(expected), "{warning}");
            }
        }
    }
}

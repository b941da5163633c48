//! The flows of one worker: their first bytes in, findings out.
//!
//! An [`Inspector`] is for one thread. Nothing of it reads a clock: times are nanoseconds that the caller passes in. Bytes are kept only
//! of what is incomplete, in memory that is bounded for each direction and in all; where that is used up, those that have
//! waited longest give way. A flow of which all is known keeps nothing but its [`Summary`].

mod config;
mod conversation;
mod counters;
mod exchanges;
mod slots;
mod summary;

pub use config::InspectorConfig;
pub use conversation::Segment;
pub use counters::Counters;
pub use slots::Handle;
pub use summary::{Evidence, HttpSummary, Summary};

use conversation::{Context, Conversation};
use slots::Slots;

use crate::buffers::Buffers;
use crate::finding::{Event, Scratch};
use crate::given_up::GivenUp;
use crate::side::Side;

/// Most flows that are looked at for one that may give way.
const EVICTIONS: usize = 8;

/// What the caller does with the flow's next packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Hands them over.
    More,
    /// Keeps them: all that is looked for is known. The handle stays valid for the summary.
    Done,
    /// Keeps them, and forgets the handle: there is nothing to tell of the flow.
    Released,
}

/// The flows of one worker that are looked into.
#[derive(Debug)]
pub struct Inspector {
    config: InspectorConfig,
    slots: Slots<Conversation>,
    buffers: Buffers,
    counters: Counters,
    scratch: Scratch,
}

impl Inspector {
    /// An inspector without flows.
    pub fn new(config: InspectorConfig) -> Self {
        Self {
            slots: Slots::new(config.flows),
            buffers: Buffers::new(config.buffer_bytes),
            counters: Counters::default(),
            scratch: Scratch { http: config.http, ..Scratch::default() },
            config,
        }
    }

    /// Takes up a flow at its first packet, with the ports of its low and its high side; [`None`], counted, where as many as may be are there.
    ///
    /// Where all places are taken, a flow of which nothing was found yet may give way: its handle is valid no longer.
    pub fn begin(&mut self, ports: [u16; 2], flow: u32, now: u64) -> Option<Handle> {
        if self.slots.len() >= self.config.flows as usize {
            self.make_place();
        }
        let Some(handle) = self.slots.insert(Conversation::new(ports, flow)) else {
            self.counters.refused += 1;
            return None;
        };
        self.counters.begun += 1;
        self.slots.wait(handle, now.saturating_add(self.config.timeout));
        Some(handle)
    }

    /// Hands over a segment of TCP. A retransmission, or one out of order, does no harm.
    pub fn segment(
        &mut self,
        handle: Handle,
        side: Side,
        segment: Segment<'_>,
        now: u64,
        out: &mut impl FnMut(u32, Event<'_>),
    ) -> Interest {
        self.with_room(handle, now, out, &mut |conversation, context| {
            conversation.segment(side, segment, context)?;
            if !segment.payload.is_empty() {
                conversation.count_packet(context);
            }
            Ok(())
        })
    }

    /// Hands over a datagram, as far as it was captured; `cut` where it was longer.
    pub fn datagram(
        &mut self,
        handle: Handle,
        side: Side,
        payload: &[u8],
        cut: bool,
        now: u64,
        out: &mut impl FnMut(u32, Event<'_>),
    ) -> Interest {
        self.with_room(handle, now, out, &mut |conversation, context| {
            conversation.datagram(side, payload, cut, context)?;
            conversation.count_packet(context);
            Ok(())
        })
    }

    /// What is known of a flow so far.
    pub fn summary(&self, handle: Handle) -> Option<&Summary> {
        self.slots.get(handle).map(Conversation::summary).filter(|summary| !summary.is_empty())
    }

    /// Ends a flow: what is incomplete is told as far as it is known. Its handle is valid no longer.
    pub fn end(&mut self, handle: Handle, out: &mut impl FnMut(u32, Event<'_>)) -> Option<Summary> {
        let (conversation, mut context) = self.parts(handle, out);
        conversation?.finish(Some(GivenUp::Ended), &mut context);
        self.slots.remove(handle).map(Conversation::into_summary).filter(|summary| !summary.is_empty())
    }

    /// Gives up what has been incomplete for too long. Without any, this is one comparison.
    pub fn expire(&mut self, now: u64, out: &mut impl FnMut(u32, Event<'_>)) {
        while let Some((handle, deadline)) = self.slots.first_waiting() {
            if deadline > now {
                break;
            }
            self.give_up(handle, GivenUp::Time, out);
        }
    }

    /// The counters.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Number of flows, those included of which only the summary is kept.
    pub const fn flows(&self) -> usize {
        self.slots.len()
    }

    /// Bytes of the buffers in use, and the most that they ever were.
    pub const fn buffer_bytes(&self) -> (usize, usize) {
        (self.buffers.used(), self.buffers.most_used())
    }

    /// Lets a conversation take a packet; where the buffers are full, again after others gave way.
    fn with_room(
        &mut self,
        handle: Handle,
        now: u64,
        out: &mut dyn FnMut(u32, Event<'_>),
        take: &mut dyn FnMut(&mut Conversation, &mut Context<'_>) -> Result<(), GivenUp>,
    ) -> Interest {
        for _ in 0..=EVICTIONS {
            let (Some(conversation), mut context) = self.parts(handle, out) else {
                return Interest::Released;
            };
            if take(conversation, &mut context).is_ok() {
                return self.settle(handle, now);
            }
            if !self.make_room(handle, out) {
                break;
            }
        }
        self.give_up(handle, GivenUp::Memory, out)
    }

    fn parts<'a>(
        &'a mut self,
        handle: Handle,
        out: &'a mut dyn FnMut(u32, Event<'_>),
    ) -> (Option<&'a mut Conversation>, Context<'a>) {
        let context = Context {
            config: &self.config,
            buffers: &mut self.buffers,
            counters: &mut self.counters,
            scratch: &mut self.scratch,
            out,
        };
        (self.slots.get_mut(handle), context)
    }

    /// Puts a conversation into the queue of those that wait, or takes it out, and away if there is nothing to tell.
    fn settle(&mut self, handle: Handle, now: u64) -> Interest {
        let Some(conversation) = self.slots.get(handle) else {
            return Interest::Released;
        };
        if conversation.waits() {
            self.slots.wait(handle, now.saturating_add(self.config.timeout));
            return Interest::More;
        }
        let (done, empty) = (conversation.is_done(), conversation.summary().is_empty());
        self.slots.stop_waiting(handle);
        match (done, empty) {
            (false, _) => Interest::More,
            (true, false) => Interest::Done,
            (true, true) => {
                self.slots.remove(handle);
                Interest::Released
            }
        }
    }

    fn give_up(&mut self, handle: Handle, reason: GivenUp, out: &mut dyn FnMut(u32, Event<'_>)) -> Interest {
        if let (Some(conversation), mut context) = self.parts(handle, out) {
            conversation.finish(Some(reason), &mut context);
        }
        self.settle(handle, 0)
    }

    /// Lets the flow that has waited longest give its buffers back; `false` where there is none but `handle`.
    fn make_room(&mut self, handle: Handle, out: &mut dyn FnMut(u32, Event<'_>)) -> bool {
        let Some((first, _)) = self.slots.first_waiting() else {
            return false;
        };
        let oldest = if first == handle { self.slots.waiting_behind(first) } else { Some((first, 0)) };
        let Some((oldest, _)) = oldest else {
            return false;
        };
        self.give_up(oldest, GivenUp::Memory, out);
        true
    }

    /// Frees the place of the flow that has waited longest, of those of which nothing was found.
    fn make_place(&mut self) {
        let mut next = self.slots.first_waiting();
        for _ in 0..EVICTIONS {
            let Some((handle, _)) = next else {
                return;
            };
            next = self.slots.waiting_behind(handle);
            if self.slots.get(handle).is_some_and(|conversation| conversation.summary().is_empty()) {
                self.give_up(handle, GivenUp::Memory, &mut |_, _| {});
                return;
            }
        }
    }
}

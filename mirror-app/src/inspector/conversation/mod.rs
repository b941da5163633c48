//! One flow from its first payload on.

mod datagram;
mod findings;

use super::config::InspectorConfig;
use super::counters::Counters;
use super::exchanges::Exchanges;
use super::summary::Summary;
use crate::buffers::Buffers;
use crate::finding::{Event, Scratch, Step, Then};
use crate::given_up::GivenUp;
use crate::protocol::Protocol;
use crate::quic;
use crate::registry::{self, StreamParser};
use crate::side::Side;
use crate::stream::{Insert, Stream};

/// Packets with payload after which a flow that no parser knows is given up. Before that, the one that tells may have been overtaken.
const UNKNOWN_PACKETS: u16 = 4;

/// What a conversation needs of its inspector.
pub(super) struct Context<'a> {
    pub(super) config: &'a InspectorConfig,
    pub(super) buffers: &'a mut Buffers,
    pub(super) counters: &'a mut Counters,
    pub(super) scratch: &'a mut Scratch,
    pub(super) out: &'a mut dyn FnMut(u32, Event<'_>),
}

/// A segment of TCP.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Sequence number: of the SYN if there is one, else of the first byte.
    pub sequence: u32,
    /// The segment has a SYN.
    pub syn: bool,
    /// Payload, as far as it was captured.
    pub payload: &'a [u8],
    /// Less of it was captured than was sent.
    pub cut: bool,
}

/// The state of one flow.
#[derive(Debug)]
pub(super) struct Conversation {
    /// The caller's number of the flow.
    flow: u32,
    /// The ports of the low and the high side.
    ports: [u16; 2],
    directions: [Direction; 2],
    /// Packets with payload since something was found.
    packets: u16,
    done: bool,
    quic: Option<Box<quic::Connection>>,
    exchanges: Option<Box<Exchanges>>,
    summary: Summary,
}

#[derive(Debug, Default)]
struct Direction {
    stream: Stream,
    reading: Reading,
    /// What is sent is that of a tunnel through HTTP.
    tunnel: bool,
    /// Bytes without which another look is no use.
    wanted: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum Reading {
    /// No parser was asked, or it needs more bytes.
    #[default]
    Undecided,
    /// No parser knows the bytes.
    Unknown,
    /// This one does.
    As(&'static StreamParser),
    /// The direction tells nothing more.
    Stopped,
}

impl Conversation {
    pub(super) fn new(ports: [u16; 2], flow: u32) -> Self {
        Self {
            flow,
            ports,
            directions: Default::default(),
            packets: 0,
            done: false,
            quic: None,
            exchanges: None,
            summary: Summary::default(),
        }
    }

    pub(super) const fn summary(&self) -> &Summary {
        &self.summary
    }

    pub(super) fn into_summary(self) -> Summary {
        self.summary
    }

    pub(super) const fn is_done(&self) -> bool {
        self.done
    }

    /// `true` while something is incomplete, so that it should not be waited for without end.
    pub(super) fn waits(&self) -> bool {
        let open_ended =
            matches!(self.summary.protocol, Some(Protocol::Dns | Protocol::Http | Protocol::Dhcp));
        let holds = self.directions.iter().any(|direction| !direction.stream.is_empty());
        !self.done && (!open_ended || holds)
    }

    /// Takes a segment. [`GivenUp::Memory`] where the buffers are full; then the segment can be handed over again.
    pub(super) fn segment(
        &mut self,
        side: Side,
        segment: Segment<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), GivenUp> {
        let Segment { sequence, syn, payload, cut } = segment;
        let direction = &mut self.directions[side as usize];
        if self.done || matches!(direction.reading, Reading::Stopped) {
            return Ok(());
        }
        let limit = context.config.direction_bytes;
        let mut grew = Insert::Held;
        if syn {
            grew = direction.stream.syn(sequence, limit, context.buffers)?;
        }
        let sequence = sequence.wrapping_add(u32::from(syn));
        if cut {
            let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            direction.stream.lost(sequence.wrapping_add(length), GivenUp::Cut);
        }
        let result = if direction.stream.is_next(sequence) && !payload.is_empty() {
            self.read_in_place(side, sequence, payload, context)
        } else {
            match direction.stream.insert(sequence, payload, limit, context.buffers) {
                Ok(Insert::Held) if matches!(grew, Insert::Held) && !cut => Ok(()),
                Ok(_) => self.read_held(side, context),
                Err(reason) => Err(reason),
            }
        };
        self.settle(side, result, context)?;
        // An answer that came before what it answers is known by it now.
        let other = &self.directions[side.other() as usize];
        if matches!(other.reading, Reading::Unknown) && other.stream.is_certain() && !self.summary.is_empty()
        {
            let result = self.read_held(side.other(), context);
            self.settle(side.other(), result, context)?;
        }
        self.finish_if_complete(context);
        Ok(())
    }

    /// Counts a packet with payload, and gives the flow up where that are too many for what was found.
    pub(super) fn count_packet(&mut self, context: &mut Context<'_>) {
        self.packets = self.packets.saturating_add(1);
        let unknown =
            |direction: &Direction| matches!(direction.reading, Reading::Unknown | Reading::Undecided);
        if self.summary.is_empty() && self.packets >= UNKNOWN_PACKETS && self.directions.iter().all(unknown) {
            let decided =
                self.directions.iter().any(|direction| matches!(direction.reading, Reading::Unknown));
            if decided {
                self.finish(Some(GivenUp::Unknown), context);
            }
        }
        if self.packets >= context.config.packets {
            self.finish(Some(GivenUp::Packets), context);
        }
    }

    /// Stops a direction that cannot be followed any further.
    fn settle(
        &mut self,
        side: Side,
        result: Result<(), GivenUp>,
        context: &mut Context<'_>,
    ) -> Result<(), GivenUp> {
        match result {
            Err(GivenUp::Memory) => return Err(GivenUp::Memory),
            Err(reason) => self.stop(side, Some(reason), context),
            Ok(()) => {
                if let Some(reason) = self.directions[side as usize].stream.ended() {
                    self.stop(side, Some(reason), context);
                }
            }
        }
        Ok(())
    }

    /// Reads a payload that follows what was consumed, and keeps what is left of it.
    fn read_in_place(
        &mut self,
        side: Side,
        sequence: u32,
        payload: &[u8],
        context: &mut Context<'_>,
    ) -> Result<(), GivenUp> {
        let certain = self.directions[side as usize].stream.is_certain();
        let consumed = self.read(side, payload, certain, context)?;
        let direction = &mut self.directions[side as usize];
        direction.stream.consume(consumed, sequence, context.buffers);
        if consumed < payload.len() && !matches!(direction.reading, Reading::Stopped) {
            direction.stream.insert(sequence, payload, context.config.direction_bytes, context.buffers)?;
        }
        Ok(())
    }

    /// Reads the bytes of a direction that are held without a gap.
    fn read_held(&mut self, side: Side, context: &mut Context<'_>) -> Result<(), GivenUp> {
        let direction = &mut self.directions[side as usize];
        if direction.stream.ready().len() < direction.wanted.max(1) {
            return Ok(());
        }
        let stream = std::mem::take(&mut direction.stream);
        let result = self.read(side, stream.ready(), stream.is_certain(), context);
        let direction = &mut self.directions[side as usize];
        direction.stream = stream;
        match (result?, direction.reading) {
            (_, Reading::Stopped) => direction.stream.release(context.buffers),
            (0, _) => {}
            (consumed, _) => direction.stream.consume(consumed, 0, context.buffers),
        }
        Ok(())
    }

    /// Reads messages from `bytes`, which begin where the last one ended, for certain or probably. Returns how many bytes of the
    /// direction were consumed.
    fn read(
        &mut self,
        side: Side,
        bytes: &[u8],
        certain: bool,
        context: &mut Context<'_>,
    ) -> Result<usize, GivenUp> {
        let mut position = 0;
        while let Some(rest) = bytes.get(position..).filter(|rest| !rest.is_empty()) {
            let Some(parser) = self.parser(side, rest, certain || position > 0) else {
                break;
            };
            match (parser.read)(rest, context.scratch) {
                Step::More(needed) if needed > context.config.direction_bytes => {
                    return Err(GivenUp::TooLong);
                }
                Step::More(needed) => {
                    self.directions[side as usize].wanted = needed;
                    break;
                }
                Step::Refused(fault) => {
                    context.counters.count_malformed(parser.protocol, fault);
                    return Err(GivenUp::Malformed);
                }
                Step::Found { finding, length, then } => {
                    position += length;
                    self.directions[side as usize].wanted = 0;
                    match then {
                        Then::Again => {}
                        Then::Switch(protocol) => self.adopt(side, registry::of_protocol(protocol)),
                        Then::Undecided => {
                            let direction = &mut self.directions[side as usize];
                            (direction.reading, direction.tunnel) = (Reading::Undecided, true);
                        }
                        Then::Stop => self.directions[side as usize].reading = Reading::Stopped,
                    }
                    if let Some(finding) = finding {
                        self.take(side, finding, context);
                    }
                }
            }
        }
        Ok(position)
    }

    /// The parser of a direction whose next bytes are `rest`.
    fn parser(&mut self, side: Side, rest: &[u8], certain: bool) -> Option<&'static StreamParser> {
        match self.directions[side as usize].reading {
            Reading::As(parser) => return Some(parser),
            Reading::Stopped => return None,
            Reading::Undecided | Reading::Unknown => {}
        }
        match registry::of_stream(rest) {
            Ok(parser) => {
                self.adopt(side, Some(parser));
                Some(parser)
            }
            Err(true) => None,
            Err(false) => {
                // The answer to a known protocol is of that protocol, if these are its first bytes.
                let tunnel = self.directions[side as usize].tunnel;
                let known =
                    self.summary.protocol.filter(|&known| certain && (!tunnel || known == Protocol::Tls));
                let parser = known.and_then(registry::of_protocol);
                match parser {
                    Some(_) => self.adopt(side, parser),
                    None => self.directions[side as usize].reading = Reading::Unknown,
                }
                parser
            }
        }
    }

    /// Reads a direction as a protocol from now on.
    fn adopt(&mut self, side: Side, parser: Option<&'static StreamParser>) {
        let Some(parser) = parser else {
            return;
        };
        self.directions[side as usize].reading = Reading::As(parser);
        // A direction that lags behind leads to TLS as well.
        if self.summary.protocol != Some(Protocol::Tls) {
            self.summary.protocol = Some(parser.protocol);
        }
        if parser.protocol == Protocol::Tls {
            self.handshake();
        }
    }

    /// Follows a direction no further.
    fn stop(&mut self, side: Side, reason: Option<GivenUp>, context: &mut Context<'_>) {
        let direction = &mut self.directions[side as usize];
        direction.reading = Reading::Stopped;
        direction.stream.release(context.buffers);
        if reason.is_some() {
            self.summary.given_up = self.summary.given_up.or(reason);
        }
    }

    /// Finishes where neither direction tells more, no parser knows them, or as many messages were told as may be.
    fn finish_if_complete(&mut self, context: &mut Context<'_>) {
        let all = |test: fn(Reading) -> bool| self.directions.iter().all(|direction| test(direction.reading));
        if all(|reading| matches!(reading, Reading::Stopped)) {
            self.finish(None, context);
        } else if all(|reading| matches!(reading, Reading::Unknown)) {
            self.finish(Some(GivenUp::Unknown), context);
        } else if self.summary.dns_messages >= context.config.messages
            || self
                .summary
                .http
                .as_ref()
                .is_some_and(|http| http.requests.max(http.responses) >= context.config.exchanges)
        {
            self.finish(Some(GivenUp::Messages), context);
        }
    }

    /// Ends what is in progress, tells what was found, and gives all memory back.
    pub(super) fn finish(&mut self, reason: Option<GivenUp>, context: &mut Context<'_>) {
        // The end of a flow that could have told more for ever is no fault.
        let reason = reason.filter(|&reason| reason != GivenUp::Ended || self.waits());
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        for side in [Side::Low, Side::High] {
            self.stop(side, None, context);
        }
        if let Some(mut connection) = self.quic.take() {
            connection.release(context.buffers);
            context.buffers.forget(size_of::<quic::Connection>());
        }
        self.tell_rest(reason, context);
    }
}

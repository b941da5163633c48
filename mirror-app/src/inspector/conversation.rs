//! One flow from its first payload on.

use super::config::InspectorConfig;
use super::counters::Counters;
use super::summary::Summary;
use crate::buffers::{Buffers, Full};
use crate::finding::{Event, Finding, Scratch, Step, Then};
use crate::given_up::GivenUp;
use crate::protocol::Protocol;
use crate::quic;
use crate::registry::{self, StreamParser};
use crate::side::Side;
use crate::stream::{Insert, Stream};
use crate::tls::{self, Hello};

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
    /// Packets with payload.
    packets: u16,
    done: bool,
    quic: Option<Box<quic::Connection>>,
    summary: Summary,
}

#[derive(Debug, Default)]
struct Direction {
    stream: Stream,
    reading: Reading,
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
        let handshake = self.summary.tls.is_some();
        let holds = self.directions.iter().any(|direction| !direction.stream.is_empty());
        !self.done && (self.summary.is_empty() || handshake || holds)
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

    /// Takes a datagram as far as it was captured; `cut` where it was longer. [`GivenUp::Memory`] where the buffers are full; then it can
    /// be handed over again.
    pub(super) fn datagram(
        &mut self,
        side: Side,
        payload: &[u8],
        cut: bool,
        context: &mut Context<'_>,
    ) -> Result<(), GivenUp> {
        if self.done || payload.is_empty() {
            return Ok(());
        }
        if self.quic.is_some() || quic::may_begin(payload) {
            self.initial(side, payload, cut, context)?;
            self.finish_if_complete(context);
            return Ok(());
        }
        match registry::of_datagram(payload, self.ports, context.scratch) {
            _ if cut => self.stop(side, Some(GivenUp::Cut), context),
            None => self.directions[side as usize].reading = Reading::Unknown,
            Some((protocol, read)) => {
                self.summary.protocol = Some(protocol);
                match read {
                    Ok(finding) => self.take(side, finding, context),
                    Err(fault) => context.counters.count_malformed(protocol, fault),
                }
            }
        }
        self.finish_if_complete(context);
        Ok(())
    }

    /// Takes a datagram of QUIC.
    fn initial(
        &mut self,
        side: Side,
        payload: &[u8],
        cut: bool,
        context: &mut Context<'_>,
    ) -> Result<(), GivenUp> {
        let connection = match &mut self.quic {
            Some(connection) => connection,
            none => {
                context.buffers.account(size_of::<quic::Connection>()).map_err(|Full| GivenUp::Memory)?;
                none.insert(Box::default())
            }
        };
        let handshake =
            self.summary.tls.get_or_insert_with(|| Box::new(tls::Handshake::new(tls::Carrier::Quic)));
        self.summary.protocol = Some(Protocol::Quic);
        let mut memory = quic::connection::Memory {
            buffers: context.buffers,
            scratch: &mut context.scratch.packet,
            direction_bytes: context.config.direction_bytes,
        };
        let taken = connection.datagram(side, payload, &mut memory);
        handshake.quic_version = connection.version();
        let hellos = [Side::Low, Side::High].map(|side| (side, connection.hello(side, context.buffers)));
        for (side, hello) in hellos {
            let finding = match hello {
                None | Some(Ok(Hello::More(_))) => continue,
                Some(Ok(Hello::Client(hello))) => Finding::ClientHello(hello),
                Some(Ok(Hello::Server(hello))) => Finding::ServerHello(hello),
                Some(Ok(Hello::Alert(description))) => Finding::TlsAlert(description),
                Some(Err(fault)) => {
                    context.counters.count_malformed(Protocol::Quic, fault);
                    self.stop(side, Some(GivenUp::Malformed), context);
                    continue;
                }
            };
            self.take(side, finding, context);
            self.stop(side, None, context);
        }
        match taken {
            Err(GivenUp::Memory) => return Err(GivenUp::Memory),
            Err(reason) => self.stop(side, Some(reason), context),
            // A packet that was cut cannot be opened.
            Ok(()) if cut => self.stop(side, Some(GivenUp::Cut), context),
            Ok(()) => {}
        }
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
        if self.waits() && self.packets >= context.config.packets {
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
                let parser = self.summary.protocol.filter(|_| certain).and_then(registry::of_protocol);
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
        self.summary.protocol = Some(parser.protocol);
        if parser.protocol == Protocol::Tls {
            self.handshake();
        }
    }

    fn handshake(&mut self) -> &mut tls::Handshake {
        self.summary.tls.get_or_insert_with(|| Box::new(tls::Handshake::new(tls::Carrier::Tcp)))
    }

    /// Takes a finding into the summary.
    fn take(&mut self, side: Side, finding: Finding, context: &mut Context<'_>) {
        match finding {
            Finding::ClientHello(hello) => {
                let handshake = self.handshake();
                handshake.client_side = Some(side);
                handshake.client.get_or_insert(hello);
            }
            Finding::ServerHello(hello) => {
                let handshake = self.handshake();
                handshake.client_side = Some(side.other());
                handshake.server.get_or_insert(hello);
            }
            Finding::TlsAlert(description) => {
                self.handshake().alert.get_or_insert(description);
            }
            Finding::Dns => {
                self.summary.dns_messages = self.summary.dns_messages.saturating_add(1);
                context.counters.events += 1;
                (context.out)(self.flow, Event::Dns { from: side, message: &context.scratch.dns });
            }
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
        } else if self.summary.dns_messages >= context.config.messages {
            self.finish(Some(GivenUp::Messages), context);
        }
    }

    /// Ends what is in progress, tells what was found, and gives all memory back.
    pub(super) fn finish(&mut self, reason: Option<GivenUp>, context: &mut Context<'_>) {
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
        let complete = self.summary.tls.as_ref().is_some_and(|tls| tls.status() == tls::Status::Complete);
        self.summary.given_up = if complete { None } else { self.summary.given_up.or(reason) };
        match self.summary.given_up {
            Some(reason) => context.counters.give_up(reason),
            None => context.counters.finished += 1,
        }
        if let Some(handshake) = &mut self.summary.tls {
            handshake.given_up = self.summary.given_up;
            context.counters.events += 1;
            (context.out)(self.flow, Event::Tls(handshake));
        }
    }
}

//! The Initial packets of one connection, both ways.

use super::frame::{self, Frame};
use super::keys::{Keys, Sender};
use super::packet::{ConnectionId, Initial, Initials};
use super::reason::Reason;
use super::version::Version;
use crate::buffers::{Buffers, Full};
use crate::given_up::GivenUp;
use crate::side::Side;
use crate::stream::Stream;
use crate::tls::{self, Hello};

/// Bytes of datagrams that are kept because they came before the one that gives their keys.
const EARLY_LIMIT: usize = 4096;

/// The memory that a connection works with.
pub struct Memory<'a> {
    /// Buffers for what waits.
    pub buffers: &'a mut Buffers,
    /// Where packets are opened.
    pub scratch: &'a mut Vec<u8>,
    /// Bytes that are kept of one direction.
    pub direction_bytes: usize,
}

/// A connection as far as it is known.
#[derive(Debug, Default)]
pub struct Connection {
    client: Option<Client>,
    server_keys: Option<(Version, Keys)>,
    directions: [Direction; 2],
    /// Datagrams that could not be opened, each behind its side and its length.
    early: Vec<u8>,
}

#[derive(Debug)]
struct Client {
    side: Side,
    version: Version,
    id: ConnectionId,
    keys: Keys,
}

#[derive(Debug)]
struct Direction {
    crypto: Stream,
    alert: Option<u8>,
    fault: Option<Reason>,
    /// Nothing more is looked for.
    stopped: bool,
}

impl Default for Direction {
    fn default() -> Self {
        Self { crypto: Stream::starting_at(0), alert: None, fault: None, stopped: false }
    }
}

impl Connection {
    /// Takes a datagram.
    ///
    /// [`GivenUp::Memory`] where the buffers are full: then it can be handed over again. Other reasons: the direction has more bytes or
    /// more gaps than are kept.
    pub fn datagram(&mut self, side: Side, datagram: &[u8], memory: &mut Memory<'_>) -> Result<(), GivenUp> {
        let began = self.client.as_ref().map(|client| client.id);
        let opened = self.open(side, datagram, memory)?;
        if !opened {
            return self.keep(side, datagram, memory);
        }
        if self.client.as_ref().map(|client| client.id) != began {
            self.open_early(memory)?;
        }
        Ok(())
    }

    /// The version of the client's first packet that could be read.
    pub fn version(&self) -> Option<Version> {
        self.client.as_ref().map(|client| client.version)
    }

    /// The hello of a direction; [`None`] while it is incomplete, or was told before.
    pub fn hello(&mut self, side: Side, buffers: &mut Buffers) -> Option<Result<Hello, &'static str>> {
        let direction = &mut self.directions[side as usize];
        if direction.stopped {
            return None;
        }
        let hello = match (tls::read_crypto(direction.crypto.ready()), direction.alert, direction.fault) {
            (Ok(Hello::More(_)), Some(alert), _) => Ok(Hello::Alert(alert)),
            (Ok(Hello::More(_)), None, Some(fault)) => Err(fault.name()),
            (Ok(Hello::More(_)), None, None) => return None,
            (Ok(hello), ..) => Ok(hello),
            (Err(fault), ..) => Err(fault.name()),
        };
        direction.stopped = true;
        direction.crypto.release(buffers);
        Some(hello)
    }

    /// Gives all memory back.
    pub fn release(&mut self, buffers: &mut Buffers) {
        for direction in &mut self.directions {
            direction.crypto.release(buffers);
        }
        buffers.give_back(std::mem::take(&mut self.early));
    }

    /// Opens the Initial packets of a datagram. `false` where there are some, and none could be opened.
    fn open(&mut self, side: Side, datagram: &[u8], memory: &mut Memory<'_>) -> Result<bool, GivenUp> {
        let (mut any, mut opened) = (false, false);
        for initial in Initials::new(datagram) {
            any = true;
            opened |= self.open_initial(side, &initial, memory)?;
        }
        Ok(opened || !any)
    }

    fn open_initial(
        &mut self,
        side: Side,
        initial: &Initial<'_>,
        memory: &mut Memory<'_>,
    ) -> Result<bool, GivenUp> {
        let Self { client, server_keys, directions, .. } = self;
        if let Some(client) = client.as_ref().filter(|client| client.side != side) {
            // The server may choose another version than the client began with (RFC 9368).
            let keys = match server_keys {
                Some((version, keys)) if *version == initial.version => keys,
                _ => {
                    let keys = Keys::new(initial.version, client.id, Sender::Server);
                    &server_keys.insert((initial.version, keys)).1
                }
            };
            return match keys.open(initial, memory.scratch) {
                Some(frames) => {
                    directions[side as usize].take(frames, memory.buffers, memory.direction_bytes)
                }
                None => Ok(false),
            };
        }
        if let Some(frames) = client.as_ref().and_then(|client| client.keys.open(initial, memory.scratch)) {
            return directions[side as usize].take(frames, memory.buffers, memory.direction_bytes);
        }
        let (version, id) = (initial.version, initial.destination);
        let keys = Keys::new(version, id, Sender::Client);
        let Some(frames) = keys.open(initial, memory.scratch) else {
            return Ok(false);
        };
        // The client begins, or begins again: what came before is worth nothing.
        *client = Some(Client { side, version, id, keys });
        *server_keys = None;
        for direction in directions.iter_mut() {
            direction.begin_again(memory.buffers);
        }
        directions[side as usize].take(frames, memory.buffers, memory.direction_bytes)
    }

    /// Keeps a datagram until there may be keys for it. One that finds no room is forgotten, as if it were lost.
    fn keep(&mut self, side: Side, datagram: &[u8], memory: &mut Memory<'_>) -> Result<(), GivenUp> {
        let Ok(length) = u16::try_from(datagram.len()) else {
            return Ok(());
        };
        let start = self.early.len();
        let end = start + 3 + datagram.len();
        if end > EARLY_LIMIT {
            return Ok(());
        }
        memory.buffers.reserve(&mut self.early, end).map_err(|Full| GivenUp::Memory)?;
        self.early.truncate(start);
        self.early.push(side as u8);
        self.early.extend_from_slice(&length.to_be_bytes());
        self.early.extend_from_slice(datagram);
        Ok(())
    }

    /// Opens what came too early; what still cannot be opened is forgotten.
    fn open_early(&mut self, memory: &mut Memory<'_>) -> Result<(), GivenUp> {
        let early = std::mem::take(&mut self.early);
        let mut reader = crate::reader::Reader::new(&early);
        let mut result = Ok(());
        while let (Some(side), Some(datagram)) = (reader.u8(), reader.vector16()) {
            let side = if side == Side::Low as u8 { Side::Low } else { Side::High };
            if result.is_ok() {
                result = self.open(side, datagram, memory).map(drop);
            }
        }
        memory.buffers.give_back(early);
        result
    }
}

impl Direction {
    fn begin_again(&mut self, buffers: &mut Buffers) {
        if !self.stopped {
            self.crypto.release(buffers);
            *self = Self::default();
        }
    }

    /// Takes the frames of a packet; always `Ok(true)` where there is room.
    fn take(&mut self, frames: &[u8], buffers: &mut Buffers, limit: usize) -> Result<bool, GivenUp> {
        if self.stopped {
            return Ok(true);
        }
        let Self { crypto, alert, fault, .. } = self;
        let mut result = Ok(true);
        let read = frame::each(frames, |frame| match frame {
            Frame::Crypto { offset, bytes } => {
                let offset = usize::try_from(offset).ok().filter(|&offset| offset < limit);
                let inserted = match offset.and_then(|offset| u32::try_from(offset).ok()) {
                    Some(offset) => crypto.insert(offset, bytes, limit, buffers).map(|_| true),
                    None => Err(GivenUp::TooLong),
                };
                if result.is_ok() {
                    result = inserted;
                }
            }
            Frame::Alert(description) => *alert = Some(description),
        });
        if let Err(reason) = read {
            fault.get_or_insert(reason);
        }
        result
    }
}

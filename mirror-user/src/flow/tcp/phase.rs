//! The state of a TCP connection, in a byte.

use crate::flow::record::Connection;
use crate::flow::side::Side;

/// Stage of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::flow) enum Stage {
    /// No TCP header was read.
    None,
    /// SYN, perhaps answered.
    Handshake,
    /// Beyond the handshake.
    Open,
    /// FIN of this side.
    Closing(Side),
    /// Every FIN that can be expected was seen.
    Closed,
    /// RST.
    Reset,
    /// RST in answer to SYN.
    Refused,
}

/// The state of a TCP connection, in a byte: the stage in three bits; for each side one bit for its position in
/// the stream being known, and one for a gap in its stream; and one for a watched window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::flow) struct Phase(pub(in crate::flow) u8);

impl Phase {
    pub(in crate::flow) const STAGE: u8 = 7;
    /// [`Stage::Open`].
    pub(in crate::flow) const OPEN: u8 = 2;
    /// [`Stage::Closed`], the first of those in which a connection is over.
    pub(in crate::flow) const CLOSED: u8 = 5;
    pub(in crate::flow) const SEQUENCE: u8 = 8;
    pub(in crate::flow) const GAP: u8 = 32;
    /// A side has closed its window, or the other has probed it.
    pub(in crate::flow) const WATCHED: u8 = 128;

    /// The bit `flag` of `side`.
    #[inline(always)]
    pub(in crate::flow) const fn of(flag: u8, side: Side) -> u8 {
        flag << side as u8
    }

    #[inline(always)]
    pub(in crate::flow) const fn stage(self) -> Stage {
        match self.0 & Self::STAGE {
            0 => Stage::None,
            1 => Stage::Handshake,
            Self::OPEN => Stage::Open,
            3 => Stage::Closing(Side::Low),
            4 => Stage::Closing(Side::High),
            Self::CLOSED => Stage::Closed,
            6 => Stage::Reset,
            _ => Stage::Refused,
        }
    }

    #[inline(always)]
    pub(in crate::flow) const fn set_stage(&mut self, stage: Stage) {
        let number = match stage {
            Stage::None => 0,
            Stage::Handshake => 1,
            Stage::Open => Self::OPEN,
            Stage::Closing(Side::Low) => 3,
            Stage::Closing(Side::High) => 4,
            Stage::Closed => Self::CLOSED,
            Stage::Reset => 6,
            Stage::Refused => 7,
        };
        self.0 = self.0 & !Self::STAGE | number;
    }

    /// `true` if the position of `side` in its stream is known.
    #[inline(always)]
    pub(in crate::flow) const fn has_sequence(self, side: Side) -> bool {
        self.0 & Self::of(Self::SEQUENCE, side) != 0
    }

    /// `true` if the stream of `side` has a gap that late segments may still fill.
    #[inline(always)]
    pub(in crate::flow) const fn has_gap(self, side: Side) -> bool {
        self.0 & Self::of(Self::GAP, side) != 0
    }

    /// `true` if the connection is beyond the handshake and before any FIN, and no window is watched.
    #[inline(always)]
    pub(in crate::flow) const fn is_plainly_open(self) -> bool {
        self.0 & (Self::STAGE | Self::WATCHED) == Self::OPEN
    }

    /// `true` if the connection is over, and only late segments are to be expected.
    #[inline(always)]
    pub(in crate::flow) const fn is_over(self) -> bool {
        self.0 & Self::STAGE >= Self::CLOSED
    }

    /// `true` if it ended by FIN, where it [is over](Phase::is_over).
    pub(in crate::flow) const fn is_closed(self) -> bool {
        matches!(self.stage(), Stage::Closed)
    }

    /// `true` if data may have flowed: it is neither a mere attempt nor a refusal.
    pub(in crate::flow) const fn is_established(self) -> bool {
        matches!(self.stage(), Stage::Open | Stage::Closing(_) | Stage::Closed | Stage::Reset)
    }

    /// The state for records; none where no TCP header was read. `timed_out`: the flow ends by its idle timeout.
    pub(in crate::flow) const fn connection(self, timed_out: bool) -> Option<Connection> {
        Some(match self.stage() {
            Stage::None => return None,
            Stage::Closed => Connection::Closed,
            Stage::Reset => Connection::Reset,
            Stage::Refused => Connection::Refused,
            _ if timed_out => Connection::TimedOut,
            Stage::Handshake => Connection::Attempted,
            Stage::Open => Connection::Open,
            Stage::Closing(_) => Connection::Closing,
        })
    }
}

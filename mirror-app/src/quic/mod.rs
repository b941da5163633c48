//! QUIC: the hellos in its Initial packets, which are encrypted with keys that anybody on the way can compute.
//!
//! Versions 1 and 2. The ClientHello may be spread over frames, packets and datagrams in any order; other packets may stand in front
//! of an Initial one in the same datagram. After a Retry, or a negotiation of the version, the client begins again with another
//! connection id: a packet that the present keys do not open, and those of its own id do, tells just that.

pub mod connection;
pub mod frame;
pub mod keys;
pub mod packet;
pub mod reason;
pub mod version;

pub use connection::Connection;
pub use packet::may_begin;
pub use reason::Reason;
pub use version::Version;

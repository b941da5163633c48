//! Inspectors against captures of real applications, and against everything that can happen to a handshake on its way.

mod captures;
#[path = "../../fuzz/checks.rs"]
mod checks;
mod corpus;
mod delivery;
mod dns;
mod flows;
mod hellos;
mod ja4;
mod quic;
mod text;
mod tshark;

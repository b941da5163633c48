//! Inspectors against captures of real applications, and against everything that can happen to a handshake on its way.

mod captures;
mod delivery;
mod flows;
mod hellos;
mod ja4;
mod tshark;

//! The parsers of text and DNS against other implementations, and against bytes that nobody would send.
//!
//! - `dns`: round trips, messages cut anywhere, simple-dns and tshark.
//! - `http`: heads made, cut and damaged, and tshark.
//! - `names`: names for addresses, and what contradicts them.
//! - `others`: SSH, DHCP and the changes to TLS.
//! - `packets`, `tshark`: what they share: captures that are made, and Wireshark's view of a capture.

mod dns;
mod http;
mod names;
mod others;
mod packets;
mod tshark;

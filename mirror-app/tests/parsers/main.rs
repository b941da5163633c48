//! The parsers of text and DNS against other implementations, and against bytes that nobody would send.
//!
//! - `dns`: round trips, messages cut anywhere, simple-dns and tshark.
//! - `packets`, `tshark`: what they share: captures that are made, and Wireshark's view of a capture.

mod dns;
mod packets;
mod tshark;

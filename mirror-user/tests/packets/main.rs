//! From frames to packets to flows, without sockets and sinks.
//!
//! - `generated`: the frames of the test kit, against decapsulation, etherparse and tshark.
//! - `sessions`: the flows of the test kit that begin and end.
//! - `writers`: the frames of the test kit, against the writers of `wire`.
//! - `decap_captures`: decapsulation of public captures.
//! - `flow_behaviour`, `flow_tcp`: which packets are a flow, when it ends, and what its records hold.
//! - `flow_properties`: rules that hold for any packets.
//! - `flow_sampling`: sampled flows.
//! - `flow_golden`: flows of public captures, against the conversations of tshark.
//! - `flow_memory`: the memory of a flow table, and that a packet allocates none.

mod decap_captures;
mod flow_behaviour;
mod flow_golden;
mod flow_memory;
mod flow_properties;
mod flow_sampling;
mod flow_tcp;
mod generated;
mod public_captures;
mod sessions;
mod support;
mod writers;

use mirror_testkit::allocations::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

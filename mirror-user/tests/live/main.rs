//! The daemon on live traffic: a veth pair between two namespaces, real XDP, real AF_XDP, and a ledger that balances
//! to the packet in every case.

mod bad_day;
mod bpf;
mod capture;
mod daemon;
mod degradation;
mod destinations;
mod directions;
mod never_reached;
mod outputs;
mod sockets;
mod stopping;
mod timestamps;

//! Tests of the spool: rows through files and back, the account of every record, crashes, other readers, cost.

mod account;
mod cost;
mod crash;
mod readers;
mod round_trip;
mod support;

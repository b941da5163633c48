//! mirror-ship: delivers finished records from the spool to lakes, brokers and collectors.
//!
//! For each destination, [`ship::Shipping`] takes the next lines of the spool's manifest as a group, hands them to a
//! [`destination::Destination`], and moves its durable [`cursor::Cursor`] when the destination has all of the group. What is not delivered is counted in
//! the cursor by reason. Files that every destination has are removed from the spool.
//!
//! A mapping is a [`table`] of fields: [`ecs`], and [`ocsf`] in three versions. From one table come lines of JSON and Parquet.

pub mod backoff;
pub mod command;
pub mod community_id;
pub mod config;
pub mod cursor;
pub mod destination;
pub mod ecs;
pub mod ocsf;
#[cfg(feature = "files")]
pub mod parquet_file;
pub mod ship;
pub mod source;
pub mod status;
pub mod table;
pub mod time;

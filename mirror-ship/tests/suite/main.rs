//! Tests of the shipper: mappings against their schemas, and each destination with what reads from it.

mod bulk;
mod collectors;
mod double;
mod files;
mod mappings;
mod speed;
mod support;

//! `mirror-capture replay`, from capture files to records.
//!
//! - `applications`: what real flows tell of their applications.
//! - `records`: the project's own captures give exactly the records beside them, however the file is packed.
//! - `flows`: the records of flows add up to those of packets.
//! - `sessions`: each generated flow with beginning and end has the records that it must have.
//! - `file_cases`: small captures of unusual form, and the packets that must be read of them.
//! - `flow_cases`: small captures that are easily misunderstood, and their right flows.
//! - `community_ids`: Community IDs are Wireshark's.
//! - `streams`: pipes are live, directories stand for the captures in them.
//! - `tshark`: the records agree with Wireshark's dissection, field by field.
//! - `pcapng`: the packets that come out are the ones that went in.
//! - `command`: files that are missing, damaged or none, pipes, exit codes.
//! - `egress`: rules learned from records, and tried on them, as docs/egress.md has it.
//! - `sampling`: the choice of sampled flows.
//! - `privacy`: no output has anything that the privacy rules keep out of it.
//! - `enrichment`: records that a map enriches, and a map that changes meanwhile.
//! - `output`: files and pipes that are there already, are another's, or do not take everything.
//! - `properties`: damage of any kind is counted, and never stops the pipeline.
//!
//! They stand on `golden`, the project's own captures; `crafted`, packets of kinds that those lack; `capture`, the file
//! formats; `program` and `pipeline`, the replay as a process and within the test; `schema`, the schema of records;
//! `dissection`, the output of tshark, and `mirrored`, the mirrored packet by that dissection.

mod applications;
mod capture;
mod command;
mod community_ids;
mod crafted;
mod dissection;
mod egress;
mod enrichment;
mod file_cases;
mod flow_cases;
mod flows;
mod golden;
mod mirrored;
mod output;
mod pcapng;
mod pipeline;
mod privacy;
mod program;
mod properties;
mod records;
mod sampling;
mod schema;
mod sessions;
mod streams;
mod tshark;

//! Tests of `mirror-sessions`, in one binary because linking the SDK takes long.

mod apply;
mod end_to_end;
mod golden;
mod memory;
mod moto;
mod policy;
mod properties;
mod support;

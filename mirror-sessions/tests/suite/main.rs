//! Tests of `mirror-sessions`, in one binary because linking the SDK takes long.

mod apply;
mod golden;
mod memory;
mod policy;
mod properties;
mod support;

//! Traffic generator and measuring harness.
fn main() {}

//! What the load generator tells its own XDP program.

//! Properties of the crate as a whole.

mod learn;
mod model;

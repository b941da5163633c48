//! Properties of the engine as a whole.

mod model;

//! Child processes: run to their end or held by a guard, and stopped when this program is asked to stop.

mod command;
mod error;
mod lines;
mod running;

pub use self::command::{find, output, show};
pub use self::error::ProcessError;
pub use self::lines::Lines;
pub use self::running::{Running, run};

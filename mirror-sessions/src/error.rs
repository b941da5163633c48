//! Errors as text.
//!
//! The convention of the crate: an error's text does not repeat its cause; the cause is its [`source`](Error::source).
//! Every place that prints an error prints the chain.

use std::error::Error;
use std::fmt::{self, Display, Formatter};

/// The text of an error and of its causes, joined by `: `.
pub(crate) fn chain<E: Error>(error: &E) -> impl Display {
    Chain(error)
}

struct Chain<'a, E>(&'a E);

impl<E: Error> Display for Chain<'_, E> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read {name}")]
    struct ReadError {
        name: &'static str,
        source: std::io::Error,
    }

    #[test]
    fn causes_follow_the_error() {
        let error = ReadError { name: "policy.toml", source: std::io::Error::other("permission denied") };
        assert_eq!(chain(&error).to_string(), "cannot read policy.toml: permission denied");
    }
}

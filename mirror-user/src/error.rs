//! Errors as text.
//!
//! One convention holds for all errors of the crate: the cause of an error is either in its text, where a remedy follows
//! it, or its [`source`](Error::source), never both. So an error and its causes, joined, say everything once.

use std::error::Error;
use std::fmt::{self, Display, Formatter};

/// The text of an error and of its causes, joined by `: `.
pub fn chain<E: Error + ?Sized>(error: &E) -> Chain<'_, E> {
    Chain(error)
}

/// An error as [`chain`] displays it.
pub struct Chain<'a, E: ?Sized>(&'a E);

impl<E: Error + ?Sized> Display for Chain<'_, E> {
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
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read {name}")]
    struct ReadError {
        name: &'static str,
        source: io::Error,
    }

    #[test]
    fn causes_follow_the_error() {
        let error = ReadError { name: "a.pcap", source: io::Error::other("no such device") };
        assert_eq!(chain(&error).to_string(), "cannot read a.pcap: no such device");
        let boxed: Box<dyn Error> = Box::new(error);
        assert_eq!(chain(boxed.as_ref()).to_string(), "cannot read a.pcap: no such device");
    }
}

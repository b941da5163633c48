//! Faults of a policy file.

use std::fmt;
use std::ops::Range;

/// A fault of a policy file, with its remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line in the file, from 1.
    pub line: usize,
    /// The problem.
    pub problem: String,
    /// The remedy.
    pub remedy: String,
}

/// All faults of a policy file, in the order of the lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults {
    /// Name of the file.
    pub file: String,
    /// The faults; at least one.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Fault { line, problem, remedy }) in self.faults.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{}:{line}: {problem}: {remedy}", self.file)?;
        }
        Ok(())
    }
}

/// Collector of faults during validation.
pub(super) struct FaultCollector<'text> {
    text: &'text str,
    faults: Vec<Fault>,
}

impl<'text> FaultCollector<'text> {
    pub(super) fn new(text: &'text str) -> Self {
        Self { text, faults: Vec::new() }
    }

    /// Adds a fault at these bytes of the text.
    pub(super) fn add(&mut self, span: &Range<usize>, problem: impl Into<String>, remedy: impl Into<String>) {
        let line = 1 + self.text.bytes().take(span.start).filter(|byte| *byte == b'\n').count();
        self.faults.push(Fault { line, problem: problem.into(), remedy: remedy.into() });
    }

    /// The result: an error if there are faults.
    pub(super) fn finish(mut self, file: &str) -> Result<(), Faults> {
        if self.faults.is_empty() {
            return Ok(());
        }
        self.faults.sort_by_key(|fault| fault.line);
        Err(Faults { file: file.to_owned(), faults: self.faults })
    }
}

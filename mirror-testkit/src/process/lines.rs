//! The lines of a child's output.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The lines that a child has written to one of its streams so far.
#[derive(Debug)]
pub struct Lines {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

/// The lines, and the means to wait for more.
#[derive(Debug, Default)]
struct Shared {
    collected: Mutex<Collected>,
    changed: Condvar,
}

/// The lines that were read, and the state of the stream.
#[derive(Debug, Default)]
struct Collected {
    lines: Vec<String>,
    /// Set where nothing more will come.
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.collected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// Reads `stream` to its end in a thread of its own, and calls `show` with each line.
    pub(super) fn read(stream: Option<impl Read + Send + 'static>, show: fn(&str)) -> Self {
        let shared = Arc::new(Shared::default());
        shared.lock().ended = stream.is_none();
        let reader = stream.map(|stream| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    show(&line);
                    shared.lock().lines.push(line);
                    shared.changed.notify_all();
                }
                shared.lock().ended = true;
                shared.changed.notify_all();
            })
        });
        Self { shared, reader }
    }

    /// True where a line so far contains `text`.
    pub fn contain(&self, text: &str) -> bool {
        self.shared.lock().lines.iter().any(|line| line.contains(text))
    }

    /// The last line so far.
    pub fn last(&self) -> Option<String> {
        self.shared.lock().lines.last().cloned()
    }

    /// The lines so far, each with its end.
    pub fn text(&self) -> String {
        self.shared.lock().lines.iter().flat_map(|line| [line, "\n"]).collect()
    }

    /// Waits until one of the lines from number `first` on contains `text`, and returns the number of that line; [`None`]
    /// where there is none after `patience`, or the stream has ended without one.
    pub fn wait_for(&self, text: &str, first: usize, patience: Duration) -> Option<usize> {
        let deadline = Instant::now() + patience;
        let mut next = first;
        let mut read = self.shared.lock();
        loop {
            if let Some(found) = read.lines.iter().skip(next).position(|line| line.contains(text)) {
                return Some(next + found);
            }
            next = next.max(read.lines.len());
            let left = deadline.saturating_duration_since(Instant::now());
            if read.ended || left.is_zero() {
                return None;
            }
            read = self.shared.changed.wait_timeout(read, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the stream has ended: the child has, and whoever inherited the stream from it.
    pub fn close(&mut self) {
        if let Some(reader) = self.reader.take() {
            // A reader that panicked has pushed what it read before.
            let _ = reader.join();
        }
    }

    /// Waits until the stream has ended, and takes every line out.
    pub fn finish(&mut self) -> Vec<String> {
        self.close();
        std::mem::take(&mut self.shared.lock().lines)
    }
}

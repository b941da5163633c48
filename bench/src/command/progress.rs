//! The progress of a command, on standard error: a bar on a terminal, and a line now and then anywhere else.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

/// Between two lines.
const INTERVAL: Duration = Duration::from_secs(10);
/// Characters of a line.
const WIDTH: u16 = 100;

/// Progress of `steps` steps, or without an end where there are 0.
pub fn progress_bar(steps: usize) -> ProgressBar {
    let bar = if steps == 0 { ProgressBar::no_length() } else { ProgressBar::new(steps as u64) };
    let is_terminal = io::stderr().is_terminal();
    let template = match (is_terminal, steps) {
        (true, 0) => "{spinner} {pos} {elapsed} {msg}",
        (true, _) => "{bar:30} {pos}/{len} {elapsed} {msg}",
        (false, 0) => "{pos}, {elapsed}: {msg}",
        (false, _) => "{pos}/{len}, {elapsed}: {msg}",
    };
    if !is_terminal {
        bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(Lines::new(io::stderr()))));
    }
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Something to draw on that can only be written to: what is drawn becomes a line, at most one in [`INTERVAL`].
#[derive(Debug)]
struct Lines<Output>(Mutex<State<Output>>);

#[derive(Debug)]
struct State<Output> {
    output: Output,
    drawn: String,
    written: Option<Instant>,
}

impl<Output: Write> Lines<Output> {
    fn new(output: Output) -> Self {
        Self(Mutex::new(State { output, drawn: String::new(), written: None }))
    }

    fn with<T>(&self, change: impl FnOnce(&mut State<Output>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<Output: Write + std::fmt::Debug + Send> TermLike for Lines<Output> {
    fn width(&self) -> u16 {
        WIDTH
    }

    fn move_cursor_up(&self, _lines: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _lines: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _characters: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _characters: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.with(|state| state.drawn.push_str(text));
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.with(|state| state.drawn.clear());
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.with(|State { output, drawn, written }| {
            let line = drawn.trim_end();
            let is_due = written.is_none_or(|written| written.elapsed() >= INTERVAL);
            let result = if line.is_empty() || !is_due {
                Ok(())
            } else {
                *written = Some(Instant::now());
                writeln!(output, "{line}")
            };
            drawn.clear();
            result
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_becomes_a_line_now_and_then() {
        let lines = Lines::new(Vec::new());
        for text in ["1/3: first  ", "2/3: soon after"] {
            lines.write_str(text).unwrap();
            lines.flush().unwrap();
        }
        lines.with(|state| state.written = Instant::now().checked_sub(INTERVAL));
        for text in ["", "3/3: later"] {
            lines.clear_line().unwrap();
            lines.write_str(text).unwrap();
            lines.flush().unwrap();
        }
        lines.with(|state| assert_eq!(String::from_utf8_lossy(&state.output), "1/3: first\n3/3: later\n"));
    }
}

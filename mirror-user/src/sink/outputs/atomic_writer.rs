//! Atomic writes: whole records only, also where a write fails after a part of the bytes.

use std::fs::File;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::sink::format::Format;
use crate::sink::output::PartialWrite;

/// Appends to a file so that it never ends in a partial record, even where the disk fills up in the midst of one.
#[derive(Debug)]
pub(super) struct AtomicWriter {
    file: File,
    format: Format,
    /// The file can take bytes back; a pipe or a terminal has passed them on.
    is_regular: bool,
    /// Bytes of whole records; of a pipe or terminal, all bytes that it took.
    length: u64,
    /// Bytes of a partial record at the end of the file, still to be truncated.
    partial: u64,
}

impl AtomicWriter {
    /// Appends records of this format at the file's current position.
    pub fn new(file: File, format: Format) -> io::Result<Self> {
        let is_regular = file.metadata()?.is_file();
        Ok(Self { file, format, is_regular, length: 0, partial: 0 })
    }

    /// `true` if it is a file, which has to be finished, and not a pipe or a terminal.
    pub fn is_regular(&self) -> bool {
        self.is_regular
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Bytes written.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// `true` if nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Writes all of `bytes`. Where that fails, a regular file keeps those of the records that fitted.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), PartialWrite> {
        self.truncate_partial()?;
        let mut rest = bytes;
        while !rest.is_empty() {
            if let Err(error) = self.write_some(&mut rest) {
                let mut taken = bytes.len() - rest.len();
                if self.is_regular {
                    let whole = self.format.whole(bytes.get(..taken).unwrap_or_default());
                    self.partial = (taken - whole) as u64;
                    taken = whole;
                    // Where this fails, the next write tries again first.
                    let _ = self.truncate_partial();
                }
                self.length += taken as u64;
                return Err(PartialWrite { taken, error });
            }
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Writes a first part of `rest` and takes it off, or waits until something can be written.
    fn write_some(&self, rest: &mut &[u8]) -> io::Result<()> {
        match (&self.file).write(rest) {
            Ok(0) => Err(ErrorKind::WriteZero.into()),
            Ok(written) => {
                *rest = rest.get(written..).unwrap_or_default();
                Ok(())
            }
            // The other end of an inherited pipe or terminal may have made it non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                match poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], None) {
                    Ok(_) | Err(Errno::INTR) => Ok(()),
                    Err(errno) => Err(errno.into()),
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Truncates the file to the last whole record.
    fn truncate_partial(&mut self) -> io::Result<()> {
        if self.partial > 0 {
            // By the position and not by the length, since standard output may append to a file.
            let whole = self.file.stream_position()?.saturating_sub(self.partial);
            self.file.set_len(whole)?;
            self.file.seek(SeekFrom::Start(whole))?;
            self.partial = 0;
        }
        Ok(())
    }

    /// Makes everything durable. A file that was synchronised has nothing left that closing it could report.
    pub fn finish(&mut self) -> io::Result<()> {
        self.truncate_partial()?;
        if self.is_regular { self.file.sync_all() } else { Ok(()) }
    }

    /// The file, which ends in a whole write.
    pub fn into_file(mut self) -> io::Result<File> {
        self.truncate_partial()?;
        Ok(self.file)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;
    use std::{io, thread};

    use rustix::process::Signal;

    use super::*;

    #[test]
    fn a_pipe_that_does_not_block_gets_everything() {
        let (mut reader, writer) = io::pipe().unwrap();
        let writer = File::from(OwnedFd::from(writer));
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let sent: Vec<u8> = (0..=u8::MAX).cycle().take(1 << 20).collect();
        let received = thread::spawn(move || {
            let mut received = Vec::new();
            reader.read_to_end(&mut received).unwrap();
            received
        });
        let mut writer = AtomicWriter::new(writer, Format::Ndjson).unwrap();
        writer.write(&sent).unwrap();
        assert_eq!(writer.length(), sent.len() as u64);
        drop(writer);
        assert!(received.join().unwrap() == sent);
    }

    #[test]
    fn a_signal_is_no_error_of_a_write() {
        // Any signal with a handler: a system call that waits ends with EINTR.
        let signal = signal_hook::consts::SIGUSR1;
        let handled = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal, Arc::clone(&handled)).unwrap();
        for is_non_blocking in [true, false] {
            let (mut reader, writer) = io::pipe().unwrap();
            let writer = File::from(OwnedFd::from(writer));
            rustix::io::ioctl_fionbio(&writer, is_non_blocking).unwrap();
            let (sender, receiver) = std::sync::mpsc::channel();
            let written = thread::spawn(move || {
                sender.send(rustix::thread::gettid()).unwrap();
                AtomicWriter::new(writer, Format::Ndjson).unwrap().write(&vec![b'\n'; 1 << 20])
            });
            let writing = receiver.recv().unwrap();
            for _ in 0..20 {
                thread::sleep(Duration::from_millis(2));
                handled.store(false, Ordering::Relaxed);
                // The kernel gives a signal to the thread that it is sent to, if it can.
                rustix::process::kill_process(writing, Signal::USR1).unwrap();
                while !handled.load(Ordering::Relaxed) {
                    thread::yield_now();
                }
            }
            let mut received = Vec::new();
            reader.read_to_end(&mut received).unwrap();
            written.join().unwrap().unwrap();
            assert_eq!(received.len(), 1 << 20);
        }
    }

    #[test]
    fn a_partial_write_is_truncated_before_the_next() {
        let mut file = tempfile::tempfile().unwrap();
        let mut writer = AtomicWriter::new(file.try_clone().unwrap(), Format::Ndjson).unwrap();
        writer.write(b"first").unwrap();
        // As a write leaves it that fails half-way, and could not be taken back at once.
        (&writer.file).write_all(b"sec").unwrap();
        writer.partial = 3;
        writer.write(b"third").unwrap();
        let mut content = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut content).unwrap();
        assert_eq!(content, "firstthird");
        assert_eq!(writer.length(), 10);
    }

    #[test]
    fn what_was_in_an_appended_file_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("appended");
        std::fs::write(&path, "before").unwrap();
        let file = File::options().append(true).open(&path).unwrap();
        let mut writer = AtomicWriter::new(file, Format::Ndjson).unwrap();
        (&writer.file).write_all(b"sec").unwrap();
        writer.partial = 3;
        writer.write(b"third").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "beforethird");
    }

    #[test]
    fn a_full_device_takes_nothing() {
        let file = File::options().write(true).open("/dev/full").unwrap();
        let mut writer = AtomicWriter::new(file, Format::Ndjson).unwrap();
        let partial = writer.write(b"record").unwrap_err();
        assert_eq!((partial.taken, partial.error.kind()), (0, ErrorKind::StorageFull));
        assert!(writer.is_empty());
    }
}

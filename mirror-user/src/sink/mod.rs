//! Where batches go: NDJSON or pcapng; standard output, a file or a directory.

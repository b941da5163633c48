//! Names of the files in a directory.

use crate::sink::format::Format;

/// First part of a final name.
pub const PREFIX: &str = "mirror-";
/// Last part of the name of a file that is not complete.
pub const PARTIAL: &str = ".partial";

/// Last part of the name of a file that could not be made durable: some of its content may be missing or old, so that it
/// is neither published nor recovered.
pub const UNSYNCED: &str = ".unsynced";

/// The final name for the name of a file that is not complete.
pub fn final_name(name: &str) -> Option<&str> {
    name.strip_prefix('.')?.strip_suffix(PARTIAL).filter(|name| name.starts_with(PREFIX))
}

/// The format of a final name, by its extension.
pub fn format_of(name: &str) -> Option<Format> {
    [Format::Ndjson, Format::Pcapng]
        .into_iter()
        .find(|format| name.rsplit_once('.').is_some_and(|(_, extension)| extension == format.name()))
}

//! What is wrong with bytes that should be TLS.

/// The first fault that was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A record is of another kind than a handshake has at this point.
    RecordType,
    /// The version of a record is none of TLS.
    RecordVersion,
    /// The length of a record is 0 or above the limit (RFC 8446, section 5.1; RFC 5246, section 6.2.3).
    RecordLength,
    /// A message is another one than is expected first.
    MessageType,
    /// A message is longer than is followed ([`super::MESSAGE_LIMIT`]).
    MessageLength,
    /// A field runs past the end of what holds it.
    FieldLength,
    /// Bytes are left behind the last field.
    TrailingBytes,
    /// An extension is there twice (RFC 8446, section 4.2).
    DuplicateExtension,
    /// More extensions or cipher suites than any client sends.
    TooMany,
    /// The content of an extension does not have its format.
    Extension,
}

impl Reason {
    /// Name for counters and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RecordType => "record_type",
            Self::RecordVersion => "record_version",
            Self::RecordLength => "record_length",
            Self::MessageType => "message_type",
            Self::MessageLength => "message_length",
            Self::FieldLength => "field_length",
            Self::TrailingBytes => "trailing_bytes",
            Self::DuplicateExtension => "duplicate_extension",
            Self::TooMany => "too_many",
            Self::Extension => "extension",
        }
    }
}

//! The session id of a hello.

/// At most 32 bytes (RFC 8446, section 4.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SessionId {
    bytes: [u8; 32],
    length: u8,
}

impl SessionId {
    /// The session id in `bytes`; [`None`] for more than 32.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let mut id = Self { bytes: [0; 32], length: u8::try_from(bytes.len()).ok()? };
        id.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(id)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.length == 0
    }
}

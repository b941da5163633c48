//! A reader over bytes that cannot run past their end.

/// Takes bytes from the front, in network byte order, and remembers how many it took.
///
/// Every taking method returns [`None`], and takes nothing, where fewer bytes are left than it needs. To look ahead,
/// take from a copy.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Position of the end of `rest`, so that taking bytes changes `rest` only.
    end: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the first of `bytes`.
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, end: bytes.len() }
    }

    /// Number of bytes taken.
    #[inline]
    pub const fn position(&self) -> usize {
        self.end - self.rest.len()
    }

    /// Number of bytes left.
    #[inline]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes an array, for a header or a field whose size is fixed.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.array_ref().copied()
    }

    /// Takes an array by reference.
    #[inline]
    pub fn array_ref<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(taken)
    }

    /// Takes an integer of 8 bits.
    #[inline]
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    /// Takes an integer of 16 bits.
    #[inline]
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Takes an integer of 24 bits.
    #[inline]
    pub fn u24(&mut self) -> Option<u32> {
        self.array().map(|[high, middle, low]| u32::from_be_bytes([0, high, middle, low]))
    }

    /// Takes an integer of 32 bits.
    #[inline]
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Takes an integer of 64 bits.
    #[inline]
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Takes `length` bytes.
    #[inline]
    pub fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// Skips `length` bytes.
    #[inline]
    pub fn skip(&mut self, length: usize) -> Option<()> {
        self.bytes(length).map(drop)
    }

    /// Ends the reader `length` bytes ahead, because a length field says that the packet ends there.
    #[inline]
    pub fn limit(&mut self, length: usize) {
        if let Some(kept) = self.rest.get(..length) {
            self.end -= self.rest.len() - kept.len();
            self.rest = kept;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: [u8; 20] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20];

    #[test]
    fn takes_in_network_byte_order() {
        let mut reader = Reader::new(&BYTES);
        assert_eq!(reader.u8(), Some(0x01));
        assert_eq!(reader.u16(), Some(0x0203));
        assert_eq!(reader.u24(), Some(0x04_0506));
        assert_eq!(reader.u32(), Some(0x0708_090a));
        assert_eq!(reader.u64(), Some(0x0b0c_0d0e_0f10_1112));
        assert_eq!(reader.array(), Some([19, 20]));
        assert_eq!((reader.position(), reader.remaining()), (20, 0));
    }

    #[test]
    fn takes_nothing_where_too_little_is_left() {
        let mut reader = Reader::new(&BYTES[..1]);
        assert_eq!(reader.u16(), None);
        assert_eq!(reader.u24(), None);
        assert_eq!(reader.u32(), None);
        assert_eq!(reader.u64(), None);
        assert_eq!(reader.array::<2>(), None);
        assert_eq!(reader.bytes(2), None);
        assert_eq!(reader.skip(usize::MAX), None);
        assert_eq!((reader.position(), reader.remaining()), (0, 1));
        assert_eq!(reader.u8(), Some(1));
        assert_eq!(reader.u8(), None);
    }

    #[test]
    fn a_limit_shortens_and_never_lengthens() {
        let mut reader = Reader::new(&BYTES);
        reader.skip(4);
        reader.limit(6);
        assert_eq!((reader.position(), reader.remaining()), (4, 6));
        reader.limit(7);
        assert_eq!(reader.bytes(6), Some(&BYTES[4..10]));
        assert_eq!(reader.u8(), None);
    }
}

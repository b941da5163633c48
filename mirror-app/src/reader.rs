//! A reader over bytes that cannot run past their end.

/// Takes bytes from the front, in network byte order.
///
/// Every taking method returns [`None`], and takes nothing, where fewer bytes are left than it needs. To look ahead, take from a
/// copy.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the first of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Number of bytes left.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// `true` where nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes left, which stay.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes an array, for a field whose size is fixed.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    /// Takes an integer of 8 bits.
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    /// Takes an integer of 16 bits.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Takes an integer of 24 bits.
    pub fn u24(&mut self) -> Option<u32> {
        self.array().map(|[high, middle, low]| u32::from_be_bytes([0, high, middle, low]))
    }

    /// Takes an integer of 32 bits.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Takes `length` bytes.
    pub fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// Takes a length of 8 bits and as many bytes.
    pub fn vector8(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let length = ahead.u8()?;
        let taken = ahead.bytes(usize::from(length))?;
        *self = ahead;
        Some(taken)
    }

    /// Takes a length of 16 bits and as many bytes.
    pub fn vector16(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let length = ahead.u16()?;
        let taken = ahead.bytes(usize::from(length))?;
        *self = ahead;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_in_network_byte_order() {
        let mut reader = Reader::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(reader.u8(), Some(0x01));
        assert_eq!(reader.u16(), Some(0x0203));
        assert_eq!(reader.u24(), Some(0x04_0506));
        assert_eq!(reader.u32(), Some(0x0708_090a));
        assert_eq!(reader.array(), Some([11, 12]));
        assert!(reader.is_empty());
    }

    #[test]
    fn takes_nothing_where_too_little_is_left() {
        let bytes = [0, 3, 7, 8];
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.vector16(), None);
        assert_eq!((reader.u32(), reader.bytes(5), reader.array::<5>()), (Some(0x0003_0708), None, None));
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.vector8(), Some(&[][..]));
        assert_eq!(reader.vector8(), None);
        assert_eq!(reader.rest(), [3, 7, 8]);
    }
}

//! Memory for bytes that wait, bounded in all.

/// Bytes of the smallest buffer: enough for a ClientHello with post-quantum key shares.
const SMALLEST: usize = 2048;
/// Buffers that are kept for later use.
const SPARE: usize = 64;

/// Buffers of all flows of one inspector.
#[derive(Debug)]
pub struct Buffers {
    limit: usize,
    used: usize,
    most_used: usize,
    /// Empty buffers of the smallest size, which is what nearly every flow needs.
    spare: Vec<Vec<u8>>,
}

/// No room is left in [`Buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Buffers {
    /// Buffers of at most `limit` bytes in all, those kept for later included.
    pub const fn new(limit: usize) -> Self {
        Self { limit, used: 0, most_used: 0, spare: Vec::new() }
    }

    /// Bytes of the buffers in use.
    pub const fn used(&self) -> usize {
        self.used
    }

    /// The most that [`Buffers::used`] ever was.
    pub const fn most_used(&self) -> usize {
        self.most_used
    }

    /// Makes room in `buffer`, which is from here or new, for `length` bytes in all. Their values are 0.
    pub fn reserve(&mut self, buffer: &mut Vec<u8>, length: usize) -> Result<(), Full> {
        if length > buffer.capacity() {
            let capacity = length.next_power_of_two().max(SMALLEST);
            if self.used - buffer.capacity() + capacity > self.limit {
                return Err(Full);
            }
            let mut larger = if capacity == SMALLEST { self.spare.pop() } else { None }
                .unwrap_or_else(|| Vec::with_capacity(capacity));
            larger.extend_from_slice(buffer);
            self.used += larger.capacity();
            self.give_back(std::mem::replace(buffer, larger));
            self.most_used = self.most_used.max(self.used);
        }
        if length > buffer.len() {
            buffer.resize(length, 0);
        }
        Ok(())
    }

    /// Accounts for `bytes` of another kind of memory, which [`Buffers::forget`] gives back.
    pub fn account(&mut self, bytes: usize) -> Result<(), Full> {
        if self.used + bytes > self.limit {
            return Err(Full);
        }
        self.used += bytes;
        self.most_used = self.most_used.max(self.used);
        Ok(())
    }

    /// Undoes [`Buffers::account`].
    pub const fn forget(&mut self, bytes: usize) {
        self.used -= bytes;
    }

    /// Takes a buffer back.
    pub fn give_back(&mut self, mut buffer: Vec<u8>) {
        self.used -= buffer.capacity();
        if buffer.capacity() == SMALLEST && self.spare.len() < SPARE {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

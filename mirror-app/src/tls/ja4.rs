//! The JA4 fingerprint of a client, after its published description (FoxIO, JA4 alone, BSD 3-Clause).

use std::fmt;

use sha2::{Digest, Sha256};

use super::extension;
use super::reason::Reason;
use super::version::Version;

/// Characters of a fingerprint.
const LENGTH: usize = 36;
/// Most cipher suites of one ClientHello: clients send some thirty.
const CIPHER_LIMIT: usize = 512;
/// Most signature algorithms of one ClientHello.
const ALGORITHM_LIMIT: usize = 128;

/// The protocol that carries a ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// TLS records over TCP.
    Tcp,
    /// CRYPTO frames of QUIC.
    Quic,
}

/// A fingerprint, such as `t13d1516h2_8daaf6152771_e5627efa2ab1`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ja4([u8; LENGTH]);

impl Ja4 {
    /// The fingerprint as text.
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever written.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Default for Ja4 {
    fn default() -> Self {
        Self([b'0'; LENGTH])
    }
}

impl fmt::Debug for Ja4 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for Ja4 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// `true` for the sixteen values of GREASE (RFC 8701): 0x0a0a, 0x1a1a and so on.
pub const fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// A fingerprint in the making.
#[derive(Debug)]
pub(super) struct Fingerprint<'a> {
    carrier: Carrier,
    named: bool,
    ciphers: List<CIPHER_LIMIT>,
    extensions: List<{ extension::LIMIT }>,
    /// Number of extensions, those that the hash leaves out included.
    extension_count: usize,
    algorithms: List<ALGORITHM_LIMIT>,
    first_protocol: &'a [u8],
}

impl<'a> Fingerprint<'a> {
    pub(super) const fn new(carrier: Carrier) -> Self {
        Self {
            carrier,
            named: false,
            ciphers: List::new(),
            extensions: List::new(),
            extension_count: 0,
            algorithms: List::new(),
            first_protocol: &[],
        }
    }

    pub(super) fn cipher(&mut self, cipher: u16) -> Result<(), Reason> {
        self.ciphers.push(cipher)
    }

    pub(super) fn extension(&mut self, kind: u16) -> Result<(), Reason> {
        if is_grease(kind) {
            return Ok(());
        }
        self.extension_count += 1;
        match kind {
            extension::SERVER_NAME => self.named = true,
            extension::APPLICATION_PROTOCOLS => {}
            _ => self.extensions.push(kind)?,
        }
        Ok(())
    }

    pub(super) const fn first_protocol(&mut self, name: &'a [u8]) {
        self.first_protocol = name;
    }

    /// The signature algorithms, as the extension lists them.
    pub(super) fn signature_algorithms(&mut self, list: &[u8]) -> Result<(), Reason> {
        let (pairs, []) = list.as_chunks() else {
            return Err(Reason::Extension);
        };
        pairs.iter().try_for_each(|&pair| self.algorithms.push(u16::from_be_bytes(pair)))
    }

    /// The fingerprint of a client that offers `version` as its highest.
    pub(super) fn finish(mut self, version: Version) -> Ja4 {
        let carrier = match self.carrier {
            Carrier::Tcp => b't',
            Carrier::Quic => b'q',
        };
        let [v0, v1] = version_letters(version);
        let named = if self.named { b'd' } else { b'i' };
        let [c0, c1] = two_digits(self.ciphers.length);
        let [e0, e1] = two_digits(self.extension_count);
        let [p0, p1] = protocol_letters(self.first_protocol);

        let mut text = Text::default();
        text.list(self.ciphers.sorted());
        let ciphers = text.hash();
        let mut text = Text::default();
        text.list(self.extensions.sorted());
        if self.algorithms.length > 0 && self.extensions.length > 0 {
            text.push(b'_');
            text.list(self.algorithms.values());
        }
        let extensions = text.hash();

        let mut fingerprint = [b'_'; LENGTH];
        let (head, hashes) = fingerprint.split_at_mut(11);
        head[..10].copy_from_slice(&[carrier, v0, v1, named, c0, c1, e0, e1, p0, p1]);
        let (first, second) = hashes.split_at_mut(13);
        first[..12].copy_from_slice(&ciphers);
        second.copy_from_slice(&extensions);
        Ja4(fingerprint)
    }
}

/// Numbers without GREASE, in memory of fixed size.
#[derive(Debug)]
struct List<const N: usize> {
    values: [u16; N],
    length: usize,
}

impl<const N: usize> List<N> {
    const fn new() -> Self {
        Self { values: [0; N], length: 0 }
    }

    fn push(&mut self, value: u16) -> Result<(), Reason> {
        if is_grease(value) {
            return Ok(());
        }
        *self.values.get_mut(self.length).ok_or(Reason::TooMany)? = value;
        self.length += 1;
        Ok(())
    }

    fn values(&self) -> &[u16] {
        self.values.get(..self.length).unwrap_or_default()
    }

    fn sorted(&mut self) -> &[u16] {
        let values = self.values.get_mut(..self.length).unwrap_or_default();
        values.sort_unstable();
        values
    }
}

/// Text on its way into a hash, block by block.
#[derive(Default)]
struct Text {
    hash: Sha256,
    written: bool,
}

impl Text {
    fn push(&mut self, byte: u8) {
        self.hash.update([byte]);
    }

    fn list(&mut self, values: &[u16]) {
        for (index, value) in values.iter().enumerate() {
            let [high, low] = value.to_be_bytes();
            let [a, b] = hexadecimal(high);
            let [c, d] = hexadecimal(low);
            let all = [b',', a, b, c, d];
            self.hash.update(if index == 0 { &all[1..] } else { &all[..] });
            self.written = true;
        }
    }

    /// The first twelve digits of the hash; zeros where there was no text.
    fn hash(self) -> [u8; 12] {
        let mut digits = [b'0'; 12];
        if self.written {
            for (pair, byte) in digits.chunks_exact_mut(2).zip(self.hash.finalize()) {
                pair.copy_from_slice(&hexadecimal(byte));
            }
        }
        digits
    }
}

const fn hexadecimal(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[(byte >> 4) as usize], DIGITS[(byte & 15) as usize]]
}

fn two_digits(count: usize) -> [u8; 2] {
    let count = u8::try_from(count.min(99)).unwrap_or(99);
    [b'0' + count / 10, b'0' + count % 10]
}

const fn version_letters(version: Version) -> [u8; 2] {
    *match version {
        Version::TLS_1_3 => b"13",
        Version::TLS_1_2 => b"12",
        Version::TLS_1_1 => b"11",
        Version::TLS_1_0 => b"10",
        Version::SSL_3_0 => b"s3",
        Version(0x0002) => b"s2",
        _ => b"00",
    }
}

/// The first and the last character of a protocol's name, of its hexadecimal form where one of them is no letter or digit.
fn protocol_letters(name: &[u8]) -> [u8; 2] {
    let (Some(&first), Some(&last)) = (name.first(), name.last()) else {
        return *b"00";
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        [first, last]
    } else {
        [hexadecimal(first)[0], hexadecimal(last)[1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the description.
    #[test]
    fn example() {
        let mut fingerprint = Fingerprint::new(Carrier::Tcp);
        for cipher in [
            0x0a0a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
            0x009c, 0x009d, 0x002f, 0x0035,
        ] {
            fingerprint.cipher(cipher).unwrap();
        }
        for kind in [
            0x001b, 0x0000, 0xdada, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012,
            0x002b, 0xff01, 0x000b, 0x000a, 0x0015,
        ] {
            fingerprint.extension(kind).unwrap();
        }
        fingerprint.first_protocol(b"h2");
        fingerprint
            .signature_algorithms(&[
                0x04, 0x03, 0x08, 0x04, 0x04, 0x01, 0x05, 0x03, 0x08, 0x05, 0x05, 0x01, 0x08, 0x06, 0x06,
                0x01,
            ])
            .unwrap();
        assert_eq!(fingerprint.finish(Version::TLS_1_3).as_str(), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn without_algorithms() {
        let mut fingerprint = Fingerprint::new(Carrier::Quic);
        for kind in [
            0x0005, 0x000a, 0x000b, 0x000d, 0x0012, 0x0015, 0x0017, 0x001b, 0x0023, 0x002b, 0x002d, 0x0033,
            0x4469, 0xff01,
        ] {
            fingerprint.extension(kind).unwrap();
        }
        assert_eq!(fingerprint.finish(Version(0x7f17)).as_str(), "q00i001400_000000000000_6d807ffa2a79");
    }

    #[test]
    fn without_anything() {
        let fingerprint = Fingerprint::new(Carrier::Tcp);
        assert_eq!(fingerprint.finish(Version::SSL_3_0).as_str(), "ts3i000000_000000000000_000000000000");
    }

    #[test]
    fn letters_of_protocols() {
        let cases: [(&[u8], &[u8; 2]); 9] = [
            (b"", b"00"),
            (b"h2", b"h2"),
            (b"http/1.1", b"h1"),
            (b"x", b"xx"),
            (b"\xab", b"ab"),
            (b"\xab\xcd", b"ad"),
            (b"\x30\xab", b"3b"),
            (b"\x30\x31\xab\xcd", b"3d"),
            (b"\x30\xab\xcd\x31", b"01"),
        ];
        for (name, expected) in cases {
            assert_eq!(&protocol_letters(name), expected, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn grease_is_sixteen_values() {
        let values: Vec<u16> = (0..=u16::MAX).filter(|&value| is_grease(value)).collect();
        assert_eq!(values.len(), 16);
        assert!(values.contains(&0x0a0a) && values.contains(&0xfafa));
    }
}

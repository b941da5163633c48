//! The keys of Initial packets, which everybody can compute who saw the client's first one (RFC 9001, section 5).

use aes::Aes128;
use aes::cipher::BlockCipherEncrypt;
use aes_gcm::Aes128Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit};
use hkdf::Hkdf;
use sha2::Sha256;

use super::packet::{ConnectionId, Initial};
use super::version::Version;

/// Bytes of the authentication tag.
const TAG: usize = 16;
/// Bytes of the sample that the header's protection is computed from, which begins where a packet number of four bytes would end.
const SAMPLE: usize = 16;

/// The end that sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The end that began.
    Client,
    /// The other one.
    Server,
}

/// The keys of one direction.
pub struct Keys {
    packet: Aes128Gcm,
    header: Aes128,
    vector: [u8; 12],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    /// The keys of Initial packets of a connection, by the destination id of the client's first packet.
    pub fn new(version: Version, id: ConnectionId, sender: Sender) -> Self {
        let Secrets { key, vector, header } = Secrets::new(version, id, sender);
        Self { packet: Aes128Gcm::new(&key.into()), header: Aes128::new(&header.into()), vector }
    }

    /// Removes the protection of a packet, in `scratch`, and returns its frames; [`None`] where the packet was made with other keys.
    ///
    /// The packet number is taken as it stands, without the high bits that a sender leaves out: those of Initial packets, of which there
    /// are a few, are zero.
    pub fn open<'a>(&self, initial: &Initial<'_>, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        scratch.clear();
        scratch.extend_from_slice(initial.bytes);
        let (before, protected) = scratch.split_at_mut_checked(initial.number_offset)?;
        let (first_mask, number_mask) = self.mask(protected)?;
        let first = before.first_mut()?;
        *first ^= first_mask;
        let number_length = usize::from(*first & 3) + 1;
        let number = protected.get_mut(..number_length)?;
        exclusive_or(number, &number_mask);
        let nonce = self.nonce(number);
        let (header, sealed) = scratch.split_at_mut_checked(initial.number_offset + number_length)?;
        let (text, tag) = sealed.split_at_mut_checked(sealed.len().checked_sub(TAG)?)?;
        let tag: [u8; TAG] = (&*tag).try_into().ok()?;
        self.packet.decrypt_inout_detached(&nonce.into(), header, (&mut *text).into(), &tag.into()).ok()?;
        Some(text)
    }

    /// The protected packet of a header, which ends with the packet number, and of frames: the reverse of [`Keys::open`], for tests
    /// and generators. [`None`] where they are too short.
    pub fn seal(&self, header: &[u8], frames: &[u8]) -> Option<Vec<u8>> {
        let number_length = usize::from(header.first()? & 3) + 1;
        let number_offset = header.len().checked_sub(number_length)?;
        let nonce = self.nonce(header.get(number_offset..)?);
        let mut text = frames.to_vec();
        let tag = self.packet.encrypt_inout_detached(&nonce.into(), header, (&mut text[..]).into()).ok()?;
        let mut packet = [header, &text, &tag[..]].concat();
        let (first_mask, number_mask) = self.mask(packet.get(number_offset..)?)?;
        *packet.first_mut()? ^= first_mask;
        exclusive_or(packet.get_mut(number_offset..header.len())?, &number_mask);
        Some(packet)
    }

    /// The masks of a header's first byte and of its packet number, with which `protected` begins (RFC 9001, section 5.4).
    fn mask(&self, protected: &[u8]) -> Option<(u8, [u8; 4])> {
        let sample: [u8; SAMPLE] = *protected.get(4..)?.first_chunk()?;
        let mut mask = sample.into();
        self.header.encrypt_block(&mut mask);
        let [first, a, b, c, d, ..] = <[u8; SAMPLE]>::from(mask);
        Some((first & 0x0f, [a, b, c, d]))
    }

    /// The nonce of a packet: its number, and the vector (RFC 9001, section 5.3).
    fn nonce(&self, number: &[u8]) -> [u8; 12] {
        let mut nonce = self.vector;
        for (byte, number) in nonce.iter_mut().rev().zip(number.iter().rev()) {
            *byte ^= number;
        }
        nonce
    }
}

fn exclusive_or(bytes: &mut [u8], mask: &[u8]) {
    for (byte, mask) in bytes.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// What the keys are made of.
struct Secrets {
    key: [u8; 16],
    vector: [u8; 12],
    header: [u8; 16],
}

impl Secrets {
    fn new(version: Version, id: ConnectionId, sender: Sender) -> Self {
        let label: &[u8] = match sender {
            Sender::Client => b"client in",
            Sender::Server => b"server in",
        };
        let initial = Hkdf::<Sha256>::new(Some(version.salt()), id.as_bytes());
        let secret: [u8; 32] = expand(&initial, label);
        let mut secrets = Self { key: [0; 16], vector: [0; 12], header: [0; 16] };
        if let Ok(secret) = Hkdf::<Sha256>::from_prk(&secret) {
            let [key, vector, header] = version.labels();
            secrets = Self {
                key: expand(&secret, key),
                vector: expand(&secret, vector),
                header: expand(&secret, header),
            };
        }
        secrets
    }
}

/// HKDF-Expand-Label without a context (RFC 8446, section 7.1).
fn expand<const N: usize>(secret: &Hkdf<Sha256>, label: &[u8]) -> [u8; N] {
    const PREFIX: &[u8] = b"tls13 ";
    let mut output = [0; N];
    let length = |length: usize| u8::try_from(length).unwrap_or_default();
    let info = [&[0, length(N), length(PREFIX.len() + label.len())], PREFIX, label, &[0]];
    // At most 255 times 32 bytes can be asked for, and these are 32 at most.
    let expanded = secret.expand_multi_info(&info, &mut output);
    debug_assert!(expanded.is_ok());
    output
}

#[cfg(test)]
mod tests {
    use super::super::packet::Initials;
    use super::*;

    fn hexadecimal(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 9001, appendix A.1, and RFC 9369, appendix A.1.
    #[test]
    fn secrets_of_the_specifications() {
        let id = ConnectionId::new(&[0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08]).unwrap();
        let cases = [
            (
                (Version::V1, Sender::Client),
                [
                    "1f369613dd76d5467730efcbe3b1a22d",
                    "fa044b2f42a3fd3b46fb255c",
                    "9f50449e04a0e810283a1e9933adedd2",
                ],
            ),
            (
                (Version::V1, Sender::Server),
                [
                    "cf3a5331653c364c88f0f379b6067e37",
                    "0ac1493ca1905853b0bba03e",
                    "c206b8d9b9f0f37644430b490eeaa314",
                ],
            ),
            (
                (Version::V2, Sender::Client),
                [
                    "8b1a0bc121284290a29e0971b5cd045d",
                    "91f73e2351d8fa91660e909f",
                    "45b95e15235d6f45a6b19cbcb0294ba9",
                ],
            ),
            (
                (Version::V2, Sender::Server),
                [
                    "82db637861d55e1d011f19ea71d5d2a7",
                    "dd13c276499c0249d3310652",
                    "edf6d05c83121201b436e16877593c3a",
                ],
            ),
        ];
        for ((version, sender), [key, vector, header]) in cases {
            let secrets = Secrets::new(version, id, sender);
            assert_eq!(hexadecimal(&secrets.key), key, "{version:?} {sender:?}");
            assert_eq!(hexadecimal(&secrets.vector), vector, "{version:?} {sender:?}");
            assert_eq!(hexadecimal(&secrets.header), header, "{version:?} {sender:?}");
        }
    }

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        let digits: Vec<u32> = hexadecimal.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
    }

    /// The packets of both sides of RFC 9001, appendices A.2 and A.3, and RFC 9369, the same appendices: header, frames padded to a
    /// length, and of the protected packet the first bytes and the tag, which depends on all of it.
    #[test]
    fn packets_of_the_specifications() {
        let client = "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c0000041301130201\
            0000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e000500050100\
            000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d001000\
            0e0403050306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07048000ffff08011001\
            04800075300901100f088394c8f03e51570806048000ffff";
        let server = "02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf73988cfc79825df566dc5430b9a045a1200130100\
            002e00330024001d00209d3c940d89690b84d08a60993c144eca684d1081287c834d5311bcf32bb9da1a002b00020304";
        let cases = [
            (
                (Version::V1, Sender::Client),
                ("c300000001088394c8f03e5157080000449e00000002", client, 1162),
                (
                    "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11",
                    "e221af44860018ab0856972e194cd934",
                ),
            ),
            (
                (Version::V1, Sender::Server),
                ("c1000000010008f067a5502a4262b50040750001", server, 99),
                ("cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a", "cbc42158407dd074ee"),
            ),
            (
                (Version::V2, Sender::Client),
                ("d36b3343cf088394c8f03e5157080000449e00000002", client, 1162),
                ("d76b3343cf088394c8f03e5157080000449ea0c95e82", "a18b2faa745b6fe189cf772a9f84cbfc"),
            ),
            (
                (Version::V2, Sender::Server),
                ("d16b3343cf0008f067a5502a4262b50040750001", server, 99),
                ("dc6b3343cf0008f067a5502a4262b5004075d92faaf16f05d8a4398c47089698", "9ce7ca84bed8521e2e140"),
            ),
        ];
        let id = ConnectionId::new(&[0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08]).unwrap();
        for ((version, sender), (header, frames, length), (first, last)) in cases {
            let mut frames = bytes(frames);
            frames.resize(length, 0);
            let keys = Keys::new(version, id, sender);
            let packet = keys.seal(&bytes(header), &frames).unwrap();
            let text = hexadecimal(&packet);
            assert!(text.starts_with(first) && text.ends_with(last), "{version:?} {sender:?}: {text}");
            let initial = Initials::new(&packet).next().unwrap();
            assert_eq!((initial.version, initial.bytes.len()), (version, packet.len()));
            assert_eq!(keys.open(&initial, &mut Vec::new()), Some(&frames[..]));
            let mut damaged = packet.clone();
            *damaged.last_mut().unwrap() ^= 1;
            assert_eq!(keys.open(&Initial { bytes: &damaged, ..initial }, &mut Vec::new()), None);
        }
    }
}

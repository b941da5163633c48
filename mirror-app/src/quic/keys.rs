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
        let sample: [u8; SAMPLE] = protected.get(4..4 + SAMPLE)?.try_into().ok()?;
        let mut mask = sample.into();
        self.header.encrypt_block(&mut mask);
        let [first_mask, number_mask @ ..] = <[u8; SAMPLE]>::from(mask);

        let first = before.first_mut()?;
        *first ^= first_mask & 0x0f;
        let number_length = usize::from(*first & 3) + 1;
        let mut nonce = self.vector;
        for (index, byte) in protected.iter_mut().take(number_length).enumerate() {
            *byte ^= number_mask.get(index)?;
            *nonce.get_mut(12 - number_length + index)? ^= *byte;
        }
        let (header, sealed) = scratch.split_at_mut_checked(initial.number_offset + number_length)?;
        let (text, tag) = sealed.split_at_mut_checked(sealed.len().checked_sub(TAG)?)?;
        let tag: [u8; TAG] = (&*tag).try_into().ok()?;
        self.packet.decrypt_inout_detached(&nonce.into(), header, (&mut *text).into(), &tag.into()).ok()?;
        Some(text)
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
}

//! Hellos, written by another hand than the one that reads them.

/// Bytes behind their length, which takes `size` bytes.
pub fn vector(size: usize, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    [&length[length.len() - size..], content].concat()
}

/// An extension.
pub fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(2, content)].concat()
}

/// A message of the handshake.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &vector(3, body)].concat()
}

/// A message in records of at most `size` bytes.
pub fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|part| [&[22, 3, 1][..], &vector(2, part)].concat()).collect()
}

/// A ClientHello for `name`, with a key share of `share` bytes: 1,216 and more with post-quantum keys.
pub fn client_hello(name: &[u8], share: usize) -> Vec<u8> {
    let extensions = [
        extension(0, &vector(2, &[&[0][..], &vector(2, name)].concat())),
        extension(0x0a0a, &[]),
        extension(16, &vector(2, b"\x02h2\x08http/1.1")),
        extension(13, &vector(2, &[4, 3, 8, 4, 4, 1])),
        extension(43, &vector(1, &[0x0a, 0x0a, 3, 4, 3, 3])),
        extension(51, &vector(2, &[&[0x11, 0xec][..], &vector(2, &vec![0x5a; share])].concat())),
        extension(0xfe0d, &[0; 32]),
    ]
    .concat();
    let body = [
        &[3, 3][..],
        &[0x11; 32],
        &vector(1, &[0x22; 32]),
        &vector(2, &[0x1a, 0x1a, 0x13, 0x01, 0x13, 0x02]),
        &[1, 0],
        &vector(2, &extensions),
    ]
    .concat();
    message(1, &body)
}

/// A ServerHello that chooses TLS 1.3; a HelloRetryRequest where `retry`.
pub fn server_hello(retry: bool) -> Vec<u8> {
    // The SHA-256 of "HelloRetryRequest" (RFC 8446, section 4.1.3).
    let retry_random: [u8; 32] = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
        0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    ];
    let random = if retry { retry_random } else { [0x33; 32] };
    let extensions = [extension(43, &[3, 4]), extension(51, &[0, 29, 0, 2, 1, 1])].concat();
    let body = [&[3, 3][..], &random, &vector(1, &[0x22; 32]), &[0x13, 0x01], &[0], &vector(2, &extensions)]
        .concat();
    message(2, &body)
}

/// A ServerHello of TLS 1.2 that chooses `h2`, with this session id.
pub fn old_server_hello(session_id: &[u8]) -> Vec<u8> {
    let extensions = extension(16, &vector(2, b"\x02h2"));
    let body =
        [&[3, 3][..], &[0x33; 32], &vector(1, session_id), &[0xc0, 0x2f], &[0], &vector(2, &extensions)]
            .concat();
    message(2, &body)
}

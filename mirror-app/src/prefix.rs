//! First bytes that tell a protocol.

/// `Some(true)` where `bytes` begins with one of `prefixes`, `Some(false)` where it cannot, [`None`] where there are too few to tell.
pub fn begins_with_any(bytes: &[u8], prefixes: &[&[u8]]) -> Option<bool> {
    if prefixes.iter().any(|prefix| bytes.starts_with(prefix)) {
        return Some(true);
    }
    if prefixes.iter().any(|prefix| prefix.starts_with(bytes)) { None } else { Some(false) }
}

/// The first line and what is behind it, both without the line's end, which is LF or CR LF; [`None`] where no line ends.
pub fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest.get(1..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_told_as_soon_as_they_can_be() {
        let prefixes: [&[u8]; 2] = [b"GET ", b"HTTP/1."];
        for (bytes, expected) in [
            ("", None),
            ("GE", None),
            ("GET", None),
            ("GET /", Some(true)),
            ("GEH", Some(false)),
            ("HTTP/1.", Some(true)),
            ("HTTP/2", Some(false)),
        ] {
            assert_eq!(begins_with_any(bytes.as_bytes(), &prefixes), expected, "{bytes}");
        }
    }
}

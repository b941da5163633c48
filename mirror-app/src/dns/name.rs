//! Domain names: from a message, with its pointers followed, to text in presentation format, and back.

use super::reason::Reason;

/// Most bytes of a name in a message, its length bytes and the root's included (RFC 1035, section 2.3.4).
pub const MAX_WIRE: usize = 255;
/// Most bytes of a label.
const MAX_LABEL: usize = 63;
/// Most labels, and so most pointers, of a name.
const MAX_POINTERS: u32 = 127;

/// What stands at a position of a message where a label is expected.
enum Part<'a> {
    Label(&'a [u8]),
    Pointer(usize),
    Root,
}

fn part(message: &[u8], at: usize) -> Result<Part<'_>, Reason> {
    let (&length, rest) = message.get(at..).and_then(<[u8]>::split_first).ok_or(Reason::End)?;
    match length {
        0 => Ok(Part::Root),
        1..=0x3f => rest.get(..usize::from(length)).map(Part::Label).ok_or(Reason::End),
        0x40..=0xbf => Err(Reason::LabelType),
        0xc0.. => {
            let low = *rest.first().ok_or(Reason::End)?;
            Ok(Part::Pointer(usize::from(u16::from_be_bytes([length & 0x3f, low]))))
        }
    }
}

/// The target, if the name at `at` is nothing but a pointer.
pub fn pointer(message: &[u8], at: usize) -> Option<usize> {
    match part(message, at) {
        Ok(Part::Pointer(target)) => Some(target),
        _ => None,
    }
}

/// Position behind the name at `at`, whose pointers are not followed.
pub fn skip(message: &[u8], mut at: usize) -> Result<usize, Reason> {
    let start = at;
    loop {
        match part(message, at)? {
            Part::Root => return Ok(at + 1),
            Part::Pointer(target) if target >= start => return Err(Reason::Pointer),
            Part::Pointer(_) => return Ok(at + 2),
            Part::Label(label) => at += 1 + label.len(),
        }
        if at - start >= MAX_WIRE {
            return Err(Reason::NameLength);
        }
    }
}

/// Appends the name at `at` to `text`, in lower case and presentation format without a dot at its end, the root as `.`; returns the
/// position behind it. After a fault, `text` has a part of the name.
///
/// In labels, dots and backslashes have a backslash before them, and what is not printable ASCII is `\DDD` (RFC 1035, section 5.1;
/// RFC 4343, section 2.1).
pub fn append(message: &[u8], mut at: usize, text: &mut String) -> Result<usize, Reason> {
    let mut behind = None;
    let mut lowest = at;
    let mut pointers = 0;
    let mut wire = 1;
    loop {
        match part(message, at)? {
            Part::Root => break,
            Part::Label(label) => {
                if wire > 1 {
                    text.push('.');
                }
                wire += 1 + label.len();
                if wire > MAX_WIRE {
                    return Err(Reason::NameLength);
                }
                append_label(label, text);
                at += 1 + label.len();
            }
            Part::Pointer(target) => {
                behind.get_or_insert(at + 2);
                pointers += 1;
                if target >= lowest {
                    return Err(Reason::Pointer);
                }
                if pointers > MAX_POINTERS {
                    return Err(Reason::PointerChain);
                }
                lowest = target;
                at = target;
            }
        }
    }
    if wire == 1 {
        text.push('.');
    }
    Ok(behind.unwrap_or(at + 1))
}

fn append_label(label: &[u8], text: &mut String) {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'.' && byte != b'\\';
    let start = text.len();
    match str::from_utf8(label) {
        Ok(plain) if label.iter().fold(true, |all, &byte| all & is_plain(byte)) => {
            text.push_str(plain);
            if let Some(appended) = text.get_mut(start..) {
                appended.make_ascii_lowercase();
            }
        }
        _ => {
            for &byte in label {
                if byte.is_ascii_graphic() {
                    if !is_plain(byte) {
                        text.push('\\');
                    }
                    text.push(char::from(byte.to_ascii_lowercase()));
                } else {
                    text.push('\\');
                    for digit in [byte / 100, byte / 10 % 10, byte % 10] {
                        text.push(char::from(b'0' + digit));
                    }
                }
            }
        }
    }
}

/// What keeps a text from being a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// A label is empty or has more than 63 bytes.
    Label,
    /// The name has more than 255 bytes.
    Length,
    /// A backslash has neither a character nor three digits up to 255 behind it.
    Escape,
}

/// The labels of a name in presentation format; none for `.` or an empty text. A dot may stand at the end.
pub fn labels(text: &str) -> Result<Vec<Vec<u8>>, Invalid> {
    let mut labels = Vec::new();
    if text.is_empty() || text == "." {
        return Ok(labels);
    }
    let mut label = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'.' => labels.push(std::mem::take(&mut label)),
            b'\\' => label.push(unescape(&mut bytes)?),
            _ => label.push(byte),
        }
    }
    // A dot at the end leaves an empty label, which is the root's.
    if !label.is_empty() {
        labels.push(label);
    }
    if labels.iter().any(|label| !(1..=MAX_LABEL).contains(&label.len())) {
        return Err(Invalid::Label);
    }
    if labels.iter().map(|label| 1 + label.len()).sum::<usize>() >= MAX_WIRE {
        return Err(Invalid::Length);
    }
    Ok(labels)
}

fn unescape(bytes: &mut impl Iterator<Item = u8>) -> Result<u8, Invalid> {
    let first = bytes.next().ok_or(Invalid::Escape)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut value = u16::from(first - b'0');
    for _ in 0..2 {
        let digit = bytes.next().filter(u8::is_ascii_digit).ok_or(Invalid::Escape)?;
        value = value * 10 + u16::from(digit - b'0');
    }
    u8::try_from(value).map_err(|_| Invalid::Escape)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &[u8], at: usize) -> Result<(String, usize), Reason> {
        let mut text = String::new();
        let behind = append(message, at, &mut text)?;
        Ok((text, behind))
    }

    #[test]
    fn names_of_a_message() {
        type Case = (&'static [u8], usize, Result<(&'static str, usize), Reason>);
        let cases: [Case; 14] = [
            (b"\0", 0, Ok((".", 1))),
            (b"\x03WwW\x07Example\0", 0, Ok(("www.example", 13))),
            (b"\x01a\0\x01b\xc0\0", 3, Ok(("b.a", 7))),
            (b"\x03a.b\x01\\\0", 0, Ok(("a\\.b.\\\\", 7))),
            (b"\x04\0 \x7f\xff\0", 0, Ok(("\\000\\032\\127\\255", 6))),
            (b"\x03b\xc3\xbc\0", 0, Ok(("b\\195\\188", 5))),
            (b"\xc0\0", 0, Err(Reason::Pointer)),
            (b"\x01a\xc0\0", 0, Err(Reason::Pointer)),
            (b"\xc0\x02\xc0\0", 2, Err(Reason::Pointer)),
            (b"\x01a\xc0\x09", 0, Err(Reason::Pointer)),
            (b"\x40a", 0, Err(Reason::LabelType)),
            (b"\x01a\xc0", 0, Err(Reason::End)),
            (b"\x02a", 0, Err(Reason::End)),
            (b"\x01a", 0, Err(Reason::End)),
        ];
        for (message, at, expected) in cases {
            let name = read(message, at);
            let expected = expected.map(|(text, behind)| (text.to_owned(), behind));
            assert_eq!(name, expected, "{}", message.escape_ascii());
            if let Ok((_, behind)) = name {
                assert_eq!(skip(message, at), Ok(behind), "{}", message.escape_ascii());
            }
        }
    }

    #[test]
    fn lengths_end_at_their_limits() {
        let wire = |lengths: &[u8]| {
            let labels = lengths.iter().flat_map(|&length| {
                std::iter::once(length).chain(std::iter::repeat_n(b'x', usize::from(length)))
            });
            labels.chain([0]).collect::<Vec<u8>>()
        };
        let longest = wire(&[63, 63, 63, 61]);
        assert_eq!((longest.len(), read(&longest, 0).map(|(text, _)| text.len())), (255, Ok(253)));
        assert_eq!(skip(&longest, 0), Ok(255));
        assert_eq!(read(&wire(&[63, 63, 63, 62]), 0), Err(Reason::NameLength));
        assert_eq!(skip(&wire(&[63, 63, 63, 62]), 0), Err(Reason::NameLength));
        // The length byte of a label of 64 bytes has the bits of another kind of label.
        assert_eq!(read(&wire(&[64]), 0), Err(Reason::LabelType));
        assert_eq!(labels(&"x".repeat(63)).map(|labels| labels.len()), Ok(1));
        assert_eq!(labels(&"x".repeat(64)), Err(Invalid::Label));
        assert_eq!(labels(&["x"; 127].join(".")).map(|labels| labels.len()), Ok(127));
        assert_eq!(labels(&["x"; 128].join(".")), Err(Invalid::Length));
    }

    #[test]
    fn a_chain_of_pointers_ends() {
        let mut message = vec![0];
        let mut last = 0_u16;
        for _ in 0..200 {
            let at = u16::try_from(message.len()).unwrap();
            message.extend((0xc000 | last).to_be_bytes());
            last = at;
        }
        assert_eq!(read(&message, usize::from(last)), Err(Reason::PointerChain));
        assert_eq!(read(&message, 1 + 2 * 126), Ok((".".to_owned(), 1 + 2 * 127)));
    }

    #[test]
    fn escapes_of_a_text() {
        assert_eq!(labels("a\\.b.\\099\\255."), Ok(vec![b"a.b".to_vec(), vec![99, 255]]));
        assert_eq!(labels("."), Ok(vec![]));
        for (text, expected) in [
            ("a\\", Invalid::Escape),
            ("\\25", Invalid::Escape),
            ("\\256", Invalid::Escape),
            ("a..b", Invalid::Label),
            (".a", Invalid::Label),
        ] {
            assert_eq!(labels(text), Err(expected), "{text}");
        }
    }
}

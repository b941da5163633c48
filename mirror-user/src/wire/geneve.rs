//! GENEVE (RFC 8926): the base header, and the options as a walk by their lengths. Their meaning
//! is in [`gwlb`](super::gwlb).

use super::reader::Reader;
use crate::DropReason;
use crate::number::{EtherType, Vni};

/// The O bit: a control packet.
const CONTROL: u8 = 0x80;
/// The C bit: at least one option is critical.
const CRITICAL: u8 = 0x40;

/// A GENEVE header with its options as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// O bit: a packet for the control plane, whose content is not payload.
    pub control: bool,
    /// Protocol behind the options.
    pub protocol: EtherType,
    /// The virtual network; 0 from a Gateway Load Balancer.
    pub vni: Vni,
    /// The options.
    pub options: OptionList<'a>,
}

impl<'a> Header<'a> {
    /// Bytes of a header without options.
    pub const LENGTH: usize = 8;

    /// Bytes of header and options.
    pub const fn length(&self) -> usize {
        Self::LENGTH + self.options.0.len()
    }

    /// Takes the header and its options. Reserved bits are ignored (RFC 8926, section 3.4), and so is the C bit, which
    /// only repeats the options.
    ///
    /// # Errors
    ///
    /// In this order: [`DropReason::GeneveTruncated`] where the bytes end within the base header,
    /// [`DropReason::GeneveVersion`], [`DropReason::GeneveTruncated`] where they end within the options.
    #[inline]
    pub fn parse(reader: &mut Reader<'a>) -> Result<Self, DropReason> {
        let [version_and_length, flags, p0, p1, v0, v1, v2, _] =
            reader.array().ok_or(DropReason::GeneveTruncated)?;
        if version_and_length >> 6 != 0 {
            return Err(DropReason::GeneveVersion);
        }
        let options = reader.bytes(usize::from(version_and_length) * 4).ok_or(DropReason::GeneveTruncated)?;
        Ok(Self {
            control: flags & CONTROL != 0,
            protocol: EtherType(u16::from_be_bytes([p0, p1])),
            vni: Vni::from_bytes([v0, v1, v2]),
            options: OptionList(options),
        })
    }

    /// Appends the header and its options, with the C bit as the options ask.
    pub fn emit(&self, bytes: &mut Vec<u8>) {
        let critical = self.options.walk().any(|option| option.is_ok_and(|option| option.is_critical()));
        let flags = if self.control { CONTROL } else { 0 } | if critical { CRITICAL } else { 0 };
        bytes.extend([self.options.words(), flags]);
        bytes.extend(self.protocol.0.to_be_bytes());
        bytes.extend(self.vni.to_bytes());
        bytes.push(0);
        bytes.extend(self.options.0);
    }
}

/// The bytes of the options of one header: a multiple of 4, at most [`OptionList::MAX_LENGTH`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OptionList<'a>(&'a [u8]);

impl<'a> OptionList<'a> {
    /// Most bytes of options that a header can have.
    pub const MAX_LENGTH: usize = 63 * 4;

    /// Options that were emitted to `bytes`; [`None`] where their length is not that of options. The lengths of
    /// the options within are not checked.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() <= Self::MAX_LENGTH && bytes.len().is_multiple_of(4)).then_some(Self(bytes))
    }

    /// The options one by one, in the order of the header. [`DropReason::GeneveOptionLength`] is the last item
    /// where an option exceeds the bytes left (RFC 8926, section 3.5).
    #[inline]
    pub fn walk(self) -> impl Iterator<Item = Result<TunnelOption<'a>, DropReason>> {
        let mut reader = Reader::new(self.0);
        std::iter::from_fn(move || {
            if reader.remaining() == 0 {
                return None;
            }
            let option = TunnelOption::parse(&mut reader);
            if option.is_none() {
                reader.limit(0);
            }
            Some(option.ok_or(DropReason::GeneveOptionLength))
        })
    }

    /// The option length field of the header.
    fn words(self) -> u8 {
        u8::try_from(self.0.len() / 4).unwrap_or(u8::MAX)
    }
}

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelOption<'a> {
    /// Option class, which defines the types (IANA registry).
    pub class: u16,
    /// Type, within the class. With the highest bit set the option is critical.
    pub kind: u8,
    /// Value: a multiple of 4 bytes, at most [`TunnelOption::MAX_VALUE`].
    pub value: &'a [u8],
}

impl<'a> TunnelOption<'a> {
    /// Most bytes of a value.
    pub const MAX_VALUE: usize = 31 * 4;

    /// `true` if a receiver that does not understand the option must drop the packet.
    #[inline]
    pub const fn is_critical(&self) -> bool {
        self.kind & 0x80 != 0
    }

    /// Takes the option; [`None`] where the bytes end within it. Reserved bits are ignored.
    #[inline]
    pub fn parse(reader: &mut Reader<'a>) -> Option<Self> {
        let [c0, c1, kind, length] = reader.array()?;
        let value = reader.bytes(usize::from(length & 0x1f) * 4)?;
        Some(Self { class: u16::from_be_bytes([c0, c1]), kind, value })
    }

    /// Appends the option. A value is truncated at [`TunnelOption::MAX_VALUE`] and padded with zeros to a multiple of 4.
    pub fn emit(&self, bytes: &mut Vec<u8>) {
        const MAX_WORDS: u8 = 31;
        let words =
            u8::try_from(self.value.len().div_ceil(4)).map_or(MAX_WORDS, |words| words.min(MAX_WORDS));
        bytes.extend(self.class.to_be_bytes());
        bytes.extend([self.kind, words]);
        for word in self.value.chunks(4).take(words.into()) {
            bytes.extend(word);
            bytes.extend(std::iter::repeat_n(0, 4 - word.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(bytes: &[u8]) -> Result<Header<'_>, DropReason> {
        Header::parse(&mut Reader::new(bytes))
    }

    #[test]
    fn judges_the_base_header_in_order() {
        let truncated = Err(DropReason::GeneveTruncated);
        let version = Err(DropReason::GeneveVersion);
        let plain = Header {
            control: false,
            protocol: EtherType::IPV4,
            vni: Vni::from_bytes([1, 2, 3]),
            options: OptionList::default(),
        };
        let control = Header { control: true, ..plain };
        let with_option = Header { options: OptionList(&[1, 8, 1, 0]), ..plain };
        let cases: [(&[u8], Result<Header<'_>, DropReason>); 9] = [
            (&[], truncated),
            (&[0x40, 0, 8, 0, 1, 2, 3], truncated),
            (&[0x40, 0, 8, 0, 1, 2, 3, 0], version),
            (&[0xc1, 0x80, 8, 0, 1, 2, 3, 0], version),
            (&[0x01, 0x80, 8, 0, 1, 2, 3, 0, 1, 8, 1], truncated),
            (&[0, 0, 8, 0, 1, 2, 3, 0], Ok(plain)),
            (&[0, 0x3f, 8, 0, 1, 2, 3, 0xff], Ok(plain)),
            (&[0, 0x80, 8, 0, 1, 2, 3, 0], Ok(control)),
            (&[0x01, 0x40, 8, 0, 1, 2, 3, 0, 1, 8, 1, 0], Ok(with_option)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(parse(bytes), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn walks_options_by_their_lengths() {
        let length = Err(DropReason::GeneveOptionLength);
        let option = |kind, value| Ok(TunnelOption { class: 0x0132, kind, value });
        type Walk<'a> = &'a [Result<TunnelOption<'a>, DropReason>];
        let cases: [(&[u8], Walk<'_>); 7] = [
            (&[], &[]),
            (&[1, 0x32, 5, 0], &[option(5, &[])]),
            (&[1, 0x32, 5, 0xe0], &[option(5, &[])]),
            (&[1, 0x32, 5, 0, 1, 0x32, 0x86, 1, 9, 9, 9, 9], &[option(5, &[]), option(0x86, &[9; 4])]),
            (&[1, 0x32, 5, 1], &[length]),
            (&[1, 0x32, 5, 2, 0, 0, 0, 0], &[length]),
            (&[1, 0x32, 5, 0, 1, 0x32, 6, 2, 9, 9, 9, 9], &[option(5, &[]), length]),
        ];
        for (bytes, expected) in cases {
            let walked: Vec<_> = OptionList::new(bytes).unwrap().walk().collect();
            assert_eq!(walked, expected, "{bytes:x?}");
        }
    }

    #[test]
    fn options_have_a_length_of_options() {
        assert_eq!(OptionList::new(&[0; 252]).map(OptionList::words), Some(63));
        assert_eq!(OptionList::new(&[0; 256]), None);
        assert_eq!(OptionList::new(&[0; 3]), None);
    }

    #[test]
    fn a_value_is_padded_and_cut() {
        let mut bytes = Vec::new();
        TunnelOption { class: 1, kind: 2, value: &[7; 5] }.emit(&mut bytes);
        assert_eq!(bytes, [0, 1, 2, 2, 7, 7, 7, 7, 7, 0, 0, 0]);
        bytes.clear();
        TunnelOption { class: 1, kind: 2, value: &[7; 200] }.emit(&mut bytes);
        assert_eq!(bytes.len(), 4 + TunnelOption::MAX_VALUE);
        assert_eq!(bytes[3], 31);
    }

    proptest! {
        #[test]
        fn parses_what_it_emits(
            control: bool,
            protocol: u16,
            vni in 0..1_u32 << 24,
            parts in proptest::collection::vec(
                (any::<u16>(), any::<u8>(), 0..=4_usize, any::<[u8; 16]>()), 0..12
            ),
        ) {
            let options: Vec<_> = parts
                .iter()
                .map(|(class, kind, words, value)| {
                    TunnelOption { class: *class, kind: *kind, value: &value[..words * 4] }
                })
                .collect();
            let mut option_bytes = Vec::new();
            for option in &options {
                option.emit(&mut option_bytes);
            }
            let header = Header {
                control,
                protocol: EtherType(protocol),
                vni: Vni::new(vni).unwrap(),
                options: OptionList::new(&option_bytes).unwrap(),
            };
            let mut bytes = Vec::new();
            header.emit(&mut bytes);
            prop_assert_eq!(bytes.len(), header.length());
            prop_assert_eq!(parse(&bytes), Ok(header));
            let walked: Result<Vec<_>, _> = header.options.walk().collect();
            prop_assert_eq!(walked, Ok(options.clone()));
            let critical = options.iter().any(TunnelOption::is_critical);
            prop_assert_eq!(bytes[1] & CRITICAL != 0, critical);
        }
    }
}

//! What is wrong with bytes that should be a DNS message.

/// The first fault that was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// There are fewer bytes than a header has.
    Header,
    /// The header counts more questions or records than there is room for.
    Count,
    /// A name, or a field with a length of its own, runs past the end of what holds it.
    End,
    /// The first two bits of a label are neither 00 nor 11 (RFC 6891, section 5).
    LabelType,
    /// A name has more than 255 bytes (RFC 1035, section 2.3.4).
    NameLength,
    /// A pointer does not point before the name that it is part of (RFC 1035, section 4.1.4): it may lead round in a loop.
    Pointer,
    /// A name has more pointers than a name can have labels.
    PointerChain,
    /// The data of a record is longer or shorter than its type has.
    DataLength,
    /// There is more than one OPT record, or one of another owner than the root (RFC 6891, section 6.1.1).
    Opt,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Header,
        Self::Count,
        Self::End,
        Self::LabelType,
        Self::NameLength,
        Self::Pointer,
        Self::PointerChain,
        Self::DataLength,
        Self::Opt,
    ];

    /// Name for counters and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Count => "count",
            Self::End => "end",
            Self::LabelType => "label_type",
            Self::NameLength => "name_length",
            Self::Pointer => "pointer",
            Self::PointerChain => "pointer_chain",
            Self::DataLength => "data_length",
            Self::Opt => "opt",
        }
    }
}

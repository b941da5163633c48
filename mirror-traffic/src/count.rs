//! Numbers of kinds, sizes and templates.

/// Kinds of packets that are counted apart. Kind 0 is valid; the others are the faults of the mix, from 1 on.
pub const KINDS: usize = 16;
/// Sizes of a valid packet: three of an internet mix, which may be the same, and [`BARE`].
pub const SIZES: usize = 4;
/// The size of a TCP segment without payload: SYN, FIN and the last acknowledgment of a flow that ends.
pub const BARE: u32 = 3;
/// Valid packets have a template for each tunnel, family, protocol and size.
pub const VALID_TEMPLATES: usize = 2 * 2 * 3 * SIZES;
/// All templates: those of valid packets, then one for each fault.
pub const TEMPLATES: usize = VALID_TEMPLATES + KINDS - 1;

//! The bytes of the objects.

/// Includes an object, aligned as an ELF reader wants it.
macro_rules! object {
    ($name:literal) => {{
        #[repr(C, align(32))]
        struct Aligned<Bytes: ?Sized>(Bytes);

        static OBJECT: &Aligned<[u8]> =
            &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/bpfel-unknown-none/release/", $name)));
        &OBJECT.0
    }};
}

/// The ELF object of the capture program.
pub fn capture() -> &'static [u8] {
    object!("capture")
}

/// The ELF object of the traffic generator's program.
pub fn generate() -> &'static [u8] {
    object!("generate")
}

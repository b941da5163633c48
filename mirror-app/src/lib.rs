//! What the first bytes of a flow tell of its application.
//!
//! One protocol, one file or folder. A parser is pure: bytes in, a value or a named reason out. It neither logs nor reads a clock, and
//! no input makes it panic or take more memory than it says.

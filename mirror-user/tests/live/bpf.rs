//! Calls of bpf(2) by which others, such as bpftool, change the attachment of an XDP program.
#![expect(unsafe_code, reason = "bpf(2) has no safe wrapper for these commands")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

// linux/bpf.h
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_LINK_UPDATE: libc::c_int = 29;
const BPF_LINK_GET_FD_BY_ID: libc::c_int = 30;
const BPF_LINK_GET_NEXT_ID: libc::c_int = 31;
const BPF_LINK_DETACH: libc::c_int = 34;

/// Calls bpf(2) with the first words of its attributes, and returns them as they are afterwards.
fn bpf(command: libc::c_int, words: [u32; 4]) -> io::Result<(i64, [u32; 4])> {
    let mut attributes = words;
    // SAFETY: the attributes live across the call and have the size that is told; where they hold an address, the caller
    // says that it is of a buffer with room enough.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size_of_val(&attributes)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok((result, attributes)) }
}

/// The link that attaches the program `id` to an interface.
pub fn link_of(program: u32) -> OwnedFd {
    let mut id = 0;
    while let Ok((_, [_, next, ..])) = bpf(BPF_LINK_GET_NEXT_ID, [id, 0, 0, 0]) {
        id = next;
        let Ok((descriptor, _)) = bpf(BPF_LINK_GET_FD_BY_ID, [id, 0, 0, 0]) else { continue };
        // SAFETY: the kernel has just made the descriptor, and nobody else knows of it.
        let link = unsafe { OwnedFd::from_raw_fd(RawFd::try_from(descriptor).unwrap()) };
        // struct bpf_link_info: type, id, program, and what depends on the type.
        let mut info = [0_u32; 32];
        let address = u64::try_from(info.as_mut_ptr().expose_provenance()).unwrap();
        let (low, high) = (address & u64::from(u32::MAX), address >> 32);
        let size = u32::try_from(size_of_val(&info)).unwrap();
        let words = [
            link.as_raw_fd().cast_unsigned(),
            size,
            u32::try_from(low).unwrap(),
            u32::try_from(high).unwrap(),
        ];
        bpf(BPF_OBJ_GET_INFO_BY_FD, words).unwrap();
        if info[2] == program {
            return link;
        }
    }
    panic!("no link of the program {program}");
}

/// Detaches what the link attaches, as `bpftool link detach` does.
pub fn detach(link: &OwnedFd) {
    bpf(BPF_LINK_DETACH, [link.as_raw_fd().cast_unsigned(), 0, 0, 0]).unwrap();
}

/// Puts `program` into the place of what the link attaches.
pub fn replace(link: &OwnedFd, program: BorrowedFd<'_>) {
    let words = [link.as_raw_fd(), program.as_raw_fd(), 0, 0].map(i32::cast_unsigned);
    bpf(BPF_LINK_UPDATE, words).unwrap();
}

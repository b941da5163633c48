//! The few system calls for which there is no safe wrapper.
#![expect(unsafe_code, reason = "system calls that take pointers to C structures")]
#![expect(clippy::cast_possible_truncation, reason = "constants and sizes in the types of the system calls")]

use std::mem::{self, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::io::Errno;
use rustix::process::getpid;
use rustix::thread::Pid;

type Result<T> = std::result::Result<T, Errno>;

/// MTU of the interface `name`, in bytes.
pub(super) fn mtu(socket: impl AsFd, name: &str) -> Result<usize> {
    let request = query(socket.as_fd(), name, libc::SIOCGIFMTU)?;
    // SAFETY: SIOCGIFMTU has filled in this member of the union.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    usize::try_from(mtu).map_err(|_| Errno::INVAL)
}

/// MAC address of the interface `name`.
pub(super) fn mac_address(socket: impl AsFd, name: &str) -> Result<[u8; 6]> {
    let request = query(socket.as_fd(), name, libc::SIOCGIFHWADDR)?;
    // SAFETY: SIOCGIFHWADDR has filled in this member of the union.
    let [a, b, c, d, e, f, ..] = unsafe { request.ifr_ifru.ifru_hwaddr }.sa_data;
    Ok([a, b, c, d, e, f].map(|byte| byte as u8))
}

/// True where the interface `name` is up.
pub(super) fn is_up(socket: impl AsFd, name: &str) -> Result<bool> {
    let request = query(socket.as_fd(), name, libc::SIOCGIFFLAGS)?;
    // SAFETY: SIOCGIFFLAGS has filled in this member of the union.
    let flags = libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags });
    Ok(flags & libc::IFF_UP != 0)
}

/// Asks the kernel about the interface `name`.
fn query(socket: BorrowedFd<'_>, name: &str, operation: libc::Ioctl) -> Result<libc::ifreq> {
    // SAFETY: the structure consists of integers, for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(Errno::NODEV);
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte as libc::c_char;
    }
    // SAFETY: the operations used here read the name of a valid `ifreq` and write its union.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), operation, &raw mut request) })?;
    Ok(request)
}

/// Binds a packet socket to interface `index`, for sending only.
pub(super) fn bind_packet_socket(socket: impl AsFd, index: u32) -> Result<()> {
    // SAFETY: the structure consists of integers, for which all zeros is a value. Protocol 0 receives nothing.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_ifindex = index.cast_signed();
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the address is a valid `sockaddr_ll` of that length.
    check(unsafe { libc::bind(socket.as_fd().as_raw_fd(), (&raw const address).cast(), length) })
}

/// Makes a packet socket hand its frames to the driver directly, past the queueing discipline.
pub(super) fn bypass_queueing(socket: impl AsFd) -> Result<()> {
    let on: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    let socket = socket.as_fd().as_raw_fd();
    let (level, option) = (libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS);
    // SAFETY: the value is a valid `int` of that length.
    check(unsafe { libc::setsockopt(socket, level, option, (&raw const on).cast(), length) })
}

/// Interrupts the system call that `thread` of this process is in. The signal must have a handler.
pub(super) fn interrupt(thread: Pid, signal: libc::c_int) {
    // SAFETY: takes plain numbers. Where the thread has ended, the call fails and has no effect.
    unsafe {
        libc::syscall(
            libc::SYS_tgkill,
            getpid().as_raw_nonzero().get(),
            thread.as_raw_nonzero().get(),
            signal,
        );
    }
}

fn check(result: libc::c_int) -> Result<()> {
    if result == -1 {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
    } else {
        Ok(())
    }
}

//! Flags of a bind, and the alternative where the kernel refuses it.
//!
//! The kernel's answers are those of `xsk_bind` and `xp_assign_dev` (`net/xdp/xsk.c`, `net/xdp/xsk_buff_pool.c`), and of
//! the driver behind them.

use std::io;

use xsk_rs::config::BindFlags;

use super::config::CopyMode;
use super::error::XskError;

/// Alternative where a socket could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alternative {
    /// Packet buffers on small pages.
    SmallPages,
    /// Copying by the kernel.
    Copy,
    /// Nothing: it would fail as well.
    None,
}

impl XskError {
    /// The alternative to try.
    pub fn alternative(&self) -> Alternative {
        match self {
            Self::Umem { huge_pages: true, .. } => Alternative::SmallPages,
            Self::Bind { mode, error, .. } => after_refusal(*mode, error.raw_os_error()),
            Self::RingSize { .. } | Self::Umem { .. } | Self::Option { .. } => Alternative::None,
        }
    }
}

/// The flags of a bind.
///
/// Frames of several buffers (`XDP_USE_SG`) are requested in copy mode only. A driver announces whether its zero-copy
/// has them (`xdp_zc_max_segs`), and the kernel refuses the bind where it does not; few do, and ENA is not among them.
pub(super) fn flags(mode: CopyMode) -> BindFlags {
    match mode {
        CopyMode::ZeroCopy => BindFlags::XDP_USE_NEED_WAKEUP | BindFlags::XDP_ZEROCOPY,
        CopyMode::Copy => BindFlags::XDP_USE_NEED_WAKEUP | BindFlags::XDP_COPY | BindFlags::XDP_USE_SG,
    }
}

fn after_refusal(mode: CopyMode, errno: Option<i32>) -> Alternative {
    match (mode, errno) {
        // The queue is another socket's, there is no interface, or no permission: copying gets no further.
        (_, Some(libc::EBUSY | libc::ENODEV | libc::ENXIO | libc::EPERM | libc::EACCES))
        | (CopyMode::Copy, _) => Alternative::None,
        (CopyMode::ZeroCopy, _) => Alternative::Copy,
    }
}

/// The remedy for a bind that failed, as the end of its message.
pub(super) fn remedy(mode: CopyMode, error: &io::Error) -> &'static str {
    match (mode, error.raw_os_error()) {
        (_, Some(libc::EBUSY)) => {
            "; another AF_XDP socket has the queue: stop the other capture (`ss --xdp` on a recent iproute2, or \
             `bpftool net`, shows it)"
        }
        (_, Some(libc::ENODEV | libc::ENXIO)) => "; the interface has gone",
        (_, Some(libc::EPERM)) => "; run as root, or with CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF",
        (CopyMode::ZeroCopy, Some(libc::EOPNOTSUPP)) => {
            "; the driver has no zero-copy (for ENA, that is amzn-drivers 2.13.2 or later, not the kernel's own driver)"
        }
        (CopyMode::ZeroCopy, Some(libc::EINVAL)) => {
            "; for zero-copy the driver wants a smaller MTU, other rings (`ethtool -g`) or fewer channels (`ethtool -l`); \
             `dmesg` may say more"
        }
        (CopyMode::ZeroCopy, Some(libc::ENOMEM | libc::ENOBUFS)) => {
            "; the driver has no memory to map the packet buffers for the NIC"
        }
        (CopyMode::Copy, Some(libc::EINVAL)) => {
            "; the queue does not exist (`ethtool -l` shows how many there are), or the kernel is older than 6.6 \
             and cannot do AF_XDP multi-buffer"
        }
        (CopyMode::Copy, Some(libc::ENOMEM | libc::ENOBUFS)) => {
            "; not enough locked memory: `ulimit -l unlimited`, or LimitMEMLOCK=infinity in systemd"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::QueueId;

    /// linux/if_xdp.h
    const XDP_COPY: u16 = 1 << 1;
    const XDP_ZEROCOPY: u16 = 1 << 2;
    const XDP_USE_NEED_WAKEUP: u16 = 1 << 3;
    const XDP_USE_SG: u16 = 1 << 4;

    fn refused(mode: CopyMode, errno: i32) -> XskError {
        let error = io::Error::from_raw_os_error(errno);
        let remedy = remedy(mode, &error);
        XskError::Bind { interface: "eth1".to_owned(), queue: QueueId(3), mode, error, remedy }
    }

    #[test]
    fn several_buffers_are_asked_for_in_copy_mode_only() {
        let zero_copy = flags(CopyMode::ZeroCopy).bits();
        assert_eq!(zero_copy, XDP_ZEROCOPY | XDP_USE_NEED_WAKEUP);
        let copy = flags(CopyMode::Copy).bits();
        assert_eq!(copy, XDP_COPY | XDP_USE_NEED_WAKEUP | XDP_USE_SG);
    }

    /// The kernel's answer to the flags, as in `xp_assign_dev` of Linux 6.18, on a driver with so many zero-copy segments
    /// (0: no zero-copy at all).
    fn kernel(flags: u16, segments: u32) -> Result<CopyMode, i32> {
        if flags & XDP_ZEROCOPY != 0 && flags & XDP_COPY != 0 {
            return Err(libc::EINVAL);
        }
        if flags & XDP_COPY != 0 {
            return Ok(CopyMode::Copy);
        }
        if segments == 0 || (flags & XDP_USE_SG != 0 && segments == 1) {
            return Err(libc::EOPNOTSUPP);
        }
        Ok(CopyMode::ZeroCopy)
    }

    #[test]
    fn every_driver_is_bound_in_the_best_mode_that_it_has() {
        for (segments, expected) in
            [(0, CopyMode::Copy), (1, CopyMode::ZeroCopy), (8, CopyMode::ZeroCopy), (17, CopyMode::ZeroCopy)]
        {
            let bound = match kernel(flags(CopyMode::ZeroCopy).bits(), segments) {
                Ok(mode) => mode,
                Err(errno) => {
                    assert_eq!(refused(CopyMode::ZeroCopy, errno).alternative(), Alternative::Copy);
                    kernel(flags(CopyMode::Copy).bits(), segments).unwrap()
                }
            };
            assert_eq!(bound, expected, "{segments} segments");
        }
    }

    #[test]
    fn each_answer_has_its_alternative_and_its_remedy() {
        use Alternative::{Copy, None};
        // The answer, what is tried next in zero-copy mode and in copy mode, and a word of each message.
        let cases = [
            (libc::EOPNOTSUPP, Copy, None, "amzn-drivers 2.13.2", ""),
            (libc::EINVAL, Copy, None, "smaller MTU", "older than 6.6"),
            (libc::ENOMEM, Copy, None, "map the packet buffers", "LimitMEMLOCK"),
            (libc::ENOBUFS, Copy, None, "map the packet buffers", "ulimit -l"),
            (libc::ENETDOWN, Copy, None, "", ""),
            (libc::EIO, Copy, None, "", ""),
            (libc::EBUSY, None, None, "another AF_XDP socket", "another AF_XDP socket"),
            (libc::ENODEV, None, None, "has gone", "has gone"),
            (libc::ENXIO, None, None, "has gone", "has gone"),
            (libc::EPERM, None, None, "CAP_NET_RAW", "CAP_NET_RAW"),
            (libc::EACCES, None, None, "", ""),
        ];
        for (errno, zero_copy, copy, zero_copy_word, copy_word) in cases {
            for (mode, alternative, word) in
                [(CopyMode::ZeroCopy, zero_copy, zero_copy_word), (CopyMode::Copy, copy, copy_word)]
            {
                let error = refused(mode, errno);
                assert_eq!(error.alternative(), alternative, "{error}");
                let message = error.to_string();
                let begin =
                    format!("cannot bind an AF_XDP socket to queue 3 of eth1 in {} mode", mode.name());
                assert!(message.starts_with(&begin) && message.contains(word), "{message}");
            }
        }
    }

    #[test]
    fn buffers_are_tried_on_small_pages_where_there_are_no_huge_ones() {
        let umem = |huge_pages| {
            let error = io::Error::from_raw_os_error(libc::ENOMEM);
            XskError::Umem { mib: 32, huge_pages, error }.alternative()
        };
        assert_eq!((umem(true), umem(false)), (Alternative::SmallPages, Alternative::None));
        let size = XskError::RingSize { name: "rx_ring", value: 3, remedy: "" };
        assert_eq!(size.alternative(), Alternative::None);
    }
}

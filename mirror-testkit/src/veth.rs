//! Two network namespaces joined by a veth pair.

use thiserror::Error;

use crate::namespace::{Namespace, NamespaceError};

/// Queues and MTU of a [`VethPair`].
#[derive(Clone, Copy, Debug)]
pub struct VethOptions {
    /// MTU of both ends, in bytes.
    pub mtu: u32,
    /// Receive queues and transmit queues of both ends, each.
    pub queues: u32,
}

impl Default for VethOptions {
    /// One queue each way, packets of 1,500 bytes.
    fn default() -> Self {
        Self { mtu: 1500, queues: 1 }
    }
}

/// Two namespaces, joined by a cable: frames that are sent on one end are received on the other. Both ends are up; the
/// receiving one has the address that generated traffic is sent to, and no other. Gone when it is dropped.
#[derive(Debug)]
pub struct VethPair {
    /// Holds [`VethPair::RECEIVING`], where packets are captured.
    pub receiver: Namespace,
    /// Holds [`VethPair::SENDING`], where packets are sent.
    pub sender: Namespace,
}

/// The counter of received packets cannot be read.
#[derive(Debug, Error)]
pub enum CounterError {
    /// The interface is not there.
    #[error(transparent)]
    Read(#[from] NamespaceError),
    /// The kernel has written something else.
    #[error("{path} holds no number: {text:?}")]
    NoNumber {
        /// The file.
        path: String,
        /// Its contents.
        text: String,
    },
}

impl VethPair {
    /// Name of the interface in `receiver`.
    pub const RECEIVING: &str = "veth-rx";
    /// Address of the interface in `receiver`. There is no route to anywhere, so that the kernel answers nothing.
    pub const ADDRESS: &str = "192.0.2.2/32";
    /// Name of the interface in `sender`.
    pub const SENDING: &str = "veth-tx";

    /// Makes the namespaces and the cable.
    ///
    /// # Errors
    ///
    /// When the process is not root, or `ip` or `ethtool` is missing or refuses.
    pub fn new(options: VethOptions) -> Result<Self, NamespaceError> {
        let VethOptions { mtu, queues } = options;
        let pair = Self { receiver: Namespace::new()?, sender: Namespace::new()? };
        let (receiving, sending) = (Self::RECEIVING, Self::SENDING);
        let end = format!("mtu {mtu} numrxqueues {queues} numtxqueues {queues}");
        let path = pair.sender.path();
        pair.receiver
            .ip(&format!("link add {receiving} {end} type veth peer name {sending} {end} netns {path}"))?;
        for (namespace, interface) in [(&pair.receiver, receiving), (&pair.sender, sending)] {
            if queues > 1 {
                // A veth begins with one queue each way, however many it was made with.
                namespace.ethtool(&format!("--set-channels {interface} rx {queues} tx {queues}"))?;
            }
            namespace.ip(&format!("link set dev {interface} up"))?;
        }
        pair.receiver.ip(&format!("address add {} dev {receiving}", Self::ADDRESS))?;
        Ok(pair)
    }

    /// Packets that [`VethPair::RECEIVING`] has received.
    ///
    /// # Errors
    ///
    /// When the interface is not there.
    pub fn received(&self) -> Result<u64, CounterError> {
        let path = format!("/sys/class/net/{}/statistics/rx_packets", Self::RECEIVING);
        let text = self.receiver.run("cat", &[&path])?;
        text.trim().parse().map_err(|_| CounterError::NoNumber { path, text })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::root::skipped_without_root;

    #[test]
    fn a_pair_is_there_and_after_a_panic_is_gone() {
        if skipped_without_root() {
            return;
        }
        let receiver = std::panic::catch_unwind(|| {
            let pair = VethPair::new(VethOptions { mtu: 3000, queues: 2 }).unwrap();
            assert_eq!(pair.received().unwrap(), 0);
            for (namespace, interface) in
                [(&pair.receiver, VethPair::RECEIVING), (&pair.sender, VethPair::SENDING)]
            {
                let shown = namespace.ip(&format!("link show {interface}")).unwrap();
                assert!(shown.contains("mtu 3000") && shown.contains("LOWER_UP"), "{shown}");
                let queues = namespace.run("ls", &[&format!("/sys/class/net/{interface}/queues")]).unwrap();
                assert_eq!(queues, "rx-0\nrx-1\ntx-0\ntx-1\n");
            }
            std::panic::panic_any(pair.receiver.clone());
        })
        .unwrap_err();
        // With the sender's namespace goes its end of the cable, and with that the other end.
        let receiver = receiver.downcast::<Namespace>().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while receiver.ip(&format!("link show {}", VethPair::RECEIVING)).is_ok() {
            assert!(Instant::now() < deadline, "the cable is still there");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

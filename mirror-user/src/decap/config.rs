//! Configuration of decapsulation.

/// What decapsulation is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecapConfig {
    /// UDP destination port of GENEVE.
    pub geneve_port: u16,
    /// UDP destination port of VXLAN, inside GENEVE and by itself.
    pub vxlan_port: u16,
    /// How many tunnel headers are taken off at most, GENEVE included; the outer one always is. A packet that is
    /// tunnelled more deeply is recorded as the UDP packet that it is at that depth. 2 suffices for the mirror's own
    /// tunnels; more looks into the overlays of mirrored traffic, and believes the addresses in there.
    pub max_depth: u8,
}

impl DecapConfig {
    /// Whether UDP to this port may be a tunnel packet.
    #[inline(always)]
    pub(super) const fn is_tunnel(&self, port: u16) -> bool {
        port == self.geneve_port || port == self.vxlan_port
    }
}

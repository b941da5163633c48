//! The frame of packet number n.
//!
//! A [`Profile`] describes the traffic. [`Traffic`] settles it into a [`Mix`] and templates, from which
//! user space and the XDP program make the same frames.

mod addresses;
mod encapsulation;
mod fault;
mod layout;
mod profile;
pub mod sessions;
mod share;
mod template;

use mirror_traffic::count::{BARE, TEMPLATES};
use mirror_traffic::header::HEADER_LENGTH;
use mirror_traffic::packet::valid_template;
use mirror_traffic::{Header, Mix, Packet, Position, Protocol, lifetime};

pub use self::addresses::Addresses;
pub use self::fault::Fault;
use self::layout::Layout;
pub use self::profile::{FrameSize, Lifetimes, Profile, ProfileError};
pub use self::share::Share;

/// Name of the kind that has no fault.
pub const VALID: &str = "valid";

/// Traffic, ready to be made: each frame is a function of its number.
#[derive(Clone, Debug)]
pub struct Traffic {
    mix: Mix,
    templates: Vec<Header>,
    longest: usize,
}

/// One frame, in a buffer of [`Traffic::buffer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'buffer> {
    /// The frame, from its Ethernet header on.
    pub bytes: &'buffer [u8],
    /// Its kind: an index into [`Traffic::kinds`].
    pub kind: usize,
}

impl Traffic {
    /// Settles `profile`.
    ///
    /// # Errors
    ///
    /// When the profile contradicts itself, or its frames are too small for its headers.
    pub fn new(profile: &Profile) -> Result<Self, ProfileError> {
        let mix = profile.mix()?;
        let mut templates = vec![template::EMPTY; TEMPLATES];
        let mut longest = 0;
        for layout in Layout::all().filter(|layout| profile.has(*layout)) {
            for (size, length) in (0..).zip(profile.frame_size.lengths(layout)) {
                let Layout { vxlan, ipv6, protocol } = layout;
                let index = valid_template(vxlan, ipv6, protocol, size) as usize;
                if size == BARE && mix.ends == 0 {
                    continue; // the mix never chooses it
                }
                templates[index] = template::header(&template::frame(&profile.addresses, layout, length));
                longest = longest.max(length);
            }
        }
        let base = Layout { vxlan: mix.vxlan != 0, ipv6: false, protocol: Protocol::Tcp };
        let [length, ..] = profile.frame_size.lengths(base);
        for fault in Self::faults_of(&mix) {
            let mut frame = template::frame(&profile.addresses, base, length);
            fault.inject(&mut frame, base.vxlan);
            templates[fault.template()] = template::header(&frame);
        }
        Ok(Self { mix, templates, longest })
    }

    /// The composition of the traffic, in numbers.
    pub const fn mix(&self) -> &Mix {
        &self.mix
    }

    /// The templates, by [`Packet::template`](mirror_traffic::Packet::template). Those that the mix never
    /// chooses are empty.
    pub fn templates(&self) -> &[Header] {
        &self.templates
    }

    /// Bytes of the longest frame.
    pub const fn longest_frame(&self) -> usize {
        self.longest
    }

    /// Names of the kinds of packets: [`VALID`], then the drop reason of each fault.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(VALID).chain(Self::faults_of(&self.mix).map(|fault| fault.reason().name()))
    }

    /// Number of flows that the first `packets` packets belong to.
    pub fn flows(&self, packets: u64) -> u64 {
        lifetime::flows(&self.mix, packets)
    }

    /// The first `packets` packets.
    pub fn packets(&self, packets: u64) -> impl Iterator<Item = Packet> {
        let mut position = Position::new(0, self.mix.flows);
        (0..packets).map(move |_| {
            let packet = Packet::new(&self.mix, &position);
            position.advance(self.mix.flows);
            packet
        })
    }

    /// A buffer for [`frame`](Self::frame), with all bytes that headers do not overwrite already in place: each byte is its
    /// offset modulo 256.
    pub fn buffer(&self) -> Vec<u8> {
        template::payload(0, self.buffer_length())
    }

    /// Bytes of a [`buffer`](Self::buffer).
    pub fn buffer_length(&self) -> usize {
        self.longest.max(HEADER_LENGTH)
    }

    /// Makes the frame at `position` in `buffer`, which must be one of [`buffer`](Self::buffer) of this traffic.
    pub fn frame<'buffer>(&self, position: &Position, buffer: &'buffer mut [u8]) -> Frame<'buffer> {
        let packet = Packet::new(&self.mix, position);
        let template = &self.templates[packet.template() as usize];
        let mut header = template::EMPTY;
        packet.write(template, &mut header);
        for (bytes, word) in buffer.as_chunks_mut::<2>().0.iter_mut().zip(header.0) {
            *bytes = word.to_ne_bytes();
        }
        Frame { bytes: &buffer[..template.frame_length() as usize], kind: packet.kind as usize }
    }

    /// The faults of `mix`, in the order of their kinds.
    fn faults_of(mix: &Mix) -> impl Iterator<Item = Fault> + use<> {
        Fault::ALL.into_iter().zip(0..mix.faults).map(|(fault, _)| fault)
    }
}

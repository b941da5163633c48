//! The harness's own XDP programs at the far end.

use aya::maps::{Map, MapError};
use aya::programs::xdp::XdpLinkId;
use aya::programs::{Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};
use mirror_testkit::generator::interface::Interface;
use mirror_testkit::veth::VethPair;

use super::ReceiverError;

/// A loaded program. Dropping it detaches it.
pub(super) struct Program {
    name: &'static str,
    interface: u32,
    object: Ebpf,
    link: Option<XdpLinkId>,
}

impl Program {
    /// Loads the program `name` for the far end of `bed`.
    pub fn load(bed: &VethPair, name: &'static str) -> Result<Self, ReceiverError> {
        let interface = bed.receiver.enter(|| Interface::new(VethPair::RECEIVING))??.index;
        let mut object = EbpfLoader::new().load(mirror_ebpf::generate()).map_err(ReceiverError::Load)?;
        let program: &mut Xdp = program(&mut object, name)?;
        program.load().map_err(|source| ReceiverError::Program { name, source })?;
        Ok(Self { name, interface, object, link: None })
    }

    /// Takes the map `name` out of the object.
    pub fn map<M: TryFrom<Map, Error = MapError>>(&mut self, name: &'static str) -> Result<M, ReceiverError> {
        let map = self.object.take_map(name).ok_or(ReceiverError::Missing(name))?;
        M::try_from(map).map_err(|source| ReceiverError::Map { name, source })
    }

    /// Attaches it, in native mode.
    pub fn attach(&mut self, bed: &VethPair) -> Result<(), ReceiverError> {
        let Self { name, interface, object, link } = self;
        let program: &mut Xdp = program(object, name)?;
        let attached = bed.receiver.enter(|| program.attach_to_if_index(*interface, XdpMode::Driver))?;
        *link = Some(attached.map_err(|source| ReceiverError::Program { name, source })?);
        Ok(())
    }

    /// Detaches it, if it is attached.
    pub fn detach(&mut self) {
        let Self { name, object, link, .. } = self;
        if let (Some(link), Ok(program)) = (link.take(), program(object, name)) {
            // It fails where the interface has gone, and the attachment with it.
            let _ = program.detach(link);
        }
    }
}

fn program<'object>(
    object: &'object mut Ebpf,
    name: &'static str,
) -> Result<&'object mut Xdp, ReceiverError> {
    let program = object.program_mut(name).ok_or(ReceiverError::Missing(name))?;
    program.try_into().map_err(|source| ReceiverError::Program { name, source })
}

//! Datagrams: each a message, or a part of a QUIC handshake.

use super::{Context, Conversation, Reading};
use crate::buffers::Full;
use crate::finding::Finding;
use crate::given_up::GivenUp;
use crate::protocol::Protocol;
use crate::quic;
use crate::registry;
use crate::side::Side;
use crate::tls::{self, Hello};

impl Conversation {
    /// Takes a datagram as far as it was captured; `cut` where it was longer. [`GivenUp::Memory`] where the buffers are full; then it can
    /// be handed over again.
    pub(in crate::inspector) fn datagram(
        &mut self,
        side: Side,
        payload: &[u8],
        cut: bool,
        context: &mut Context<'_>,
    ) -> Result<(), GivenUp> {
        if self.done || payload.is_empty() {
            return Ok(());
        }
        if self.quic.is_some() || quic::may_begin(payload) {
            self.initial(side, payload, cut, context)?;
            self.finish_if_complete(context);
            return Ok(());
        }
        match registry::of_datagram(payload, self.ports, context.scratch) {
            _ if cut => self.stop(side, Some(GivenUp::Cut), context),
            None => self.directions[side as usize].reading = Reading::Unknown,
            Some((protocol, read)) => {
                self.summary.protocol = Some(protocol);
                match read {
                    Ok(finding) => self.take(side, finding, context),
                    Err(fault) => context.counters.count_malformed(protocol, fault),
                }
            }
        }
        self.finish_if_complete(context);
        Ok(())
    }

    /// Takes a datagram of QUIC.
    fn initial(
        &mut self,
        side: Side,
        payload: &[u8],
        cut: bool,
        context: &mut Context<'_>,
    ) -> Result<(), GivenUp> {
        let connection = match &mut self.quic {
            Some(connection) => connection,
            none => {
                context.buffers.account(size_of::<quic::Connection>()).map_err(|Full| GivenUp::Memory)?;
                none.insert(Box::default())
            }
        };
        let handshake =
            self.summary.tls.get_or_insert_with(|| Box::new(tls::Handshake::new(tls::Carrier::Quic)));
        self.summary.protocol = Some(Protocol::Quic);
        let mut memory = quic::connection::Memory {
            buffers: context.buffers,
            scratch: &mut context.scratch.packet,
            direction_bytes: context.config.direction_bytes,
        };
        let taken = connection.datagram(side, payload, &mut memory);
        handshake.quic_version = connection.version();
        let hellos = [Side::Low, Side::High].map(|side| (side, connection.hello(side, context.buffers)));
        for (side, hello) in hellos {
            let finding = match hello {
                None | Some(Ok(Hello::More(_))) => continue,
                Some(Ok(Hello::Client(hello))) => Finding::ClientHello(hello),
                Some(Ok(Hello::Server(hello))) => Finding::ServerHello(hello),
                Some(Ok(Hello::Alert(description))) => Finding::TlsAlert(description),
                Some(Err(fault)) => {
                    context.counters.count_malformed(Protocol::Quic, fault);
                    self.stop(side, Some(GivenUp::Malformed), context);
                    continue;
                }
            };
            self.take(side, finding, context);
            self.stop(side, None, context);
        }
        match taken {
            Err(GivenUp::Memory) => return Err(GivenUp::Memory),
            Err(reason) => self.stop(side, Some(reason), context),
            // A packet that was cut cannot be opened.
            Ok(()) if cut => self.stop(side, Some(GivenUp::Cut), context),
            Ok(()) => {}
        }
        Ok(())
    }
}

//! Findings on their way into the summary and out as events.

use super::{Context, Conversation, Reading};
use crate::finding::{Event, Finding};
use crate::given_up::GivenUp;
use crate::http;
use crate::inspector::HttpSummary;
use crate::protocol::Protocol;
use crate::side::Side;
use crate::tls;

/// A message of HTTP.
enum HttpMessage {
    Request(Box<http::Request>),
    Response(http::Response),
}

impl Conversation {
    /// The handshake of this flow, of which nothing need be known yet.
    pub(super) fn handshake(&mut self) -> &mut tls::Handshake {
        self.summary.tls.get_or_insert_with(|| Box::new(tls::Handshake::new(tls::Carrier::Tcp)))
    }

    /// Takes a finding into the summary.
    pub(super) fn take(&mut self, side: Side, finding: Finding, context: &mut Context<'_>) {
        self.packets = 0;
        match finding {
            Finding::ClientHello(hello) => {
                let handshake = self.handshake();
                handshake.client_side = Some(side);
                handshake.client.get_or_insert(hello);
            }
            Finding::ServerHello(hello) => {
                let handshake = self.handshake();
                handshake.client_side = Some(side.other());
                handshake.server.get_or_insert(hello);
            }
            Finding::TlsAlert(description) => {
                self.handshake().alert.get_or_insert(description);
            }
            Finding::HttpRequest(request) => self.take_http(side, HttpMessage::Request(request), context),
            // Interim responses say nothing (RFC 9110, section 15.2), but for a change of protocols.
            Finding::HttpResponse(response) if matches!(response.status, 100 | 102..=199) => {}
            Finding::HttpResponse(response) => {
                self.take_http(side.other(), HttpMessage::Response(response), context);
            }
            Finding::Http2 => {
                self.summary.protocol = Some(Protocol::Http2);
                for direction in &mut self.directions {
                    direction.reading = Reading::Stopped;
                }
            }
            Finding::Ssh(software) => self.summary.ssh[side as usize] = Some(software),
            Finding::Dhcp(message) => {
                context.counters.events += 1;
                (context.out)(self.flow, Event::Dhcp { from: side, message: &message });
            }
            Finding::Dns => {
                self.summary.dns_messages = self.summary.dns_messages.saturating_add(1);
                context.counters.events += 1;
                (context.out)(self.flow, Event::Dns { from: side, message: &context.scratch.dns });
            }
        }
    }

    /// Takes an HTTP message into the summary, and tells those that belong together.
    fn take_http(&mut self, client: Side, message: HttpMessage, context: &mut Context<'_>) {
        let summary = self.summary.http.get_or_insert_with(|| {
            Box::new(HttpSummary { client, request: None, response: None, requests: 0, responses: 0 })
        });
        let exchanges = self.exchanges.get_or_insert_default();
        match message {
            HttpMessage::Request(request) => {
                summary.requests += 1;
                summary.request.get_or_insert_with(|| (*request).clone());
                exchanges.request(request);
            }
            HttpMessage::Response(response) => {
                summary.responses += 1;
                summary.response.get_or_insert(response);
                exchanges.response(response);
            }
        }
        while let Some((request, response)) = exchanges.next(false) {
            context.counters.events += 1;
            (context.out)(self.flow, Event::Http { client, request: request.as_deref(), response });
        }
    }

    /// Tells what waited for more, which will not come for this reason.
    pub(super) fn tell_rest(&mut self, reason: Option<GivenUp>, context: &mut Context<'_>) {
        let complete = self.summary.tls.as_ref().is_some_and(|tls| tls.status() == tls::Status::Complete);
        self.summary.given_up = if complete { None } else { self.summary.given_up.or(reason) };
        match self.summary.given_up {
            Some(reason) => context.counters.give_up(reason),
            None => context.counters.finished += 1,
        }
        if let (Some(exchanges), Some(http)) = (&mut self.exchanges, &self.summary.http) {
            while let Some((request, response)) = exchanges.next(true) {
                context.counters.events += 1;
                (context.out)(
                    self.flow,
                    Event::Http { client: http.client, request: request.as_deref(), response },
                );
            }
        }
        self.exchanges = None;
        if let Some(handshake) = &mut self.summary.tls {
            handshake.given_up = self.summary.given_up;
            context.counters.events += 1;
            (context.out)(self.flow, Event::Tls(handshake));
        }
    }
}

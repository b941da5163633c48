//! What flows tell of their applications: members of a flow's record, and records of their own.
//!
//! ```json
//! {"@timestamp":"2026-11-21T09:04:12.123456789Z","ecs":{"version":"8.17.0"},
//!  "event":{"dataset":"mirror.tls","kind":"event","category":["network"],"type":["protocol"],"action":"handshake"},
//!  "source":{"ip":"10.0.0.1","port":40000},
//!  "destination":{"ip":"10.0.0.2","port":443,"domain":"example.com"},
//!  "network":{"type":"ipv4","transport":"tcp","iana_number":"6","community_id":"1:UWHKJ/x6OQ1YiVv4rIl0t3yhjg8=",
//!             "protocol":"tls","direction":"internal"},
//!  "tls":{"client":{"server_name":"example.com"},"version":"1.3","version_protocol":"tls","next_protocol":"h2",
//!         "cipher":"TLS_AES_128_GCM_SHA256","resumed":false},
//!  "mirror":{"gwlbe_id":"vpce-00123456789abcdef","vxlan_vni":7,
//!            "outer":{"source":{"ip":"10.1.0.1"},"destination":{"ip":"10.1.0.2"}},
//!            "tls":{"status":"complete","ja4":"t13d1516h2_8daaf6152771_e5627efa2ab1","ech":false,
//!                   "offered_protocols":["h2","http/1.1"]},
//!            "sampling_rate":1,"queue":0}}
//! ```
//!
//! - `mirror.tls.status` says how much of the handshake was seen: `complete`, `refused`, `client_only`, `server_only` or
//!   `incomplete`; then `mirror.tls.reason` has the reason why no more was.
//! - `tls.next_protocol` is the one that the server chose, where it says so in the clear (below TLS 1.3).
//! - `mirror.tls.ech` is true where the client sent an encrypted ClientHello, or GREASE in its form, which cannot be told apart.

use mirror_app::Summary;
use mirror_app::dns::{Data, Message};
use mirror_app::http::{Request, Response};
use mirror_app::tls::{Carrier, Handshake, Version};

use super::common::{address, begin, close, end, known_end, protocol, tunnel, vlans};
use crate::enrichment::Enriched;
use crate::flow::{Application, ApplicationRecord, CommunityId, FlowTransport, NetworkDirection};
use crate::sink::notation::{self, TimestampWriter};

/// Appends the line for one message or handshake.
pub(in crate::sink) fn application(
    record: &ApplicationRecord,
    enriched: &Enriched<'_>,
    clock: &mut TimestampWriter,
    out: &mut Vec<u8>,
) {
    let ApplicationRecord { flow, application, .. } = record;
    let ports = match flow.transport {
        FlowTransport::Ports { source, destination } => Some((source, destination)),
        FlowTransport::Icmp { .. } | FlowTransport::Unread => None,
    };
    begin(record.timestamp, clock, out);
    event(application, out);
    out.extend_from_slice(br#""source":{"#);
    address(flow.source, ports.map(|(source, _)| source), out);
    close(out);
    out.extend_from_slice(br#""destination":{"#);
    address(flow.destination, ports.map(|(_, destination)| destination), out);
    if let Some(domain) = application.domain() {
        text(br#""domain":"#, domain, out);
    }
    close(out);
    out.extend_from_slice(br#""network":{"#);
    protocol(flow.source, flow.protocol, out);
    if let Some(id) = CommunityId::of(flow.source, flow.destination, flow.protocol, flow.transport) {
        out.extend_from_slice(br#""community_id":""#);
        out.extend_from_slice(&id.text());
        out.extend_from_slice(br#"","#);
    }
    text(br#""protocol":"#, application.protocol(), out);
    let direction = enriched.direction.unwrap_or_else(|| NetworkDirection::of(flow.source, flow.destination));
    text(br#""direction":"#, direction.name(), out);
    vlans(flow.vlans, out);
    close(out);
    match application {
        Application::Tls(handshake) => tls(handshake, out),
        Application::Dns(message) => dns(message, out),
        Application::Http(exchange) => http(exchange.0.as_ref(), exchange.1, out),
    }
    out.extend_from_slice(enriched.record);
    out.extend_from_slice(br#""mirror":{"#);
    tunnel(&flow.tunnel, None, out);
    out.extend_from_slice(enriched.mirror);
    known_end(br#""source":{"#, enriched.source, out);
    known_end(br#""destination":{"#, enriched.destination, out);
    match application {
        Application::Tls(handshake) => mirror_tls(handshake, out),
        Application::Dns(message) => mirror_dns(message, out),
        Application::Http(_) => {}
    }
    end(record.sampling_rate.get(), record.queue, out);
}

/// `event`.
fn event(application: &Application, out: &mut Vec<u8>) {
    let (dataset, categories, kinds, action): (&str, &[u8], &[u8], &str) = match application {
        Application::Tls(_) => ("mirror.tls", br#"["network"]"#, br#"["protocol"]"#, "handshake"),
        Application::Dns(message) => {
            let action = if message.flags().is_response() { "response" } else { "query" };
            ("mirror.dns", br#"["network"]"#, br#"["protocol"]"#, action)
        }
        Application::Http(_) => ("mirror.http", br#"["network","web"]"#, br#"["protocol"]"#, "request"),
    };
    out.extend_from_slice(br#""event":{"#);
    text(br#""dataset":"#, dataset, out);
    out.extend_from_slice(br#""kind":"event","category":"#);
    out.extend_from_slice(categories);
    out.extend_from_slice(br#","type":"#);
    out.extend_from_slice(kinds);
    out.push(b',');
    text(br#""action":"#, action, out);
    close(out);
}

/// What the record of a flow has of its application, beside `mirror`.
pub(super) fn of_flow(summary: &Summary, out: &mut Vec<u8>) {
    if let Some(handshake) = &summary.tls {
        tls(handshake, out);
    }
    if let Some(summary) = &summary.http {
        http(summary.request.as_ref(), summary.response, out);
    }
}

/// What the record of a flow has of its application under `mirror`.
pub(super) fn of_flow_in_mirror(summary: &Summary, out: &mut Vec<u8>) {
    if let Some((_, evidence)) = summary.server_name() {
        out.extend_from_slice(br#""domain":{"#);
        text(br#""evidence":"#, evidence.name(), out);
        close(out);
    }
    if let Some(handshake) = &summary.tls {
        mirror_tls(handshake, out);
    }
    if let Some(summary) = &summary.http {
        out.extend_from_slice(br#""http":{"requests":"#);
        notation::decimal(summary.requests, out);
        out.extend_from_slice(br#","responses":"#);
        notation::decimal(summary.responses, out);
        out.extend_from_slice(b"},");
    }
    let [low, high] = &summary.ssh;
    list(br#""ssh":["#, [low, high].into_iter().flatten(), out, |software, out| string(software, out));
    if summary.dns_messages > 0 {
        out.extend_from_slice(br#""dns":{"messages":"#);
        notation::decimal(summary.dns_messages, out);
        out.extend_from_slice(b"},");
    }
}

/// `tls`.
fn tls(handshake: &Handshake, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(br#""tls":{"#);
    let empty = out.len();
    if let Some(name) = handshake.server_name() {
        out.extend_from_slice(br#""client":{"#);
        text(br#""server_name":"#, name, out);
        close(out);
    }
    if let Some((protocol, version)) = handshake.version().and_then(Version::name) {
        text(br#""version":"#, version, out);
        text(br#""version_protocol":"#, protocol, out);
    }
    if let Some(protocol) = handshake.protocol() {
        text(br#""next_protocol":"#, protocol, out);
    }
    if let Some(cipher) = handshake.cipher() {
        match cipher.name() {
            Some(name) => text(br#""cipher":"#, name, out),
            None => text(br#""cipher":"#, &format!("0x{:04X}", cipher.0), out),
        }
    }
    if let Some(resumed) = handshake.resumed() {
        flag(br#""resumed":"#, resumed, out);
    }
    if out.len() == empty {
        out.truncate(start);
    } else {
        close(out);
    }
}

/// `mirror.tls`.
fn mirror_tls(handshake: &Handshake, out: &mut Vec<u8>) {
    out.extend_from_slice(br#""tls":{"#);
    text(br#""status":"#, handshake.status().name(), out);
    if let Some(reason) = handshake.given_up {
        text(br#""reason":"#, reason.name(), out);
    }
    if let Some(client) = &handshake.client {
        text(br#""ja4":"#, client.ja4.as_str(), out);
        flag(br#""ech":"#, client.ech, out);
        list(br#""offered_protocols":["#, &client.protocols, out, |protocol, out| string(protocol, out));
        flag(br#""resumption_offered":"#, client.resumption_offered, out);
    }
    if let Some(alert) = handshake.alert {
        out.extend_from_slice(br#""alert":"#);
        notation::decimal(alert, out);
        out.push(b',');
    }
    close(out);
}

impl Application {
    /// The name of the server, as the client claims it.
    fn domain(&self) -> Option<&str> {
        match self {
            Self::Tls(handshake) => handshake.server_name(),
            Self::Dns(_) => None,
            Self::Http(exchange) => exchange.0.as_ref().and_then(Request::host_name),
        }
    }

    /// The name for `network.protocol`.
    const fn protocol(&self) -> &'static str {
        match self {
            Self::Tls(handshake) => match handshake.carrier {
                Carrier::Tcp => "tls",
                Carrier::Quic => "quic",
            },
            Self::Dns(_) => "dns",
            Self::Http(_) => "http",
        }
    }
}

/// `dns`.
fn dns(message: &Message, out: &mut Vec<u8>) {
    let flags = message.flags();
    out.extend_from_slice(br#""dns":{"#);
    text(br#""type":"#, if flags.is_response() { "answer" } else { "query" }, out);
    text(br#""id":"#, &message.id().to_string(), out);
    text(br#""op_code":"#, &flags.opcode().to_string(), out);
    let names = [
        ("AA", flags.authoritative()),
        ("TC", flags.truncated()),
        ("RD", flags.recursion_desired()),
        ("RA", flags.recursion_available()),
        ("AD", flags.authentic_data()),
        ("CD", flags.checking_disabled()),
        ("DO", message.edns().is_some_and(|edns| edns.dnssec_ok)),
    ];
    list(br#""header_flags":["#, names.into_iter().filter(|(_, set)| *set), out, |(name, _), out| {
        string(name, out);
    });
    if flags.is_response() {
        text(br#""response_code":"#, &message.response_code().to_string(), out);
    }
    if let Some(question) = message.question() {
        out.extend_from_slice(br#""question":{"#);
        text(br#""name":"#, question.name, out);
        text(br#""type":"#, &question.record_type.to_string(), out);
        text(br#""class":"#, &question.class.to_string(), out);
        close(out);
    }
    list(br#""answers":["#, message.answers(), out, |answer, out| {
        out.push(b'{');
        text(br#""name":"#, answer.name, out);
        text(br#""type":"#, &answer.record_type.to_string(), out);
        text(br#""class":"#, &answer.class.to_string(), out);
        out.extend_from_slice(br#""ttl":"#);
        notation::decimal(answer.ttl, out);
        out.push(b',');
        match answer.data {
            Data::Address(address) => text(br#""data":"#, &address.to_string(), out),
            Data::Name(name) | Data::Service { target: name, .. } => text(br#""data":"#, name, out),
            Data::Other => {}
        }
        // The comma behind the last member.
        out.pop();
        out.push(b'}');
    });
    let addresses = message.answers().filter_map(|answer| match answer.data {
        Data::Address(address) => Some(address),
        _ => None,
    });
    list(br#""resolved_ip":["#, addresses, out, |address, out| {
        out.push(b'"');
        notation::ip(address, out);
        out.push(b'"');
    });
    close(out);
}

/// `http`, `url` and `user_agent`.
fn http(request: Option<&Request>, response: Option<Response>, out: &mut Vec<u8>) {
    let version = request.map(|request| request.minor_version);
    out.extend_from_slice(br#""http":{"#);
    if let Some(version) = version.or_else(|| response.map(|response| response.minor_version)) {
        text(br#""version":"#, if version == 0 { "1.0" } else { "1.1" }, out);
    }
    if let Some(request) = request {
        out.extend_from_slice(br#""request":{"#);
        text(br#""method":"#, &request.method, out);
        close(out);
    }
    if let Some(response) = response {
        out.extend_from_slice(br#""response":{"status_code":"#);
        notation::decimal(response.status, out);
        out.extend_from_slice(b"},");
    }
    close(out);
    let Some(request) = request else { return };
    if request.host.is_some() || request.path.is_some() {
        out.extend_from_slice(br#""url":{"#);
        if let Some(host) = &request.host {
            text(br#""domain":"#, host, out);
        }
        if let Some(port) = request.port {
            out.extend_from_slice(br#""port":"#);
            notation::decimal(port, out);
            out.push(b',');
        }
        if let Some(path) = &request.path {
            text(br#""path":"#, path, out);
        }
        close(out);
    }
    if let Some(user_agent) = &request.user_agent {
        out.extend_from_slice(br#""user_agent":{"#);
        text(br#""original":"#, user_agent, out);
        close(out);
    }
}

/// `mirror.dns`, where there is something that ECS has no name for.
fn mirror_dns(message: &Message, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(br#""dns":{"#);
    let empty = out.len();
    if let Some(edns) = message.edns() {
        out.extend_from_slice(br#""edns":{"udp_size":"#);
        notation::decimal(edns.udp_size, out);
        out.push(b',');
        flag(br#""client_subnet":"#, edns.client_subnet, out);
        close(out);
    }
    for (name, number) in [
        (&br#""questions_left_out":"#[..], message.questions_left_out()),
        (br#""answers_left_out":"#, message.answers_left_out()),
    ] {
        if number > 0 {
            out.extend_from_slice(name);
            notation::decimal(number, out);
            out.push(b',');
        }
    }
    if out.len() == empty {
        out.truncate(start);
    } else {
        close(out);
    }
}

/// A member with a list for its value, `name` with quotes, colon and bracket; nothing for an empty list.
fn list<T>(
    name: &[u8],
    items: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(name);
    let empty = out.len();
    for item in items {
        write(item, out);
        out.push(b',');
    }
    if out.len() == empty {
        out.truncate(start);
        return;
    }
    out.pop();
    out.extend_from_slice(b"],");
}

/// A member with text for its value, `name` with quotes and colon.
pub(super) fn text(name: &[u8], value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    string(value, out);
    out.push(b',');
}

/// A text as JSON.
fn string(value: &str, out: &mut Vec<u8>) {
    // Neither text nor memory can fail to be written.
    let _ = serde_json::to_writer(out, value);
}

/// A member that is true or false.
fn flag(name: &[u8], value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(if value { b"true," } else { b"false," });
}

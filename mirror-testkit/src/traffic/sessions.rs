//! The flows of generated traffic, as records must show them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mirror_traffic::{Flow, Packet, Protocol};
use serde_json::Value;

use super::Traffic;
use super::template::IPV6_NETWORK;

/// The other end of a flow, outside of the mirrored network. No two flows have the same.
pub type Remote = (IpAddr, u16);

/// A flow, as far as traffic and records can tell the same of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Value of the option that holds the endpoint.
    pub endpoint: u64,
    /// VNI of VXLAN.
    pub vni: Option<u64>,
    /// `tcp` or `udp`.
    pub transport: String,
    /// Packets from the other end, and those to it.
    pub packets: [u64; 2],
    /// State of a TCP connection of which a SYN, or the answer to it, is among the packets.
    pub state: Option<String>,
}

/// The flows of the first `packets` valid packets of `traffic`, which must have TCP and UDP only, no faults, and flows that
/// begin and end.
pub fn sent(traffic: &Traffic, packets: u64) -> HashMap<Remote, Session> {
    let mut sessions: HashMap<Remote, Session> = HashMap::new();
    for packet in traffic.packets(packets) {
        let Packet { flow, lifetime, .. } = packet;
        let session = sessions.entry((address(&flow), flow.remote_port)).or_insert_with(|| Session {
            endpoint: flow.endpoint,
            vni: flow.vxlan.then(|| flow.vni().into()),
            transport: if flow.protocol == Protocol::Udp { "udp" } else { "tcp" }.to_owned(),
            ..Session::default()
        });
        session.packets[usize::from(packet.reply())] += 1;
        if packet.is_tcp() && (session.state.is_some() || lifetime.before <= 1) {
            let state = match (lifetime.before, lifetime.after) {
                (0 | 1, _) => "attempted",
                (_, 0 | 1) => "closed",
                (_, 2) => "closing",
                _ => "open",
            };
            session.state = Some(state.to_owned());
        }
    }
    sessions
}

/// The flows of flow records in NDJSON, one a line. Several records of a flow are added up.
///
/// # Errors
///
/// The line that is no flow record.
pub fn recorded(records: &str) -> Result<HashMap<Remote, Session>, String> {
    let mut sessions: HashMap<Remote, Session> = HashMap::new();
    for line in records.lines() {
        let (remote, session) = record(line).ok_or_else(|| line.to_owned())?;
        let known = sessions.entry(remote).or_default();
        let packets = [0, 1].map(|side| known.packets[side] + session.packets[side]);
        *known = Session { packets, ..session };
    }
    Ok(sessions)
}

fn record(line: &str) -> Option<(Remote, Session)> {
    let record: Value = serde_json::from_str(line).ok()?;
    let mirror = &record["mirror"];
    let is_remote = |side: &&str| {
        record[*side]["port"].as_u64().is_some_and(|port| port >= u64::from(Flow::FIRST_REMOTE_PORT))
    };
    let [remote, local] =
        if is_remote(&"source") { ["source", "destination"] } else { ["destination", "source"] };
    let address = record[remote]["ip"].as_str()?.parse().ok()?;
    let port = u16::try_from(record[remote]["port"].as_u64()?).ok()?;
    let packets = |side: &str| record[side]["packets"].as_u64();
    let state = (mirror["initiator"] == "syn").then(|| mirror["tcp"]["state"].as_str()).flatten();
    let session = Session {
        endpoint: u64::from_str_radix(mirror["gwlbe_id"].as_str()?.strip_prefix("vpce-")?, 16).ok()?,
        vni: mirror["vxlan_vni"].as_u64(),
        transport: record["network"]["transport"].as_str()?.to_owned(),
        packets: [packets(remote)?, packets(local)?],
        state: state.map(str::to_owned),
    };
    Some(((address, port), session))
}

fn address(flow: &Flow) -> IpAddr {
    if flow.ipv6 {
        Ipv6Addr::from_bits(IPV6_NETWORK.to_bits() | u128::from(flow.remote)).into()
    } else {
        Ipv4Addr::from_bits(flow.remote).into()
    }
}

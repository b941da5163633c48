//! Records, batches and waiting, for all tests.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use mirror_user::number::{AttachmentId, EndpointId, FlowCookie, IpProtocol, MacAddress, QueueId, Vni};
use mirror_user::packet::{Ip, Link, Network, Packet, Ports, Transport, Tunnel};
use mirror_user::record::{Batch, PacketRecord};
use mirror_user::sink::Producer;
use mirror_user::time::Timestamp;

/// The record of a worker's packet; its number stands in the timestamp.
pub fn record(worker: u32, number: u64) -> PacketRecord {
    let tunnel = Tunnel {
        outer_source: IpAddr::from([10, 1, 0, 1]),
        outer_destination: IpAddr::from([10, 1, 0, 2]),
        geneve_vni: Some(Vni::from_bytes([0, 0, 0])),
        vxlan_vni: Some(Vni::from_bytes([0, 0, 7])),
        vxlan_source: Some([10, 0, 0, 1].into()),
        endpoint: Some(EndpointId(0x0123_4567_89ab_cdef)),
        attachment: Some(AttachmentId(0xfedc_ba98_7654_3210)),
        cookie: Some(FlowCookie(0x0123_4567)),
    };
    let link = Link {
        source: MacAddress([2, 0, 0, 0, 0, 1]),
        destination: MacAddress([2, 0, 0, 0, 0, 2]),
        vlans: [None; 2],
    };
    let ip = Ip {
        source: IpAddr::from([192, 0, 2, 1]),
        destination: IpAddr::from([192, 0, 2, 2]),
        protocol: IpProtocol::UDP,
        length: 40,
        hop_limit: 64,
        fragment: None,
        transport: Transport::Udp(Ports { source: 5000, destination: 53 }),
    };
    let packet = Packet {
        tunnel,
        offset: 118,
        captured_length: 54,
        original_length: 54,
        link: Some(link),
        network: Network::Ip(ip),
    };
    PacketRecord { timestamp: Timestamp(number), queue: QueueId(worker), packet, bytes: 0..0 }
}

/// Adds the record of a packet with these bytes, if the sink wants bytes.
pub fn add(batch: &mut Batch, record: &PacketRecord, bytes: &[u8]) {
    batch.push(record.timestamp, record.queue, record.packet, |_, out| {
        out.extend_from_slice(bytes);
    });
}

/// Pushes records with these numbers; how many the pool had no room for.
pub fn push(producer: &mut Producer, worker: u32, numbers: std::ops::Range<u64>) -> u64 {
    let mut dropped = 0;
    for number in numbers {
        match producer.batch() {
            Ok(batch) => add(batch, &record(worker, number), &[]),
            Err(_) => dropped += 1,
        }
    }
    dropped
}

/// Worker and number of each record in NDJSON.
///
/// # Panics
///
/// If there is a line that is not a whole record.
pub fn read_records(ndjson: &[u8]) -> Vec<(u64, u64)> {
    assert!(ndjson.is_empty() || ndjson.ends_with(b"\n"), "ends in half a line");
    let lines = ndjson.split_inclusive(|byte| *byte == b'\n');
    lines
        .map(|line| {
            let record: serde_json::Value = serde_json::from_slice(line).unwrap();
            let timestamp = record["@timestamp"].as_str().unwrap();
            // Numbers are nanoseconds of the first second of 1970.
            let number = timestamp.strip_prefix("1970-01-01T00:00:00.").unwrap().strip_suffix('Z').unwrap();
            (record["mirror"]["queue"].as_u64().unwrap(), number.parse().unwrap())
        })
        .collect()
}

/// Waits until the condition holds.
///
/// # Panics
///
/// If it does not within ten seconds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "still not after 10 s: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

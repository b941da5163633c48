//! The memory of a flow table, and that a packet allocates none.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::{Duration, Instant};

use mirror_testkit::{allocations, rerun};
use mirror_user::batch::BATCH_FRAMES;
use mirror_user::flow::{FlowConfig, FlowTable};
use mirror_user::number::{EndpointId, IpProtocol};
use mirror_user::packet::{Packet, Ports, Transport};
use mirror_user::time::Timestamp;

use crate::support::*;

fn allocations() -> u64 {
    allocations::own().allocations
}

/// The packet of flow `number`, one way or the other.
fn packet_of(number: u32, wide: bool, back: bool, template: Packet) -> Packet {
    let ends: [IpAddr; 2] = if wide {
        [1_u128, 2].map(|side| Ipv6Addr::from_bits(side << 120 | u128::from(number)).into())
    } else {
        [1_u32, 2].map(|side| Ipv4Addr::from_bits(side << 24 | number).into())
    };
    let ports = [40000, 443];
    let (from, to) = if back { (1, 0) } else { (0, 1) };
    with_ip(template, |ip| {
        (ip.source, ip.destination) = (ends[from], ends[to]);
        match &mut ip.transport {
            Transport::Tcp(tcp) => tcp.ports = Ports { source: ports[from], destination: ports[to] },
            Transport::Udp(udp) => *udp = Ports { source: ports[from], destination: ports[to] },
            _ => {}
        }
    })
}

/// Gives `packets`, made one batch at a time, `step` nanoseconds apart, and returns the records made.
fn give(table: &mut FlowTable, now: &mut u64, step: u64, packets: impl Iterator<Item = Packet>) -> u64 {
    let mut records = 0;
    let mut packets = packets.peekable();
    let mut batch = [(Timestamp(0), udp(("10.0.0.1", 0), ("10.0.0.2", 0))); BATCH_FRAMES];
    while packets.peek().is_some() {
        let mut length = 0;
        for (place, packet) in batch.iter_mut().zip(packets.by_ref()) {
            *now += step;
            *place = (Timestamp(*now), packet);
            length += 1;
        }
        table.update(batch[..length].iter().map(|(time, packet)| (*time, packet)), &mut |record| {
            records += u64::from(record.packets() > 0);
            if record.protocol == IpProtocol::TCP {
                assert!(record.community_id().is_some());
            }
        });
    }
    records
}

/// New flows, known flows, TCP from SYN to FIN, eviction, timeouts, fragments, tunnels that come and go,
/// community ids: all without the allocator.
#[test]
fn no_allocation_after_the_start() {
    let config = FlowConfig { max_flows: 5000, idle_timeout: Duration::from_secs(20), ..config() };
    let mut table = FlowTable::new(config).unwrap();
    let mut now = START;
    let templates: Vec<Packet> = [
        client(SYN, 0, 0).packet(),
        client(ACK, 1, 100).packet(),
        client(ACK, 1, 100).packet(),
        client(FIN | ACK, 101, 0).packet(),
        udp(("10.0.0.1", 0), ("10.0.0.2", 0)),
        with_fragment(udp(("10.0.0.1", 0), ("10.0.0.2", 0)), 5, 0, true),
        with_fragment(udp(("10.0.0.1", 0), ("10.0.0.2", 0)), 5, 1480, false),
        icmp("10.0.0.1", "10.0.0.2", 8, 0, Some(3)),
    ]
    .into_iter()
    .flat_map(|template| {
        (0..150)
            .map(move |endpoint| with_tunnel(template, |tunnel| tunnel.endpoint = Some(EndpointId(endpoint))))
    })
    .collect();
    assert!(allocations::are_counted());
    let before = allocations();
    let mut records = 0;
    for round in 0..60 {
        let packets = (0..10_000_u32).map(|number| {
            // In every second round there is room for all tunnels.
            let endpoints = if round % 2 == 0 { 150 } else { 50 };
            let (kind, endpoint) = (number as usize * 7 + round * 31, number as usize % endpoints);
            let template = templates[kind % (templates.len() / 150) * 150 + endpoint];
            packet_of(number % 7000, number % 3 == 0, number % 2 == 0, template)
        });
        records += give(&mut table, &mut now, 1_000_000, packets);
        table.expire(Timestamp(now), &mut |_| records += 1);
    }
    table.drain(Timestamp(now), &mut |_| records += 1);
    assert_eq!(allocations() - before, 0);
    let counters = table.counters();
    assert!(records > 10_000 && counters.evicted > 1000 && counters.tunnels_evicted > 1000, "{counters:?}");
    assert!(
        counters.created > counters.evicted + 5000 && counters.fragments_unattributed > 0,
        "{counters:?}"
    );
}

/// A table takes as much memory as it says beforehand.
#[test]
fn the_memory_that_a_table_takes_is_known_beforehand() {
    for (max_flows, max_tunnels) in
        [(1, 1), (1000, 65_000), (100_000, 1), (1 << 20, 1 << 14), (5_000_000, 100)]
    {
        let config = FlowConfig { max_flows, max_tunnels, ..FlowConfig::default() };
        let before = allocations::own().bytes;
        let table = FlowTable::new(config).unwrap();
        let taken = allocations::own().bytes - before;
        drop(table);
        assert_eq!(FlowTable::bytes(&config), taken, "{max_flows} flows, {max_tunnels} tunnels");
    }
}

/// Bytes of memory that the process has in use.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Fills a table with a million flows, and compares the memory that the process takes for it with the bound, in
/// megabytes.
fn measure(wide: bool, bound: usize) {
    const FLOWS: u32 = 1_000_000;
    let before = resident();
    let mut table =
        FlowTable::new(FlowConfig { max_flows: FLOWS, max_tunnels: 1000, ..FlowConfig::default() }).unwrap();
    let mut now = START;
    let template = client(ACK, 1, 100).packet();
    give(&mut table, &mut now, 1, (0..FLOWS).map(|number| packet_of(number, wide, false, template)));
    assert_eq!(table.active_flows(), FLOWS as usize);
    let taken = resident() - before;
    println!("a million flows, IPv6 {wide}: {taken} bytes resident, {bound} MB allowed");
    assert!(taken <= bound * 1_000_000, "{taken} bytes");
    give(&mut table, &mut now, 1, (0..FLOWS).map(|number| packet_of(number, wide, true, template)));
    assert_eq!(table.counters().created, u64::from(FLOWS));
    assert!(resident() - before <= bound * 1_000_000);
}

#[test]
fn a_million_ipv4_flows() {
    rerun::alone("flow_memory::a_million_ipv4_flows", || measure(false, 165));
}

#[test]
fn a_million_ipv6_flows() {
    rerun::alone("flow_memory::a_million_ipv6_flows", || measure(true, 198));
}

/// The flow tables of 32 workers, with ten million flows in all: what they take at the start, which is next to nothing, and when
/// they are full.
#[test]
fn thirty_two_tables_of_ten_million_flows() {
    const WORKERS: u32 = 32;
    const FLOWS: u32 = 10_000_000 / WORKERS;
    rerun::alone("flow_memory::thirty_two_tables_of_ten_million_flows", || {
        let config = FlowConfig { max_flows: FLOWS, ..FlowConfig::default() };
        let said = FlowTable::bytes(&config) * u64::from(WORKERS);
        let before = resident();
        let began = Instant::now();
        // Each on the thread of its worker.
        let tables: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..WORKERS).map(|_| scope.spawn(|| FlowTable::new(config).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (start, at_start) = (began.elapsed(), resident() - before);
        let began = Instant::now();
        let filled: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = tables
                .into_iter()
                .map(|mut table| {
                    scope.spawn(move || {
                        let mut now = START;
                        let template = client(ACK, 1, 100).packet();
                        let packets = (0..FLOWS).map(|number| packet_of(number, false, false, template));
                        give(&mut table, &mut now, 1, packets);
                        table
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (filling, full) = (began.elapsed(), resident() - before);
        let flows: usize = filled.iter().map(FlowTable::active_flows).sum();
        let mib = |bytes: usize| bytes >> 20;
        println!(
            "{WORKERS} tables: made in {start:?}, {} MiB resident then; {flows} flows in after {filling:?}, {} MiB; {} MiB are \
             asked for",
            mib(at_start),
            mib(full),
            said >> 20
        );
        assert_eq!(flows, (FLOWS * WORKERS) as usize);
        assert!(start < Duration::from_secs(5), "{start:?}");
        assert!(at_start < full / 4, "{at_start} of {full}");
        assert!(full as u64 <= said, "{full} of {said}");
    });
}

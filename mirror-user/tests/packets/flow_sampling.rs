//! The choice of sampled flows, and that their counts can be scaled.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use mirror_user::flow::{Action, FlowConfig, FlowRecord};
use mirror_user::number::SamplingRate;
use mirror_user::number::{EndpointId, Vni};
use mirror_user::packet::{Packet, Ports, Transport};
use mirror_user::time::Timestamp;
use mirror_user::value::Seed;

use crate::support::*;

fn one_in(flows: u32) -> SamplingRate {
    SamplingRate::one_in(flows).unwrap()
}

/// The packet of flow `number`, one way or the other.
fn packet_of(number: u32, back: bool) -> Packet {
    let [client, server] = [0x0a00_0000 + number, 0xc0a8_0000 + number % 100]
        .map(|address| IpAddr::from(Ipv4Addr::from_bits(address)));
    let (source, destination) = if back { (server, client) } else { (client, server) };
    let ports = if back { [443, 40000] } else { [40000, 443] };
    with_ip(udp(("10.0.0.1", 0), ("10.0.0.2", 0)), |ip| {
        (ip.source, ip.destination) = (source, destination);
        ip.transport = Transport::Udp(Ports { source: ports[0], destination: ports[1] });
    })
}

fn large(config: FlowConfig) -> FlowConfig {
    FlowConfig { max_flows: 100_000, ..config }
}

/// The clients of the flows out of a few thousand that a table selects, where `packet_of` gives their packets.
fn selected(
    config: FlowConfig,
    rate: SamplingRate,
    packet_of: impl Fn(u32) -> Packet,
) -> HashSet<(IpAddr, IpAddr)> {
    let mut run = Run::new(large(config));
    run.table.set_sampling(rate);
    let packets: Vec<_> = (0..4096).map(|number| (Timestamp(START), packet_of(number))).collect();
    run.packets(&packets);
    let ends = |record: &FlowRecord| {
        let (one, other) = (record.source, record.destination);
        (one.min(other), one.max(other))
    };
    run.finish().0.iter().map(ends).collect()
}

#[test]
fn rates_are_powers_of_two() {
    for (flows, valid) in
        [(0, false), (1, true), (2, true), (3, false), (64, true), (1 << 15, true), (1 << 16, false)]
    {
        assert_eq!(SamplingRate::one_in(flows).map(SamplingRate::get), valid.then_some(flows));
    }
    assert_eq!((SamplingRate::EVERY.get(), SamplingRate::HIGHEST.get()), (1, 1 << 15));
}

#[test]
fn directions_workers_and_tunnels_agree_and_lower_rates_select_more() {
    let base = FlowConfig { sampling_seed: Some(Seed(5)), ..config() };
    let mut larger = selected(base, SamplingRate::EVERY, |number| packet_of(number, false));
    assert_eq!(larger.len(), 4096);
    for rate in [2, 8, 64].map(one_in) {
        let here = selected(base, rate, |number| packet_of(number, false));
        let expected = 4096.0 / f64::from(rate.get());
        assert!((here.len() as f64 - expected).abs() < 5.0 * expected.sqrt(), "{rate:?}: {}", here.len());
        let elsewhere = FlowConfig { seed: 99, ..base };
        assert_eq!(here, selected(elsewhere, rate, |number| packet_of(number, true)));
        let other_tunnel = |number| {
            with_tunnel(packet_of(number, false), |tunnel| {
                tunnel.endpoint = Some(EndpointId(u64::from(number % 50)));
                tunnel.vxlan_vni = Some(Vni::from_bytes([0, 0, 9]));
            })
        };
        assert_eq!(here, selected(elsewhere, rate, other_tunnel));
        assert!(here.is_subset(&larger));
        let other_seed = FlowConfig { sampling_seed: Some(Seed(6)), ..base };
        assert_ne!(here, selected(other_seed, rate, |number| packet_of(number, false)));
        larger = here;
    }
}

/// A flow in the table stays when the rate rises; when it falls, its record is cut.
#[test]
fn a_flow_stands_for_as_many_as_the_lowest_rate_says() {
    // Flow 0 is selected at every rate by this seed.
    let seed = (0..).find(|&sampling_seed| {
        let config = FlowConfig { sampling_seed: Some(Seed(sampling_seed)), ..config() };
        let mut run = Run::new(config);
        run.table.set_sampling(one_in(64));
        run.packet(0, &packet_of(0, false));
        run.table.active_flows() == 1
    });
    let mut run = Run::new(FlowConfig { sampling_seed: Some(Seed(seed.unwrap())), ..config() });
    for (after, rate) in [(0, 64), (1, 1024), (2, 8), (3, 64), (4, 8), (5, 1), (6, 8)] {
        run.table.set_sampling(one_in(rate));
        run.packet(after, &packet_of(0, after % 2 == 1));
    }
    let (records, table) = run.finish();
    let told: Vec<_> = records
        .iter()
        .map(|record| (record.action.name(), record.sampling_rate.get(), record.packets()))
        .collect();
    assert_eq!(told, [("open", 64, 2), ("update", 8, 3), ("end", 1, 2)]);
    assert_eq!(table.counters().created, 1);
}

#[test]
fn flows_that_are_left_out_are_counted_and_take_no_room() {
    let mut run = Run::new(large(config()));
    run.table.set_sampling(SamplingRate::HIGHEST);
    for number in 0..1000 {
        run.packet(number, &packet_of(u32::try_from(number).unwrap(), false));
    }
    let counters = run.table.counters();
    assert_eq!(counters.packets, 1000);
    assert_eq!(counters.attributed + counters.not_sampled, 1000);
    assert!(counters.not_sampled > 990);
    assert_eq!(run.table.active_flows() as u64, counters.created);
    // No flow holds a tunnel.
    assert_eq!(run.table.active_tunnels(), usize::from(counters.created > 0));
}

/// The totals of a capture by its scaled records, and its true ones.
struct Estimate {
    packets: [f64; 2],
    bytes: [f64; 2],
}

/// Long and short flows, while the rate changes: half of the flows begin with each of the first two phases.
fn estimate(sampling_seed: u64, flows: u32, rates: &[u32]) -> Estimate {
    let mut run = Run::new(large(FlowConfig { sampling_seed: Some(Seed(sampling_seed)), ..config() }));
    let mut truth = (0.0, 0.0);
    let mut now = START;
    for (phase, rate) in rates.iter().enumerate() {
        run.table.set_sampling(one_in(*rate));
        let packets: Vec<_> = (0..flows)
            .filter(|number| phase > 0 || number % 2 == 0)
            .flat_map(|number| (0..1 + number % 7).map(move |packet| packet_of(number, packet % 2 == 1)))
            .map(|mut packet| {
                now += 1000;
                packet.original_length = 100 + u32::try_from(now / 1000 % 1400).unwrap();
                truth = (truth.0 + 1.0, truth.1 + f64::from(packet.original_length));
                (Timestamp(now), packet)
            })
            .collect();
        run.packets(&packets);
    }
    let (records, table) = run.finish();
    let counters = table.counters();
    assert_eq!(counters.attributed + counters.not_sampled, counters.packets);
    assert_eq!(counters.packets as f64, truth.0);
    let scaled = |count: fn(&FlowRecord) -> u64| -> f64 {
        records.iter().map(|record| f64::from(record.sampling_rate.get()) * count(record) as f64).sum()
    };
    let ends = records.iter().filter(|record| matches!(record.action, Action::End(_))).count();
    assert_eq!(ends as u64, counters.created);
    Estimate { packets: [scaled(FlowRecord::packets), truth.0], bytes: [scaled(FlowRecord::bytes), truth.1] }
}

/// The mean of the estimates by many seeds is what there was, whether the rate stands, rises or falls.
#[test]
fn scaled_sums_are_unbiased() {
    const SEEDS: u64 = 300;
    for rates in [&[8][..], &[64], &[1, 64], &[64, 1], &[64, 8], &[8, 64, 8], &[64, 8, 64, 2, 32]] {
        for members in [|estimate: &Estimate| estimate.packets, |estimate: &Estimate| estimate.bytes] {
            let ratios: Vec<f64> = (0..SEEDS)
                .map(|seed| {
                    let [scaled, truth] = members(&estimate(seed, 1000, rates));
                    scaled / truth
                })
                .collect();
            let count = SEEDS as f64;
            let mean = ratios.iter().sum::<f64>() / count;
            let variance = ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum::<f64>() / (count - 1.0);
            let error = (variance / count).sqrt();
            assert!((mean - 1.0).abs() <= 4.0 * error, "{rates:?}: {mean} ± {error}");
            assert!(error < 0.03, "{rates:?}: {error} is too much to see a bias");
        }
    }
}

//! Rows through files and back.
#![expect(clippy::cast_possible_truncation, reason = "any number will do")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use mirror_spool::sample::{BEGIN, Samples};
use mirror_spool::{
    Action, Application, Compression, Connection, Direction, Evidence, Flow, Host, Initiator, Loss, Outcome,
    ReadError, Reader, SpoolConfig, Traffic, Transport, Tunnel, Writer,
};
use proptest::prelude::*;

use crate::support::{self, batches, through_a_file};

/// Parts that a row borrows from.
#[derive(Clone, Debug)]
struct Parts {
    numbers: Vec<u64>,
    texts: Vec<String>,
    absent: u64,
    hosts: [Arc<Host>; 3],
}

/// The latest time that a row may have.
const LATEST: u64 = i64::MAX as u64;

impl Parts {
    /// `value`, unless bit `bit` says that it is absent.
    fn maybe<T>(&self, bit: u32, value: T) -> Option<T> {
        (self.absent >> bit & 1 == 0).then_some(value)
    }

    fn number(&self, index: usize) -> u64 {
        self.numbers[index]
    }

    fn address(&self, index: usize) -> IpAddr {
        let number = self.number(index);
        if number.is_multiple_of(2) {
            Ipv4Addr::from_bits((number >> 8) as u32).into()
        } else {
            Ipv6Addr::from_bits(u128::from(number) << 64 | u128::from(number)).into()
        }
    }

    fn traffic(&self, index: usize, bit: u32) -> Traffic {
        let number = |offset| self.number(index + offset);
        Traffic {
            packets: number(0) % (1 << 32),
            bytes: number(1),
            captured_bytes: number(2),
            times: self.maybe(bit, (number(3) % (LATEST + 1), number(4) % (LATEST + 1))),
            hop_limits: self.maybe(bit + 1, (number(5) as u8, number(6) as u8)),
            tcp_flags: number(7) as u8,
            retransmissions: number(8) as u16,
            out_of_order: number(9) as u16,
        }
    }

    fn row(&self) -> Flow<'_> {
        let number = |index| self.number(index);
        let text = |bit, index: usize| self.maybe(bit, self.texts[index].as_str());
        let transport = match number(0) % 3 {
            0 => Transport::Ports { source: number(1) as u16, destination: number(2) as u16 },
            1 => Transport::Icmp {
                kind: number(1) as u8,
                code: number(2) as u8,
                identifier: self.maybe(0, number(3) as u16),
            },
            _ => Transport::Unread,
        };
        let pick = |index, count: usize| usize::try_from(number(index) % count as u64).unwrap();
        Flow {
            start: number(3) % (LATEST + 1),
            end: number(4) % (LATEST + 1),
            tunnel: Tunnel {
                outer_source: self.address(5),
                outer_destination: self.address(6),
                geneve_vni: self.maybe(1, number(7) as u32),
                vxlan_vni: self.maybe(2, number(8) as u32),
                endpoint: self.maybe(3, number(9)),
                attachment: self.maybe(4, number(10)),
                pseudonym_key: text(5, 0),
                host: self.maybe(6, &self.hosts[0]),
            },
            cookie: self.maybe(7, number(11) as u32),
            first_cookie: self
                .maybe(8, if number(12).is_multiple_of(2) { number(11) as u32 } else { number(12) as u32 }),
            vlans: [self.maybe(9, number(13) as u16), self.maybe(10, number(14) as u16)],
            source: self.address(15),
            destination: self.address(16),
            protocol: number(17) as u8,
            transport,
            action: Action::ALL[pick(18, Action::ALL.len())],
            initiator: Initiator::ALL[pick(19, Initiator::ALL.len())],
            connection: self.maybe(11, Connection::ALL[pick(20, Connection::ALL.len())]),
            handshake: self.maybe(12, number(21) as u32),
            forward: self.traffic(22, 13),
            reverse: self.traffic(32, 15),
            accounted: number(42) % (1 << 32),
            queue: number(43) as u32,
            sampling_rate: number(44) as u32,
            direction: self.maybe(17, Direction::ALL[pick(45, Direction::ALL.len())]),
            source_host: self.maybe(18, &self.hosts[1]),
            destination_host: self.maybe(19, &self.hosts[2]),
            application: Application {
                protocol: text(20, 1),
                server_name: text(21, 2),
                domain: self.maybe(22, (Evidence::ALL[pick(46, 4)], self.texts[2 + pick(47, 2)].as_str())),
                domain_mismatch: self.maybe(23, ()).is_some(),
                tls_version: self.maybe(24, number(48) as u16),
                tls_cipher: self.maybe(25, number(49) as u16),
                alpn: text(26, 4),
                ja4: text(27, 5),
                dns_queries: self.maybe(28, number(50) as u32),
                http_method: text(29, 6),
                http_status: self.maybe(30, number(51) as u16),
                user_agent: text(31, 7),
            },
            verdict: self.maybe(32, (Outcome::ALL[pick(52, 3)], self.texts[8].as_str())),
        }
    }
}

fn host() -> impl Strategy<Value = Arc<Host>> {
    let text = || proptest::option::of("\\PC{1,9}");
    let tags = proptest::collection::btree_map("\\PC{1,5}", "\\PC{0,5}", 0..3);
    (proptest::array::uniform10(text()), tags).prop_map(|(texts, tags)| {
        let [account, region, zone, instance, instance_type, name, vpc, subnet, interface, session] = texts;
        let tags = tags.into_iter().collect();
        // A host of which nothing is known is none.
        let account = account.or_else(|| Some("1".to_owned()));
        Arc::new(Host {
            account,
            region,
            zone,
            instance,
            instance_type,
            name,
            vpc,
            subnet,
            interface,
            session,
            tags,
        })
    })
}

fn parts() -> impl Strategy<Value = Parts> {
    let number = prop_oneof![any::<u64>(), Just(0), Just(u64::MAX), 0_u64..10];
    (
        proptest::collection::vec(number, 53),
        proptest::collection::vec("\\PC{0,12}", 9),
        any::<u64>(),
        [host(), host(), host()],
    )
        .prop_map(|(numbers, texts, absent, hosts)| Parts { numbers, texts, absent, hosts })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_row_comes_back(parts in proptest::collection::vec(parts(), 1..250), compression in 0..3) {
        let compression = [Compression::Zstd, Compression::Lz4, Compression::None][compression as usize];
        let rows: Vec<Flow<'_>> = parts.iter().map(Parts::row).collect();
        let directory = tempfile::tempdir().unwrap();
        let batches = through_a_file(directory.path(), compression, &rows);
        let found: Vec<Flow<'_>> = batches.iter().flat_map(|batch| batch.rows().map(Result::unwrap)).collect();
        prop_assert_eq!(found, rows);
    }
}

#[test]
fn sample_rows_come_back_from_several_files() {
    let directory = tempfile::tempdir().unwrap();
    support::write(directory.path(), support::small(), 3, 2500);
    assert_eq!(support::data_files(directory.path()).len(), 3);
    let batches = batches(directory.path());
    let mut samples = Samples::new(3);
    let mut rows = 0;
    for row in batches.iter().flat_map(mirror_spool::FlowBatch::rows) {
        assert_eq!(row.unwrap(), samples.next_flow());
        rows += 1;
    }
    assert_eq!(rows, 2500);
}

#[test]
fn a_row_out_of_range_is_refused_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (mut writer, _) = Writer::open(directory.path(), SpoolConfig::default(), BEGIN).unwrap();
    let mut samples = Samples::new(1);
    let row = samples.next_flow();
    let late = Flow { end: LATEST + 1, ..row };
    let many = Flow { forward: Traffic { packets: 1 << 32, ..row.forward }, accounted: 5, ..row };
    assert_eq!(writer.push(&late), Err(Loss::Time));
    assert_eq!(writer.push(&many), Err(Loss::Packets));
    assert_eq!(writer.push(&row), Ok(()));
    let counters = writer.finish();
    assert_eq!(counters.stored.records, 1);
    assert_eq!(counters.lost[&Loss::Packets].packets, 5);
    let entries = support::manifest(directory.path()).entries;
    assert_eq!(entries[0].lost["time_out_of_range"].records, 1);
    assert_eq!(batches(directory.path())[0].row(0).unwrap(), row);
}

/// More tunnels than a dictionary's key can number end the file early.
#[test]
fn a_file_ends_before_its_dictionary_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let (mut writer, _) = Writer::open(directory.path(), SpoolConfig::default(), BEGIN).unwrap();
    let mut samples = Samples::new(1);
    let row = samples.next_flow();
    let rows = 70_000_u32;
    for number in 0..rows {
        writer.push(&Flow { tunnel: Tunnel { vxlan_vni: Some(number), ..row.tunnel }, ..row }).unwrap();
    }
    writer.finish();
    let counts: Vec<_> = support::manifest(directory.path())
        .entries
        .iter()
        .map(|entry| entry.file.as_ref().unwrap().amount.records)
        .collect();
    assert_eq!(counts, [65_536, 4_464]);
    let batches = batches(directory.path());
    let vnis =
        batches.iter().flat_map(|batch| batch.rows().map(|row| row.unwrap().tunnel.vxlan_vni.unwrap()));
    assert!(vnis.eq(0..rows));
}

#[test]
fn a_file_of_something_else_is_refused_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other");
    std::fs::write(&path, b"no Arrow file, but long enough to be looked at").unwrap();
    assert!(matches!(Reader::open(&path).err(), Some(ReadError::Arrow { .. })));
    assert!(matches!(Reader::open(&directory.path().join("none")).err(), Some(ReadError::Io { .. })));
}

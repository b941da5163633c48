//! Flow records as columns: the schema, rows to columns and back.
//!
//! The schema is tight: what a reader can work out is not stored. Times stand as offsets from the record's start or end,
//! captured bytes as the bytes that were cut off, the first cookie only where it differs; the Community ID, which is a hash
//! of what is there, is left to the reader.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arrow_array::types::{Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, PrimitiveArray, StringArray, UInt16Array, UInt32Array,
};

use crate::column::{Bytes, Column, Flag, Interned, Number, Text, Time, columns};
use crate::error::{Loss, ReadError};
use crate::intern::{Hosts, OwnedTunnel, Tunnels};
use crate::row::{
    Action, Application, Connection, Direction, Evidence, Flow, Host, Initiator, Outcome, Traffic, Transport,
};

/// Name of the record kind.
pub(crate) const KIND: &str = "flow";
/// Version of the schema. Later versions add nullable columns only.
pub const VERSION: u32 = 1;

columns! {
    /// Columns of flow records, as they are filled in.
    Columns, Arrays {
        /// Time of the last packet
        end: false Time;
        /// Nanoseconds from the first packet to the last
        duration: false Number<Int64Type>;
        /// Tunnel, and the host that is mirrored through it
        tunnel: false Interned<Tunnels>;
        /// The latest flow cookie of the load balancer
        cookie: true Number<UInt32Type>;
        /// True if the first flow cookie is another one
        cookie_changed: false Flag;
        /// The first flow cookie, if it is another one
        first_cookie: true Number<UInt32Type>;
        /// Outer VLAN id
        vlan: true Number<UInt16Type>;
        /// Inner VLAN id
        inner_vlan: true Number<UInt16Type>;
        /// Address of the initiator, if it is IPv4, as a number
        source_ipv4: true Number<UInt32Type>;
        /// Address of the initiator, if it is IPv6
        source_ipv6: true Bytes;
        /// Address of the other end, if it is IPv4, as a number
        destination_ipv4: true Number<UInt32Type>;
        /// Address of the other end, if it is IPv6
        destination_ipv6: true Bytes;
        /// IP protocol number
        protocol: false Number<UInt8Type>;
        /// Port of the initiator
        source_port: true Number<UInt16Type>;
        /// Port of the other end
        destination_port: true Number<UInt16Type>;
        /// ICMP type
        icmp_type: true Number<UInt8Type>;
        /// ICMP code
        icmp_code: true Number<UInt8Type>;
        /// ICMP identifier
        icmp_identifier: true Number<UInt16Type>;
        /// Place of the record among those of its flow, and why the flow ended
        action: false Number<UInt8Type>, Action::LEGEND;
        /// Evidence of the initiator
        initiator: false Number<UInt8Type>, Initiator::LEGEND;
        /// State of the TCP connection
        connection: true Number<UInt8Type>, Connection::LEGEND;
        /// Round trip of the TCP handshake in microseconds
        handshake: true Number<UInt32Type>;
        /// Packets of the initiator
        forward_packets: false Number<UInt32Type>;
        /// Original bytes of the initiator
        forward_bytes: false Number<UInt64Type>;
        /// Bytes of the initiator that were not captured
        forward_cut: false Number<Int64Type>;
        /// Nanoseconds from the record's start to the first packet of the initiator
        forward_first: true Number<Int64Type>;
        /// Nanoseconds from the last packet of the initiator to the record's end
        forward_last: true Number<Int64Type>;
        /// Lowest TTL of the initiator
        forward_hops_min: true Number<UInt8Type>;
        /// Highest TTL of the initiator
        forward_hops_max: true Number<UInt8Type>;
        /// TCP flags of the initiator: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128
        forward_flags: false Number<UInt8Type>;
        /// Retransmitted TCP segments of the initiator
        forward_retransmissions: false Number<UInt16Type>;
        /// TCP segments of the initiator out of order
        forward_out_of_order: false Number<UInt16Type>;
        /// Packets of the other end
        reverse_packets: false Number<UInt32Type>;
        /// Original bytes of the other end
        reverse_bytes: false Number<UInt64Type>;
        /// Bytes of the other end that were not captured
        reverse_cut: false Number<Int64Type>;
        /// Nanoseconds from the record's start to the first packet of the other end
        reverse_first: true Number<Int64Type>;
        /// Nanoseconds from the last packet of the other end to the record's end
        reverse_last: true Number<Int64Type>;
        /// Lowest TTL of the other end
        reverse_hops_min: true Number<UInt8Type>;
        /// Highest TTL of the other end
        reverse_hops_max: true Number<UInt8Type>;
        /// TCP flags of the other end
        reverse_flags: false Number<UInt8Type>;
        /// Retransmitted TCP segments of the other end
        reverse_retransmissions: false Number<UInt16Type>;
        /// TCP segments of the other end out of order
        reverse_out_of_order: false Number<UInt16Type>;
        /// Packets that the record accounts for, if not all of it
        accounted: true Number<UInt32Type>;
        /// Queue that the packets came by
        queue: false Number<UInt32Type>;
        /// One flow of so many was recorded
        sampling_rate: false Number<UInt32Type>;
        /// Direction, where more is known than the addresses tell
        direction: true Number<UInt8Type>, Direction::LEGEND;
        /// The host at the source address
        source_host: true Interned<Hosts>;
        /// The host at the destination address
        destination_host: true Interned<Hosts>;
        /// Application protocol
        application: true Text;
        /// Server name that the client asked for
        server_name: true Text;
        /// Evidence of the destination's name
        domain_evidence: true Number<UInt8Type>, Evidence::LEGEND;
        /// Name of the destination, if there is evidence of it and it is not the server name
        domain: true Text;
        /// True if the name was claimed for an address that no DNS answer gave
        domain_mismatch: false Flag;
        /// TLS version, as on the wire
        tls_version: true Number<UInt16Type>;
        /// TLS cipher suite chosen, as on the wire
        tls_cipher: true Number<UInt16Type>;
        /// Application protocol of TLS
        alpn: true Text;
        /// JA4 fingerprint of the client
        ja4: true Text;
        /// Queries of DNS
        dns_queries: true Number<UInt32Type>;
        /// Method of the first HTTP request
        http_method: true Text;
        /// Status of the first HTTP response
        http_status: true Number<UInt16Type>;
        /// User agent of the first HTTP request
        user_agent: true Text;
        /// Verdict of the egress rule
        outcome: true Number<UInt8Type>, Outcome::LEGEND;
        /// Name of the egress rule that matched
        rule: true Text;
    }
}

/// Fills in columns, row by row.
pub(crate) struct FlowBuilder {
    columns: Columns,
    rows: usize,
    pub(crate) tunnels: Tunnels,
    pub(crate) source_hosts: Hosts,
    pub(crate) destination_hosts: Hosts,
}

/// A count of packets in 32 bits.
fn narrow(packets: u64) -> Result<u32, Loss> {
    u32::try_from(packets).map_err(|_| Loss::Packets)
}

/// A time as Arrow has it.
fn instant(nanoseconds: u64) -> Result<i64, Loss> {
    i64::try_from(nanoseconds).map_err(|_| Loss::Time)
}

/// Times of one direction, as offsets from start and to end.
fn offsets(times: Option<(u64, u64)>, start: i64, end: i64) -> Result<Option<(i64, i64)>, Loss> {
    times.map(|(first, last)| Ok((instant(first)? - start, end - instant(last)?))).transpose()
}

macro_rules! push_traffic {
    ($columns:ident, $traffic:expr, $packets:ident, $times:ident,
     $packets_column:ident $bytes:ident $cut:ident $first:ident $last:ident $min:ident $max:ident $flags:ident
     $retransmissions:ident $out_of_order:ident) => {
        let traffic = $traffic;
        $columns.$packets_column.append_value($packets);
        $columns.$bytes.append_value(traffic.bytes);
        $columns.$cut.append_value(traffic.bytes.wrapping_sub(traffic.captured_bytes).cast_signed());
        $columns.$first.append_option($times.map(|times| times.0));
        $columns.$last.append_option($times.map(|times| times.1));
        $columns.$min.append_option(traffic.hop_limits.map(|limits| limits.0));
        $columns.$max.append_option(traffic.hop_limits.map(|limits| limits.1));
        $columns.$flags.append_value(traffic.tcp_flags);
        $columns.$retransmissions.append_value(traffic.retransmissions);
        $columns.$out_of_order.append_value(traffic.out_of_order);
    };
}

impl FlowBuilder {
    /// With room for this many rows in a batch.
    pub(crate) fn new(rows: usize) -> Self {
        Self {
            columns: Columns::new(rows),
            rows: 0,
            tunnels: Tunnels::new(),
            source_hosts: Hosts::new(),
            destination_hosts: Hosts::new(),
        }
    }

    /// Fields as stored, or as declared.
    pub(crate) fn fields(stored: bool) -> Vec<arrow_schema::Field> {
        Columns::fields(stored)
    }

    /// Rows since the last batch was taken.
    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// `true` if the file must be finished before the next row, because a dictionary is full.
    pub(crate) fn is_full(&self) -> bool {
        self.tunnels.is_full() || self.source_hosts.is_full() || self.destination_hosts.is_full()
    }

    /// Adds a row.
    ///
    /// # Errors
    ///
    /// When a number is out of range; then nothing is added.
    pub(crate) fn push(&mut self, flow: &Flow<'_>) -> Result<(), Loss> {
        let (start, end) = (instant(flow.start)?, instant(flow.end)?);
        let (forward, reverse) = (narrow(flow.forward.packets)?, narrow(flow.reverse.packets)?);
        let forward_times = offsets(flow.forward.times, start, end)?;
        let reverse_times = offsets(flow.reverse.times, start, end)?;
        let accounted = (flow.accounted != flow.packets()).then(|| narrow(flow.accounted)).transpose()?;

        let columns = &mut self.columns;
        columns.end.append_value(end);
        columns.duration.append_value(end - start);
        columns.tunnel.append_value(self.tunnels.intern(&flow.tunnel));
        columns.cookie.append_option(flow.cookie);
        let changed = flow.first_cookie != flow.cookie;
        columns.cookie_changed.append_value(changed);
        columns.first_cookie.append_option(flow.first_cookie.filter(|_| changed));
        columns.vlan.append_option(flow.vlans[0]);
        columns.inner_vlan.append_option(flow.vlans[1]);
        let (ipv4, ipv6) = split(flow.source);
        columns.source_ipv4.append_option(ipv4);
        columns.source_ipv6.append_option(ipv6);
        let (ipv4, ipv6) = split(flow.destination);
        columns.destination_ipv4.append_option(ipv4);
        columns.destination_ipv6.append_option(ipv6);
        columns.protocol.append_value(flow.protocol);
        let (ports, icmp) = match flow.transport {
            Transport::Ports { source, destination } => (Some((source, destination)), None),
            Transport::Icmp { kind, code, identifier } => (None, Some((kind, code, identifier))),
            Transport::Unread => (None, None),
        };
        columns.source_port.append_option(ports.map(|ports| ports.0));
        columns.destination_port.append_option(ports.map(|ports| ports.1));
        columns.icmp_type.append_option(icmp.map(|icmp| icmp.0));
        columns.icmp_code.append_option(icmp.map(|icmp| icmp.1));
        columns.icmp_identifier.append_option(icmp.and_then(|icmp| icmp.2));
        columns.action.append_value(flow.action.code());
        columns.initiator.append_value(flow.initiator.code());
        columns.connection.append_option(flow.connection.map(Connection::code));
        columns.handshake.append_option(flow.handshake);
        push_traffic!(columns, &flow.forward, forward, forward_times,
            forward_packets forward_bytes forward_cut forward_first forward_last forward_hops_min forward_hops_max
            forward_flags forward_retransmissions forward_out_of_order);
        push_traffic!(columns, &flow.reverse, reverse, reverse_times,
            reverse_packets reverse_bytes reverse_cut reverse_first reverse_last reverse_hops_min reverse_hops_max
            reverse_flags reverse_retransmissions reverse_out_of_order);
        columns.accounted.append_option(accounted);
        columns.queue.append_value(flow.queue);
        columns.sampling_rate.append_value(flow.sampling_rate);
        columns.direction.append_option(flow.direction.map(Direction::code));
        columns.source_host.append_option(flow.source_host.map(|host| self.source_hosts.intern(host)));
        columns
            .destination_host
            .append_option(flow.destination_host.map(|host| self.destination_hosts.intern(host)));
        self.push_application(&flow.application);
        let columns = &mut self.columns;
        columns.outcome.append_option(flow.verdict.map(|(outcome, _)| outcome.code()));
        columns.rule.append_option(flow.verdict.map(|(_, rule)| rule));
        self.rows += 1;
        Ok(())
    }

    fn push_application(&mut self, application: &Application<'_>) {
        let columns = &mut self.columns;
        columns.application.append_option(application.protocol);
        columns.server_name.append_option(application.server_name);
        columns.domain_evidence.append_option(application.domain.map(|(evidence, _)| evidence.code()));
        let domain = application.domain.map(|(_, domain)| domain);
        columns.domain.append_option(domain.filter(|domain| Some(*domain) != application.server_name));
        columns.domain_mismatch.append_value(application.domain_mismatch);
        columns.tls_version.append_option(application.tls_version);
        columns.tls_cipher.append_option(application.tls_cipher);
        columns.alpn.append_option(application.alpn);
        columns.ja4.append_option(application.ja4);
        columns.dns_queries.append_option(application.dns_queries);
        columns.http_method.append_option(application.http_method);
        columns.http_status.append_option(application.http_status);
        columns.user_agent.append_option(application.user_agent);
    }

    /// Takes the rows as the columns of a batch.
    pub(crate) fn take(&mut self, rows: usize) -> Vec<ArrayRef> {
        self.rows = 0;
        self.columns.take(rows)
    }

    /// Forgets rows and dictionaries, for the next file.
    pub(crate) fn reset(&mut self, rows: usize) {
        *self = Self::new(rows);
    }
}

/// An address as its two columns have it.
fn split(address: IpAddr) -> (Option<u32>, Option<[u8; 16]>) {
    match address {
        IpAddr::V4(address) => (Some(address.to_bits()), None),
        IpAddr::V6(address) => (None, Some(address.octets())),
    }
}

/// The dictionaries of a file.
#[derive(Default)]
pub(crate) struct Dictionaries {
    pub(crate) tunnels: Vec<OwnedTunnel>,
    pub(crate) source_hosts: Vec<Arc<Host>>,
    pub(crate) destination_hosts: Vec<Arc<Host>>,
}

/// One batch of flow records, and what its rows refer to.
pub struct FlowBatch {
    arrays: Arrays,
    dictionaries: Arc<Dictionaries>,
}

impl FlowBatch {
    pub(crate) fn new(
        batch: &arrow_array::RecordBatch,
        dictionaries: Arc<Dictionaries>,
    ) -> Result<Self, ReadError> {
        Ok(Self { arrays: Arrays::of(batch)?, dictionaries })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.arrays.end.len()
    }

    /// `true` if there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Time of a row's last packet, in nanoseconds since 1970.
    ///
    /// # Panics
    ///
    /// When `row` is not below [`FlowBatch::len`].
    pub fn end(&self, row: usize) -> u64 {
        self.arrays.end.value(row).cast_unsigned()
    }

    /// The rows, in the order in which they were written.
    pub fn rows(&self) -> impl Iterator<Item = Result<Flow<'_>, ReadError>> {
        (0..self.len()).map(|row| self.row(row))
    }

    /// One row.
    ///
    /// # Errors
    ///
    /// When a code or a key in it is not known, or an address is none.
    ///
    /// # Panics
    ///
    /// When `row` is not below [`FlowBatch::len`].
    pub fn row(&self, row: usize) -> Result<Flow<'_>, ReadError> {
        let arrays = &self.arrays;
        let dictionaries = &*self.dictionaries;
        let end = arrays.end.value(row);
        let start = end.wrapping_sub(arrays.duration.value(row));
        let tunnel = key(&dictionaries.tunnels, arrays.tunnel.value(row), "tunnel")?;
        let cookie = option(&arrays.cookie, row);
        let first_cookie =
            if arrays.cookie_changed.value(row) { option(&arrays.first_cookie, row) } else { cookie };
        let transport = match (option(&arrays.source_port, row), option(&arrays.icmp_type, row)) {
            (Some(source), _) => Transport::Ports { source, destination: arrays.destination_port.value(row) },
            (None, Some(kind)) => Transport::Icmp {
                kind,
                code: arrays.icmp_code.value(row),
                identifier: option(&arrays.icmp_identifier, row),
            },
            (None, None) => Transport::Unread,
        };
        let forward = self.forward(row, start, end);
        let reverse = self.reverse(row, start, end);
        let packets = forward.packets + reverse.packets;
        let host = |keys: &UInt16Array, hosts, name| {
            option(keys, row).map(|number| key(hosts, number, name)).transpose()
        };
        let outcome = code(option(&arrays.outcome, row), Outcome::of_code, "outcome")?;
        Ok(Flow {
            start: start.cast_unsigned(),
            end: end.cast_unsigned(),
            tunnel: tunnel.as_row(),
            cookie,
            first_cookie,
            vlans: [option(&arrays.vlan, row), option(&arrays.inner_vlan, row)],
            source: address(&arrays.source_ipv4, &arrays.source_ipv6, row)?,
            destination: address(&arrays.destination_ipv4, &arrays.destination_ipv6, row)?,
            protocol: arrays.protocol.value(row),
            transport,
            action: required(arrays.action.value(row), Action::of_code, "action")?,
            initiator: required(arrays.initiator.value(row), Initiator::of_code, "initiator")?,
            connection: code(option(&arrays.connection, row), Connection::of_code, "connection")?,
            handshake: option(&arrays.handshake, row),
            forward,
            reverse,
            accounted: option(&arrays.accounted, row).map_or(packets, u64::from),
            queue: arrays.queue.value(row),
            sampling_rate: arrays.sampling_rate.value(row),
            direction: code(option(&arrays.direction, row), Direction::of_code, "direction")?,
            source_host: host(&arrays.source_host, &dictionaries.source_hosts, "source_host")?,
            destination_host: host(
                &arrays.destination_host,
                &dictionaries.destination_hosts,
                "destination_host",
            )?,
            application: self.application(row)?,
            verdict: outcome.map(|outcome| (outcome, text(&arrays.rule, row).unwrap_or_default())),
        })
    }

    fn forward(&self, row: usize, start: i64, end: i64) -> Traffic {
        let arrays = &self.arrays;
        let bytes = arrays.forward_bytes.value(row);
        Traffic {
            packets: arrays.forward_packets.value(row).into(),
            bytes,
            captured_bytes: bytes.wrapping_sub(arrays.forward_cut.value(row).cast_unsigned()),
            times: times(option(&arrays.forward_first, row), option(&arrays.forward_last, row), start, end),
            hop_limits: option(&arrays.forward_hops_min, row).zip(option(&arrays.forward_hops_max, row)),
            tcp_flags: arrays.forward_flags.value(row),
            retransmissions: arrays.forward_retransmissions.value(row),
            out_of_order: arrays.forward_out_of_order.value(row),
        }
    }

    fn reverse(&self, row: usize, start: i64, end: i64) -> Traffic {
        let arrays = &self.arrays;
        let bytes = arrays.reverse_bytes.value(row);
        Traffic {
            packets: arrays.reverse_packets.value(row).into(),
            bytes,
            captured_bytes: bytes.wrapping_sub(arrays.reverse_cut.value(row).cast_unsigned()),
            times: times(option(&arrays.reverse_first, row), option(&arrays.reverse_last, row), start, end),
            hop_limits: option(&arrays.reverse_hops_min, row).zip(option(&arrays.reverse_hops_max, row)),
            tcp_flags: arrays.reverse_flags.value(row),
            retransmissions: arrays.reverse_retransmissions.value(row),
            out_of_order: arrays.reverse_out_of_order.value(row),
        }
    }

    fn application(&self, row: usize) -> Result<Application<'_>, ReadError> {
        let arrays = &self.arrays;
        let server_name = text(&arrays.server_name, row);
        let evidence = code(option(&arrays.domain_evidence, row), Evidence::of_code, "domain_evidence")?;
        let domain = text(&arrays.domain, row).or(server_name).unwrap_or_default();
        Ok(Application {
            protocol: text(&arrays.application, row),
            server_name,
            domain: evidence.map(|evidence| (evidence, domain)),
            domain_mismatch: arrays.domain_mismatch.value(row),
            tls_version: option(&arrays.tls_version, row),
            tls_cipher: option(&arrays.tls_cipher, row),
            alpn: text(&arrays.alpn, row),
            ja4: text(&arrays.ja4, row),
            dns_queries: option(&arrays.dns_queries, row),
            http_method: text(&arrays.http_method, row),
            http_status: option(&arrays.http_status, row),
            user_agent: text(&arrays.user_agent, row),
        })
    }
}

fn option<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    array.is_valid(row).then(|| array.value(row))
}

fn text(array: &StringArray, row: usize) -> Option<&str> {
    array.is_valid(row).then(|| array.value(row))
}

fn required<T>(code: u8, of: impl Fn(u8) -> Option<T>, name: &'static str) -> Result<T, ReadError> {
    of(code).ok_or(ReadError::Code { name, code })
}

fn code<T>(
    code: Option<u8>,
    of: impl Fn(u8) -> Option<T>,
    name: &'static str,
) -> Result<Option<T>, ReadError> {
    code.map(|code| required(code, of, name)).transpose()
}

fn key<'a, T>(entries: &'a [T], key: u16, name: &'static str) -> Result<&'a T, ReadError> {
    let key = usize::from(key);
    entries.get(key).ok_or(ReadError::Key { name, key, entries: entries.len() })
}

fn times(first: Option<i64>, last: Option<i64>, start: i64, end: i64) -> Option<(u64, u64)> {
    let (first, last) = first.zip(last)?;
    Some((start.wrapping_add(first).cast_unsigned(), end.wrapping_sub(last).cast_unsigned()))
}

fn address(ipv4: &UInt32Array, ipv6: &BinaryArray, row: usize) -> Result<IpAddr, ReadError> {
    if ipv4.is_valid(row) {
        return Ok(Ipv4Addr::from_bits(ipv4.value(row)).into());
    }
    let bytes = ipv6.value(row);
    let octets: Result<[u8; 16], _> = bytes.try_into();
    octets
        .map(|octets| Ipv6Addr::from(octets).into())
        .map_err(|_| ReadError::Address { found: format!("{bytes:02x?}") })
}

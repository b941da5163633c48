//! What a flow record tells of a connection, by its ECS names.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::UNIX_EPOCH;

use mirror_egress::{Amount, Connection, Identity, Time};
use serde::Deserialize;

/// Data set of flow records.
const FLOWS: &str = "mirror.flow";

/// Lines that were read, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Flow records of connections from inside.
    pub records: u64,
    /// Flow records of connections from outside, for which there are no egress rules.
    pub inbound: u64,
    /// Records of other kinds.
    pub others: u64,
    /// Lines that are no record.
    pub malformed: u64,
    /// Lines longer than any record.
    pub too_long: u64,
}

/// A line of a file.
#[derive(Clone, Copy)]
pub(super) enum Line<'a> {
    Whole(&'a [u8]),
    /// It is longer than any record, and not kept.
    TooLong,
}

impl Reading {
    /// Hands the connection of a line to `each`, and counts the line.
    pub(super) fn line(&mut self, line: Line<'_>, each: impl FnOnce(&Connection<'_>, &Amount)) {
        let Line::Whole(line) = line else {
            self.too_long += 1;
            return;
        };
        if line.trim_ascii().is_empty() {
            return;
        }
        let Ok(Kind { event }) = serde_json::from_slice(line) else {
            self.malformed += 1;
            return;
        };
        if event.dataset != FLOWS {
            self.others += 1;
            return;
        }
        let record: Option<Record<'_>> = serde_json::from_slice(line).ok();
        let Some((record, amount)) = record.and_then(|record| record.amount().map(|amount| (record, amount)))
        else {
            self.malformed += 1;
            return;
        };
        if record.network.direction.as_deref() == Some("inbound") {
            self.inbound += 1;
            return;
        }
        self.records += 1;
        let tags: Vec<_> = record.labels.iter().map(|(key, value)| (&**key, &**value)).collect();
        each(&record.connection(&tags), &amount);
    }

    /// What was not judged, a line for each reason, with `prefix` in front.
    pub(super) fn notes(&self, prefix: &str) -> String {
        let mut text = String::new();
        for (count, reason) in [
            (self.inbound, "flow records of connections from outside, which egress rules are not for"),
            (self.others, "records of other kinds"),
            (self.malformed, "lines that are no record"),
            (self.too_long, "lines longer than any record"),
        ] {
            if count > 0 {
                // Writing to a string does not fail.
                let _ = writeln!(text, "{prefix}{count} {reason}");
            }
        }
        text
    }
}

/// The kind of a record.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    event: KindEvent<'a>,
}

#[derive(Deserialize)]
struct KindEvent<'a> {
    #[serde(borrow)]
    dataset: Cow<'a, str>,
}

/// The fields of a flow record that tell of its connection.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    event: Event<'a>,
    source: Source,
    #[serde(borrow)]
    destination: Destination<'a>,
    #[serde(borrow)]
    network: Network<'a>,
    #[serde(borrow, default)]
    tls: Tls<'a>,
    #[serde(borrow, default)]
    cloud: Owner<'a>,
    #[serde(borrow, default)]
    labels: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(borrow, default)]
    mirror: Mirror<'a>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    start: Cow<'a, str>,
    #[serde(borrow)]
    end: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Source {
    ip: IpAddr,
}

#[derive(Deserialize)]
struct Destination<'a> {
    ip: IpAddr,
    port: Option<u16>,
    #[serde(borrow)]
    domain: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Network<'a> {
    #[serde(borrow)]
    iana_number: Cow<'a, str>,
    #[serde(borrow)]
    protocol: Option<Cow<'a, str>>,
    #[serde(borrow)]
    direction: Option<Cow<'a, str>>,
    #[serde(default)]
    packets: u64,
    #[serde(default)]
    bytes: u64,
}

#[derive(Default, Deserialize)]
struct Tls<'a> {
    #[serde(borrow, default)]
    client: TlsClient<'a>,
}

#[derive(Default, Deserialize)]
struct TlsClient<'a> {
    #[serde(borrow)]
    server_name: Option<Cow<'a, str>>,
}

/// Who an interface belongs to, and where it is.
#[derive(Default, Deserialize)]
struct Owner<'a> {
    #[serde(borrow, default)]
    account: Id<'a>,
    #[serde(borrow, default)]
    subnet: Id<'a>,
}

#[derive(Default, Deserialize)]
struct Id<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
struct Mirror<'a> {
    #[serde(borrow, default)]
    vpc: Id<'a>,
    #[serde(borrow, default)]
    subnet: Id<'a>,
    /// The interface of the source, where it is a known one.
    #[serde(borrow, default)]
    source: Owner<'a>,
    #[serde(borrow, default)]
    domain: Domain<'a>,
    #[serde(borrow, default)]
    tls: MirrorTls<'a>,
}

#[derive(Default, Deserialize)]
struct Domain<'a> {
    #[serde(borrow)]
    evidence: Option<Cow<'a, str>>,
    #[serde(default)]
    mismatch: bool,
}

#[derive(Default, Deserialize)]
struct MirrorTls<'a> {
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(default)]
    ech: bool,
}

impl Record<'_> {
    /// Its traffic; [`None`] if its times are none.
    fn amount(&self) -> Option<Amount> {
        let Network { packets, bytes, .. } = self.network;
        Some(Amount {
            records: 1,
            packets,
            bytes,
            first: time(&self.event.start)?,
            last: time(&self.event.end)?,
        })
    }

    fn connection<'a>(&'a self, tags: &'a [(&'a str, &'a str)]) -> Connection<'a> {
        let domain = self.destination.domain.as_deref();
        // The session's own interface may be that of the destination.
        let own = &self.mirror.source;
        let is_answer = self.mirror.domain.evidence.as_deref() == Some("dns");
        Connection {
            source: Identity {
                account: own.account.id.as_deref().or(self.cloud.account.id.as_deref()),
                vpc: self.mirror.vpc.id.as_deref(),
                subnet: own.subnet.id.as_deref().or(self.mirror.subnet.id.as_deref()),
                tags,
                address: Some(self.source.ip),
            },
            application: self.network.protocol.as_deref(),
            claimed: self.tls.client.server_name.as_deref().or(domain.filter(|_| !is_answer)),
            answered: domain.filter(|_| is_answer),
            mismatch: self.mirror.domain.mismatch,
            undecodable: self.mirror.tls.status.as_deref() == Some("incomplete"),
            ech: self.mirror.tls.ech,
            ..Connection::to(self.destination.ip, self.destination.port, self.protocol())
        }
    }

    /// The IP protocol; 255, which is reserved, where it is no number.
    fn protocol(&self) -> u8 {
        self.network.iana_number.parse().unwrap_or(u8::MAX)
    }
}

fn time(text: &str) -> Option<Time> {
    let elapsed = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(elapsed.as_nanos()).ok().map(Time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> (Reading, Option<String>) {
        let (mut reading, mut text) = (Reading::default(), None);
        reading.line(Line::Whole(line.as_bytes()), |connection, amount| {
            text = Some(format!("{connection}, {:?}: {amount}", connection.source.tags));
        });
        (reading, text)
    }

    const START: &str = r#"{"event":{"dataset":"mirror.flow","start":"2026-11-21T09:04:12.000000000Z","end":"2026-11-21T09:05:12.000000000Z"},"source":{"ip":"10.0.0.1","port":40000},"#;

    #[test]
    fn names_count_as_their_evidence_says() {
        let network = r#""network":{"iana_number":"6","transport":"tcp","protocol":"tls","direction":"outbound","packets":60,"bytes":65500},"#;
        for (rest, expected) in [
            (
                r#""destination":{"ip":"192.0.2.1","port":443,"domain":"a.example"},"mirror":{"domain":{"evidence":"sni"}}}"#,
                "from 10.0.0.1 to 192.0.2.1 port 443 (tcp, tls), claimed a.example, []",
            ),
            (
                r#""destination":{"ip":"192.0.2.1","port":443,"domain":"a.example"},"mirror":{"domain":{"evidence":"dns"},"tls":{"status":"incomplete"}}}"#,
                "from 10.0.0.1 to 192.0.2.1 port 443 (tcp, tls), DNS has a.example, undecodable handshake, []",
            ),
            (
                r#""destination":{"ip":"192.0.2.1","domain":"b.example"},"tls":{"client":{"server_name":"a.example"}},"cloud":{"account":{"id":"111122223333"}},"labels":{"team":"pay\"x"},"mirror":{"vpc":{"id":"vpc-1"},"subnet":{"id":"subnet-1"},"source":{"packets":1,"account":{"id":"444455556666"}},"domain":{"evidence":"dns","mismatch":true},"tls":{"ech":true,"status":"complete"}}}"#,
                "from 444455556666 vpc-1 subnet-1 10.0.0.1 to 192.0.2.1 (tcp, tls), claimed a.example, DNS has b.example, which DNS contradicts, Encrypted Client Hello, [(\"team\", \"pay\\\"x\")]",
            ),
        ] {
            let (reading, text) = read(&format!("{START}{network}{rest}"));
            assert_eq!(reading, Reading { records: 1, ..Reading::default() });
            let amount = "1 records, 60 packets, 65500 bytes, last seen 2026-11-21";
            assert_eq!(text.unwrap(), format!("{expected}: {amount}"));
        }
    }

    #[test]
    fn each_line_is_counted_once() {
        let inbound =
            r#""destination":{"ip":"10.0.0.2"},"network":{"iana_number":"1","direction":"inbound"}}"#;
        for (line, expected) in [
            (format!("{START}{inbound}"), Reading { inbound: 1, ..Reading::default() }),
            (
                r#"{"event":{"dataset":"mirror.packet"}}"#.to_owned(),
                Reading { others: 1, ..Reading::default() },
            ),
            (
                r#"{"event":{"dataset":"mirror.flow"}}"#.to_owned(),
                Reading { malformed: 1, ..Reading::default() },
            ),
            ("{".to_owned(), Reading { malformed: 1, ..Reading::default() }),
            ("\u{fffd}".to_owned(), Reading { malformed: 1, ..Reading::default() }),
            (" ".to_owned(), Reading::default()),
        ] {
            assert_eq!(read(&line), (expected, None), "{line}");
        }
        let mut reading = Reading::default();
        reading.line(Line::TooLong, |_, _| unreachable!());
        assert_eq!(reading.notes("# "), "# 1 lines longer than any record\n");
    }
}

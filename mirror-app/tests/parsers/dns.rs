//! DNS messages: written, read, cut, damaged, and read by others.

use std::net::IpAddr;

use mirror_app::dns::write;
use mirror_app::dns::{self, Class, Data, Edns, Flags, Message, Question, Reason, RecordType};
use proptest::collection::vec;
use proptest::prelude::*;
use simple_dns::rdata::RData;
use simple_dns::{Packet, RCODE};
use tempfile::TempDir;

use crate::packets;
use crate::tshark;

/// A message, by values of its own.
#[derive(Clone, Debug)]
struct Made {
    id: u16,
    flags: u16,
    questions: Vec<(String, RecordType)>,
    answers: Vec<(String, u32, MadeData)>,
    edns: Option<(u16, u8, bool, bool)>,
}

/// The data of an answer.
#[derive(Clone, Debug)]
enum MadeData {
    Address(IpAddr),
    Alias(String),
    Text(Vec<u8>),
}

fn record((name, ttl, data): &(String, u32, MadeData)) -> write::Record<'_> {
    let data = match data {
        MadeData::Address(address) => write::Data::Address(*address),
        MadeData::Alias(name) => write::Data::Alias(name),
        MadeData::Text(text) => write::Data::Other(RecordType::TXT, text),
    };
    write::Record { name, ttl: *ttl, data }
}

impl Made {
    fn bytes(&self) -> Vec<u8> {
        let questions: Vec<_> =
            self.questions.iter().map(|(name, record_type)| (name.as_str(), *record_type)).collect();
        let answers: Vec<_> = self.answers.iter().map(record).collect();
        let edns = self.edns.map(|(udp_size, response_code, dnssec_ok, subnet)| write::Edns {
            udp_size,
            response_code,
            dnssec_ok,
            options: if subnet { &[0, 10, 0, 1, 7, 0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2] } else { &[] },
        });
        let message = write::Message {
            id: self.id,
            flags: Flags(self.flags),
            questions: &questions,
            answers: &answers,
            edns,
        };
        let mut bytes = Vec::new();
        message.append_to(&mut bytes).unwrap();
        bytes
    }

    fn assert_is(&self, message: &Message) {
        assert_eq!((message.id(), message.flags().0, message.trailing()), (self.id, self.flags, 0));
        assert_eq!(
            message.questions().len() + usize::from(message.questions_left_out()),
            self.questions.len()
        );
        for (question, (name, record_type)) in message.questions().zip(&self.questions) {
            let expected = Question {
                name: &name.to_ascii_lowercase(),
                record_type: *record_type,
                class: Class::IN,
                unicast_response: false,
            };
            assert_eq!(question, expected);
        }
        assert_eq!(message.answers().len() + usize::from(message.answers_left_out()), self.answers.len());
        for (answer, (name, ttl, data)) in message.answers().zip(&self.answers) {
            assert_eq!((answer.name, answer.ttl), (name.to_ascii_lowercase().as_str(), *ttl));
            match data {
                MadeData::Address(address) => assert_eq!(answer.data, Data::Address(*address)),
                MadeData::Alias(name) => assert_eq!(answer.data, Data::Name(&name.to_ascii_lowercase())),
                MadeData::Text(_) => {
                    assert_eq!((answer.record_type, answer.data), (RecordType::TXT, Data::Other));
                }
            }
        }
        let edns = message.edns().map(|edns| (edns.udp_size, edns.dnssec_ok, edns.client_subnet));
        assert_eq!(edns, self.edns.map(|(udp_size, _, dnssec_ok, subnet)| (udp_size, dnssec_ok, subnet)));
        let high = self.edns.map_or(0, |(_, high, ..)| u16::from(high));
        assert_eq!(message.response_code().0, high << 4 | self.flags & 0x0f);
    }
}

/// Names of few labels, so that they share ends and are compressed.
fn plain_name() -> BoxedStrategy<String> {
    vec(prop::sample::select(vec!["www", "Example", "com", "a", "x-1", "_tcp", "net"]), 1..5)
        .prop_map(|labels| labels.join("."))
        .boxed()
}

/// Names of any bytes.
fn any_name() -> BoxedStrategy<String> {
    let name = vec(vec(any::<u8>(), 1..12), 0..5).prop_map(|labels| {
        let escape = |label: &Vec<u8>| -> String {
            label
                .iter()
                .map(|&byte| match byte {
                    b'.' | b'\\' => format!("\\{}", char::from(byte)),
                    byte if byte.is_ascii_graphic() => char::from(byte).to_string(),
                    byte => format!("\\{byte:03}"),
                })
                .collect()
        };
        if labels.is_empty() {
            ".".to_owned()
        } else {
            labels.iter().map(escape).collect::<Vec<_>>().join(".")
        }
    });
    name.boxed()
}

fn made(name: BoxedStrategy<String>, questions: usize) -> impl Strategy<Value = Made> {
    let data = prop_oneof![
        any::<[u8; 4]>().prop_map(|address| MadeData::Address(IpAddr::from(address))),
        any::<[u8; 16]>().prop_map(|address| MadeData::Address(IpAddr::from(address))),
        name.clone().prop_map(MadeData::Alias),
        "[a-z]{0,40}".prop_map(|text| {
            MadeData::Text([&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat())
        }),
    ];
    let record_type = prop::sample::select(vec![RecordType::A, RecordType::AAAA, RecordType::TXT]);
    (
        any::<u16>(),
        any::<u16>(),
        vec((name.clone(), record_type), questions..=questions),
        vec((name, any::<u32>(), data), 0..8),
        prop::option::of((any::<u16>(), any::<u8>(), any::<bool>(), any::<bool>())),
    )
        .prop_map(|(id, flags, questions, answers, edns)| Made { id, flags, questions, answers, edns })
}

proptest! {
    #[test]
    fn what_is_written_is_read(made in prop_oneof![made(plain_name(), 1), made(any_name(), 2), made(any_name(), 6)]) {
        let bytes = made.bytes();
        made.assert_is(&Message::parse(&bytes).unwrap());
    }

    #[test]
    fn a_cut_message_is_never_a_message(made in made(plain_name(), 1)) {
        let bytes = made.bytes();
        for length in 0..bytes.len() {
            let reason = Message::parse(&bytes[..length]).unwrap_err();
            prop_assert!(matches!(reason, Reason::Header | Reason::Count | Reason::End), "{}", reason.name());
        }
    }

    #[test]
    fn memory_that_is_used_again_keeps_nothing(first in vec(any::<u8>(), 0..100), made in made(plain_name(), 2)) {
        let mut message = Message::default();
        message.read(&made.bytes(), true).unwrap();
        prop_assert!(message.read(&first, false).is_ok() || message == Message::default());
        message.read(&made.bytes(), false).unwrap();
        made.assert_is(&message);
    }

    #[test]
    fn any_bytes_are_read_as_simple_dns_reads_them(
        made in made(plain_name(), 1),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        arbitrary in vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = made.bytes();
        for (index, value) in damage {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        for bytes in [bytes, arbitrary] {
            if let (Ok(message), Ok(packet)) = (Message::parse(&bytes), Packet::parse(&bytes)) {
                assert_same(&message, &packet);
            }
        }
    }

    #[test]
    fn messages_of_a_stream(messages in vec(made(plain_name(), 1), 1..4), cut in any::<prop::sample::Index>()) {
        let mut stream = Vec::new();
        for made in &messages {
            let bytes = made.bytes();
            stream.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
            stream.extend(bytes);
        }
        let cut = cut.index(stream.len());
        for (stream, whole) in [(stream.as_slice(), true), (&stream[..cut], false)] {
            let mut rest = stream;
            let mut read = 0;
            while let Some(framed) = dns::split_stream(rest).unwrap() {
                messages[read].assert_is(&Message::parse(framed.message).unwrap());
                read += 1;
                rest = framed.rest;
            }
            prop_assert_eq!(whole, read == messages.len() && rest.is_empty());
        }
    }
}

/// The names of simple-dns are compared in its own notation, which escapes nothing.
fn assert_same(message: &Message, packet: &Packet<'_>) {
    let name = |name: &simple_dns::Name<'_>| {
        let labels: Vec<&[u8]> = name.as_bytes().collect();
        labels.join(&b'.').to_ascii_lowercase()
    };
    let plain = |text: &str| if text == "." { Vec::new() } else { text.as_bytes().to_vec() };
    assert_eq!(message.id(), packet.id());
    // What simple-dns makes of the bits in EDNS depends on whether it has a name for the whole code.
    if packet.opt().is_none() && packet.rcode() != RCODE::Reserved {
        assert_eq!(message.response_code().0, packet.rcode() as u16);
    }
    assert_eq!(message.questions().len() + usize::from(message.questions_left_out()), packet.questions.len());
    for (question, theirs) in message.questions().zip(&packet.questions) {
        if !question.name.contains('\\') {
            assert_eq!(plain(question.name), name(&theirs.qname));
        }
        assert_eq!(question.record_type.0, u16::from(theirs.qtype));
    }
    assert_eq!(message.answers().len() + usize::from(message.answers_left_out()), packet.answers.len());
    for (answer, theirs) in message.answers().zip(&packet.answers) {
        if !answer.name.contains('\\') {
            assert_eq!(plain(answer.name), name(&theirs.name));
        }
        assert_eq!(answer.ttl, theirs.ttl);
        match (answer.data, &theirs.rdata) {
            (Data::Address(IpAddr::V4(address)), RData::A(a)) => assert_eq!(u32::from(address), a.address),
            (Data::Address(IpAddr::V6(address)), RData::AAAA(a)) => {
                assert_eq!(u128::from(address), a.address);
            }
            (Data::Name(target), RData::CNAME(cname)) if !target.contains('\\') => {
                assert_eq!(plain(target), name(&cname.0));
            }
            _ => {}
        }
    }
    // Versions are left to tshark: simple-dns takes them from the byte of the flags.
    assert_eq!(message.edns().map(|edns| edns.udp_size), packet.opt().map(|opt| opt.udp_packet_size));
}

/// Fields of tshark, in the order in which [`assert_tshark`] takes them.
const FIELDS: [&str; 15] = [
    "udp.payload",
    "dns.id",
    "dns.flags",
    "dns.qry.name",
    "dns.qry.type",
    "dns.resp.name",
    "dns.resp.type",
    "dns.resp.ttl",
    "dns.a",
    "dns.aaaa",
    "dns.cname",
    "dns.rr.udp_payload_size",
    "dns.resp.ext_rcode",
    "dns.resp.edns0_version",
    "dns.resp.z.do",
];

/// Reads the payload that tshark shows, and compares each field; all names must be plain.
fn assert_tshark(fields: &[Vec<String>]) {
    let number = |text: &String| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
        None => text.parse().unwrap(),
    };
    let numbers = |field: usize| fields[field].iter().map(number).collect::<Vec<u64>>();
    let names = |field: usize| -> Vec<String> {
        let name = |name: &String| if name == "<Root>" { ".".to_owned() } else { name.to_ascii_lowercase() };
        fields[field].iter().map(name).collect()
    };
    let payload = tshark::bytes(fields[0].last().unwrap());
    let message = Message::parse(&payload).unwrap();
    assert_eq!((vec![u64::from(message.id())], vec![u64::from(message.flags().0)]), (numbers(1), numbers(2)));
    let questions: Vec<_> = message.questions().collect();
    assert_eq!(questions.iter().map(|question| question.name).collect::<Vec<_>>(), names(3));
    let types: Vec<_> = questions.iter().map(|question| u64::from(question.record_type.0)).collect();
    assert_eq!(types, numbers(4));
    // tshark shows the records of all sections as one list.
    let answers: Vec<_> = message.answers().collect();
    let first = |mut values: Vec<u64>| {
        values.truncate(answers.len());
        values
    };
    assert_eq!(answers.iter().map(|answer| answer.name).collect::<Vec<_>>(), names(5)[..answers.len()]);
    let types: Vec<_> = answers.iter().map(|answer| u64::from(answer.record_type.0)).collect();
    assert_eq!(types, first(numbers(6)));
    assert_eq!(answers.iter().map(|answer| u64::from(answer.ttl)).collect::<Vec<_>>(), first(numbers(7)));
    let of_type = |record_type: RecordType| -> Vec<String> {
        let values = answers.iter().filter(|answer| answer.record_type == record_type);
        values
            .map(|answer| match answer.data {
                Data::Address(address) => address.to_string(),
                Data::Name(name) => name.to_owned(),
                _ => String::new(),
            })
            .collect()
    };
    assert_eq!(of_type(RecordType::A), names(8)[..of_type(RecordType::A).len()]);
    assert_eq!(of_type(RecordType::AAAA), names(9)[..of_type(RecordType::AAAA).len()]);
    assert_eq!(of_type(RecordType::CNAME), names(10));
    let of_edns = |value: fn(Edns) -> u64| message.edns().into_iter().map(value).collect::<Vec<_>>();
    assert_eq!(of_edns(|edns| u64::from(edns.udp_size)), numbers(11));
    assert_eq!(of_edns(|_| 0).len(), numbers(12).len());
    let high: Vec<_> =
        numbers(12).iter().map(|high| high << 4 | u64::from(message.flags().0 & 0x0f)).collect();
    assert_eq!(vec![u64::from(message.response_code().0); high.len()], high);
    assert_eq!(of_edns(|edns| u64::from(edns.version)), numbers(13));
    assert_eq!(of_edns(|edns| u64::from(edns.dnssec_ok)), numbers(14));
}

#[test]
fn tshark_reads_made_messages_alike() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let strategy = made(plain_name(), 1);
    let messages: Vec<_> = (0..300)
        .map(|_| {
            let mut made = strategy.new_tree(&mut runner).unwrap().current();
            // Other opcodes have other sections, which tshark shows otherwise.
            made.flags &= !0x7800;
            made.bytes()
        })
        .collect();
    let folder = TempDir::new().unwrap();
    let datagrams: Vec<_> = messages.iter().map(|message| packets::udp(40_000, 53, message)).collect();
    let capture = packets::write(folder.path(), &datagrams);
    let Some(seen) = tshark::fields(&capture, "dns", &FIELDS) else { return };
    assert_eq!(seen.len(), messages.len());
    for (fields, message) in seen.iter().zip(&messages) {
        assert_eq!(tshark::bytes(&fields[0][0]), *message);
        assert_tshark(fields);
    }
}

#[test]
fn tshark_reads_public_messages_alike() {
    let Some(capture) = packets::public("aws-mirror-vxlan.pcap") else { return };
    let Some(seen) = tshark::fields(&capture, "dns && !icmp", &FIELDS) else { return };
    assert_eq!(seen.len(), 16);
    for fields in &seen {
        assert_tshark(fields);
    }
}

#[test]
fn faults_have_names() {
    const QUESTION: &[u8] = b"\x01a\0\0\x01\0\x01";
    let message = |counts: [u16; 4], sections: &[&[u8]]| {
        let header = [0, 0x8000].into_iter().chain(counts).flat_map(u16::to_be_bytes);
        header.chain(sections.concat()).collect::<Vec<u8>>()
    };
    const OPT: &[u8] = b"\0\0\x29\x10\0\0\0\0\0\0\0";
    let cases: [(&str, Vec<u8>, Reason); 14] = [
        ("no header", vec![0; 11], Reason::Header),
        ("more questions than bytes", message([2, 0, 0, 0], &[QUESTION]), Reason::Count),
        ("more records than bytes", message([0, 0xffff, 0xffff, 0xffff], &[OPT]), Reason::Count),
        ("name runs past the end", message([1, 0, 0, 0], &[b"\x3fabcdefg"]), Reason::End),
        ("extended label", message([1, 0, 0, 0], &[b"\x41\0\0\x01\0\x01"]), Reason::LabelType),
        ("pointer to itself", message([1, 0, 0, 0], &[b"\xc0\x0c\0\x01\0\x01"]), Reason::Pointer),
        ("pointer forward", message([1, 0, 0, 0], &[b"\xc0\x0e\x01a\0\0\x01\0\x01"]), Reason::Pointer),
        (
            "A of five bytes",
            message([0, 1, 0, 0], &[b"\0\0\x01\0\x01\0\0\0\0\0\x05abcde"]),
            Reason::DataLength,
        ),
        ("AAAA of four", message([0, 1, 0, 0], &[b"\0\0\x1c\0\x01\0\0\0\0\0\x04abcd"]), Reason::DataLength),
        ("CNAME and more", message([0, 1, 0, 0], &[b"\0\0\x05\0\x01\0\0\0\0\0\x02\0\0"]), Reason::DataLength),
        ("two OPT records", message([0, 0, 0, 2], &[OPT, OPT]), Reason::Opt),
        ("OPT of a name", message([0, 0, 0, 1], &[b"\x01a", OPT]), Reason::Opt),
        (
            "option past the end",
            message([0, 0, 0, 1], &[&OPT[..9], b"\0\x05\0\x08\0\x09x"]),
            Reason::DataLength,
        ),
        (
            "hint of three bytes",
            message([0, 1, 0, 0], &[b"\0\0\x41\0\x01\0\0\0\0\0\x0a\0\x01\0\0\x04\0\x03abc"]),
            Reason::DataLength,
        ),
    ];
    for (name, bytes, reason) in cases {
        assert_eq!(Message::parse(&bytes), Err(reason), "{name}");
    }
}

#[test]
fn bounds_hold_and_the_rest_is_counted() {
    let name = ["a".repeat(63), "b".repeat(63), "c".repeat(63)].join(".");
    let answers: Vec<_> = (0..1000_u32)
        .map(|number| {
            (format!("{number}.{name}"), number, MadeData::Address(IpAddr::from(number.to_be_bytes())))
        })
        .collect();
    let questions = vec![("a".to_owned(), RecordType::A); 100];
    let made = Made { id: 1, flags: 0x8000, questions, answers, edns: None };
    let message = Message::parse(&made.bytes()).unwrap();
    made.assert_is(&message);
    assert_eq!((message.questions().len(), message.answers().len()), (dns::MAX_QUESTIONS, dns::MAX_ANSWERS));

    // A byte that cannot be printed takes four characters.
    let answers: Vec<_> = (10..40)
        .map(|number| (format!("{number}{}", ".\\001".repeat(120)), 0, MadeData::Text(vec![0])))
        .collect();
    let made = Made { id: 1, flags: 0x8000, questions: Vec::new(), answers, edns: None };
    let message = Message::parse(&made.bytes()).unwrap();
    made.assert_is(&message);
    let kept: usize = message.answers().map(|answer| answer.name.len()).sum();
    assert!((dns::MAX_TEXT..dns::MAX_TEXT + 1020).contains(&kept), "{kept}");
}

#[test]
fn services_and_multicast() {
    let mut bytes = Vec::new();
    let data = b"\0\x01\x03svc\x07example\0\0\x01\0\x03\x02h2\0\x04\0\x08\x01\x02\x03\x04\x05\x06\x07\x08";
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    let record = |class: &[u8]| [b"\x01a\0\0\x41", class, b"\0\0\0\x3c", &length, data].concat();
    bytes.extend(b"\0\0\x84\0\0\0\0\x02\0\0\0\0");
    bytes.extend(record(b"\x80\x01"));
    bytes.extend(record(b"\0\x01"));
    let mut message = Message::default();
    message.read(&bytes, true).unwrap();
    let hints = [IpAddr::from([1, 2, 3, 4]), IpAddr::from([5, 6, 7, 8])];
    let answers: Vec<_> = message.answers().collect();
    assert_eq!(answers[0].data, Data::Service { priority: 1, target: "svc.example", hints: &hints });
    assert_eq!(answers[0].data, answers[1].data);
    assert_eq!((answers[0].class, answers[0].cache_flush, answers[1].cache_flush), (Class::IN, true, false));
    message.read(&bytes, false).unwrap();
    assert_eq!(message.answers().next().unwrap().class, Class(0x8001));
}

#[test]
fn first_bytes_tell_queries_from_others() {
    let query = Made {
        id: 7,
        flags: 0x0100,
        questions: vec![("example.com".to_owned(), RecordType::A)],
        answers: Vec::new(),
        edns: None,
    };
    let bytes = query.bytes();
    let stream = [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes.as_slice()].concat();
    for length in 0..=bytes.len() {
        assert!(dns::may_begin(&bytes[..length], bytes.len()));
        assert!(dns::may_begin_stream(&stream[..length]));
    }
    for other in
        [&b"GET / HTTP/1.1\r\n\r\n\r\n"[..], b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03abcdefgh", &[0; 30]]
    {
        assert!(!dns::may_begin(other, other.len()), "{}", other.escape_ascii());
        assert!(!dns::may_begin_stream(other), "{}", other.escape_ascii());
    }
    assert_eq!(dns::split_stream(&[0, 11]), Err(Reason::Header));
}

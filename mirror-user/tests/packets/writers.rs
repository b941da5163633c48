//! The test kit's frames, which etherparse writes, against the writers of `wire`.

use std::net::IpAddr;

use mirror_testkit::traffic::{FrameSize, Profile, Share, Traffic};
use mirror_traffic::Position;
use mirror_user::number::{EtherType, IpProtocol};
use mirror_user::wire::reader::Reader;
use mirror_user::wire::{checksum, ethernet, geneve, gwlb, ipv4, ipv6, tcp, udp, vxlan};

const VXLAN_PORT: u16 = 4789;

/// The headers of `frame`, read and written again from the outermost to the innermost, and its payload.
fn written_again(frame: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(frame);
    let mut bytes = Vec::new();
    ethernet::Header::parse(&mut reader).unwrap().emit(&mut bytes);
    ipv4::Header::parse(&mut reader).unwrap().emit(&mut bytes);
    udp::Header::parse(&mut reader).unwrap().emit(&mut bytes);
    let geneve = geneve::Header::parse(&mut reader).unwrap();
    let mut options = Vec::new();
    gwlb::Identity::parse(geneve.options).unwrap().emit(&mut options);
    let options = geneve::OptionList::new(&options).unwrap();
    geneve::Header { options, ..geneve }.emit(&mut bytes);
    write_ip(geneve.protocol, &mut reader, &mut bytes);
    bytes
}

fn write_ip(ethertype: EtherType, reader: &mut Reader<'_>, bytes: &mut Vec<u8>) {
    let (source, destination, protocol): (IpAddr, IpAddr, IpProtocol) = match ethertype {
        EtherType::IPV4 => {
            let header = ipv4::Header::parse(reader).unwrap();
            header.emit(bytes);
            (header.source.into(), header.destination.into(), header.protocol)
        }
        EtherType::IPV6 => {
            let header = ipv6::Header::parse(reader).unwrap();
            header.emit(bytes);
            (header.source.into(), header.destination.into(), header.next_header)
        }
        other => panic!("{other:?}"),
    };
    match protocol {
        IpProtocol::TCP => {
            let header = tcp::Header::parse(reader).unwrap();
            reader.bytes(4).unwrap(); // checksum and urgent pointer
            header.emit(source, destination, rest(reader), bytes);
        }
        IpProtocol::UDP => {
            let mut header = udp::Header::parse(reader).unwrap();
            if header.ports.destination == VXLAN_PORT {
                header.emit(bytes);
                vxlan::Header::parse(reader).unwrap().emit(bytes);
                let ethernet = ethernet::Header::parse(reader).unwrap();
                ethernet.emit(bytes);
                return write_ip(ethernet.ethertype, reader, bytes);
            }
            let payload = rest(reader);
            let mut segment = Vec::new();
            header.checksum = 0;
            header.emit(&mut segment);
            segment.extend(payload);
            header.checksum = checksum::transport(source, destination, IpProtocol::UDP, &segment);
            header.emit(bytes);
            bytes.extend(payload);
        }
        _ => bytes.extend(rest(reader)),
    }
}

fn rest<'a>(reader: &mut Reader<'a>) -> &'a [u8] {
    reader.bytes(reader.remaining()).unwrap()
}

#[test]
fn the_writers_of_wire_write_the_same_frames() {
    let share = |fraction| Share::new(fraction).unwrap();
    let profile = Profile {
        frame_size: FrameSize::InternetMix,
        flows: 500,
        vxlan: share(0.5),
        ipv6: share(0.5),
        udp: share(0.4),
        icmp: share(0.2),
        ..Profile::default()
    };
    let traffic = Traffic::new(&profile).unwrap();
    let mut buffer = traffic.buffer();
    for number in 0..5000 {
        let frame = traffic.frame(&Position::new(number, profile.flows), &mut buffer).bytes;
        assert_eq!(written_again(frame), frame, "packet {number}");
    }
}

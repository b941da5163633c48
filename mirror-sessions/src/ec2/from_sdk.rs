//! Conversion of the SDK's types to this program's.

use aws_sdk_ec2::types;

use crate::filter_rule::{Direction, FilterAction, FilterRule, PortRange};
use crate::resource::{
    Attachment, Endpoint, Filter, Instance, InstanceState, Interface, Session, Tags, Target,
};

/// A field that an answer lacks although the API reference says that it is always there, or whose value is none that the
/// API reference allows.
pub(super) struct Malformed(pub(super) &'static str);

fn tags(tags: &[types::Tag]) -> Tags {
    tags.iter()
        .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
        .collect()
}

pub(super) fn interface(interface: &types::NetworkInterface) -> Result<Interface, Malformed> {
    Ok(Interface {
        id: interface.network_interface_id().ok_or(Malformed("interface id"))?.into(),
        attachment: interface.attachment().and_then(attachment),
        interface_type: interface
            .interface_type()
            .map_or_else(|| "interface".to_owned(), |kind| kind.as_str().to_owned()),
        vpc: interface.vpc_id().unwrap_or_default().to_owned(),
        subnet: interface.subnet_id().unwrap_or_default().to_owned(),
        zone: interface.availability_zone().unwrap_or_default().to_owned(),
        addresses: addresses(interface),
        tags: tags(interface.tag_set()),
    })
}

fn attachment(attachment: &types::NetworkInterfaceAttachment) -> Option<Attachment> {
    use types::AttachmentStatus::{Detached, Detaching};
    if matches!(attachment.status(), Some(Detached | Detaching)) {
        return None;
    }
    Some(Attachment {
        instance: attachment.instance_id()?.into(),
        primary: attachment.device_index() == Some(0) && attachment.network_card_index().unwrap_or(0) == 0,
        since: attachment.attach_time().map_or(0, aws_sdk_ec2::primitives::DateTime::secs),
    })
}

fn addresses(interface: &types::NetworkInterface) -> Vec<std::net::IpAddr> {
    let v4 = interface.private_ip_addresses();
    let (primary, others): (Vec<_>, Vec<_>) = v4.iter().partition(|address| address.primary() == Some(true));
    let v4 = primary.into_iter().chain(others).filter_map(|address| address.private_ip_address());
    let v6 = interface.ipv6_addresses().iter().filter_map(|address| address.ipv6_address());
    v4.chain(v6).filter_map(|text| text.parse().ok()).collect()
}

pub(super) fn instances(reservations: Option<Vec<types::Reservation>>) -> Vec<types::Instance> {
    let reservations = reservations.unwrap_or_default().into_iter();
    reservations.flat_map(|reservation| reservation.instances.unwrap_or_default()).collect()
}

pub(super) fn instance(instance: &types::Instance) -> Result<Instance, Malformed> {
    let state = instance.state().and_then(|state| state.name()).and_then(state);
    Ok(Instance {
        id: instance.instance_id().ok_or(Malformed("instance id"))?.into(),
        instance_type: instance.instance_type().map_or("", types::InstanceType::as_str).to_owned(),
        state: state.ok_or(Malformed("instance state"))?,
        launched: instance.launch_time().map_or(0, aws_sdk_ec2::primitives::DateTime::secs),
        tags: tags(instance.tags()),
    })
}

fn state(name: &types::InstanceStateName) -> Option<InstanceState> {
    use types::InstanceStateName as Name;
    Some(match name {
        Name::Pending => InstanceState::Pending,
        Name::Running => InstanceState::Running,
        Name::Stopping => InstanceState::Stopping,
        Name::Stopped => InstanceState::Stopped,
        Name::ShuttingDown => InstanceState::ShuttingDown,
        Name::Terminated => InstanceState::Terminated,
        _ => return None,
    })
}

pub(super) fn session(session: &types::TrafficMirrorSession) -> Result<Session, Malformed> {
    let number = session.session_number().and_then(|number| u16::try_from(number).ok());
    Ok(Session {
        id: session.traffic_mirror_session_id().ok_or(Malformed("session id"))?.into(),
        interface: session.network_interface_id().ok_or(Malformed("interface id"))?.into(),
        target: session.traffic_mirror_target_id().unwrap_or_default().into(),
        filter: session.traffic_mirror_filter_id().unwrap_or_default().into(),
        number: number.ok_or(Malformed("session number"))?,
        packet_length: session.packet_length().and_then(|length| u16::try_from(length).ok()),
        vni: session.virtual_network_id().and_then(|id| u32::try_from(id).ok()).unwrap_or(0),
        description: session.description().unwrap_or_default().to_owned(),
        tags: tags(session.tags()),
    })
}

pub(super) fn filter(filter: &types::TrafficMirrorFilter) -> Result<Filter, Malformed> {
    let rules = filter.ingress_filter_rules().iter().chain(filter.egress_filter_rules()).map(|rule| {
        let id = rule.traffic_mirror_filter_rule_id().ok_or(Malformed("filter rule id"))?;
        Ok((id.into(), filter_rule(rule).ok_or(Malformed("filter rule"))?))
    });
    Ok(Filter {
        id: filter.traffic_mirror_filter_id().ok_or(Malformed("filter id"))?.into(),
        rules: rules.collect::<Result<_, Malformed>>()?,
        network_services: filter
            .network_services()
            .iter()
            .map(|service| service.as_str().to_owned())
            .collect(),
        tags: tags(filter.tags()),
    })
}

fn filter_rule(rule: &types::TrafficMirrorFilterRule) -> Option<FilterRule> {
    Some(FilterRule {
        direction: match rule.traffic_direction()? {
            types::TrafficDirection::Ingress => Direction::Ingress,
            types::TrafficDirection::Egress => Direction::Egress,
            _ => return None,
        },
        number: u16::try_from(rule.rule_number()?).ok()?,
        action: match rule.rule_action()? {
            types::TrafficMirrorRuleAction::Accept => FilterAction::Accept,
            types::TrafficMirrorRuleAction::Reject => FilterAction::Reject,
            _ => return None,
        },
        protocol: rule.protocol().and_then(|protocol| u8::try_from(protocol).ok()),
        source: rule.source_cidr_block()?.parse().ok()?,
        destination: rule.destination_cidr_block()?.parse().ok()?,
        source_ports: rule.source_port_range().and_then(ports),
        destination_ports: rule.destination_port_range().and_then(ports),
    })
}

fn ports(range: &types::TrafficMirrorPortRange) -> Option<PortRange> {
    let port = |port: Option<i32>| port.and_then(|port| u16::try_from(port).ok());
    Some(PortRange { from: port(range.from_port())?, to: port(range.to_port())? })
}

pub(super) fn target(target: &types::TrafficMirrorTarget) -> Result<Target, Malformed> {
    Ok(Target {
        id: target.traffic_mirror_target_id().ok_or(Malformed("target id"))?.into(),
        endpoint: target.gateway_load_balancer_endpoint_id().filter(|id| !id.is_empty()).map(Into::into),
        tags: tags(target.tags()),
    })
}

pub(super) fn endpoint(endpoint: &types::VpcEndpoint) -> Result<Endpoint, Malformed> {
    Ok(Endpoint {
        id: endpoint.vpc_endpoint_id().ok_or(Malformed("endpoint id"))?.into(),
        endpoint_type: endpoint.vpc_endpoint_type().map_or("", types::VpcEndpointType::as_str).to_owned(),
        state: endpoint.state().map_or("", types::State::as_str).to_ascii_lowercase(),
        interfaces: endpoint.network_interface_ids().iter().map(|id| id.as_str().into()).collect(),
    })
}

/// Name and id of a zone.
pub(super) fn zone(zone: &types::AvailabilityZone) -> Option<(String, String)> {
    Some((zone.zone_name()?.to_owned(), zone.zone_id()?.to_owned()))
}

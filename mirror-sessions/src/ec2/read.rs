//! Describe calls, and from the SDK's types to ours.

use std::collections::BTreeMap;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types;

use super::failure;
use crate::api::{ApiError, ApiErrorKind, Endpoint, Only, Page};
use crate::observed::{Attachment, Filter, Instance, InstanceState, Interface, Session, Tags, Target};
use crate::policy::filter::{Direction, FilterAction, FilterRule, PortRange};

/// Items on a page, the most that these calls allow.
const PAGE: i32 = 1000;

fn filters_of(only: Option<&Only>) -> Option<Vec<types::Filter>> {
    only.map(|Only { name, values }| {
        vec![types::Filter::builder().name(*name).set_values(Some(values.clone())).build()]
    })
}

fn tags(tags: &[types::Tag]) -> Tags {
    tags.iter()
        .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
        .collect()
}

/// An answer that lacks what the API reference says is always there, or has a value that it does not allow.
fn malformed(operation: &'static str, what: &str) -> ApiError {
    ApiError {
        operation,
        kind: ApiErrorKind::Refused,
        code: "MalformedAnswer".to_owned(),
        message: format!("the answer has no {what} that can be understood"),
    }
}

pub(super) async fn interfaces(
    client: &Client,
    only: Option<&Only>,
    page: Option<String>,
) -> Result<Page<Interface>, ApiError> {
    const OPERATION: &str = "DescribeNetworkInterfaces";
    let answer = client
        .describe_network_interfaces()
        .set_filters(filters_of(only))
        .max_results(PAGE)
        .set_next_token(page)
        .send()
        .await
        .map_err(|error| failure(OPERATION, &error))?;
    let items = answer.network_interfaces().iter().map(|interface| {
        let id = interface.network_interface_id().ok_or_else(|| malformed(OPERATION, "interface id"))?;
        Ok(Interface {
            id: id.into(),
            attachment: interface.attachment().and_then(attachment),
            kind: interface
                .interface_type()
                .map_or_else(|| "interface".to_owned(), |kind| kind.as_str().to_owned()),
            vpc: interface.vpc_id().unwrap_or_default().to_owned(),
            subnet: interface.subnet_id().unwrap_or_default().to_owned(),
            zone: interface.availability_zone().unwrap_or_default().to_owned(),
            addresses: addresses(interface),
            tags: tags(interface.tag_set()),
        })
    });
    Ok(Page { items: items.collect::<Result<_, _>>()?, next: answer.next_token().map(str::to_owned) })
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

pub(super) async fn instances(
    client: &Client,
    only: Option<&Only>,
    page: Option<String>,
) -> Result<Page<Instance>, ApiError> {
    const OPERATION: &str = "DescribeInstances";
    let answer = client
        .describe_instances()
        .set_filters(filters_of(only))
        .max_results(PAGE)
        .set_next_token(page)
        .send()
        .await
        .map_err(|error| failure(OPERATION, &error))?;
    let instances = answer.reservations().iter().flat_map(types::Reservation::instances);
    let items = instances.map(|instance| {
        let id = instance.instance_id().ok_or_else(|| malformed(OPERATION, "instance id"))?;
        let state = instance.state().and_then(|state| state.name()).and_then(state);
        Ok(Instance {
            id: id.into(),
            instance_type: instance.instance_type().map_or("", types::InstanceType::as_str).to_owned(),
            state: state.ok_or_else(|| malformed(OPERATION, "instance state"))?,
            launched: instance.launch_time().map_or(0, aws_sdk_ec2::primitives::DateTime::secs),
            tags: tags(instance.tags()),
        })
    });
    Ok(Page { items: items.collect::<Result<_, _>>()?, next: answer.next_token().map(str::to_owned) })
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

pub(super) async fn sessions(
    client: &Client,
    only: Option<&Only>,
    page: Option<String>,
) -> Result<Page<Session>, ApiError> {
    const OPERATION: &str = "DescribeTrafficMirrorSessions";
    let answer = client
        .describe_traffic_mirror_sessions()
        .set_filters(filters_of(only))
        .max_results(PAGE)
        .set_next_token(page)
        .send()
        .await
        .map_err(|error| failure(OPERATION, &error))?;
    let items = answer.traffic_mirror_sessions().iter().map(|session| {
        let id = session.traffic_mirror_session_id().ok_or_else(|| malformed(OPERATION, "session id"))?;
        let interface = session.network_interface_id().ok_or_else(|| malformed(OPERATION, "interface id"))?;
        let number = session.session_number().and_then(|number| u16::try_from(number).ok());
        Ok(Session {
            id: id.into(),
            interface: interface.into(),
            target: session.traffic_mirror_target_id().unwrap_or_default().into(),
            filter: session.traffic_mirror_filter_id().unwrap_or_default().into(),
            number: number.ok_or_else(|| malformed(OPERATION, "session number"))?,
            packet_length: session.packet_length().and_then(|length| u16::try_from(length).ok()),
            vni: session.virtual_network_id().and_then(|id| u32::try_from(id).ok()).unwrap_or(0),
            description: session.description().unwrap_or_default().to_owned(),
            tags: tags(session.tags()),
        })
    });
    Ok(Page { items: items.collect::<Result<_, _>>()?, next: answer.next_token().map(str::to_owned) })
}

pub(super) async fn filters(
    client: &Client,
    only: Option<&Only>,
    page: Option<String>,
) -> Result<Page<Filter>, ApiError> {
    const OPERATION: &str = "DescribeTrafficMirrorFilters";
    let answer = client
        .describe_traffic_mirror_filters()
        .set_filters(filters_of(only))
        .max_results(PAGE)
        .set_next_token(page)
        .send()
        .await
        .map_err(|error| failure(OPERATION, &error))?;
    let items = answer.traffic_mirror_filters().iter().map(|filter| {
        let id = filter.traffic_mirror_filter_id().ok_or_else(|| malformed(OPERATION, "filter id"))?;
        let rules = filter.ingress_filter_rules().iter().chain(filter.egress_filter_rules()).map(|rule| {
            let id =
                rule.traffic_mirror_filter_rule_id().ok_or_else(|| malformed(OPERATION, "filter rule id"))?;
            let rule = filter_rule(rule).ok_or_else(|| malformed(OPERATION, "filter rule"))?;
            Ok((id.into(), rule))
        });
        Ok(Filter {
            id: id.into(),
            rules: rules.collect::<Result<BTreeMap<_, _>, ApiError>>()?,
            network_services: filter
                .network_services()
                .iter()
                .map(|service| service.as_str().to_owned())
                .collect(),
            tags: tags(filter.tags()),
        })
    });
    Ok(Page { items: items.collect::<Result<_, _>>()?, next: answer.next_token().map(str::to_owned) })
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

pub(super) async fn targets(
    client: &Client,
    only: Option<&Only>,
    page: Option<String>,
) -> Result<Page<Target>, ApiError> {
    const OPERATION: &str = "DescribeTrafficMirrorTargets";
    let answer = client
        .describe_traffic_mirror_targets()
        .set_filters(filters_of(only))
        .max_results(PAGE)
        .set_next_token(page)
        .send()
        .await
        .map_err(|error| failure(OPERATION, &error))?;
    let items = answer.traffic_mirror_targets().iter().map(|target| {
        let id = target.traffic_mirror_target_id().ok_or_else(|| malformed(OPERATION, "target id"))?;
        Ok(Target {
            id: id.into(),
            endpoint: target.gateway_load_balancer_endpoint_id().filter(|id| !id.is_empty()).map(Into::into),
            tags: tags(target.tags()),
        })
    });
    Ok(Page { items: items.collect::<Result<_, _>>()?, next: answer.next_token().map(str::to_owned) })
}

pub(super) async fn endpoints(
    client: &Client,
    only: Option<&Only>,
    page: Option<String>,
) -> Result<Page<Endpoint>, ApiError> {
    const OPERATION: &str = "DescribeVpcEndpoints";
    let answer = client
        .describe_vpc_endpoints()
        .set_filters(filters_of(only))
        .max_results(PAGE)
        .set_next_token(page)
        .send()
        .await
        .map_err(|error| failure(OPERATION, &error))?;
    let items = answer.vpc_endpoints().iter().map(|endpoint| {
        let id = endpoint.vpc_endpoint_id().ok_or_else(|| malformed(OPERATION, "endpoint id"))?;
        Ok(Endpoint {
            id: id.into(),
            kind: endpoint.vpc_endpoint_type().map_or("", types::VpcEndpointType::as_str).to_owned(),
            state: endpoint.state().map_or("", types::State::as_str).to_ascii_lowercase(),
            interfaces: endpoint.network_interface_ids().iter().map(|id| id.as_str().into()).collect(),
        })
    });
    Ok(Page { items: items.collect::<Result<_, _>>()?, next: answer.next_token().map(str::to_owned) })
}

pub(super) async fn zones(client: &Client) -> Result<Vec<(String, String)>, ApiError> {
    let answer = client
        .describe_availability_zones()
        .send()
        .await
        .map_err(|error| failure("DescribeAvailabilityZones", &error))?;
    let names =
        |zone: &types::AvailabilityZone| Some((zone.zone_name()?.to_owned(), zone.zone_id()?.to_owned()));
    Ok(answer.availability_zones().iter().filter_map(names).collect())
}

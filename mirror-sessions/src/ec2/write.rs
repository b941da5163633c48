//! Changing calls, and conversion of this program's types to the SDK's.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types;

use crate::api::{CallOptions, Write};
use crate::api_error::ApiError;
use crate::filter_rule::{Direction, FilterAction, FilterRule, PortRange};
use crate::resource::Tags;
use crate::sdk_error::api_error;

/// Makes one changing call; returns the id of the resource.
pub(super) async fn write(
    client: &Client,
    write: &Write,
    options: CallOptions<'_>,
) -> Result<String, ApiError> {
    let operation = write.operation();
    let CallOptions { client_token, dry_run } = options;
    // A macro, as every call has its own builder and its own type of error.
    macro_rules! send {
        ($call:expr) => {
            $call.dry_run(dry_run).send().await.map_err(|error| api_error(operation, &error))?
        };
    }
    let id = match write {
        Write::CreateTarget { endpoint, tags } => {
            let answer = send!(
                client
                    .create_traffic_mirror_target()
                    .gateway_load_balancer_endpoint_id(endpoint.as_str())
                    .tag_specifications(specification(types::ResourceType::TrafficMirrorTarget, tags))
                    .client_token(client_token)
            );
            answer
                .traffic_mirror_target()
                .and_then(|target| target.traffic_mirror_target_id())
                .map(str::to_owned)
        }
        Write::CreateFilter { tags } => {
            let answer = send!(
                client
                    .create_traffic_mirror_filter()
                    .tag_specifications(specification(types::ResourceType::TrafficMirrorFilter, tags))
                    .client_token(client_token)
            );
            answer
                .traffic_mirror_filter()
                .and_then(|filter| filter.traffic_mirror_filter_id())
                .map(str::to_owned)
        }
        Write::CreateFilterRule { filter, rule } => {
            let answer = send!(
                client
                    .create_traffic_mirror_filter_rule()
                    .traffic_mirror_filter_id(filter.as_str())
                    .traffic_direction(direction(rule.direction))
                    .rule_number(rule.number.into())
                    .rule_action(action(rule.action))
                    .source_cidr_block(rule.source.to_string())
                    .destination_cidr_block(rule.destination.to_string())
                    .set_protocol(rule.protocol.map(Into::into))
                    .set_source_port_range(rule.source_ports.map(ports))
                    .set_destination_port_range(rule.destination_ports.map(ports))
                    .client_token(client_token)
            );
            let rule = answer.traffic_mirror_filter_rule();
            rule.and_then(|rule| rule.traffic_mirror_filter_rule_id()).map(str::to_owned)
        }
        Write::ModifyFilterRule { id, from, to } => {
            send!(
                client
                    .modify_traffic_mirror_filter_rule()
                    .traffic_mirror_filter_rule_id(id.as_str())
                    .rule_action(action(to.action))
                    .source_cidr_block(to.source.to_string())
                    .destination_cidr_block(to.destination.to_string())
                    .set_protocol(to.protocol.map(Into::into))
                    .set_source_port_range(to.source_ports.map(ports))
                    .set_destination_port_range(to.destination_ports.map(ports))
                    .set_remove_fields(removed_fields(from, to))
            );
            Some(id.to_string())
        }
        Write::DeleteFilterRule { id } => {
            send!(client.delete_traffic_mirror_filter_rule().traffic_mirror_filter_rule_id(id.as_str()));
            Some(id.to_string())
        }
        Write::ModifyNetworkServices { filter, add, remove } => {
            let services = |names: &std::collections::BTreeSet<String>| -> Option<Vec<_>> {
                let names = names.iter().map(|name| types::TrafficMirrorNetworkService::from(name.as_str()));
                Some(names.collect::<Vec<_>>()).filter(|names| !names.is_empty())
            };
            send!(
                client
                    .modify_traffic_mirror_filter_network_services()
                    .traffic_mirror_filter_id(filter.as_str())
                    .set_add_network_services(services(add))
                    .set_remove_network_services(services(remove))
            );
            Some(filter.to_string())
        }
        Write::CreateSession { interface, target, filter, number, packet_length, vni, description, tags } => {
            let answer = send!(
                client
                    .create_traffic_mirror_session()
                    .network_interface_id(interface.as_str())
                    .traffic_mirror_target_id(target.as_str())
                    .traffic_mirror_filter_id(filter.as_str())
                    .session_number((*number).into())
                    .set_packet_length(packet_length.map(Into::into))
                    .set_virtual_network_id(vni.and_then(|vni| vni.try_into().ok()))
                    .description(description)
                    .tag_specifications(specification(types::ResourceType::TrafficMirrorSession, tags))
                    .client_token(client_token)
            );
            let session = answer.traffic_mirror_session();
            session.and_then(|session| session.traffic_mirror_session_id()).map(str::to_owned)
        }
        Write::ModifySession { id, target, filter, number, packet_length, vni, description } => {
            let whole_packets = *packet_length == Some(None);
            send!(
                client
                    .modify_traffic_mirror_session()
                    .traffic_mirror_session_id(id.as_str())
                    .set_traffic_mirror_target_id(target.as_ref().map(ToString::to_string))
                    .set_traffic_mirror_filter_id(filter.as_ref().map(ToString::to_string))
                    .set_session_number(number.map(Into::into))
                    .set_packet_length(packet_length.flatten().map(Into::into))
                    .set_virtual_network_id(vni.and_then(|vni| vni.try_into().ok()))
                    .set_description(description.clone())
                    .set_remove_fields(
                        whole_packets.then(|| vec![types::TrafficMirrorSessionField::PacketLength])
                    )
            );
            Some(id.to_string())
        }
        Write::SetTags { resource, tags } => {
            send!(client.create_tags().resources(resource).set_tags(Some(sdk_tags(tags))));
            Some(resource.clone())
        }
        Write::RemoveTags { resource, keys } => {
            let keys = keys.iter().map(|key| types::Tag::builder().key(key).build()).collect();
            send!(client.delete_tags().resources(resource).set_tags(Some(keys)));
            Some(resource.clone())
        }
        Write::DeleteSession { id } => {
            send!(client.delete_traffic_mirror_session().traffic_mirror_session_id(id.as_str()));
            Some(id.to_string())
        }
        Write::DeleteFilter { id } => {
            send!(client.delete_traffic_mirror_filter().traffic_mirror_filter_id(id.as_str()));
            Some(id.to_string())
        }
        Write::DeleteTarget { id } => {
            send!(client.delete_traffic_mirror_target().traffic_mirror_target_id(id.as_str()));
            Some(id.to_string())
        }
    };
    Ok(id.unwrap_or_default())
}

fn sdk_tags(tags: &Tags) -> Vec<types::Tag> {
    tags.iter().map(|(key, value)| types::Tag::builder().key(key).value(value).build()).collect()
}

fn specification(kind: types::ResourceType, tags: &Tags) -> types::TagSpecification {
    types::TagSpecification::builder().resource_type(kind).set_tags(Some(sdk_tags(tags))).build()
}

const fn direction(direction: Direction) -> types::TrafficDirection {
    match direction {
        Direction::Ingress => types::TrafficDirection::Ingress,
        Direction::Egress => types::TrafficDirection::Egress,
    }
}

const fn action(action: FilterAction) -> types::TrafficMirrorRuleAction {
    match action {
        FilterAction::Accept => types::TrafficMirrorRuleAction::Accept,
        FilterAction::Reject => types::TrafficMirrorRuleAction::Reject,
    }
}

fn ports(PortRange { from, to }: PortRange) -> types::TrafficMirrorPortRangeRequest {
    types::TrafficMirrorPortRangeRequest::builder().from_port(from.into()).to_port(to.into()).build()
}

/// The fields that the rule has and should not have.
fn removed_fields(from: &FilterRule, to: &FilterRule) -> Option<Vec<types::TrafficMirrorFilterRuleField>> {
    use types::TrafficMirrorFilterRuleField as Field;
    let fields = [
        (Field::Protocol, from.protocol.is_some() && to.protocol.is_none()),
        (Field::SourcePortRange, from.source_ports.is_some() && to.source_ports.is_none()),
        (Field::DestinationPortRange, from.destination_ports.is_some() && to.destination_ports.is_none()),
    ];
    let removed: Vec<_> =
        fields.into_iter().filter_map(|(field, removed)| removed.then_some(field)).collect();
    Some(removed).filter(|removed| !removed.is_empty())
}

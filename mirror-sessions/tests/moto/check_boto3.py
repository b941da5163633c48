"""Checks the extension with boto3: every action, and every check that it makes. Argument: the server's URL."""

import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

URL = sys.argv[1]
KEYS = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
ec2 = boto3.client("ec2", region_name="eu-west-1", endpoint_url=URL, config=Config(retries={"max_attempts": 0}), **KEYS)
CHECKS = 0


def check(condition, what):
    global CHECKS
    CHECKS += 1
    if not condition:
        raise SystemExit(f"FAILED: {what}")


def refused(code, call, **parameters):
    try:
        call(**parameters)
    except ClientError as error:
        check(error.response["Error"]["Code"] == code, f"{call.__name__}: {error.response['Error']} instead of {code}")
    else:
        raise SystemExit(f"FAILED: {call.__name__} was not refused with {code}")


def main():
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    enis = [ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"] for _ in range(7)]
    endpoint = ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName="com.amazonaws.vpce.eu-west-1.vpce-svc-1", VpcEndpointType="GatewayLoadBalancer", SubnetIds=[subnet]
    )["VpcEndpoint"]["VpcEndpointId"]

    # Targets
    refused("InvalidParameterCombination", ec2.create_traffic_mirror_target)
    refused("InvalidVpcEndpointId.NotFound", ec2.create_traffic_mirror_target, GatewayLoadBalancerEndpointId="vpce-1")
    refused("DryRunOperation", ec2.create_traffic_mirror_target, GatewayLoadBalancerEndpointId=endpoint, DryRun=True)
    tag = {"ResourceType": "traffic-mirror-target", "Tags": [{"Key": "k", "Value": "v"}]}
    made = ec2.create_traffic_mirror_target(GatewayLoadBalancerEndpointId=endpoint, TagSpecifications=[tag], ClientToken="t1")
    target = made["TrafficMirrorTarget"]
    check(target["Type"] == "gateway-load-balancer-endpoint", "target type")
    check(target["Tags"] == [{"Key": "k", "Value": "v"}], "target tags")
    again = ec2.create_traffic_mirror_target(GatewayLoadBalancerEndpointId=endpoint, TagSpecifications=[tag], ClientToken="t1")
    check(again["TrafficMirrorTarget"]["TrafficMirrorTargetId"] == target["TrafficMirrorTargetId"], "the same token makes nothing new")
    refused("IdempotentParameterMismatch", ec2.create_traffic_mirror_target, GatewayLoadBalancerEndpointId=endpoint, ClientToken="t1")
    target = target["TrafficMirrorTargetId"]
    check(len(ec2.describe_traffic_mirror_targets()["TrafficMirrorTargets"]) == 1, "one target")

    # Filters
    refused("DryRunOperation", ec2.create_traffic_mirror_filter, DryRun=True)
    mirror_filter = ec2.create_traffic_mirror_filter(Description="d", ClientToken="f1")["TrafficMirrorFilter"]["TrafficMirrorFilterId"]
    rule = {
        "TrafficMirrorFilterId": mirror_filter, "TrafficDirection": "ingress", "RuleNumber": 1, "RuleAction": "accept",
        "SourceCidrBlock": "0.0.0.0/0", "DestinationCidrBlock": "10.0.0.0/8",
    }
    create = ec2.create_traffic_mirror_filter_rule
    refused("InvalidTrafficMirrorFilterId.NotFound", create, **{**rule, "TrafficMirrorFilterId": "tmf-1"})
    refused("InvalidParameterValue", create, **{**rule, "SourceCidrBlock": "10.0.0.1/8"})
    refused("InvalidParameterValue", create, **{**rule, "RuleNumber": 0})
    refused("InvalidParameterCombination", create, **{**rule, "SourceCidrBlock": "::/0"})
    refused("InvalidParameterCombination", create, **rule, SourcePortRange={"FromPort": 1, "ToPort": 2})
    first = create(**rule, Protocol=6, DestinationPortRange={"FromPort": 443, "ToPort": 444})["TrafficMirrorFilterRule"]
    check(first["DestinationPortRange"] == {"FromPort": 443, "ToPort": 444}, "port range")
    refused("TrafficMirrorFilterRuleAlreadyExists", create, **rule)
    for number in range(2, 11):
        create(**{**rule, "RuleNumber": number})
    refused("TrafficMirrorFilterRuleLimitExceeded", create, **{**rule, "RuleNumber": 11})
    rule_id = first["TrafficMirrorFilterRuleId"]
    changed = ec2.modify_traffic_mirror_filter_rule(
        TrafficMirrorFilterRuleId=rule_id, RuleAction="reject", RemoveFields=["destination-port-range", "protocol"]
    )["TrafficMirrorFilterRule"]
    check(changed["RuleAction"] == "reject" and "DestinationPortRange" not in changed and "Protocol" not in changed, "modified rule")
    refused("TrafficMirrorFilterRuleAlreadyExists", ec2.modify_traffic_mirror_filter_rule, TrafficMirrorFilterRuleId=rule_id, RuleNumber=2)
    check(len(ec2.describe_traffic_mirror_filter_rules(TrafficMirrorFilterId=mirror_filter)["TrafficMirrorFilterRules"]) == 10, "ten rules")
    refused("DryRunOperation", ec2.delete_traffic_mirror_filter_rule, TrafficMirrorFilterRuleId=rule_id, DryRun=True)
    ec2.delete_traffic_mirror_filter_rule(TrafficMirrorFilterRuleId=rule_id)
    refused("InvalidTrafficMirrorFilterRuleId.NotFound", ec2.delete_traffic_mirror_filter_rule, TrafficMirrorFilterRuleId=rule_id)
    services = ec2.modify_traffic_mirror_filter_network_services
    check(services(TrafficMirrorFilterId=mirror_filter, AddNetworkServices=["amazon-dns"])["TrafficMirrorFilter"]["NetworkServices"] == ["amazon-dns"], "service added")
    check(services(TrafficMirrorFilterId=mirror_filter, RemoveNetworkServices=["amazon-dns"])["TrafficMirrorFilter"]["NetworkServices"] == [], "service removed")
    [described] = ec2.describe_traffic_mirror_filters(Filters=[{"Name": "description", "Values": ["d"]}])["TrafficMirrorFilters"]
    check(len(described["IngressFilterRules"]) == 9 and described["EgressFilterRules"] == [], "described filter")

    # Sessions
    session = {"NetworkInterfaceId": enis[0], "TrafficMirrorTargetId": target, "TrafficMirrorFilterId": mirror_filter, "SessionNumber": 1}
    create = ec2.create_traffic_mirror_session
    refused("InvalidNetworkInterfaceID.NotFound", create, **{**session, "NetworkInterfaceId": "eni-1"})
    refused("InvalidTrafficMirrorTargetId.NotFound", create, **{**session, "TrafficMirrorTargetId": "tmt-1"})
    refused("InvalidTrafficMirrorFilterId.NotFound", create, **{**session, "TrafficMirrorFilterId": "tmf-1"})
    refused("InvalidParameterValue", create, **{**session, "SessionNumber": 32767})
    refused("InvalidParameterValue", create, **session, PacketLength=8501)
    refused("InvalidParameterValue", create, **session, VirtualNetworkId=1 << 24)
    refused("DryRunOperation", create, **session, DryRun=True)
    tags = [{"ResourceType": "traffic-mirror-session", "Tags": [{"Key": "a", "Value": "b"}]}]
    one = create(**session, VirtualNetworkId=7, PacketLength=100, Description="s", TagSpecifications=tags, ClientToken="s1")["TrafficMirrorSession"]
    check((one["VirtualNetworkId"], one["PacketLength"], one["Tags"]) == (7, 100, [{"Key": "a", "Value": "b"}]), "session")
    refused("InvalidParameterValue", create, **session)
    for number in (2, 3):
        check(0 < create(**{**session, "SessionNumber": number})["TrafficMirrorSession"]["VirtualNetworkId"] < 1 << 24, "a VNI is chosen")
    refused("TrafficMirrorSessionsPerInterfaceLimitExceeded", create, **{**session, "SessionNumber": 4})
    modify = ec2.modify_traffic_mirror_session
    refused("InvalidParameterValue", modify, TrafficMirrorSessionId=one["TrafficMirrorSessionId"], SessionNumber=2)
    changed = modify(TrafficMirrorSessionId=one["TrafficMirrorSessionId"], SessionNumber=9, RemoveFields=["packet-length"])["TrafficMirrorSession"]
    check(changed["SessionNumber"] == 9 and "PacketLength" not in changed, "modified session")
    refused("InvalidTrafficMirrorSessionId.NotFound", modify, TrafficMirrorSessionId="tms-1", SessionNumber=2)
    refused("TrafficMirrorFilterInUse", ec2.delete_traffic_mirror_filter, TrafficMirrorFilterId=mirror_filter)
    refused("TrafficMirrorTargetInUseException", ec2.delete_traffic_mirror_target, TrafficMirrorTargetId=target)
    ec2.create_tags(Resources=[one["TrafficMirrorSessionId"]], Tags=[{"Key": "c", "Value": "d"}])
    describe = ec2.describe_traffic_mirror_sessions
    [found] = describe(Filters=[{"Name": "virtual-network-id", "Values": ["7"]}])["TrafficMirrorSessions"]
    check({"Key": "c", "Value": "d"} in found["Tags"], "tags set later")
    check(len(describe(Filters=[{"Name": "network-interface-id", "Values": enis[:1]}])["TrafficMirrorSessions"]) == 3, "by interface")
    refused("InvalidParameterValue", describe, Filters=[{"Name": "tag:a", "Values": ["b"]}])
    refused("InvalidTrafficMirrorSessionId.NotFound", describe, TrafficMirrorSessionIds=["tms-1"])
    for eni in enis[1:]:
        create(**{**session, "NetworkInterfaceId": eni})
    pages = list(ec2.get_paginator("describe_traffic_mirror_sessions").paginate(PaginationConfig={"PageSize": 5}))
    ids = [s["TrafficMirrorSessionId"] for page in pages for s in page["TrafficMirrorSessions"]]
    check([len(page["TrafficMirrorSessions"]) for page in pages] == [5, 4], "pages")
    check(len(set(ids)) == 9, "every session on one page")

    # Deleting, in the order that works; the token outlives its resource
    ec2.delete_network_interface(NetworkInterfaceId=enis[0])
    check(len(describe()["TrafficMirrorSessions"]) == 6, "sessions go with their interface")
    for found in describe()["TrafficMirrorSessions"]:
        ec2.delete_traffic_mirror_session(TrafficMirrorSessionId=found["TrafficMirrorSessionId"])
    refused("InvalidTrafficMirrorSessionId.NotFound", ec2.delete_traffic_mirror_session, TrafficMirrorSessionId=found["TrafficMirrorSessionId"])
    refused("DryRunOperation", ec2.delete_traffic_mirror_filter, TrafficMirrorFilterId=mirror_filter, DryRun=True)
    ec2.delete_traffic_mirror_filter(TrafficMirrorFilterId=mirror_filter)
    refused("InvalidTrafficMirrorFilterId.NotFound", ec2.delete_traffic_mirror_filter, TrafficMirrorFilterId=mirror_filter)
    ghost = ec2.create_traffic_mirror_filter(Description="d", ClientToken="f1")["TrafficMirrorFilter"]["TrafficMirrorFilterId"]
    check(ghost == mirror_filter, "the token of a deleted filter brings back its id")
    check(ec2.describe_traffic_mirror_filters()["TrafficMirrorFilters"] == [], "and not the filter")
    ec2.delete_traffic_mirror_target(TrafficMirrorTargetId=target)
    refused("InvalidTrafficMirrorTargetId.NotFound", ec2.delete_traffic_mirror_target, TrafficMirrorTargetId=target)
    print(f"{CHECKS} checks passed")


main()

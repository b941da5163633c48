"""A stand-in for Terraform's AWS provider. It never calls AWS.

It serves the schema in aws-schema.json on a port of 127.0.0.1, and refuses values that the real provider refuses although
its schema does not say so: read-only arguments, and those of `RULES`. Where a test does not mock resources itself, what AWS would
decide is invented: ids and ARNs of the right form, the same for the same resource. It prints the value of TF_REATTACH_PROVIDERS
as one line, and exits when its standard input is closed.
"""

import hashlib
import json
import os
import re
import sys
from concurrent import futures
from pathlib import Path

import grpc
import msgpack

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
messages, services = grpc.protos_and_services("plugin.proto")

ADDRESS = "registry.terraform.io/hashicorp/aws"
SCHEMAS = json.loads((HERE / "aws-schema.json").read_text())["provider_schemas"][ADDRESS]

ARN = re.compile(r"arn:[\w-]*:[\w-]+:[\w-]*:\d*:.+")
CIDR = re.compile(r"\d+\.\d+\.\d+\.\d+/\d+")


def is_json(text):
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def one_of(*values):
    return lambda value: value in values


# By the end of the path of an argument: what a known string must be.
RULES = {
    "aws_autoscaling_group.initial_lifecycle_hook.default_result": one_of("CONTINUE", "ABANDON"),
    "aws_autoscaling_group.initial_lifecycle_hook.lifecycle_transition": one_of(
        "autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"
    ),
    "aws_cloudwatch_metric_alarm.comparison_operator": one_of(
        "GreaterThanOrEqualToThreshold", "GreaterThanThreshold", "LessThanThreshold", "LessThanOrEqualToThreshold"
    ),
    "aws_cloudwatch_metric_alarm.treat_missing_data": one_of("missing", "ignore", "breaching", "notBreaching"),
    "aws_lb.load_balancer_type": one_of("application", "gateway", "network"),
    # The provider's limits: a name of 32 characters, a prefix of 6.
    "aws_lb.name": lambda value: len(value) <= 32,
    "aws_lb_target_group.name": lambda value: len(value) <= 32,
    "aws_lb_target_group.name_prefix": lambda value: len(value) <= 6,
    "aws_lb_target_group.protocol": one_of("GENEVE", "TCP", "TLS", "UDP", "TCP_UDP", "HTTP", "HTTPS", "QUIC", "TCP_QUIC"),
    "aws_lb_target_group.health_check.protocol": one_of("HTTP", "HTTPS", "TCP"),
    "aws_lb_target_group.stickiness.type": one_of("source_ip", "source_ip_dest_ip", "source_ip_dest_ip_proto"),
    "aws_lb_target_group.target_failover.on_deregistration": one_of("rebalance", "no_rebalance"),
    "aws_lb_target_group.target_failover.on_unhealthy": one_of("rebalance", "no_rebalance"),
    "aws_launch_template.metadata_options.http_tokens": one_of("optional", "required"),
    "aws_vpc_endpoint.vpc_endpoint_type": one_of("Gateway", "GatewayLoadBalancer", "Interface", "Resource"),
    "aws_iam_role.name": lambda value: len(value) <= 64,
    "assume_role_policy": is_json,
    "container_definitions": lambda value: isinstance(json.loads(value), list),
    "event_pattern": is_json,
    "policy": is_json,
    "principal_arn": ARN.fullmatch,
    "role_arn": ARN.fullmatch,
    "cidr_block": CIDR.fullmatch,
    "cidr_ipv4": CIDR.fullmatch,
}


def rule_of(path):
    return RULES.get(path) or RULES.get(path.rsplit(".", 1)[-1])


UNKNOWN = msgpack.ExtType(0, b"\0")
# The account of the provider's configuration (allowed_account_ids), as its credentials would tell.
ACCOUNT = ["111111111111"]
# The resources that were applied, by type and id, which data sources find again.
APPLIED = {}
# By "TYPE.ATTRIBUTE" or attribute: what is invented, from a hash of the resource. Others get a word or a zero.
INVENTED = {
    "arn": "arn:aws:mock:eu-west-1:{account}:{type}/{hash}",
    "availability_zone_id": "euw1-az{zone}",
    "aws_caller_identity.account_id": "{account}",
    "aws_iam_role.arn": "arn:aws:iam::{account}:role/{type}-{hash}",
    "aws_partition.dns_suffix": "amazonaws.com",
    "aws_partition.partition": "aws",
    "aws_region.region": "eu-west-1",
    "aws_s3_bucket.bucket": "inspection-{hash}",
    "aws_s3_bucket.bucket_regional_domain_name": "inspection-{hash}.s3.eu-west-1.amazonaws.com",
    "aws_ssm_parameter.insecure_value": "ami-0{hash}",
    "aws_vpc_endpoint.id": "vpce-0{hash}",
    "aws_vpc_endpoint_service.service_name": "com.amazonaws.vpce.eu-west-1.vpce-svc-0{hash}",
    "id": "mock-0{hash}",
    "policy": "{{}}",
    "url": "https://sqs.eu-west-1.amazonaws.com/{account}/{hash}",
}


def invent(resource, name, kind, seed):
    """A value for an attribute that AWS would decide."""
    if kind == "string":
        digest = hashlib.sha256(seed.encode()).hexdigest()[:16]
        # In these examples, a zone's id is that of its name's letter.
        zone = "abcdef".find(seed[-1]) + 1 or 1
        form = INVENTED.get(f"{resource}.{name}") or INVENTED.get(name, name)
        return form.format(account=ACCOUNT[0], type=resource, hash=digest, zone=zone)
    if kind in ("number", "bool"):
        return 0 if kind == "number" else False
    if kind[0] == "object":
        return {key: invent(resource, key, inner, seed) for key, inner in kind[1].items()}
    return {} if kind[0] == "map" else []


def complete(block, value, make, replaces):
    """Puts `make(name, type)` in place of what AWS decides: computed attributes whose value is `replaces`."""
    for name, attribute in block.get("attributes", {}).items():
        if attribute.get("computed") and value.get(name) == replaces:
            value[name] = make(name, attribute["type"])
    for name, nested in block.get("block_types", {}).items():
        inner = value.get(name)
        for element in inner if isinstance(inner, list) else [inner]:
            if isinstance(element, dict):
                complete(nested["block"], element, make, replaces)
    return value


def seed_of(resource, value):
    """What tells resources of a type apart: their settings, with the zone, if any, at the end."""
    known = {key: text for key, text in value.items() if isinstance(text, (str, list)) and text}
    zone = value.get("availability_zone") or value.get("availability_zone_id") or ""
    return f"{ACCOUNT[0]} {resource} {json.dumps(known, sort_keys=True, default=str)} {zone}"


def unpack(dynamic):
    return msgpack.unpackb(dynamic.msgpack, strict_map_key=False)


def pack(value):
    return messages.DynamicValue(msgpack=msgpack.packb(value))


def schema(block):
    """The protocol's form of a block of `terraform providers schema -json`."""
    result = messages.Schema.Block()
    for name, attribute in block.get("attributes", {}).items():
        flags = {flag: attribute.get(flag, False) for flag in ("required", "optional", "computed")}
        result.attributes.add(name=name, type=json.dumps(attribute["type"]).encode(), **flags)
    for name, nested in block.get("block_types", {}).items():
        result.block_types.add(
            type_name=name,
            nesting=nested["nesting_mode"].upper(),
            min_items=nested.get("min_items", 0),
            max_items=nested.get("max_items", 0),
            block=schema(nested["block"]),
        )
    return result


def known_strings(value):
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]


def faults(block, value, path, steps):
    """Yields (steps, summary) for each argument that the provider refuses."""
    for name, attribute in block.get("attributes", {}).items():
        given = value.get(name)
        if given is None:
            continue
        if not attribute.get("required") and not attribute.get("optional"):
            yield [*steps, name], f"{name} is decided by AWS and cannot be set"
        rule = rule_of(f"{path}.{name}")
        for text in known_strings(given) if rule else []:
            if not rule(text):
                yield [*steps, name], f"{path}.{name} cannot be {text!r}"
    for name, nested in block.get("block_types", {}).items():
        inner = value.get(name)
        for index, element in enumerate(inner if isinstance(inner, list) else [inner]):
            if isinstance(element, dict):
                # Elements of a set have no index: the fault is told of the block.
                place = [*steps, name, index] if nested["nesting_mode"] == "list" else [*steps, name]
                yield from faults(nested["block"], element, f"{path}.{name}", place)


class Provider(services.ProviderServicer):
    def GetSchema(self, _request, _context):
        answer = messages.GetProviderSchema.Response()
        answer.provider.block.CopyFrom(schema(SCHEMAS["provider"]["block"]))
        for kind in ("resource_schemas", "data_source_schemas"):
            for name, resource in SCHEMAS[kind].items():
                getattr(answer, kind)[name].block.CopyFrom(schema(resource["block"]))
        return answer

    def PrepareProviderConfig(self, request, _context):
        return messages.PrepareProviderConfig.Response(prepared_config=request.config)

    def ValidateResourceTypeConfig(self, request, _context):
        return self.validate("resource_schemas", request)

    def ValidateDataSourceConfig(self, request, _context):
        return self.validate("data_source_schemas", request)

    def Configure(self, request, _context):
        ACCOUNT[:] = unpack(request.config).get("allowed_account_ids") or ACCOUNT
        return messages.Configure.Response()

    def ReadResource(self, request, _context):
        return messages.ReadResource.Response(new_state=request.current_state)

    def UpgradeResourceState(self, request, _context):
        state = json.loads(request.raw_state.json)
        return messages.UpgradeResourceState.Response(upgraded_state=pack(state))

    def PlanResourceChange(self, request, _context):
        value = unpack(request.proposed_new_state)
        if value is not None:
            complete(SCHEMAS["resource_schemas"][request.type_name]["block"], value, lambda *_: UNKNOWN, None)
        # Whether a plan fits the configuration to the letter matters to a provider, not to a stand-in.
        return messages.PlanResourceChange.Response(planned_state=pack(value), legacy_type_system=True)

    def ApplyResourceChange(self, request, _context):
        value, name = unpack(request.planned_state), request.type_name
        if value is not None:
            seed = seed_of(name, value)
            make = lambda attribute, kind: invent(name, attribute, kind, seed)  # noqa: E731
            complete(SCHEMAS["resource_schemas"][name]["block"], value, make, UNKNOWN)
            APPLIED[name, value.get("id")] = value
        return messages.ApplyResourceChange.Response(new_state=pack(value), legacy_type_system=True)

    def ReadDataSource(self, request, _context):
        value, name = unpack(request.config), request.type_name
        found = APPLIED.get((name, value.get("id")), {})
        value |= {key: known for key, known in found.items() if key in value and value[key] is None}
        seed = seed_of(name, value)
        make = lambda attribute, kind: invent(name, attribute, kind, seed)  # noqa: E731
        complete(SCHEMAS["data_source_schemas"][name]["block"], value, make, None)
        return messages.ReadDataSource.Response(state=pack(value))

    def Stop(self, _request, _context):
        return messages.Stop.Response()

    @staticmethod
    def validate(kind, request):
        value = unpack(request.config) or {}
        answer = messages.ValidateTypeConfig.Response()
        block = SCHEMAS[kind][request.type_name]["block"]
        for steps, summary in faults(block, value, request.type_name, []):
            diagnostic = answer.diagnostics.add(severity="ERROR", summary=summary)
            for step in steps:
                key = "element_key_int" if isinstance(step, int) else "attribute_name"
                diagnostic.attribute.steps.add(**{key: step})
        return answer


def main():
    server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.max_send_message_length", -1)])
    services.add_ProviderServicer_to_server(Provider(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    address = {"Network": "tcp", "String": f"127.0.0.1:{port}"}
    plugin = {"Protocol": "grpc", "ProtocolVersion": 5, "Pid": os.getpid(), "Test": True, "Addr": address}
    print(json.dumps({ADDRESS: plugin}), flush=True)
    sys.stdin.read()
    server.stop(None)


if __name__ == "__main__":
    main()

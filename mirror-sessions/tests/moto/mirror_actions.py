"""The fifteen traffic mirror actions of EC2 for moto, with the checks of the real API.

moto 5.2.5 has eight of them, without checks. These replace them all: ids, limits, session and rule numbers, client
tokens (remembered after the resource is gone, as EC2 remembers them), DryRun, pagination, eventual consistency.
Error codes are those of the EC2 API reference ("Error codes for the Amazon EC2 API"); the refusal of an instance
type is an assumption, as no code is documented for it.
"""

import datetime
import ipaddress
import itertools
import json
import random
import threading
import time
from collections import Counter

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.exceptions import DryRunClientError, EC2ClientError
from moto.ec2.models import ec2_backends, instances, vpcs
from moto.ec2.responses import EC2Response
from moto.ec2.responses._base_response import EC2BaseResponse
from moto.ec2.utils import convert_tag_spec, random_id

LOCK = threading.RLock()


class Settings:
    """Settings of the tests, set through the control interface of server.py."""

    def __init__(self):
        self.page = 1000  # items on a page, at most
        self.visible_after = 0.0  # seconds until Describe returns a created resource
        self.sessions_per_account = 10_000
        self.unsupported_types = []  # instance types that cannot be sources
        self.denied = []  # actions that DryRun and call refuse with UnauthorizedOperation
        self.delay = 0.0  # seconds that each changing call takes
        self.rate = None  # {"reads": [burst, per second], "writes": [...]}: EC2's own token buckets
        self.faults = []  # [{"action", "code", "status", "count" or "probability", "account", "region"}]


SETTINGS = Settings()
CALLS = Counter()  # (account, action, outcome) -> number
BUCKETS = {}
TOKENS = {}  # (account, region, action, token) -> (parameters, id)


def fail(code, message):
    raise EC2ClientError(code, message)


class Mirrored:
    """A filter, target or session; its own fields are in `fields`, named as in the API."""

    def __init__(self, backend, prefix, id_field, fields, tags):
        self.ec2_backend = backend
        self.id = random_id(prefix=prefix)
        self.id_field = id_field
        self.fields = fields
        self.made = time.monotonic()
        if tags:
            backend.create_tags([self.id], tags)

    def get_tags(self):
        return self.ec2_backend.describe_tags(filters={"resource-id": [self.id]})

    def visible(self):
        return time.monotonic() - self.made >= SETTINGS.visible_after

    def to_dict(self):
        return {self.id_field: self.id, **self.fields, "Tags": self.get_tags()}

    def matches(self, filters):
        value = self.to_dict()
        for name, wanted in filters.items():
            key = "".join(part.capitalize() for part in name.split("-"))
            if key not in FILTERABLE:
                fail("InvalidParameterValue", f"The filter '{name}' is invalid")
            if str(value.get(key)) not in wanted:
                return False
        return True


FILTERABLE = {
    "TrafficMirrorSessionId", "TrafficMirrorFilterId", "TrafficMirrorTargetId", "NetworkInterfaceId", "OwnerId",
    "Description", "SessionNumber", "PacketLength", "VirtualNetworkId", "GatewayLoadBalancerEndpointId",
    "NetworkLoadBalancerArn", "TrafficMirrorFilterRuleId", "RuleNumber", "RuleAction", "TrafficDirection",
}


def all_targets():
    """Targets of every account: RAM shares are not modelled, whoever knows the id may use it."""
    for account in list(ec2_backends):
        for backend in list(ec2_backends[account].values()):
            yield from backend.traffic_mirror_targets.values()


class MirrorActions(EC2BaseResponse):
    # -- shared --------------------------------------------------------------------------------------------------

    def _guard(self, action):
        if action in SETTINGS.denied:
            fail("UnauthorizedOperation", f"You are not authorized to perform this operation: ec2:{action}")

    def _dry_run(self):
        if self._get_param("DryRun", False):
            raise DryRunClientError()

    def _tags(self, kind):
        specifications = self._get_param("TagSpecifications", [])
        for specification in specifications:
            if specification.get("ResourceType") != kind:
                fail("InvalidParameterValue", f"'{specification.get('ResourceType')}' is not a valid taggable resource type for this operation.")
        return convert_tag_spec(specifications).get(kind, {}) if specifications else {}

    def _once(self, action, make):
        """Makes a resource, or returns what an earlier call with the same token made."""
        self._dry_run()
        if SETTINGS.delay:
            time.sleep(SETTINGS.delay)
        token = self._get_param("ClientToken")
        parameters = json.dumps({k: v for k, v in self._get_params().items() if k not in ("ClientToken", "DryRun")}, sort_keys=True, default=str)
        key = (self.current_account, self.region, action, token)
        if token is not None and len(token) > 64:
            fail("InvalidParameterValue", "ClientToken must have at most 64 characters")
        with LOCK:
            if token and key in TOKENS:
                earlier, resource = TOKENS[key]
                if earlier != parameters:
                    fail("IdempotentParameterMismatch", "The client token was used with other parameters")
                return resource, token
            resource = make()
            if token:
                TOKENS[key] = (parameters, resource)
            return resource, token

    def _page(self, items, result_key):
        size = self._get_int_param("MaxResults")
        if size is not None and not 5 <= size <= 1000:
            fail("InvalidParameterValue", "MaxResults must be from 5 to 1000")
        size = min(size or 1000, SETTINGS.page)
        try:
            start = int(self._get_param("NextToken") or 0)
        except ValueError:
            fail("InvalidNextToken", "The token is not valid")
        result = {result_key: items[start : start + size]}
        if start + size < len(items):
            result["NextToken"] = str(start + size)
        return ActionResult(result)

    def _describe(self, store, ids_parameter, kind, result_key, to_dict=lambda item: item.to_dict()):
        ids = self._get_param(ids_parameter, []) or []
        filters = self._filters_from_querystring()
        for values in filters.values():
            if len(values) > 200:
                fail("FilterLimitExceeded", "The maximum number of filter values specified on a single call is 200")
        with LOCK:
            for wanted in ids:
                if wanted not in store or not store[wanted].visible():
                    fail(f"InvalidTrafficMirror{kind}Id.NotFound", f"The traffic mirror {kind.lower()} '{wanted}' does not exist")
            items = [
                to_dict(item) for item in store.values()
                if item.visible() and (not ids or item.id in ids) and item.matches(filters)
            ]
        return self._page(items, result_key)

    def _own(self, store, kind, parameter):
        wanted = self._get_param(parameter)
        if not wanted:
            fail("MissingParameter", f"The request must contain the parameter {parameter}")
        if wanted not in store:
            fail(f"InvalidTrafficMirror{kind}Id.NotFound", f"The traffic mirror {kind.lower()} '{wanted}' does not exist")
        return store[wanted]

    @property
    def _filters(self):
        return self.ec2_backend.traffic_mirror_filters

    @property
    def _targets(self):
        return self.ec2_backend.traffic_mirror_targets

    @property
    def _sessions(self):
        store = self.ec2_backend.traffic_mirror_sessions
        # Sessions go with their interface.
        for session in list(store.values()):
            if session.fields["NetworkInterfaceId"] not in self.ec2_backend.enis:
                store.pop(session.id, None)
        return store

    # -- targets -------------------------------------------------------------------------------------------------

    def create_traffic_mirror_target(self):
        self._guard("CreateTrafficMirrorTarget")
        given = {
            "network-interface": ("NetworkInterfaceId", self._get_param("NetworkInterfaceId")),
            "network-load-balancer": ("NetworkLoadBalancerArn", self._get_param("NetworkLoadBalancerArn")),
            "gateway-load-balancer-endpoint": ("GatewayLoadBalancerEndpointId", self._get_param("GatewayLoadBalancerEndpointId")),
        }
        present = {kind: field for kind, field in given.items() if field[1]}
        if len(present) != 1:
            fail("InvalidParameterCombination", "Give one of NetworkInterfaceId, NetworkLoadBalancerArn and GatewayLoadBalancerEndpointId")
        [(kind, (field, value))] = present.items()
        if field == "GatewayLoadBalancerEndpointId" and value not in self.ec2_backend.vpc_end_points:
            fail("InvalidVpcEndpointId.NotFound", f"The Vpc Endpoint Id '{value}' does not exist")
        if field == "NetworkInterfaceId" and value not in self.ec2_backend.enis:
            fail("InvalidNetworkInterfaceID.NotFound", f"The network interface ID '{value}' does not exist")
        tags = self._tags("traffic-mirror-target")

        def make():
            fields = {"Type": kind, field: value, "OwnerId": self.current_account, "Description": self._get_param("Description")}
            target = Mirrored(self.ec2_backend, "tmt", "TrafficMirrorTargetId", fields, tags)
            self._targets[target.id] = target
            return target

        target, token = self._once("CreateTrafficMirrorTarget", make)
        return ActionResult({"TrafficMirrorTarget": target.to_dict(), "ClientToken": token})

    def delete_traffic_mirror_target(self):
        self._guard("DeleteTrafficMirrorTarget")
        with LOCK:
            target = self._own(self._targets, "Target", "TrafficMirrorTargetId")
            self._dry_run()
            for account in list(ec2_backends):
                for backend in list(ec2_backends[account].values()):
                    if any(s.fields["TrafficMirrorTargetId"] == target.id for s in backend.traffic_mirror_sessions.values()):
                        fail("TrafficMirrorTargetInUseException", f"The traffic mirror target '{target.id}' is in use")
            del self._targets[target.id]
        return ActionResult({"TrafficMirrorTargetId": target.id})

    def describe_traffic_mirror_targets(self):
        self._guard("DescribeTrafficMirrorTargets")
        self._dry_run()
        return self._describe(self._targets, "TrafficMirrorTargetIds", "Target", "TrafficMirrorTargets")

    # -- filters and their rules ---------------------------------------------------------------------------------

    def create_traffic_mirror_filter(self):
        self._guard("CreateTrafficMirrorFilter")
        tags = self._tags("traffic-mirror-filter")

        def make():
            fields = {"Description": self._get_param("Description"), "IngressFilterRules": [], "EgressFilterRules": [], "NetworkServices": []}
            mirror_filter = Mirrored(self.ec2_backend, "tmf", "TrafficMirrorFilterId", fields, tags)
            self._filters[mirror_filter.id] = mirror_filter
            return mirror_filter

        mirror_filter, token = self._once("CreateTrafficMirrorFilter", make)
        return ActionResult({"TrafficMirrorFilter": mirror_filter.to_dict(), "ClientToken": token})

    def delete_traffic_mirror_filter(self):
        self._guard("DeleteTrafficMirrorFilter")
        with LOCK:
            mirror_filter = self._own(self._filters, "Filter", "TrafficMirrorFilterId")
            self._dry_run()
            if any(s.fields["TrafficMirrorFilterId"] == mirror_filter.id for s in self._sessions.values()):
                fail("TrafficMirrorFilterInUse", f"The traffic mirror filter '{mirror_filter.id}' is in use")
            del self._filters[mirror_filter.id]
        return ActionResult({"TrafficMirrorFilterId": mirror_filter.id})

    def describe_traffic_mirror_filters(self):
        self._guard("DescribeTrafficMirrorFilters")
        self._dry_run()
        return self._describe(self._filters, "TrafficMirrorFilterIds", "Filter", "TrafficMirrorFilters")

    def modify_traffic_mirror_filter_network_services(self):
        self._guard("ModifyTrafficMirrorFilterNetworkServices")
        add = self._get_param("AddNetworkServices", []) or []
        remove = self._get_param("RemoveNetworkServices", []) or []
        for service in [*add, *remove]:
            if service != "amazon-dns":
                fail("InvalidParameterValue", f"'{service}' is not a network service")
        with LOCK:
            mirror_filter = self._own(self._filters, "Filter", "TrafficMirrorFilterId")
            self._dry_run()
            services = (set(mirror_filter.fields["NetworkServices"]) | set(add)) - set(remove)
            mirror_filter.fields["NetworkServices"] = sorted(services)
        return ActionResult({"TrafficMirrorFilter": mirror_filter.to_dict()})

    @staticmethod
    def _rules(mirror_filter):
        return itertools.chain(mirror_filter.fields["IngressFilterRules"], mirror_filter.fields["EgressFilterRules"])

    def _find_rule(self):
        wanted = self._get_param("TrafficMirrorFilterRuleId")
        for mirror_filter in self._filters.values():
            for rule in self._rules(mirror_filter):
                if rule["TrafficMirrorFilterRuleId"] == wanted:
                    return mirror_filter, rule
        fail("InvalidTrafficMirrorFilterRuleId.NotFound", f"The traffic mirror filter rule '{wanted}' does not exist")

    def _check_rule(self, mirror_filter, rule):
        if rule["TrafficDirection"] not in ("ingress", "egress"):
            fail("InvalidParameterValue", "TrafficDirection must be ingress or egress")
        if rule["RuleAction"] not in ("accept", "reject"):
            fail("InvalidParameterValue", "RuleAction must be accept or reject")
        if not 1 <= rule["RuleNumber"] <= 32766:
            fail("InvalidParameterValue", "RuleNumber must be from 1 to 32766")
        try:
            versions = {ipaddress.ip_network(rule[key]).version for key in ("SourceCidrBlock", "DestinationCidrBlock")}
        except ValueError as error:
            fail("InvalidParameterValue", f"CIDR block: {error}")
        if len(versions) != 1:
            fail("InvalidParameterCombination", "The CIDR blocks are of different IP versions")
        has_ports = rule.get("SourcePortRange") or rule.get("DestinationPortRange")
        if has_ports and rule.get("Protocol") not in (6, 17):
            fail("InvalidParameterCombination", "Port ranges need protocol 6 or 17")
        for other in self._rules(mirror_filter):
            same = (other["TrafficDirection"], other["RuleNumber"]) == (rule["TrafficDirection"], rule["RuleNumber"])
            if other is not rule and same:
                fail("TrafficMirrorFilterRuleAlreadyExists", f"Rule {rule['RuleNumber']} of this direction exists")

    def _port_range(self, name):
        value = self._get_param(name)
        return value and {key: int(number) for key, number in value.items()}

    def create_traffic_mirror_filter_rule(self):
        self._guard("CreateTrafficMirrorFilterRule")
        with LOCK:
            mirror_filter = self._own(self._filters, "Filter", "TrafficMirrorFilterId")
        rule = {
            "TrafficMirrorFilterId": mirror_filter.id,
            "TrafficDirection": self._get_param("TrafficDirection"),
            "RuleNumber": self._get_int_param("RuleNumber"),
            "RuleAction": self._get_param("RuleAction"),
            "SourceCidrBlock": self._get_param("SourceCidrBlock"),
            "DestinationCidrBlock": self._get_param("DestinationCidrBlock"),
            "Protocol": self._get_int_param("Protocol"),
            "SourcePortRange": self._port_range("SourcePortRange"),
            "DestinationPortRange": self._port_range("DestinationPortRange"),
            "Description": self._get_param("Description"),
        }

        def make():
            self._check_rule(mirror_filter, rule)
            if len(list(self._rules(mirror_filter))) >= 10:
                fail("TrafficMirrorFilterRuleLimitExceeded", "A filter can have 10 rules")
            rule["TrafficMirrorFilterRuleId"] = random_id(prefix="tmfr")
            mirror_filter.fields[f"{rule['TrafficDirection'].capitalize()}FilterRules"].append(rule)
            return rule

        made, token = self._once("CreateTrafficMirrorFilterRule", make)
        return ActionResult({"TrafficMirrorFilterRule": made, "ClientToken": token})

    def modify_traffic_mirror_filter_rule(self):
        self._guard("ModifyTrafficMirrorFilterRule")
        with LOCK:
            mirror_filter, rule = self._find_rule()
            self._dry_run()
            changed = dict(rule)
            for name in ("TrafficDirection", "RuleAction", "SourceCidrBlock", "DestinationCidrBlock", "Description"):
                changed[name] = self._get_param(name) or changed[name]
            for name in ("RuleNumber", "Protocol"):
                value = self._get_int_param(name)
                changed[name] = changed[name] if value is None else value
            for name in ("SourcePortRange", "DestinationPortRange"):
                changed[name] = self._port_range(name) or changed[name]
            names = {"destination-port-range": "DestinationPortRange", "source-port-range": "SourcePortRange", "protocol": "Protocol", "description": "Description"}
            for field in self._get_param("RemoveFields", []) or []:
                changed[names[field]] = None
            if changed["TrafficDirection"] != rule["TrafficDirection"]:
                fail("InvalidParameterValue", "The direction of a rule cannot be changed")
            rules = mirror_filter.fields[f"{rule['TrafficDirection'].capitalize()}FilterRules"]
            original = dict(rule)
            rule.update(changed)
            try:
                self._check_rule(mirror_filter, rule)
            except EC2ClientError:
                rule.update(original)
                raise
            assert rule in rules
        return ActionResult({"TrafficMirrorFilterRule": rule})

    def delete_traffic_mirror_filter_rule(self):
        self._guard("DeleteTrafficMirrorFilterRule")
        with LOCK:
            mirror_filter, rule = self._find_rule()
            self._dry_run()
            mirror_filter.fields[f"{rule['TrafficDirection'].capitalize()}FilterRules"].remove(rule)
        return ActionResult({"TrafficMirrorFilterRuleId": rule["TrafficMirrorFilterRuleId"]})

    def describe_traffic_mirror_filter_rules(self):
        self._guard("DescribeTrafficMirrorFilterRules")
        self._dry_run()
        wanted = self._get_param("TrafficMirrorFilterRuleIds", []) or []
        of_filter = self._get_param("TrafficMirrorFilterId")
        with LOCK:
            rules = [
                rule for mirror_filter in self._filters.values() for rule in self._rules(mirror_filter)
                if of_filter in (None, mirror_filter.id)
            ]
        known = {rule["TrafficMirrorFilterRuleId"] for rule in rules}
        for rule_id in wanted:
            if rule_id not in known:
                fail("InvalidTrafficMirrorFilterRuleId.NotFound", f"The traffic mirror filter rule '{rule_id}' does not exist")
        rules = [rule for rule in rules if not wanted or rule["TrafficMirrorFilterRuleId"] in wanted]
        return self._page(rules, "TrafficMirrorFilterRules")

    # -- sessions ------------------------------------------------------------------------------------------------

    def _check_session(self, fields, session_id=None):
        others = [s for s in self._sessions.values() if s.id != session_id]
        if not any(target.id == fields["TrafficMirrorTargetId"] for target in all_targets()):
            fail("InvalidTrafficMirrorTargetId.NotFound", f"The traffic mirror target '{fields['TrafficMirrorTargetId']}' does not exist")
        if fields["TrafficMirrorFilterId"] not in self._filters:
            fail("InvalidTrafficMirrorFilterId.NotFound", f"The traffic mirror filter '{fields['TrafficMirrorFilterId']}' does not exist")
        number = fields["SessionNumber"]
        if number is None or not 1 <= number <= 32766:
            fail("InvalidParameterValue", "SessionNumber must be from 1 to 32766")
        length = fields.get("PacketLength")
        if length is not None and not 1 <= length <= 8500:
            fail("InvalidParameterValue", "PacketLength must be from 1 to 8500")
        vni = fields.get("VirtualNetworkId")
        if vni is not None and not 0 <= vni < 1 << 24:
            fail("InvalidParameterValue", "VirtualNetworkId must have 24 bits")
        same = [s for s in others if s.fields["NetworkInterfaceId"] == fields["NetworkInterfaceId"]]
        if any(s.fields["SessionNumber"] == number for s in same):
            fail("InvalidParameterValue", f"Session number {number} is in use on {fields['NetworkInterfaceId']}")
        return others, same

    def create_traffic_mirror_session(self):
        self._guard("CreateTrafficMirrorSession")
        fields = {
            "NetworkInterfaceId": self._get_param("NetworkInterfaceId"),
            "TrafficMirrorTargetId": self._get_param("TrafficMirrorTargetId"),
            "TrafficMirrorFilterId": self._get_param("TrafficMirrorFilterId"),
            "SessionNumber": self._get_int_param("SessionNumber"),
            "PacketLength": self._get_int_param("PacketLength"),
            "VirtualNetworkId": self._get_int_param("VirtualNetworkId"),
            "Description": self._get_param("Description"),
            "OwnerId": self.current_account,
        }
        tags = self._tags("traffic-mirror-session")
        eni = self.ec2_backend.enis.get(fields["NetworkInterfaceId"])
        if eni is None:
            fail("InvalidNetworkInterfaceID.NotFound", f"The network interface ID '{fields['NetworkInterfaceId']}' does not exist")
        instance = getattr(eni, "instance", None)
        instance_type = getattr(instance, "instance_type", None)
        if instance_type in SETTINGS.unsupported_types:
            fail("NetworkInterfaceNotSupported", f"{eni.id} must be attached to a supported instance")

        def make():
            others, same = self._check_session(fields)
            if len(same) >= 3:
                fail("TrafficMirrorSessionsPerInterfaceLimitExceeded", f"{eni.id} has 3 sessions")
            if len(others) >= SETTINGS.sessions_per_account:
                fail("TrafficMirrorSessionLimitExceeded", f"The account has {len(others)} sessions")
            if fields["VirtualNetworkId"] is None:
                taken = {s.fields["VirtualNetworkId"] for s in others}
                fields["VirtualNetworkId"] = next(
                    vni for vni in iter(lambda: random.randrange(1, 1 << 24), None) if vni not in taken
                )
            session = Mirrored(self.ec2_backend, "tms", "TrafficMirrorSessionId", fields, tags)
            self._sessions[session.id] = session
            return session

        session, token = self._once("CreateTrafficMirrorSession", make)
        return ActionResult({"TrafficMirrorSession": session.to_dict(), "ClientToken": token})

    def modify_traffic_mirror_session(self):
        self._guard("ModifyTrafficMirrorSession")
        with LOCK:
            session = self._own(self._sessions, "Session", "TrafficMirrorSessionId")
            self._dry_run()
            fields = dict(session.fields)
            for name in ("TrafficMirrorTargetId", "TrafficMirrorFilterId", "Description"):
                fields[name] = self._get_param(name) or fields[name]
            for name in ("PacketLength", "SessionNumber", "VirtualNetworkId"):
                value = self._get_int_param(name)
                fields[name] = fields[name] if value is None else value
            names = {"packet-length": "PacketLength", "description": "Description", "virtual-network-id": "VirtualNetworkId"}
            for field in self._get_param("RemoveFields", []) or []:
                fields[names[field]] = random.randrange(1, 1 << 24) if field == "virtual-network-id" else None
            self._check_session(fields, session.id)
            session.fields = fields
        return ActionResult({"TrafficMirrorSession": session.to_dict()})

    def delete_traffic_mirror_session(self):
        self._guard("DeleteTrafficMirrorSession")
        with LOCK:
            session = self._own(self._sessions, "Session", "TrafficMirrorSessionId")
            self._dry_run()
            del self._sessions[session.id]
        return ActionResult({"TrafficMirrorSessionId": session.id})

    def describe_traffic_mirror_sessions(self):
        self._guard("DescribeTrafficMirrorSessions")
        self._dry_run()
        return self._describe(self._sessions, "TrafficMirrorSessionIds", "Session", "TrafficMirrorSessions")


def throttled(account, region, action):
    """Whether EC2's token bucket for this kind of action is empty."""
    if not SETTINGS.rate:
        return False
    kind = "reads" if action.startswith("Describe") else "writes"
    burst, per_second = SETTINGS.rate[kind]
    now = time.monotonic()
    tokens, since = BUCKETS.get((account, region, kind), (burst, now))
    tokens = min(burst, tokens + (now - since) * per_second)
    BUCKETS[account, region, kind] = (max(tokens - 1, 0), now)
    return tokens < 1


def fault(account, region, action):
    """The injected fault that this call meets, if any."""
    for entry in SETTINGS.faults:
        for key, value in (("account", account), ("region", region)):
            if entry.get(key, value) != value:
                break
        else:
            if entry.get("action", action) != action or entry.get("count", 1) <= 0:
                continue
            if random.random() >= entry.get("probability", 1):
                continue
            if "count" in entry:
                entry["count"] -= 1
            return entry
    return None


def error_body(code, message):
    return (
        f"<?xml version='1.0'?><Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        "</Errors><RequestID>injected</RequestID></Response>"
    )


def install():
    """Puts the actions into moto's EC2, and counts and disturbs every EC2 call."""
    for name, value in vars(MirrorActions).items():
        if not name.startswith("__"):
            setattr(EC2Response, name, value)
    # Endpoints as AWS has them: 17 digits of which the first is 0, and found by their id.
    vpcs.random_vpc_ep_id = lambda: f"vpce-0{random.getrandbits(64):016x}"
    vpcs.VPCEndPoint.vpc_endpoint_id = property(lambda self: self.id)
    # An instance that is started again has a new launch time, in whole seconds.
    start = instances.Instance.start

    def start_again(self, *arguments, **options):
        if self._state.name == "stopped":
            self.launch_time = max(utcnow(), self.launch_time + datetime.timedelta(seconds=1))
        return start(self, *arguments, **options)

    instances.Instance.start = start_again
    original = EC2Response.call_action

    def call_action(self):
        action = self._get_action()
        with LOCK:
            if throttled(self.current_account, self.region, action):
                found = {"code": "RequestLimitExceeded", "status": 503}
            else:
                found = fault(self.current_account, self.region, action)
        if found:
            with LOCK:
                CALLS[self.current_account, action, found["code"]] += 1
            return found["status"], {"content-type": "text/xml"}, error_body(found["code"], "injected")
        status, headers, body = original(self)
        with LOCK:
            CALLS[self.current_account, action, str(status)] += 1
        return status, headers, body

    EC2Response.call_action = call_action

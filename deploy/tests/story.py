"""From the start of an instance to a record with its name, on doubles.

The policy and the daemon's configuration are those that Terraform makes of the example organisation. EC2, its events and the queue are a
moto server with the three accounts; event rules and roles are those of `mirror-sessions init`, with which the modules are
compared elsewhere. The map goes through the bucket, as mirror-fleet publishes and fetches it. The daemon is in a network namespace
and gets the packets that a Gateway Load Balancer would send it of the interfaces that are mirrored.
"""

import hashlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3
import fleet
from botocore.config import Config

HERE = Path(__file__).parent
WORKSPACE = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", WORKSPACE / "target"))
EXAMPLE = HERE.parent / "terraform/examples/organisation/hub/tests"
MOTO = WORKSPACE / "mirror-sessions/tests/moto"

# moto has one account for credentials that it does not know, which stands for the example's central account.
REGION, HUB, CLIENTS = "eu-west-1", "123456789012", ["222222222222", "333333333333"]
EXAMPLE_HUB = "111111111111"
# The load balancer's node, in a network of `allowed_sources`, and the appliance.
BALANCER, APPLIANCE = "10.255.0.10", "10.255.0.2"
FOREVER = 60


def wait_for(what, probe):
    """The first result of `probe` that is true."""
    end = time.monotonic() + FOREVER
    while time.monotonic() < end:
        result = probe()
        if result:
            return result
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {FOREVER} s")


def moto_python():
    """The Python that has moto, made anew when its requirements change; the tests of mirror-sessions use it too."""
    requirements = MOTO / "requirements.txt"
    home = TARGET / "tmp" / f"moto-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:8]}"
    if not (home / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        pip = [home / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", requirements], check=True)
        (home / "complete").touch()
    return home / "bin/python"


class Processes:
    """Child processes, which end with this value."""

    def __init__(self):
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.running):
            process.kill()
            process.wait()

    def start(self, arguments, **options):
        process = subprocess.Popen([str(argument) for argument in arguments], **options)
        self.running.append(process)
        return process


class Cloud:
    """AWS, as moto has it."""

    def __init__(self, processes):
        server = processes.start(
            [moto_python(), MOTO / "server.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.url = f"http://127.0.0.1:{json.loads(server.stdout.readline())['port']}"
        self.keys = {HUB: {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}}
        for account in CLIENTS:
            role = f"arn:aws:iam::{account}:role/mirror-sessions"
            given = self.client("sts", HUB).assume_role(RoleArn=role, RoleSessionName="story")["Credentials"]
            self.keys[account] = {
                "aws_access_key_id": given["AccessKeyId"],
                "aws_secret_access_key": given["SecretAccessKey"],
                "aws_session_token": given["SessionToken"],
            }
        self.environment = os.environ | {
            "AWS_ACCESS_KEY_ID": "testing", "AWS_CONFIG_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self.url, "AWS_REGION": REGION, "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }  # fmt: skip

    def client(self, service, account):
        config = Config(retries={"total_max_attempts": 1})
        return boto3.client(service, region_name=REGION, endpoint_url=self.url, config=config, **self.keys[account])


class Client:
    """A client account: its network, endpoints and instances."""

    def __init__(self, cloud, account):
        self.account, self.ec2, self.events = account, cloud.client("ec2", account), cloud.client("events", account)
        self.vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        zones = {zone["ZoneId"]: zone["ZoneName"] for zone in self.ec2.describe_availability_zones()["AvailabilityZones"]}
        self.subnets, self.endpoints = {}, {}
        for index, zone in enumerate(["euw1-az1", "euw1-az2"]):
            subnet = self.ec2.create_subnet(
                VpcId=self.vpc, CidrBlock=f"10.0.{index}.0/24", AvailabilityZone=zones[zone]
            )["Subnet"]["SubnetId"]  # fmt: skip
            endpoint = self.ec2.create_vpc_endpoint(
                VpcId=self.vpc, VpcEndpointType="GatewayLoadBalancer", SubnetIds=[subnet],
                ServiceName=f"com.amazonaws.vpce.{REGION}.vpce-svc-0123456789abcdef0",
            )["VpcEndpoint"]["VpcEndpointId"]  # fmt: skip
            self.subnets[zone], self.endpoints[zone] = subnet, endpoint
        self.image = self.ec2.describe_images()["Images"][0]["ImageId"]

    def launch(self, zone, **tags):
        tags = [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]
        answer = self.ec2.run_instances(
            ImageId=self.image, InstanceType="m5.large", SubnetId=self.subnets[zone], MinCount=1, MaxCount=1,
            TagSpecifications=tags,
        )  # fmt: skip
        instance = answer["Instances"][0]["InstanceId"]
        self.tell(instance, "running")
        return instance

    def end(self, instance):
        self.ec2.terminate_instances(InstanceIds=[instance])
        self.tell(instance, "terminated")

    def tell(self, instance, state):
        """The event that AWS sends."""
        detail = json.dumps({"instance-id": instance, "state": state})
        entry = {"Source": "aws.ec2", "DetailType": "EC2 Instance State-change Notification", "Detail": detail}
        self.events.put_events(Entries=[entry])

    def sessions(self):
        return self.ec2.describe_traffic_mirror_sessions()["TrafficMirrorSessions"]


def deploy(cloud, program, policy, folder):
    """The templates of `mirror-sessions init`; returns the queue's URLs."""

    def template(*arguments):
        command = [program, "--policy", policy, "init", *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    create = {"Capabilities": ["CAPABILITY_NAMED_IAM"]}
    formation = cloud.client("cloudformation", HUB)
    formation.create_stack(StackName="hub", TemplateBody=template("hub"), **create)
    for account in CLIENTS:
        body = template("member", account, "--hub-account", HUB, "--hub-region", REGION)
        cloud.client("cloudformation", account).create_stack(StackName="member", TemplateBody=body, **create)
    outputs = formation.describe_stacks(StackName="hub")["Stacks"][0]["Outputs"]
    return {output["OutputKey"]: output["OutputValue"] for output in outputs}


def checksum(header):
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def ipv4(source, destination, protocol, payload):
    def header(check):
        return struct.pack(
            "!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, check,
            socket.inet_aton(source), socket.inet_aton(destination),
        )  # fmt: skip

    return header(checksum(header(0))) + payload


def udp(source_port, destination_port, payload):
    return struct.pack("!HHHH", source_port, destination_port, 8 + len(payload), 0) + payload


SYN, RST = 0x02, 0x04


def mirrored(session, port, flags, mac):
    """A frame from the load balancer: a packet of a connection to `port`, mirrored by the session of an entry of the map."""
    address = session["addresses"][0]
    tcp = struct.pack("!HHIIBBHHH", 40000, port, 1, 0, 5 << 4, flags, 65535, 0, 0)
    inner = b"\x02" * 12 + b"\x08\x00" + ipv4(address, "10.9.9.9", 6, tcp)
    vxlan = struct.pack("!BBHI", 0x08, 0, 0, session["vni"] << 8) + inner
    endpoint = bytes.fromhex(session["endpoint"].removeprefix("vpce-0"))
    options = struct.pack("!HBB", 0x0108, 1, 2) + endpoint
    options += struct.pack("!HBB", 0x0108, 2, 2) + bytes(8) + struct.pack("!HBBI", 0x0108, 3, 1, 7)
    geneve = struct.pack("!BBHI", len(options) // 4, 0, 0x0800, 0) + options
    geneve += ipv4(address, "10.0.0.200", 17, udp(50001, 4789, vxlan))
    return mac + b"\x02" * 6 + b"\x08\x00" + ipv4(BALANCER, APPLIANCE, 17, udp(50000, 6081, geneve))


class Appliance:
    """A network namespace with the daemon in it, and one beside it from which packets are sent."""

    def __init__(self, processes, folder, program, configuration):
        self.namespaces = [processes.start(["unshare", "--net", "sleep", "infinity"]) for _ in range(2)]
        own = os.readlink("/proc/self/ns/net")
        for held in self.namespaces:
            wait_for("a namespace", lambda held=held: os.readlink(f"/proc/{held.pid}/ns/net") != own)
        capture, sender = (held.pid for held in self.namespaces)
        run = lambda *arguments: subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: E731
        run("ip", "link", "add", "veth-rx", "netns", str(capture), "type", "veth", "peer", "name", "veth-tx", "netns", str(sender))
        for pid, name in ((capture, "veth-rx"), (sender, "veth-tx")):
            self.enter(run, pid, "sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1")
            self.enter(run, pid, "ip", "link", "set", name, "up")
        self.enter(run, capture, "ip", "address", "add", f"{APPLIANCE}/32", "dev", "veth-rx")
        self.mac = bytes.fromhex(self.enter(run, capture, "cat", "/sys/class/net/veth-rx/address").strip().replace(":", ""))
        self.log = folder / "daemon.log"
        with self.log.open("w") as log:
            command = self.enter(lambda *words: words, capture, program, "run", "--config", configuration)
            self.daemon = processes.start(command, stderr=log)
        wait_for("the capture", lambda: "capturing on" in self.log.read_text() or self.daemon.poll() is not None)
        if self.daemon.poll() is not None:
            raise AssertionError(f"the daemon ended: {self.log.read_text()}")

    @staticmethod
    def enter(run, pid, *command):
        # /sys tells of the namespace in which it was mounted.
        shell = 'mount -t sysfs none /sys 2>/dev/null; exec "$@"'
        return run("nsenter", f"--net=/proc/{pid}/ns/net", "unshare", "--mount", "sh", "-c", shell, "sh", *map(str, command))

    def receive(self, frames):
        """Sends the frames from the other end of the cable."""
        code = (
            "import socket, sys\n"
            "s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\n"
            "s.bind(('veth-tx', 0))\n"
            "[s.send(bytes.fromhex(line)) for line in sys.stdin.read().split()]\n"
        )
        command = ["nsenter", f"--net=/proc/{self.namespaces[1].pid}/ns/net", sys.executable, "-c", code]
        subprocess.run(command, input="\n".join(frame.hex() for frame in frames), text=True, check=True)

    def stop(self):
        """SIGTERM, as at the end of an instance; the daemon writes what it holds."""
        self.daemon.send_signal(signal.SIGTERM)
        code = self.daemon.wait(FOREVER)
        if code:
            raise AssertionError(f"the daemon ended with {code}: {self.log.read_text()}")


def replaced(text, replacements):
    for old, new in replacements.items():
        fleet.expect(f"{old} in the text", old in text, True)
        text = text.replace(old, new)
    return text


def play(processes, folder, sessions, capture):
    cloud = Cloud(processes)
    clients = {account: Client(cloud, account) for account in CLIENTS}
    # Accounts and endpoints become those of moto.
    policy = folder / "policy.toml"
    invented = {account: json.loads((EXAMPLE / f"clients/{account}.json").read_text())["endpoints"] for account in CLIENTS}
    endpoints = {invented[a][zone]: clients[a].endpoints[zone] for a in CLIENTS for zone in invented[a]}
    policy.write_text(replaced((EXAMPLE / "policy.toml").read_text(), endpoints | {EXAMPLE_HUB: HUB}))
    queue = deploy(cloud, sessions, policy, folder)
    manager_map = folder / "made.json"
    command = [sessions, "--policy", policy, "watch", "--interval", "3600", "--queue-url", queue["QueueUrl"], "--map", manager_map]
    command += ["--dead-letter-url", queue["DeadLetterUrl"]]
    with (folder / "manager.log").open("w") as log:
        processes.start(command, stderr=log, env=cloud.environment)
    wait_for("the manager's first map", manager_map.exists)

    bucket = fleet.Aws()
    machine = fleet.Machine(folder / "machine", bucket)

    def distribute():
        """The map goes through the bucket; returns its sessions by instance."""
        for arguments in (["put", str(manager_map), "fleet/map.json"], ["map"]):
            fleet.expect(arguments[0], machine.run(*arguments), (0, ""))
        return {entry["instance"]: entry for entry in json.loads((folder / "machine/state/map.json").read_text())["sessions"]}

    distribute()
    configuration = folder / "mirror-capture.toml"
    paths = {'"ens5"': '"veth-rx"', "/var/lib/mirror-capture": str(folder), "/var/lib/mirror-fleet": str(folder / "machine/state")}
    text = replaced((EXAMPLE / "mirror-capture.toml").read_text(), paths)
    # A connection that was reset ends soon, so that its record is made while its instance is in the map.
    configuration.write_text(f'{text}\n[flow]\nclosing_timeout = "200ms"\n')
    appliance = Appliance(processes, folder, capture, configuration)

    # Instances come: each is mirrored, but for the one that opted out.
    first, second = clients[CLIENTS[0]], clients[CLIENTS[1]]
    web = first.launch("euw1-az1", Name="web", env="prod")
    database = second.launch("euw1-az2", Name="database", env="test")
    quiet = second.launch("euw1-az2", mirror="off")
    named = wait_for("both in the map", lambda: (lambda found: found if {web, database} <= found.keys() else None)(distribute()))
    fleet.expect("who is mirrored", set(named), {web, database})
    fleet.expect("sessions", [len(client.sessions()) for client in (first, second)], [1, 1])
    time.sleep(TAKEN_UP)
    appliance.receive(mirrored(named[instance], 443, flags, appliance.mac) for instance in (web, database) for flags in (SYN, RST))

    # One goes, and with it its name: what still comes of its session is recorded without.
    time.sleep(TAKEN_UP)
    first.end(web)
    wait_for("its session ends", lambda: not first.sessions())
    wait_for("out of the map", lambda: set(distribute()) == {database})
    time.sleep(TAKEN_UP)
    appliance.receive(mirrored(named[instance], 8443, SYN, appliance.mac) for instance in (web, database))
    time.sleep(0.5)
    appliance.stop()

    records = [json.loads(line) for file in sorted(folder.glob("records/*")) for line in file.read_text().splitlines()]
    story = {
        (record["source"]["ip"], record["destination"]["port"]): (
            record.get("cloud", {}).get("account", {}).get("id"),
            record.get("cloud", {}).get("instance", {}).get("id"),
            record.get("labels"),
        )
        for record in records
    }
    addresses = {instance: named[instance]["addresses"][0] for instance in (web, database)}
    fleet.expect(
        "the records",
        story,
        {
            (addresses[web], 443): (CLIENTS[0], web, {"Name": "web", "env": "prod"}),
            (addresses[database], 443): (CLIENTS[1], database, {"Name": "database", "env": "test"}),
            (addresses[web], 8443): (None, None, None),
            (addresses[database], 8443): (CLIENTS[1], database, {"Name": "database", "env": "test"}),
        },
    )
    ledger = json.loads((folder / "ledger.json").read_text())
    fleet.expect("the ledger", (ledger["seen"], ledger["recorded"], ledger["balanced"]), (6, 6, True))
    fleet.expect("requests refused", bucket.faults, [])
    print(f"story: 3 instances, 2 mirrored, {len(records)} records, {quiet} opted out")


# Seconds in which the daemon notices another map, or ends a flow that was reset, with time to spare.
TAKEN_UP = 3


def check():
    """Returns what is wrong."""
    if os.geteuid() != 0:
        print("SKIPPED: the story needs root for network namespaces")
        return []
    programs = [TARGET / "debug/mirror-sessions", TARGET / "debug/mirror-capture"]
    missing = [str(program) for program in programs if not program.exists()]
    if missing:
        return [f"not built: {', '.join(missing)}"]
    with tempfile.TemporaryDirectory() as name, Processes() as processes:
        folder = Path(name)
        (folder / "machine").mkdir()
        (folder / "records").mkdir()
        try:
            play(processes, folder, *programs)
        except AssertionError as error:
            logs = "\n".join(f"{log.name}: {log.read_text()[-2000:]}" for log in folder.glob("*.log"))
            return [f"story: {error}\n{logs}"]
    return []

"""The script of the machines (deploy/terraform/files/mirror-fleet) against doubles of the metadata service, S3, CloudWatch and the
scaling group, which check the signature of each request; and of systemctl, ip and ethtool, which note their arguments."""

import hashlib
import hmac
import json
import os
import re
import subprocess
import tempfile
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "terraform/files/mirror-fleet"
ROLE = {"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "secret+/=key", "Token": "token/+=", "Code": "Success"}
TOKEN = "metadata-token"

STAND_INS = {
    "systemctl": 'echo "systemctl $*" >>"$CALLS"',
    "ip": 'echo "ip $*" >>"$CALLS"',
    "ethtool": """case $1 in
    --show-channels) printf 'Pre-set maximums:\\nCombined:\\t8\\nCurrent hardware settings:\\nCombined:\\t8\\n' ;;
    --statistics) printf 'NIC statistics:\\n     pps_allowance_exceeded: %s\\n     bw_out_allowance_exceeded: 9\\n' "$EXCEEDED" ;;
    *) echo "ethtool $*" >>"$CALLS" ;;
esac""",
}


def signature_fault(handler, body):
    """What is wrong with a request's signature (Signature Version 4, computed anew); None if it is right."""
    authorization = handler.headers.get("Authorization", "")
    parts = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=(\w+)", authorization)
    if not parts:
        return f"no signature: {authorization!r}"
    credential, names, signature = parts.groups()
    key_id, *scope = credential.split("/")
    if key_id != ROLE["AccessKeyId"] or handler.headers.get("x-amz-security-token") != ROLE["Token"]:
        return "other credentials than the role's"
    path, _, query = handler.path.partition("?")
    payload = handler.headers.get("x-amz-content-sha256") or hashlib.sha256(body).hexdigest()
    headers = "".join(f"{name}:{handler.headers[name].strip()}\n" for name in names.split(";"))
    request = "\n".join([handler.command, path, query, headers, names, payload])
    text = "\n".join(
        ["AWS4-HMAC-SHA256", handler.headers["x-amz-date"], "/".join(scope), hashlib.sha256(request.encode()).hexdigest()]
    )
    key = ("AWS4" + ROLE["SecretAccessKey"]).encode()
    for part in [*scope, text]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return None if key.hex() == signature else f"wrong signature for {'/'.join(scope)}"


class Aws(ThreadingHTTPServer):
    """Everything that the script asks by HTTP."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.faults, self.calls = [], []
        self.objects = {}
        self.state = "InService"
        self.metrics = ""
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_request(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path
        if path == "/latest/api/token" and self.command == "PUT":
            return self.answer(200, TOKEN.encode())
        if path.startswith("/latest/meta-data/"):
            if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
                return self.answer(401)
            values = {
                "iam/security-credentials/": "appliance",
                "iam/security-credentials/appliance": json.dumps(ROLE, indent=2),
                "instance-id": "i-0123456789abcdef0",
                "autoscaling/target-lifecycle-state": self.server.state,
            }
            value = values.get(path.removeprefix("/latest/meta-data/"))
            return self.answer(200, value.encode()) if value else self.answer(404)
        if path == "/metrics":
            return self.answer(200, self.server.metrics.encode())
        fault = signature_fault(self, body)
        if fault:
            self.server.faults.append(f"{self.command} {path}: {fault}")
            return self.answer(403)
        if path == "/":
            self.server.calls.append(dict(urllib.parse.parse_qsl(body.decode(), strict_parsing=True)))
            return self.answer(200)
        if self.command == "PUT":
            self.server.objects[path] = body
            return self.answer(200)
        content = self.server.objects.get(path)
        if content is None:
            return self.answer(404)
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        if self.headers.get("If-None-Match") == tag:
            return self.answer(304, ETag=tag)
        return self.answer(200, content, ETag=tag)

    do_GET = do_PUT = do_POST = handle_request


class Machine:
    """A machine with its script's environment."""

    def __init__(self, folder, aws):
        self.folder, self.aws = Path(folder), aws
        self.calls = self.folder / "calls"
        self.calls.touch()
        for name, text in STAND_INS.items():
            path = self.folder / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"#!/bin/sh\n{text}\n")
            path.chmod(0o755)
        for name in ("state", "runtime"):
            (self.folder / name).mkdir()
        self.environment = {
            "ADMIN_URL": aws.url,
            "AUTOSCALING_URL": aws.url,
            "BUCKET_URL": f"{aws.url}/bucket",
            "CALLS": str(self.calls),
            "CLOUDWATCH_URL": aws.url,
            "DEREGISTRATION_DELAY": "0",
            "DROP_METRIC": "dropped_total",
            "EXCEEDED": "5",
            "GROUP": "inspection",
            "HOOK": "drain",
            "IMDS_URL": aws.url,
            "INTERFACE": "ens5",
            "NAMESPACE": "mirror-capture/inspection & more",
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "POLL_SECONDS": "0.1",
            "REGION": "eu-west-1",
            "RUNTIME_DIRECTORY": str(self.folder / "runtime"),
            "STATE_DIRECTORY": str(self.folder / "state"),
        }

    def start(self, *arguments, **environment):
        return subprocess.Popen(
            ["sh", SCRIPT, *arguments], env=self.environment | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, *arguments, **environment):
        process = self.start(*arguments, **environment)
        said, _ = process.communicate(timeout=60)
        return process.returncode, said


def expect(what, found, wanted):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r} and not {wanted!r}")


def objects(machine, aws):
    """Objects come and go whole; an unchanged map is not fetched again; none yet is no error."""
    aws.objects["/bucket/fleet/packages/p.deb"] = b"package"
    target = machine.folder / "p.deb"
    expect("get", machine.run("get", "fleet/packages/p.deb", str(target)), (0, ""))
    expect("the package", target.read_bytes(), b"package")
    code, said = machine.run("get", "fleet/packages/none.deb", str(machine.folder / "none.deb"))
    expect("a missing object", (code != 0, "404" in said, (machine.folder / "none.deb").exists()), (True, True, False))

    map_file = machine.folder / "state/map.json"
    expect("no map yet", (machine.run("map"), json.loads(map_file.read_text())["sessions"]), ((0, ""), []))
    (machine.folder / "made.json").write_bytes(b'{"version": 1}')
    expect("put", machine.run("put", str(machine.folder / "made.json"), "fleet/map.json"), (0, ""))
    expect("a map", (machine.run("map"), map_file.read_bytes()), ((0, ""), b'{"version": 1}'))
    before = map_file.stat().st_ino
    expect("the same map", (machine.run("map"), map_file.stat().st_ino), ((0, ""), before))
    aws.objects["/bucket/fleet/map.json"] = b'{"version": 2}'
    expect("a new map", (machine.run("map"), map_file.read_bytes()), ((0, ""), b'{"version": 2}'))
    expect("nothing half", list((machine.folder / "state").glob("*.part")), [])


def metrics(machine, aws):
    """Growth since the last run, over all labels; a restart begins anew; the first run only notes."""

    def page(*values):
        lines = [f'dropped_total{{reason="r{number}"}} {value}' for number, value in enumerate(values)]
        aws.metrics = "# TYPE dropped_total counter\ndropped_total_created 7\n" + "\n".join(lines) + "\n"

    def sent():
        call = aws.calls.pop()
        expect("action", (call["Action"], call["Namespace"]), ("PutMetricData", machine.environment["NAMESPACE"]))
        members = [f"MetricData.member.{number}." for number in (1, 2)]
        for member in members:
            expect("dimension", call[member + "Dimensions.member.1.Value"], "inspection")
        return {call[member + "MetricName"]: call[member + "Value"] for member in members}

    page(3, 4)
    expect("the first run", (machine.run("metrics"), aws.calls), ((0, ""), []))
    page(5, 6)
    expect("metrics", machine.run("metrics", EXCEEDED="8"), (0, ""))
    expect("growth", sent(), {"DroppedPackets": "4", "AllowanceExceeded": "3"})
    page(2)
    expect("after a restart", machine.run("metrics", EXCEEDED="8"), (0, ""))
    expect("its value", sent(), {"DroppedPackets": "2", "AllowanceExceeded": "0"})


def drain(machine, aws):
    """Nothing until the notice; then the daemon is stopped, and only then the hook completed."""
    machine.calls.write_text("")
    process = machine.start("drain")
    try:
        process.wait(0.5)
        raise AssertionError(f"drain did not wait: {process.stdout.read()}")
    except subprocess.TimeoutExpired:
        expect("before the notice", (machine.calls.read_text(), aws.calls), ("", []))
    aws.state = "Terminated"
    said, _ = process.communicate(timeout=30)
    expect("drain", (process.returncode, "drained" in said), (0, True))
    expect("stopped", machine.calls.read_text(), "systemctl stop mirror-capture.service\nsystemctl stop mirror-ship.service\n")
    call = aws.calls.pop()
    wanted = {
        "Action": "CompleteLifecycleAction", "Version": "2011-01-01", "AutoScalingGroupName": "inspection",
        "LifecycleHookName": "drain", "InstanceId": "i-0123456789abcdef0", "LifecycleActionResult": "CONTINUE",
    }  # fmt: skip
    expect("the hook", call, wanted)


def link(machine, _aws):
    """The MTU, and half of the channels."""
    machine.calls.write_text("")
    expect("link", machine.run("link", "9001"), (0, ""))
    expect("settings", machine.calls.read_text(), "ip link set dev ens5 mtu 9001\nethtool --set-channels ens5 combined 4\n")


def usage(machine, _aws):
    code, said = machine.run("dance")
    expect("usage", (code, said.count("mirror-fleet ")), (2, 6))


def check():
    """Returns what is wrong."""
    wrong = []
    tests = [objects, metrics, drain, link, usage]
    for test in tests:
        aws = Aws()
        with tempfile.TemporaryDirectory() as folder:
            try:
                test(Machine(folder, aws), aws)
                expect("requests refused", aws.faults, [])
            except AssertionError as error:
                wrong.append(f"mirror-fleet, {test.__name__}: {error}; {aws.faults}")
            finally:
                aws.shutdown()
                aws.server_close()
    print(f"mirror-fleet: {len(tests) - len(wrong)} of {len(tests)} tests passed")
    return wrong

"""Checks of deploy/, by name: see CHECKS. Each prints what it ran, and fails with the reason."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fleet
import guide
import story
import terraform

HERE = Path(__file__).parent
DEPLOY = HERE.parent
MODULES = sorted({file.parent.parent for file in terraform.ROOT.rglob("*.tftest.hcl")})

# A fault, a module it is put into, the text it replaces, and what must be said of it: proof that the checks can fail.
FAULTS = [
    ("central", "load_balancer.tf", "deregistration_delay =", "deregistration_dely =", "Unsupported argument"),
    ("central", "load_balancer.tf", '"gateway"', '"gatewy"', "aws_lb.load_balancer_type cannot be 'gatewy'"),
    ("central", "load_balancer.tf", "  acceptance_required", '  service_name = "x"\n  acceptance_required', "cannot be set"),
    ("central", "fleet.tf", "  max_size                  = var.fleet.max\n", "", "Missing required argument"),
    ("central", "network.tf", '"aws_vpc" "this"', '"aws_vpcs" "this"', "Invalid resource type"),
    ("client", "main.tf", "../permissions", "../permission", "Unreadable module directory"),
]
FAILING_TESTS = [
    ("permissions", "main.tf", '          "ec2:DescribeInstances",\n', "", "the role's permissions in a client account"),
    ("central", "variables.tf", "var.mtu >= 8568", "var.mtu >= 8567", "Missing expected failure"),
]


def name_of(module):
    return str(module.relative_to(terraform.ROOT))


def check_module(module, plugins):
    """Validates one module and runs its tests; returns what is wrong, if anything, and the number of tests."""
    with terraform.Terraform(module, plugins) as engine:
        for arguments in (terraform.INIT, ["validate", "-no-color"], ["test", "-no-color"]):
            code, output = engine.run(*arguments)
            if code:
                return f"{name_of(module)}: {output}", 0
    passed = int(re.search(r"(\d+) passed, 0 failed", output).group(1))
    return (None, passed) if passed else (f"{name_of(module)}: there are no tests", 0)


def is_noticed(fault, plugins):
    """True if the checks refuse a copy of the modules with this fault for the expected reason."""
    module, file, text, replacement, expected = fault
    with tempfile.TemporaryDirectory() as folder:
        # The tests compare with files beside the modules.
        copy = Path(folder, "deploy/terraform")
        shutil.copytree(terraform.ROOT, copy)
        shutil.copy(DEPLOY / "mirror-sessions.service", copy.parent)
        golden = Path(folder, "mirror-sessions/tests/golden")
        shutil.copytree(DEPLOY.parent / "mirror-sessions/tests/golden", golden)
        path = copy / "modules" / module / file
        before = path.read_text()
        if text not in before:
            return f"{file} of {module} has no {text!r}"
        path.write_text(before.replace(text, replacement, 1))
        with terraform.Terraform(path.parent, plugins) as engine:
            last = "test" if fault in FAILING_TESTS else "validate"
            said = "".join(engine.run(*arguments)[1] for arguments in (terraform.INIT, [last, "-no-color"]))
    # Terraform wraps its lines.
    return None if expected in " ".join(said.split()) else f"{replacement!r} in {module}/{file} is not refused: {said}"


def check_terraform():
    """Format, validity and tests of all modules and examples; and that these checks notice faults."""
    with terraform.provider() as plugins, ThreadPoolExecutor(os.cpu_count()) as pool:
        with terraform.Terraform(terraform.ROOT, plugins) as engine:
            code, output = engine.run("fmt", "-check", "-recursive", "-diff", "-no-color")
        wrong = [output] if code else []
        results = pool.map(lambda module: check_module(module, plugins), MODULES)
        noticed = pool.map(lambda fault: is_noticed(fault, plugins), FAULTS + FAILING_TESTS)
        for module, (fault, passed) in zip(MODULES, results):
            print(f"{name_of(module)}: {'refused' if fault else f'{passed} tests passed'}")
            wrong.append(fault)
        missed = list(noticed)
        print(f"{missed.count(None)} of {len(missed)} deliberate faults noticed")
    return [fault for fault in wrong + missed if fault]


def check_policies():
    """checkov over the modules: what it finds is mended, or justified at the resource."""
    command = [
        Path(sys.executable).parent / "checkov", "--directory", terraform.ROOT, "--framework", "terraform", "--skip-download",
        "--quiet", "--compact", "--output", "json",
    ]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"LOG_LEVEL": "ERROR"})
    result = json.loads(done.stdout)
    summary = result["summary"]
    print(f"checkov: {summary['passed']} passed, {summary['failed']} failed, {summary['skipped']} justified")
    if summary["passed"] < 100 or summary["parsing_errors"]:
        return [f"checkov did not read the modules: {summary}"]
    found = result.get("results", {}).get("failed_checks", [])
    return [f"{check['check_id']} {check['resource']} ({check['file_path']}): {check['check_name']}" for check in found]


def check_templates():
    """cfn-lint over the CloudFormation templates of `mirror-sessions init`."""
    templates = sorted((DEPLOY.parent / "mirror-sessions/tests/golden").glob("*.template.json"))
    command = [Path(sys.executable).parent / "cfn-lint", "--format", "parseable", "--regions", "eu-west-1", "--", *templates]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(f"cfn-lint: {len(templates)} templates")
    return done.stdout.splitlines() if done.returncode or not templates else []


CHECKS = {
    "terraform": check_terraform,
    "policies": check_policies,
    "templates": check_templates,
    "fleet": fleet.check,
    "guide": guide.check,
    "story": story.check,
}


def main():
    wrong = [fault for name in sys.argv[1:] or CHECKS for fault in CHECKS[name]()]
    for fault in wrong:
        print(fault, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

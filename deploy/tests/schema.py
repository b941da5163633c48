"""Renews aws-schema.json, the part of the AWS provider's schema that the modules use.

usage: terraform providers schema -json | python schema.py [VERSION]

Where Terraform can fetch the provider. The types are those that the .tf files name; VERSION is the provider's, to be
noted in the file. Terraform's output has the schema of one provider; what else it holds is left out.
"""

import functools
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
ADDRESS = "registry.terraform.io/hashicorp/aws"


def used(kind):
    """The types of the blocks `resource` or `data` in all modules and examples."""
    pattern = re.compile(rf'^{kind} "(aws_\w+)"', re.MULTILINE)
    files = (HERE.parent / "terraform").rglob("*.tf")
    return sorted({name for file in files for name in pattern.findall(file.read_text())})


def slim(block):
    """The block without descriptions and what else no test needs."""
    keep = ("type", "required", "optional", "computed")
    attributes = {
        name: {key: attribute[key] for key in keep if key in attribute}
        for name, attribute in sorted(block.get("attributes", {}).items())
        if "type" in attribute
    }
    nested = {
        name: {key: kind[key] for key in ("nesting_mode", "min_items", "max_items") if key in kind}
        | {"block": slim(kind["block"])}
        for name, kind in sorted(block.get("block_types", {}).items())
    }
    return {"attributes": attributes, "block_types": nested}


def main():
    full = json.load(sys.stdin)["provider_schemas"][ADDRESS]
    result = {"provider": {"block": slim(full["provider"]["block"])}}
    for kind, word in (("resource_schemas", "resource"), ("data_source_schemas", "data")):
        missing = [name for name in used(word) if name not in full[kind]]
        if missing:
            sys.exit(f"the provider has no {word} {', '.join(missing)}")
        result[kind] = {name: {"block": slim(full[kind][name]["block"])} for name in used(word)}
    version = sys.argv[1] if len(sys.argv) > 1 else "unknown"
    # One type a line, so that a difference can be read.
    compact = functools.partial(json.dumps, separators=(",", ":"))
    parts = [f'"provider": {compact(result["provider"])}']
    for kind in ("resource_schemas", "data_source_schemas"):
        types = ",\n".join(f'  "{name}": {compact(value)}' for name, value in result[kind].items())
        parts.append(f'"{kind}": {{\n{types}\n}}')
    body = ",\n".join(parts)
    (HERE / "aws-schema.json").write_text(
        f'{{"format_version": "1.0", "aws_version": "{version}", "provider_schemas": {{"{ADDRESS}": {{\n{body}\n}}}}}}\n'
    )


if __name__ == "__main__":
    main()

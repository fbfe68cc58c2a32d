"""What docs/configuration.md says of the services' settings, and what the chart makes of it.

configuration.py --write brings helm/meltica/values.yaml and values.schema.json up to that document.
"""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "meltica"
SCHEMA = CHART / "values.schema.json"
VALUES = CHART / "values.yaml"

# Settings that the chart sets from values of other names.
MANAGED = {
    "common": {
        "nats_url", "nats_creds_file", "nats_nkey_file", "nats_user", "nats_password_file", "nats_token_file",
        "tls_ca_file", "tls_cert_file", "tls_key_file", "instance", "replica", "replicas", "partitions", "provision",
        "stream_replicas", "http_host", "http_port",
    },
    "adapter": {"ca_file", "hot_standby"},
    "dispatcher": {"table"},
    "controlBus": {"policy"},
    "console": {"web_dir"},
}
SECTIONS = {
    "Every service": "common",
    "meltica-adapter": "adapter",
    "meltica-dispatcher": "dispatcher",
    "meltica-conductor": "conductor",
    "meltica-data-bus": "dataBus",
    "meltica-control-bus": "controlBus",
    "meltica-console": "console",
}
ROW = re.compile(r"^\| `(\w+)` \| `(\w+)` \| `[^`]+` \| (.+?) \| (\S.*?) \| (.+) \|$")


def camel(key):
    head, *rest = key.split("_")
    return head + "".join(word.capitalize() for word in rest)


def documented():
    """{"common": [row, ...], "adapter": ...}; a row has key, variable, type, default, what."""
    found, section = {}, None
    for line in (ROOT / "docs" / "configuration.md").read_text().splitlines():
        if line.startswith("## "):
            name = line[3:].strip()
            section = SECTIONS[name]  # a new service is an error here: the chart must learn of it
            found[section] = []
        match = ROW.match(line)
        if match and section is not None:
            names = ("key", "variable", "type", "default", "what")
            found[section].append(dict(zip(names, match.groups())))
    assert set(found) == set(SECTIONS.values()), "docs/configuration.md has sections missing"
    return found


def settable(section, rows):
    return [row for row in rows[section] if row["key"] not in MANAGED.get(section, ())]


def property_of(row):
    description = {"description": row["what"]}
    number = re.match(r"a whole number from (\d+) to (\d+)", row["type"])
    if number:
        return {"type": "integer", "minimum": int(number[1]), "maximum": int(number[2]), **description}
    if row["type"] == "true or false":
        return {"type": "boolean", **description}
    if row["type"].startswith("one of "):
        return {"enum": row["type"][len("one of "):].split("\\|"), **description}
    assert row["type"] == "text", f"type {row['type']!r} of {row['key']} is new here"
    return {"type": "string", "minLength": 1, **description}


def definitions(rows):
    common = {camel(row["key"]): property_of(row) for row in settable("common", rows)}
    made = {}
    for section in rows:
        own = {camel(row["key"]): property_of(row) for row in settable(section, rows)}
        properties = own if section == "common" else {**own, **common}
        made[f"{section}Config"] = {"type": "object", "additionalProperties": False, "properties": properties}
    return made


def embedded(source, prefix):
    """A schema of the project as definitions of the chart's; {} stands for: no such file."""
    text = source.read_text().replace("#/$defs/", f"#/definitions/{prefix}-")
    schema = json.loads(text)
    made = {f"{prefix}-{name}": value for name, value in schema.pop("$defs", {}).items()}
    schema.pop("$schema")
    schema["if"], schema["then"] = {"minProperties": 1}, {"required": schema.pop("required")}
    return {prefix: schema, **made}


def comments(section, rows, indent):
    lines = []
    for row in settable(section, rows):
        kind = row["type"].replace("\\|", ", ")
        lines.append(f"{indent}# {camel(row['key'])} -- {row['what']} ({kind}; {row['default'].strip('`')})")
    if section != "common":
        also = ", ".join(camel(row["key"]) for row in settable("common", rows))
        lines.append(f"{indent}# and {also}, as in config.")
    return lines


def with_comments(text, rows):
    """values.yaml with the lines between its markers made anew."""
    out, service, skipping = [], "common", False
    for line in text.splitlines():
        top = re.match(r"^(\w+):", line)
        if top:
            service = top[1] if top[1] in rows else "common"
        if line.strip() == "# (end)":
            skipping = False
        if not skipping:
            out.append(line)
        if line.strip() == "# (made from docs/configuration.md)":
            out.extend(comments(service, rows, line[: line.index("#")]))
            skipping = True
    return "\n".join(out) + "\n"


def with_definitions(text, rows):
    schema = json.loads(text)
    schema["definitions"].update(definitions(rows))
    schema["definitions"].update(embedded(ROOT / "services" / "dispatcher" / "dispatch.schema.json", "dispatchTable"))
    schema["definitions"].update(embedded(ROOT / "docs" / "schema" / "policy.json", "policy"))
    return json.dumps(schema, indent=2) + "\n"


def main():
    rows = documented()
    wanted = {VALUES: with_comments(VALUES.read_text(), rows), SCHEMA: with_definitions(SCHEMA.read_text(), rows)}
    for path, text in wanted.items():
        if "--write" in sys.argv[1:]:
            path.write_text(text)
        elif path.read_text() != text:
            sys.exit(f"{path.relative_to(ROOT)} is not what docs/configuration.md says: ./dev helm-test --write")


if __name__ == "__main__":
    main()

"""The Stream resources of provisioning.mode "nack" say what the services make themselves."""

import json
import re
import socket

from cluster import Failed
from prove_api import CHART, helm, load

UNITS = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def request(host, subject, payload=""):
    """One request to NATS in its own words: no client library is needed for that."""
    with socket.create_connection((host, 4222), timeout=10) as line:
        stream = line.makefile("rb")
        stream.readline()  # INFO
        data = payload.encode()
        line.sendall(b'CONNECT {"verbose":false,"no_responders":true,"headers":true}\r\nSUB _INBOX.proof 1\r\n'
                     + f"PUB {subject} _INBOX.proof {len(data)}\r\n".encode() + data + b"\r\n")
        while True:
            words = stream.readline().split()
            if not words:
                raise Failed(f"{subject}: the connection ended")
            if words[0] in (b"MSG", b"HMSG"):
                body = stream.read(int(words[-1]))
                return body[int(words[-2]):] if words[0] == b"HMSG" else body
            if words[0] == b"PING":
                line.sendall(b"PONG\r\n")
            if words[0].startswith(b"-ERR"):
                raise Failed(f"{subject}: {b' '.join(words).decode()}")


def nanoseconds(text):
    number = re.fullmatch(r"(\d+)([smh])", text)
    return int(number[1]) * UNITS[number[2]]


def wanted_of(spec):
    """What the server would say of a stream that the controller made of it."""
    return {
        "subjects": spec["subjects"], "storage": spec["storage"], "discard": spec["discard"], "max_msgs": spec["maxMsgs"], "max_bytes": spec["maxBytes"],
        "max_msgs_per_subject": spec["maxMsgsPerSubject"], "max_age": nanoseconds(spec["maxAge"]) if "maxAge" in spec else 0,
        "allow_direct": spec["allowDirect"], "allow_rollup_hdrs": spec.get("allowRollup", False), "deny_delete": spec.get("denyDelete", False),
        "with a first sequence": "firstSequence" in spec,
    }


def compare(cluster, where, say):
    host = cluster.get("service", "meltica-nats", "-n", where)["spec"]["clusterIP"]
    command = {"consumer": "proof", "type": "TRADE", "instruments": ["SYM0001-USDT"]}
    answer = json.loads(request(host, "meltica.control.subscribe", json.dumps(command)))
    if answer["status"] != "CONFIRMED":
        raise Failed(f"meltica.control.subscribe: {answer}")
    say(f"meltica.control.subscribe: CONFIRMED in {answer['took_ms']} ms")
    text = helm(cluster, "template", "meltica", str(CHART), "-n", where, "--kube-version", "1.33.0", "-f", str(CHART / "ci" / "simulator-values.yaml"), "--set", "provisioning.mode=nack")
    specs = [o["spec"] for o in load(text) if o["kind"] == "Stream"]
    for spec in specs:
        answer = json.loads(request(host, f"$JS.API.STREAM.INFO.{spec['name']}"))
        if "config" not in answer:
            raise Failed(f"{spec['name']}: {answer}")
        config = answer["config"]
        found = {key: config.get(key, False if isinstance(value, bool) else 0) for key, value in wanted_of(spec).items()}
        found["with a first sequence"] = config.get("first_seq", 0) > 1
        if found != wanted_of(spec):
            raise Failed(f"{spec['name']}: the services made {found}, the chart says {wanted_of(spec)}")
        if "duplicateWindow" in spec and config["duplicate_window"] != nanoseconds(spec["duplicateWindow"]):
            raise Failed(f"{spec['name']}: duplicate_window {config['duplicate_window']}")
    made = json.loads(request(host, "$JS.API.STREAM.NAMES"))["streams"]
    if sorted(made) != sorted(spec["name"] for spec in specs):
        raise Failed(f"the services made {sorted(made)}")
    say(f"the {len(specs)} streams and buckets that the services made are those of provisioning.mode=nack")

"""What the chart takes and what it refuses."""

import json
import re
import subprocess
import sys
import tempfile
import unittest

import yaml

import configuration
from chart import CHART, CI, ROOT, helm, rendered


def schema():
    return json.loads((CHART / "values.schema.json").read_text())


def resolve(node, whole):
    while "$ref" in node:
        node = whole["definitions"][node["$ref"].rsplit("/", 1)[1]]
    return node


def closed_paths(node, whole, path=()):
    """Paths of all maps of values whose members are known."""
    node = resolve(node, whole)
    if "properties" not in node:
        return
    yield path
    for name, child in node["properties"].items():
        yield from closed_paths(child, whole, (*path, name))


def nested(path, value):
    for name in reversed(path):
        value = {name: value}
    return value


def template_with(values):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        return helm("template", "-f", file.name)


class Values(unittest.TestCase):
    def test_version_is_the_project_s(self):
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        version = (ROOT / "VERSION").read_text().splitlines()[0]
        self.assertEqual((chart["version"], chart["appVersion"]), (version, version))

    def test_settings_are_those_of_the_documentation(self):
        result = subprocess.run([sys.executable, configuration.__file__], capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_every_value_has_its_comment_and_every_comment_its_value(self):
        text = (CHART / "values.yaml").read_text()
        whole, paths = schema(), set()
        values = yaml.safe_load(text)

        def walk(value, node, path):
            node = resolve(node, whole)
            if isinstance(value, dict) and value and "properties" in node and node.get("additionalProperties") is False:
                if f"# {'.'.join(path)} -- " in text:
                    paths.add(".".join(path))  # described as a whole
                    return
                for name, child in value.items():
                    self.assertIn(name, node["properties"], f"{path}: the schema does not have it")
                    walk(child, node["properties"][name], (*path, name))
                missing = set(node["properties"]) - set(value) - {"global"}
                self.assertEqual(missing, set(), f"{path}: in the schema, not in values.yaml")
            else:
                paths.add(".".join(path))

        walk(values, whole, ())
        described = set(re.findall(r"^ *# ([\w.]+) -- ", text, re.M))
        keys = {name for service in configuration.documented().values() for name in map(lambda r: configuration.camel(r["key"]), service)}
        self.assertEqual(paths - described, set(), "values without a comment")
        self.assertEqual(described - paths - keys, set(), "comments of values that are not there")

    def test_every_map_of_the_schema_is_closed(self):
        open_maps = {"strings", "affinity.nodeAffinity", "affinity.podAffinity", "affinity.podAntiAffinity", "policy.roles", "policy.principals"}

        def walk(node, path):
            if not isinstance(node, dict):
                return
            if node.get("type") == "object" and ".".join(path) not in open_maps:
                self.assertIs(node.get("additionalProperties"), False, ".".join(path) or "values")
            for name, child in node.get("properties", {}).items():
                walk(child, (*path, name))
            for name in ("items", "additionalProperties"):
                walk(node.get(name), (*path, name))

        whole = schema()
        walk(whole, ())
        for name, node in whole["definitions"].items():
            walk(node, (name,))

    def test_an_unknown_value_is_refused_wherever_it_stands(self):
        whole = schema()
        for path in closed_paths(whole, whole):
            with self.subTest(path=path):
                result = template_with(nested(path, {"nonsuch": 1}))
                self.assertNotEqual(result.returncode, 0)
                self.assertRegex(result.stderr, "nonsuch")
                self.assertRegex(result.stderr, "(?i)additional propert")

    def test_a_mistyped_value_is_refused_by_name(self):
        for values, place in (
            ({"partitions": "four"}, "partitions"),
            ({"partitions": 65}, "partitions"),
            ({"conductor": {"replicas": 0}}, "replicas"),
            ({"dispatcher": {"replicas": 0}}, "replicas"),
            ({"adapter": {"hotStandby": 2}}, "hotStandby"),
            ({"adapter": {"config": {"hotStandby": True}}}, "hotStandby"),
            ({"conductor": {"config": {"throttleMs": "100"}}}, "throttleMs"),
            ({"conductor": {"config": {"throttleMs": 60001}}}, "throttleMs"),
            ({"conductor": {"config": {"throttle_ms": 100}}}, "throttle_ms"),
            ({"dataBus": {"config": {"journal": "yes"}}}, "journal"),
            ({"adapter": {"config": {"ringBytes": 1.5e7 + 0.5}}}, "ringBytes"),
            ({"config": {"logLevel": "verbose"}}, "logLevel"),
            ({"nats": {"url": "http://nats:4222"}}, "url"),
            ({"nats": {"auth": {"mode": "jwt"}}}, "mode"),
            ({"nats": {"bundled": {"jetstream": {"memoryStore": "2 GB"}}}}, "memoryStore"),
            ({"provisioning": {"mode": "operator"}}, "mode"),
            ({"adapter": {"resources": {"limits": {"memroy": "1Gi"}}}}, "memroy"),
            ({"dispatcher": {"table": {"version": 1}}}, "routes"),
            ({"dispatcher": {"table": {"version": 1, "routes": [{"type": "TRADES", "ws": "{symbol}@trade"}]}}}, "TRADE"),
            ({"controlBus": {"policy": {"version": 2, "roles": {}}}}, "version"),
            ({"tracing": {"samplerArg": 0.01}}, "samplerArg"),
            ({"podLabels": {"team": 7}}, "team"),
            ({"console": {"origins": ["*"]}}, "origins"),
            ({"console": {"origins": ["https://console.example/"]}}, "origins"),
            ({"console": {"config": {"control": "yes"}}}, "control"),
        ):
            with self.subTest(values=values):
                result = template_with(values)
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(place, result.stderr)

    def test_what_does_not_go_together_is_refused_with_what_to_do(self):
        for values, words in (
            ({"nats": {"url": "nats://a:4222"}}, "nats.bundled.enabled=false"),
            ({"nats": {"bundled": {"enabled": False}}}, "set nats.url"),
            ({"nats": {"auth": {"mode": "creds"}}}, "needs nats.auth.existingSecret"),
            ({"nats": {"auth": {"existingSecret": "s"}}}, "say what is in it"),
            ({"nats": {"bundled": {"usersSecret": "s"}}}, "the services need nats.auth too"),
            ({"nats": {"tls": {"existingSecret": "s"}}}, "the bundled one has no TLS"),
            ({"nats": {"tls": {"clientCertificate": True}}}, "needs nats.tls.existingSecret"),
            ({"conductor": {"replicas": 5}}, "raise partitions or lower the replicas"),
            ({"provisioning": {"replicas": 3}}, "the bundled NATS is one server"),
            ({"dispatcher": {"existingConfigMap": "m", "tableFile": "/t"}}, "remove it"),
            ({"dispatcher": {"existingConfigMap": "m", "table": {"version": 1, "routes": [{"type": "TRADE", "ws": "{symbol}@trade"}]}}}, "one table"),
            ({"controlBus": {"existingConfigMap": "m", "policy": {"version": 1, "roles": {}, "principals": {}}}}, "one policy"),
            ({"simulator": {"enabled": True}, "adapter": {"config": {"wsUrl": "ws://x"}}}, "remove adapter.config.wsUrl"),
            ({"console": {"enabled": True}, "nats": {"url": "nats://a:4222", "bundled": {"enabled": False}}}, "needs console.config.natsWsUrl"),
            ({"metrics": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}}, "enable one"),
            ({"nats": {"bundled": {"jetstream": {"memoryStore": "512Mi"}}}}, "too small for the journal"),
            ({"dispatcher": {"config": {"ringBytes": 67108864}}}, "too small for dispatcher.config.ringBytes"),
            ({"dispatcher": {"resources": {"limits": {"memory": "56M"}}}}, "too small for dispatcher.config.ringBytes"),
            ({"dispatcher": {"config": {"ringBytes": 67108864}, "resources": {"limits": {"memory": "114687Ki"}}}}, "too small for dispatcher.config.ringBytes"),
        ):
            with self.subTest(values=values):
                result = template_with(values)
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(words, result.stderr)

    def test_a_ring_that_the_memory_holds_is_taken(self):
        for memory in ("112Mi", "114688Ki", "118M", "0.2Gi", 117440512, None):
            values = {"dispatcher": {"config": {"ringBytes": 67108864}, "resources": {"limits": {"memory": memory}}}}
            with self.subTest(values=values):
                result = template_with(values)
                self.assertEqual(result.returncode, 0, result.stderr)

    def test_every_supported_shape_is_linted_and_the_same_each_time(self):
        self.assertGreaterEqual(len(CI), 6)
        for path in CI:
            with self.subTest(values=path.name):
                result = helm("lint", "--strict", "-f", str(path))
                self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
                self.assertNotIn("[WARNING]", result.stdout)
                first, second = (helm("template", "-f", str(path)).stdout for _ in range(2))
                self.assertEqual(first, second)
                self.assertGreater(len(first), 1000)

    def test_of_each_object_there_is_one(self):
        for path in CI:
            names = [(o["kind"], o["metadata"]["name"]) for o in rendered("-f", str(path))]
            self.assertEqual(len(names), len(set(names)), path.name)


if __name__ == "__main__":
    unittest.main()

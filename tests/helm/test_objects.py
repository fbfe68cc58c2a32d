"""What the chart makes: of the documentation, of what Kubernetes calls restricted, and of one piece."""

import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import yaml

import configuration
from chart import CHART, CI, NAMESPACE, component, environment, helm, load, of_ci, one, pods, rendered, tool

SERVICES = {"adapter": "adapter", "dispatcher": "dispatcher", "conductor": "conductor", "data-bus": "dataBus", "control-bus": "controlBus"}
WITH_CONSOLE = {**SERVICES, "console": "console"}
OTEL = {
    "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_EXPORTER_OTLP_HEADERS",
}


def with_values(values):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        result = helm("template", "-f", file.name)
    assert result.returncode == 0, result.stderr
    return load(result.stdout)


def spec_of(objects, ending):
    return next(spec for name, spec, _, _ in pods(objects) if name.endswith(ending))


def matches(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


class Settings(unittest.TestCase):
    def test_each_variable_is_one_of_its_service(self):
        rows = configuration.documented()
        observability = (configuration.ROOT / "docs" / "observability.md").read_text()
        for path in CI:
            seen = set()
            for name, spec, labels, _ in pods(of_ci(path)):
                own = component(labels)
                if own not in WITH_CONSOLE:
                    self.assertEqual(environment(spec), {}, f"{path.name}: {name}")
                    continue
                seen.add(own)
                known = {row["variable"] for row in rows["common"] + rows[WITH_CONSOLE[own]]}
                entries = [entry["name"] for entry in spec["containers"][0]["env"]]
                self.assertEqual(len(entries), len(set(entries)), f"{path.name}: {name} has a variable twice")
                for entry in entries:
                    if entry.startswith("POD_"):
                        continue  # parts of OTEL_RESOURCE_ATTRIBUTES
                    if entry.startswith("OTEL_"):
                        self.assertIn(entry, OTEL)
                        self.assertIn(f"`{entry}`", observability)
                    else:
                        self.assertIn(entry, known, f"{path.name}: {name}")
            self.assertEqual(seen, set(WITH_CONSOLE if path.name == "console-values.yaml" else SERVICES), path.name)

    def test_every_setting_reaches_its_service_as_it_is_written(self):
        rows = configuration.documented()
        schema = json.loads(configuration.SCHEMA.read_text())
        values, wanted = {"nats": {"bundled": {"jetstream": {"memoryStore": "1100000Gi"}}}}, {}
        for name, section in WITH_CONSOLE.items():
            config = {}
            for row in configuration.settable(section, rows) + configuration.settable("common", rows):
                node = schema["definitions"][f"{section}Config"]["properties"][configuration.camel(row["key"])]
                value = node.get("maximum", node.get("enum", [None])[-1])
                value = {"boolean": False, "string": "http://of.test:81"}.get(node.get("type"), value)
                config[configuration.camel(row["key"])] = value
                wanted[(name, row["variable"])] = str(value).lower() if isinstance(value, bool) else str(value)
            values[section] = {"config": config, **({"enabled": True} if section == "console" else {})}
        values["dispatcher"]["resources"] = {"limits": {"memory": "2Gi"}} # for the largest ring
        objects = with_values(values)
        for (name, variable), value in wanted.items():
            entry = environment(spec_of(objects, f"-{name}"))[variable]
            self.assertEqual(entry["value"], value, f"{name}: {variable}")
        self.assertGreater(len(wanted), 35)

    def test_zero_and_false_of_a_service_win_over_everybody_s(self):
        objects = with_values({"config": {"drainTimeoutMs": 9000, "logLevel": "debug"}, "dataBus": {"config": {"drainTimeoutMs": 0, "journal": False}}})
        bus, adapter = environment(spec_of(objects, "-data-bus")), environment(spec_of(objects, "-adapter"))
        self.assertEqual(bus["MELTICA_DRAIN_TIMEOUT_MS"]["value"], "0")
        self.assertEqual(bus["MELTICA_JOURNAL"]["value"], "false")
        self.assertEqual(bus["MELTICA_LOG_LEVEL"]["value"], "debug")
        self.assertEqual(adapter["MELTICA_DRAIN_TIMEOUT_MS"]["value"], "9000")

    def test_a_drain_has_its_time_before_it_is_killed(self):
        objects = with_values({"config": {"drainTimeoutMs": 600000}, "console": {"enabled": True}})
        for name, spec, labels, _ in pods(objects):
            if component(labels) in WITH_CONSOLE:
                self.assertGreater(spec["terminationGracePeriodSeconds"], 605, name)

    def test_conductors_take_their_ordinal(self):
        objects = with_values({"conductor": {"replicas": 3}})
        workload = one(objects, "StatefulSet", "-conductor")
        entries = environment(workload["spec"]["template"]["spec"])
        self.assertEqual(entries["MELTICA_REPLICA"]["valueFrom"]["fieldRef"]["fieldPath"], "metadata.labels['apps.kubernetes.io/pod-index']")
        self.assertEqual(entries["MELTICA_REPLICAS"]["value"], "3")
        self.assertEqual(workload["spec"]["replicas"], 3)
        self.assertEqual(workload["spec"]["podManagementPolicy"], "Parallel")

    def test_data_buses_stand_by_by_their_ordinal(self):
        objects = with_values({"dataBus": {"replicas": 2}})
        workload = one(objects, "StatefulSet", "-data-bus")
        entries = environment(workload["spec"]["template"]["spec"])
        self.assertEqual(entries["MELTICA_REPLICA"]["valueFrom"]["fieldRef"]["fieldPath"], "metadata.labels['apps.kubernetes.io/pod-index']")
        self.assertEqual((entries["MELTICA_REPLICAS"]["value"], workload["spec"]["replicas"]), ("2", 2))
        self.assertEqual({o["kind"] for o in objects if o["metadata"]["name"].endswith("-data-bus")}, {"NetworkPolicy", "PodDisruptionBudget", "Service", "StatefulSet"})
        # A Data Bus that is alone claims nothing, and waits for nobody.
        alone = environment(one(with_values({}), "Deployment", "-data-bus")["spec"]["template"]["spec"])
        self.assertNotIn("MELTICA_REPLICAS", alone)

    def test_a_hot_standby_is_a_second_adapter_with_the_same_weight(self):
        objects = with_values({"adapter": {"hotStandby": True}})
        workload = one(objects, "StatefulSet", "-adapter")
        spec = workload["spec"]["template"]["spec"]
        entries = environment(spec)
        self.assertEqual(entries["MELTICA_REPLICA"]["valueFrom"]["fieldRef"]["fieldPath"], "metadata.labels['apps.kubernetes.io/pod-index']")
        self.assertEqual((entries["MELTICA_REPLICAS"]["value"], workload["spec"]["replicas"]), ("2", 2))
        self.assertEqual((entries["MELTICA_HOT_STANDBY"]["value"], entries["MELTICA_EGRESS"]["value"]), ("true", "meltica"))
        # An update of parallel pods goes by readiness alone, not by minReadySeconds: ./dev k8s --node has seen both replaced at once.
        self.assertEqual(spec["containers"][0]["readinessProbe"]["httpGet"]["path"], "/readyz")
        self.assertEqual(spec["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]["app.kubernetes.io/component"], "adapter")
        self.assertEqual({o["kind"] for o in objects if o["metadata"]["name"].endswith("-adapter")}, {"NetworkPolicy", "PodDisruptionBudget", "Service", "StatefulSet"})
        # An egress of its own stands, and once.
        named = with_values({"adapter": {"hotStandby": True, "config": {"egress": "office"}}})
        container = one(named, "StatefulSet", "-adapter")["spec"]["template"]["spec"]["containers"][0]
        self.assertEqual([e["value"] for e in container["env"] if e["name"] == "MELTICA_EGRESS"], ["office"])
        # So do the simulator's addresses.
        simulated = with_values({"adapter": {"hotStandby": True}, "simulator": {"enabled": True}})
        entries = environment(one(simulated, "StatefulSet", "-adapter")["spec"]["template"]["spec"])
        self.assertIn("simulator", entries["MELTICA_WS_URL"]["value"])
        # One that is alone brings its partitions as it is told to, and claims nothing.
        alone = environment(one(with_values({}), "Deployment", "-adapter")["spec"]["template"]["spec"])
        self.assertFalse({"MELTICA_HOT_STANDBY", "MELTICA_REPLICAS", "MELTICA_EGRESS"} & set(alone))

    def test_dispatchers_stand_by_by_their_ordinal(self):
        objects = with_values({"dispatcher": {"replicas": 2, "tableFile": "/table.json"}})
        workload = one(objects, "StatefulSet", "-dispatcher")
        entries = environment(workload["spec"]["template"]["spec"])
        self.assertEqual(entries["MELTICA_REPLICA"]["valueFrom"]["fieldRef"]["fieldPath"], "metadata.labels['apps.kubernetes.io/pod-index']")
        self.assertEqual((entries["MELTICA_REPLICAS"]["value"], workload["spec"]["replicas"]), ("2", 2))
        self.assertEqual(entries["MELTICA_TABLE"]["value"], "/table.json")
        self.assertEqual({o["kind"] for o in objects if o["metadata"]["name"].endswith("-dispatcher")}, {"NetworkPolicy", "PodDisruptionBudget", "Service", "StatefulSet"})
        # A Dispatcher that is alone claims nothing, and waits for nobody.
        alone = environment(one(with_values({}), "Deployment", "-dispatcher")["spec"]["template"]["spec"])
        self.assertNotIn("MELTICA_REPLICAS", alone)

    def test_every_service_makes_the_same_replicas(self):
        objects = with_values({"nats": {"url": "nats://a:4222,nats://b:4222", "bundled": {"enabled": False}}, "provisioning": {"replicas": 3}})
        found = {
            component(labels): environment(spec)["MELTICA_STREAM_REPLICAS"]["value"]
            for _, spec, labels, _ in pods(objects)
            if component(labels) in SERVICES
        }
        self.assertEqual(found, dict.fromkeys(SERVICES, "3"))

    def test_files_that_variables_name_are_mounted(self):
        for path in CI:
            for name, spec, labels, _ in pods(of_ci(path)):
                container = spec["containers"][0]
                volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
                mounts = {mount["mountPath"]: mount for mount in container.get("volumeMounts", [])}
                files = [e["value"] for e in container.get("env", []) if e.get("value", "").startswith("/etc/")]
                files += [a for a in container.get("args", []) if a.startswith("/etc/")]
                for file in files:
                    folder, _, base = file.rpartition("/")
                    self.assertIn(folder, mounts, f"{path.name}: {name}")
                    volume = volumes[mounts[folder]["name"]]
                    items = (volume.get("secret") or volume["configMap"]).get("items")
                    if items is not None:
                        self.assertIn(base, [item["path"] for item in items], f"{path.name}: {name}")
                self.assertEqual({mount["name"] for mount in mounts.values()} - set(volumes) - {"data"}, set(), name)

    def test_a_pod_sees_its_own_credentials_only(self):
        objects = of_ci(CHART / "ci" / "production-values.yaml")
        for name, spec, labels, _ in pods(objects):
            volume = next(v for v in spec["volumes"] if v["name"] == "nats-credentials")
            who = component(labels)
            self.assertEqual([item["key"] for item in volume["secret"]["items"]], [f"{who}.creds"], name)

    def test_the_simulator_is_the_exchange_where_it_is_there(self):
        objects = of_ci(CHART / "ci" / "simulator-values.yaml")
        entries = environment(spec_of(objects, "-adapter"))
        self.assertEqual(entries["MELTICA_WS_URL"]["value"], f"ws://meltica-simulator.{NAMESPACE}.svc:8080")
        self.assertEqual(entries["MELTICA_REST_URL"]["value"], f"http://meltica-simulator.{NAMESPACE}.svc:8080")
        self.assertEqual(environment(spec_of(objects, "-dispatcher"))["MELTICA_TABLE"]["value"], "/usr/local/share/meltica/dispatch-all.json")


class Pods(unittest.TestCase):
    def test_a_new_version_of_the_chart_alone_replaces_no_pod(self):
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        for item in with_values({"console": {"enabled": True}, "image": {"tag": "x"}, "simulator": {"enabled": True}}):
            if item["kind"] in ("Deployment", "StatefulSet"):
                labels = item["spec"]["template"]["metadata"]["labels"]
                self.assertNotIn("helm.sh/chart", labels)
                self.assertNotIn(chart["version"], labels.values())
                self.assertEqual(labels["app.kubernetes.io/part-of"], "meltica")

    def test_restricted_everywhere(self):
        for path in CI:
            for name, spec, _, _ in pods(of_ci(path)):
                with self.subTest(values=path.name, pod=name):
                    security = spec["securityContext"]
                    self.assertEqual((security["runAsNonRoot"], security["runAsUser"]), (True, 65532))
                    self.assertEqual(security["seccompProfile"], {"type": "RuntimeDefault"})
                    self.assertIs(spec["automountServiceAccountToken"], False)
                    self.assertIs(spec["enableServiceLinks"], False)
                    for field in ("hostNetwork", "hostPID", "hostIPC"):
                        self.assertNotIn(field, spec)
                    for volume in spec.get("volumes", []):
                        self.assertNotIn("hostPath", volume)
                    self.assertEqual(len(spec["containers"]), 1)
                    container = spec["containers"][0]
                    inner = container["securityContext"]
                    self.assertEqual(inner, {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}})
                    self.assertIn("memory", container["resources"]["limits"])
                    self.assertIn("cpu", container["resources"]["requests"])

    def test_probes_ask_what_they_should(self):
        for path in CI:
            for name, spec, labels, _ in pods(of_ci(path)):
                if component(labels) not in WITH_CONSOLE:
                    continue
                container = spec["containers"][0]
                self.assertEqual(container["livenessProbe"]["httpGet"]["path"], "/livez", name)
                self.assertEqual(container["startupProbe"]["httpGet"]["path"], "/livez", name)
                self.assertEqual(container["readinessProbe"]["httpGet"]["path"], "/readyz", name)
                port = {p["name"]: p["containerPort"] for p in container["ports"]}["http"]
                self.assertEqual(environment(spec)["MELTICA_HTTP_PORT"]["value"], str(port))

    def test_what_must_not_run_twice_is_recreated(self):
        for path in CI:
            for name in ("-adapter", "-dispatcher", "-data-bus"):
                workload = one(of_ci(path), "Deployment", name)
                self.assertEqual((workload["spec"]["replicas"], workload["spec"]["strategy"]["type"]), (1, "Recreate"))

    def test_a_disruption_budget_only_where_there_are_several(self):
        for path in CI:
            objects = of_ci(path)
            several = {o["metadata"]["name"] for o in objects if o["kind"] in ("Deployment", "StatefulSet") and o["spec"]["replicas"] > 1}
            budgets = {o["metadata"]["name"] for o in objects if o["kind"] == "PodDisruptionBudget"}
            self.assertEqual(budgets, several, path.name)
        production = of_ci(CHART / "ci" / "production-values.yaml")
        self.assertEqual(sum(o["kind"] == "PodDisruptionBudget" for o in production), 2)

    def test_several_are_spread(self):
        spec = spec_of(of_ci(CHART / "ci" / "production-values.yaml"), "-conductor")
        constraint = spec["topologySpreadConstraints"][0]
        self.assertEqual(constraint["whenUnsatisfiable"], "DoNotSchedule")
        self.assertEqual(constraint["labelSelector"]["matchLabels"]["app.kubernetes.io/component"], "conductor")
        self.assertNotIn("topologySpreadConstraints", spec_of(rendered(), "-conductor"))

    def test_a_new_table_restarts_the_dispatcher_and_a_new_policy_nobody(self):
        table = {"version": 1, "routes": [{"type": "TRADE", "ws": "{symbol}@trade"}]}
        policy = {"version": 1, "roles": {}, "principals": {}}
        other_table = {**table, "subscriptions": [{"id": "a", "type": "TRADE", "instruments": ["*"]}]}
        other_policy = {**policy, "principals": {"desk-7": "trader"}}

        def templates(**values):
            objects = with_values({"dispatcher": {"table": values.get("table", table)}, "controlBus": {"policy": values.get("policy", policy)}})
            return {o["metadata"]["name"]: o["spec"]["template"] for o in objects if o["kind"] in ("Deployment", "StatefulSet")}

        before = templates()
        changed = {name for name, template in templates(table=other_table).items() if template != before[name]}
        self.assertEqual(changed, {"meltica-dispatcher"})
        self.assertEqual(templates(policy=other_policy), before)

    def test_a_new_server_configuration_restarts_the_bundled_nats_alone(self):
        def checksum(size):
            objects = with_values({"nats": {"bundled": {"maxPending": size}}})
            return {n: t for n, _, _, t in pods(objects)}
        first, second = checksum("256Mi"), checksum("128Mi")
        self.assertEqual({name for name in first if first[name] != second[name]}, {"meltica-nats"})

    def test_tables_and_policies_arrive_as_they_were_given(self):
        path = CHART / "ci" / "production-values.yaml"
        values = yaml.safe_load(path.read_text())
        objects = of_ci(path)
        self.assertEqual(json.loads(one(objects, "ConfigMap", "-dispatch-table")["data"]["dispatch.json"]), values["dispatcher"]["table"])
        self.assertEqual(json.loads(one(objects, "ConfigMap", "-policy")["data"]["policy.json"]), values["controlBus"]["policy"])

    def test_images(self):
        images = {name: spec["containers"][0]["image"] for name, spec, _, _ in pods(of_ci(CHART / "ci" / "production-values.yaml"))}
        version = (CHART.parents[1] / "VERSION").read_text().splitlines()[0]
        self.assertEqual(images["meltica-conductor"], f"registry.example/market/meltica-conductor:{version}")
        self.assertEqual(images["meltica-adapter"], "registry.example/market/meltica-adapter@sha256:" + "0" * 64)
        self.assertEqual(images["meltica-test-event"], f"registry.example/market/meltica:{version}")
        # By themselves they are what Compose runs, which docker/build.sh makes.
        built = set(re.findall(r"\$\{MELTICA_REGISTRY:-\}([a-z-]+):", (CHART.parents[1] / "docker" / "compose.yaml").read_text()))
        for _, spec, _, _ in pods(rendered()):
            name = spec["containers"][0]["image"].rsplit(":", 1)[0]
            self.assertTrue(name in built or name == "nats", f"{name} is none of {sorted(built)}")


class Together(unittest.TestCase):
    def test_services_and_policies_find_their_pods(self):
        for path in CI:
            objects = of_ci(path)
            labels = {component(found): found for _, _, found, _ in pods(objects)}
            for item in objects:
                selector = None
                if item["kind"] == "Service":
                    selector = item["spec"]["selector"]
                elif item["kind"] == "NetworkPolicy":
                    selector = item["spec"]["podSelector"]["matchLabels"]
                elif item["kind"] == "PodDisruptionBudget":
                    selector = item["spec"]["selector"]["matchLabels"]
                if selector is not None:
                    found = [name for name, having in labels.items() if matches(selector, having)]
                    self.assertEqual(len(found), 1, f"{path.name}: {item['kind']} {item['metadata']['name']}")
            for item in objects:
                if item["kind"] == "StatefulSet":
                    names = {o["metadata"]["name"] for o in objects if o["kind"] == "Service" and o["spec"].get("clusterIP") == "None"}
                    self.assertIn(item["spec"]["serviceName"], names)

    def test_every_pod_has_a_policy_of_its_own(self):
        for path in CI:
            if path.name == "bare-values.yaml":
                self.assertNotIn("NetworkPolicy", [o["kind"] for o in of_ci(path)])
                continue
            objects = of_ci(path)
            policies = [o["spec"]["podSelector"]["matchLabels"] for o in objects if o["kind"] == "NetworkPolicy"]
            for name, _, labels, _ in pods(objects):
                self.assertEqual(sum(matches(policy, labels) for policy in policies), 1, f"{path.name}: {name}")

    def test_policies_open_the_ports_that_are_used(self):
        def ports(objects, name):
            rules = one(objects, "NetworkPolicy", name)["spec"]["egress"]
            return {port["port"] for rule in rules for port in rule["ports"]}
        self.assertEqual(ports(rendered(), "-adapter"), {53, 4222, 443})
        self.assertEqual(ports(rendered(), "-conductor"), {53, 4222})
        objects = with_values({"adapter": {"config": {"wsUrl": "wss://stream.test:9443", "restUrl": "http://api.test/"}},
                               "nats": {"url": "tls://a:4443,tls://b:4444", "bundled": {"enabled": False}},
                               "tracing": {"endpoint": "http://collector:4318"}})
        self.assertEqual(ports(objects, "-adapter"), {53, 4443, 4444, 9443, 80, 4318})
        self.assertEqual(ports(of_ci(CHART / "ci" / "simulator-values.yaml"), "-adapter"), {53, 4222, 8080})

    def test_the_monitor_selects_the_services(self):
        for values, services in (("production", SERVICES), ("console", WITH_CONSOLE)):
            objects = of_ci(CHART / "ci" / f"{values}-values.yaml")
            selector = one(objects, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
            found = {o["metadata"]["name"] for o in objects if o["kind"] == "Service" and matches(selector, o["metadata"]["labels"])}
            self.assertEqual(found, {f"meltica-{name}" for name in services})
        monitor = one(of_ci(CHART / "ci" / "nack-values.yaml"), "PodMonitor")["spec"]["selector"]
        self.assertEqual(set(monitor["matchExpressions"][0]["values"]), set(WITH_CONSOLE))

    def test_the_rules_look_for_the_job_that_the_monitors_give(self):
        rules = "".join(path.read_text() for path in (CHART / "files" / "rules").glob("*.yaml"))
        asked = set(re.findall(r'job="([^"]*)"', rules))
        self.assertTrue(asked)
        for values, kind, wearer in (("production", "ServiceMonitor", "Service"), ("nack", "PodMonitor", "Deployment")):
            objects = of_ci(CHART / "ci" / f"{values}-values.yaml")
            label = one(objects, kind)["spec"]["jobLabel"]
            for o in objects:
                if o["kind"] == wearer and o["metadata"]["labels"]["app.kubernetes.io/component"] in SERVICES:
                    labels = o["spec"]["template"]["metadata"]["labels"] if kind == "PodMonitor" else o["metadata"]["labels"]
                    self.assertEqual({labels[label]}, asked)

    def test_rules_and_dashboards_are_taken_as_they_are_or_left_out(self):
        rule = {"groups": [{"name": "meltica", "rules": [{"alert": "A", "expr": "up == 0", "annotations": {"summary": "{{ $labels.pod }}"}}]}]}
        board = {"uid": "meltica", "title": "{{ a }}"}
        arguments = ("--set", "metrics.prometheusRule.enabled=true,metrics.dashboards.enabled=true")
        with tempfile.TemporaryDirectory() as folder:
            chart = pathlib.Path(folder) / "meltica"
            shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("files"))
            self.assertEqual([o["kind"] for o in load(helm("template", *arguments, chart=chart).stdout) if o["kind"] == "PrometheusRule"], [])
            for place, name, text in (("rules", "flow_alerts.yaml", yaml.safe_dump(rule)), ("dashboards", "Flow.json", json.dumps(board, indent=2))):
                (chart / "files" / place).mkdir(parents=True)
                (chart / "files" / place / name).write_text(text)
            objects = load(helm("template", *arguments, chart=chart).stdout)
        made = one(objects, "PrometheusRule")
        self.assertEqual((made["metadata"]["name"], made["spec"]), ("meltica-flow-alerts", rule))
        made = one(objects, "ConfigMap", "-dashboard-flow")
        self.assertEqual(json.loads(made["data"]["Flow.json"]), board)
        self.assertEqual(made["metadata"]["labels"]["grafana_dashboard"], "1")

    def test_rules_and_dashboards_of_this_chart(self):
        objects = of_ci(CHART / "ci" / "production-values.yaml")
        rules = list((CHART / "files" / "rules").glob("*.yaml"))
        boards = list((CHART / "files" / "dashboards").glob("*.json"))
        self.assertGreaterEqual(len(boards), 1)
        self.assertEqual(sum(o["kind"] == "PrometheusRule" for o in objects), len(rules))
        self.assertEqual(sum("-dashboard-" in o["metadata"]["name"] for o in objects), len(boards))

    def test_notes_name_what_is_there(self):
        text = (CHART / "templates" / "NOTES.txt").read_text()
        for name in ("helm test", "nats sub 'meltica.data.*'", "meltica.control.status", "/readyz", "svc/{{ $name }}-console 9380:", "svc/{{ $name }}-nats 9222"):
            self.assertIn(name, text)
        one(rendered(), "Service", "-nats")
        one(rendered(), "Deployment", "-dispatcher")

    def test_a_real_server_takes_the_bundled_configuration(self):
        server = tool("nats-server")
        if server is None:
            self.skipTest("nats-server is not there")
        version = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
        if tuple(int(part) for part in version.split("v")[-1].split(".")[:2]) < (2, 11):
            self.skipTest(f"the bundled configuration needs nats-server 2.11, this is {version.strip()}")
        for path in ("default-values.yaml", "simulator-values.yaml", "secured-values.yaml", "console-values.yaml"):
            text = one(of_ci(CHART / "ci" / path), "ConfigMap", "-nats")["data"]["nats.conf"]
            with tempfile.TemporaryDirectory() as folder:
                place = pathlib.Path(folder)
                (place / "config").mkdir()
                (place / "nats-users").mkdir()
                (place / "nats-users" / "users.conf").write_text("authorization { users: [{user: a, password: b}] }\n")
                (place / "config" / "nats.conf").write_text(text)
                result = subprocess.run([server, "-t", "-c", str(place / "config" / "nats.conf")], capture_output=True, text=True, check=False)
                self.assertEqual(result.returncode, 0, result.stderr)


class Console(unittest.TestCase):
    SHAPE = CHART / "ci" / "console-values.yaml"

    def test_nothing_of_it_is_there_by_itself(self):
        for path in CI:
            if path != self.SHAPE:
                objects = of_ci(path)
                self.assertNotIn("console", [o["metadata"]["labels"].get("app.kubernetes.io/component") for o in objects], path.name)
                self.assertNotIn("9222", json.dumps(objects), path.name)
                self.assertNotIn("websocket", json.dumps([o for o in objects if "-dashboard-" not in o["metadata"]["name"]]), path.name)

    def test_the_page_is_read_only_and_where_the_image_has_it(self):
        for objects in (of_ci(self.SHAPE), with_values({"console": {"enabled": True}})):
            entries = environment(spec_of(objects, "-console"))
            self.assertNotIn("MELTICA_CONTROL", entries)  # false by itself
            found = re.search(r"^ENV MELTICA_WEB_DIR=(\S+)$", (CHART.parents[1] / "docker" / "Dockerfile").read_text(), re.M)
            self.assertEqual(entries["MELTICA_WEB_DIR"]["value"], found[1])
            default = next(row["default"] for row in configuration.documented()["console"] if row["key"] == "control")
            self.assertEqual(default, "`false`")

    def test_one_of_two_stays_while_the_other_is_replaced(self):
        workload = one(of_ci(self.SHAPE), "Deployment", "-console")
        self.assertEqual((workload["spec"]["replicas"], workload["spec"]["strategy"]["type"]), (2, "RollingUpdate"))

    def test_page_and_websocket_have_addresses(self):
        objects = of_ci(self.SHAPE)
        page, nats = one(objects, "Service", "-console")["spec"], one(objects, "Service", "-nats")["spec"]
        self.assertNotIn("clusterIP", page)
        self.assertNotIn("publishNotReadyAddresses", page)
        self.assertEqual([(p["port"], p["targetPort"]) for p in page["ports"]], [(8080, "http")])
        self.assertEqual({p["name"]: p["port"] for p in nats["ports"]}, {"nats": 4222, "websocket": 9222})
        ports = {p["name"]: p["containerPort"] for p in spec_of(objects, "-nats")["containers"][0]["ports"]}
        self.assertEqual(ports["websocket"], 9222)

    def test_the_bundled_server_takes_the_pages_that_are_named(self):
        for origins in (["https://console.example"], ["http://127.0.0.1:9380", "https://a.example:8443"]):
            text = one(with_values({"console": {"enabled": True, "origins": origins}}), "ConfigMap", "-nats")["data"]["nats.conf"]
            self.assertEqual(json.loads(re.search(r"allowed_origins: (.*)$", text, re.M)[1]), origins)
            self.assertIn('listen: "0.0.0.0:9222"', text)

    def test_policies_let_browsers_in_and_nobody_else(self):
        def rules(objects, name):
            return {str(rule["ports"][0]["port"]): rule.get("from") for rule in one(objects, "NetworkPolicy", name)["spec"]["ingress"]}
        monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
        ingress = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}
        objects = of_ci(self.SHAPE)
        self.assertEqual(rules(objects, "-console"), {"http": [ingress, monitoring]})
        self.assertEqual(rules(objects, "-nats"), {"nats": [{"podSelector": {}}], "websocket": [ingress]})
        self.assertEqual(rules(objects, "-conductor"), {"http": [monitoring]})
        # Who may see the page is not said: who may scrape does not narrow it.
        objects = with_values({"console": {"enabled": True}, "networkPolicy": {"metricsFrom": [monitoring]}})
        self.assertEqual(rules(objects, "-console"), {"http": None})
        # What is no browser names no origin: the listener is the namespace's own, as the server's other port.
        self.assertEqual(rules(objects, "-nats")["websocket"], [{"podSelector": {}}])

    def test_a_nats_of_your_own_is_left_alone(self):
        values = {"nats": {"url": "tls://a:4222", "bundled": {"enabled": False}}, "console": {"enabled": True, "config": {"natsWsUrl": "wss://nats.example"}}}
        objects = with_values(values)
        self.assertEqual(environment(spec_of(objects, "-console"))["MELTICA_NATS_WS_URL"]["value"], "wss://nats.example")
        self.assertNotIn("9222", json.dumps(objects))

    def test_its_credentials_are_its_own(self):
        objects = with_values({"console": {"enabled": True}, "nats": {"auth": {"mode": "password", "existingSecret": "s"}, "bundled": {"usersSecret": "u"}}})
        spec = spec_of(objects, "-console")
        self.assertEqual(environment(spec)["MELTICA_NATS_USER"]["value"], "meltica-console")
        volume = next(v for v in spec["volumes"] if v["name"] == "nats-credentials")
        self.assertEqual([item["key"] for item in volume["secret"]["items"]], ["console.password"])


if __name__ == "__main__":
    unittest.main()

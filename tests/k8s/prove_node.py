"""The release on a real node: installed, asked for an event, changed and shot at under load, and removed."""

import random
import subprocess
import sys
import time

import yaml

import node
import prove_pair
import prove_streams
from cluster import Failed, wait_for
from consumer import WHERE, Consumer
from prove_api import CHART, ROOT, helm, namespace
from settle import pods, verdict, wait_settled, workloads

sys.path.insert(0, str(ROOT / "docker"))
import console_check  # noqa: E402

SERVICES = ("adapter", "dispatcher", "conductor", "data-bus", "control-bus", "console")
SEED = 20
CPU = "25m"  # of each pod: together, and while one more of a service is beside it, they must fit on a node of two processors
VALUES = ("-f", str(CHART / "ci" / "simulator-values.yaml"), "--set", "simulator.rate=200,probes.readiness.periodSeconds=1,test.seconds=180,console.enabled=true,"
          "conductor.replicas=2,dataBus.replicas=2," +
          ",".join(f"{name}.resources.requests.cpu={CPU}" for name in ("adapter", "dispatcher", "conductor", "dataBus", "controlBus", "simulator", "nats.bundled")))
EVERYTHING = ("deployments,statefulsets,replicasets,controllerrevisions,pods,services,endpoints,endpointslices,configmaps,secrets,serviceaccounts,networkpolicies,"
              "poddisruptionbudgets,persistentvolumeclaims,leases")


def images(cluster, binaries, root, archives, report):
    work = cluster.work
    share = [ROOT / "services" / "dispatcher" / name for name in ("dispatch.json", "dispatch-all.json")]
    node.service_images(root, binaries, share, ROOT / "build" / "console", work / "services.tar")
    server = yaml.safe_load((CHART / "values.yaml").read_text())["nats"]["bundled"]["image"]
    node.server_image(cluster.programs / "nats-server", f"docker.io/library/{server['repository']}:{server['tag']}", work / "server.tar")
    for file in (work / "services.tar", work / "server.tar", *archives):
        node.ctr("images", "import", str(file))
    made = "docker/build.sh" if archives else "the built programs with their libraries"
    version = subprocess.run([str(cluster.programs / "nats-server"), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    report.fact("images", f"of {made}, {node.VERSION}")
    report.fact("NATS", version.removeprefix("nats-server: "))
    report.say(f"images: {made}; {version}")


def shoot(cluster, consumer, report):
    """Each service once, in a seeded order, and again at random; the next one when all is well again."""
    order = list(SERVICES)
    random.seed(SEED)
    random.shuffle(order)
    for service in order + random.choices(SERVICES, k=3):
        victim = random.choice(sorted(pod["metadata"]["name"] for pod in pods(cluster, service)))
        begin = time.monotonic()
        cluster.kubectl("delete", "pod", "-n", WHERE, victim, "--wait=true")
        ready = wait_settled(cluster, f"{service} is back", begin)
        report.rollout(f"`{service}` deleted", {name: seconds for name, seconds in ready.items() if name.endswith(f"-{service}")})
        consumer.flows(500)
        # What the exchange sends while no Adapter listens is lost, and is said.
        verdict(consumer, report, f"pod {victim} deleted", max(ready.values()), lost=service == "adapter")


def console(cluster, say):
    """The page and NATS over WebSocket by the addresses of their Services, as a forwarded port or an ingress would reach them."""
    page, nats = (cluster.get("service", f"meltica-{name}", "-n", WHERE)["spec"]["clusterIP"] for name in ("console", "nats"))
    try:
        say(console_check.check(f"http://{page}:8080", nats, 9222, "http://127.0.0.1:9380"))
    except (console_check.Wrong, OSError, ValueError) as wrong:
        raise Failed(f"the console: {wrong}") from wrong


def leftovers(cluster):
    """All of the namespace but what every namespace has, and the pod of helm test, which is no part of a release."""
    found = cluster.get(EVERYTHING, "-n", WHERE)["items"]
    names = {f"{o['kind']}/{o['metadata']['name']}" for o in found}
    return sorted(names - {"ConfigMap/kube-root-ca.crt", "ServiceAccount/default", "Pod/meltica-test-event"})


def upgrades(cluster, consumer, report):
    """Changed values under load, one more of what stands in for each other and one less: the workload that they are of is rolled, alone."""
    for what, service, values in (("the Conductors have another throttle", "conductor", "conductor.config.throttleMs=50"),
                                  ("the Data Buses log more", "data-bus", "dataBus.config.logLevel=debug"), ("two Control Buses", "control-bus", "controlBus.replicas=2"),
                                  ("three Conductors", "conductor", "conductor.replicas=3"), ("two Conductors again", "conductor", "conductor.replicas=2"),
                                  ("three Data Buses", "data-bus", "dataBus.replicas=3"), ("two Data Buses again", "data-bus", "dataBus.replicas=2")):
        before = {item["metadata"]["name"]: item["metadata"]["generation"] for item in workloads(cluster)}
        begin = time.monotonic()
        helm(cluster, "upgrade", "meltica", str(CHART), "-n", WHERE, "--reuse-values", "--set", values)
        ready = wait_settled(cluster, what, begin)
        changed = {item["metadata"]["name"] for item in workloads(cluster) if item["metadata"]["generation"] != before[item["metadata"]["name"]]}
        if changed != {f"meltica-{service}"}:
            raise Failed(f"{what}: {sorted(changed)} changed")
        report.rollout(f"upgrade, `{values}`", {name: ready[name] for name in changed})
        consumer.flows(500)
        verdict(consumer, report, f"upgrade, {what}", max(ready.values()))


def versions(cluster, report):
    info = cluster.get("nodes")["items"][0]["status"]["nodeInfo"]
    for name, value in (("kubelet", info["kubeletVersion"]), ("container runtime", info["containerRuntimeVersion"]), ("node", f"{info['osImage']}, kernel {info['kernelVersion']}")):
        report.fact(name, value)
    report.say(f"a node is ready: kubelet {info['kubeletVersion']}, {info['containerRuntimeVersion']}, kernel {info['kernelVersion']}")


def prove(cluster, binaries, root, archives, report):
    say = report.say
    node.start(cluster)
    versions(cluster, report)
    images(cluster, binaries, root, archives, report)
    namespace(cluster, WHERE)
    begin = time.monotonic()
    helm(cluster, "install", "meltica", str(CHART), "-n", WHERE, *VALUES)
    ready = wait_settled(cluster, "the release is ready", begin)
    report.rollout("install", ready)
    say(f"installed; all ready after {max(ready.values()):.1f} s")
    report.saw(cluster.get(EVERYTHING, "-n", WHERE, "-l", "app.kubernetes.io/instance=meltica")["items"])
    say(cluster.kubectl("get", "pods,services,deployments,statefulsets,networkpolicies", "-n", WHERE, "--no-headers").strip())
    begin = time.monotonic()
    text = helm(cluster, "test", "meltica", "-n", WHERE, "--timeout", "200s")
    if "Succeeded" not in text:
        raise Failed(text)
    say(f"helm test: Succeeded in {time.monotonic() - begin:.1f} s, an event arrived")
    prove_streams.compare(cluster, WHERE, say)
    console(cluster, say)
    consumer = Consumer(cluster)
    consumer.flows(1000)
    verdict(consumer, report, "at rest")
    upgrades(cluster, consumer, report)
    shoot(cluster, consumer, report)
    restarts = {p["metadata"]["name"]: p["status"]["containerStatuses"][0]["restartCount"] for p in cluster.get("pods", "-n", WHERE)["items"] if p["status"].get("containerStatuses")}
    if any(restarts.values()):
        raise Failed(f"containers were restarted: {restarts}")
    say(f"no container was restarted: {len(restarts)} pods")
    prove_pair.prove(cluster, consumer, report)
    consumer.close()
    helm(cluster, "uninstall", "meltica", "-n", WHERE, "--wait", "--timeout", "120s")
    left = []

    def gone():
        left[:] = leftovers(cluster)
        return not left
    try:
        wait_for("everything is gone", gone, 90)
    except Failed as failure:
        raise Failed(f"{failure}: {left}") from failure
    say("uninstalled: nothing is left in the namespace but what every namespace has, and the pod of helm test")

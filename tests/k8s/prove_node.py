"""The release on a real node: installed, asked for an event, changed and shot at under load, and removed."""

import json
import random
import subprocess
import time

import yaml

import node
import prove_streams
from cluster import Failed, wait_for
from prove_api import CHART, ROOT, helm, namespace

WHERE = "market"
SERVICES = ("adapter", "dispatcher", "conductor", "data-bus", "control-bus")
SEED = 20
VALUES = ("-f", str(CHART / "ci" / "simulator-values.yaml"), "--set", "simulator.rate=200,probes.readiness.periodSeconds=1,test.seconds=180")


def images(cluster, binaries, root, archives, say):
    work = cluster.work
    share = [ROOT / "services" / "dispatcher" / name for name in ("dispatch.json", "dispatch-all.json")]
    node.service_images(root, binaries, share, work / "services.tar")
    server = yaml.safe_load((CHART / "values.yaml").read_text())["nats"]["bundled"]["image"]
    node.server_image(cluster.programs / "nats-server", f"docker.io/library/{server['repository']}:{server['tag']}", work / "server.tar")
    for file in (work / "services.tar", work / "server.tar", *archives):
        node.ctr("images", "import", str(file))
    say(f"images: {'docker/Dockerfile, ' + ', '.join(a.name for a in archives) if archives else 'the built programs with their libraries'}; "
        + subprocess.run([str(cluster.programs / "nats-server"), "--version"], capture_output=True, text=True, check=True).stdout.strip())


def workloads(cluster):
    return cluster.get("deployments,statefulsets", "-n", WHERE)["items"]


def settled(cluster):
    """All workloads have all their pods, ready and of the newest template."""
    for item in workloads(cluster):
        status, wanted = item["status"], item["spec"]["replicas"]
        new = status.get("observedGeneration") == item["metadata"]["generation"] and status.get("updatedReplicas") == wanted
        if not new or status.get("readyReplicas") != wanted or status.get("replicas") != wanted:
            return False
    return True


def diagnosis(cluster):
    """Why it is not well: pods, and the last words of those that are not ready."""
    text = [cluster.try_kubectl("get", "pods", "-n", WHERE) or ""]
    for pod in cluster.get("pods", "-n", WHERE)["items"]:
        if not all(status["ready"] for status in pod["status"].get("containerStatuses", [{"ready": False}])):
            name = pod["metadata"]["name"]
            text.append(f"{name}:\n{cluster.try_kubectl('logs', '-n', WHERE, name, '--tail=5') or ''}")
    text.append(cluster.try_kubectl("get", "events", "-n", WHERE, "--field-selector", "type=Warning") or "")
    return "\n".join(text)


def wait_settled(cluster, what, seconds=300):
    begin = time.monotonic()
    try:
        wait_for(what, lambda: settled(cluster), seconds)
    except Failed as failure:
        raise Failed(f"{failure}\n{diagnosis(cluster)}") from failure
    return time.monotonic() - begin


class Consumer:
    """A pod that reads every channel from the beginning of the proof to its end; its log is judged."""

    def __init__(self, cluster):
        self.cluster, self.said = cluster, 0
        spec = cluster.get("pod", "meltica-test-event", "-n", WHERE)["spec"]
        container = {key: spec["containers"][0][key] for key in ("name", "image", "imagePullPolicy", "securityContext", "resources", "command")}
        arguments = spec["containers"][0]["args"]
        at = arguments.index("--count")
        container["args"] = arguments[:at] + arguments[at + 2:]
        labels = {"app.kubernetes.io/name": "meltica", "app.kubernetes.io/instance": "meltica", "app.kubernetes.io/component": "test"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "consumer", "labels": labels},
               "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "enableServiceLinks": False, "automountServiceAccountToken": False,
                        "securityContext": spec["securityContext"], "containers": [container]}}
        cluster.kubectl("apply", "-n", WHERE, "-f", "-", given=json.dumps(pod))
        cluster.kubectl("wait", "-n", WHERE, "pod/consumer", "--for=condition=Ready", "--timeout=60s")

    def events(self):
        for line in self.cluster.kubectl("logs", "-n", WHERE, "consumer").splitlines():
            if line.startswith("{"):
                yield json.loads(line)

    def judge(self):
        """(events, holes, LOST notices, new epochs): by the rule of docs/wire-format.md, nothing of ours is trusted."""
        last, holes, notices, epochs, count = {}, [], [], 0, 0
        for event in self.events():
            count += 1
            if event["type"] == "STATUS" and event["sequence"] in (0, "0"):
                if event["status"].get("kind") == "LOST":
                    notices.append(event)
                continue
            channel = (event["instrument"], event["type"])
            here = (int(event["epoch"]), int(event["sequence"]))
            before = last.get(channel)
            if before is not None and here <= before:
                continue  # a repeat
            if before is not None and here[0] == before[0] and here[1] != before[1] + 1:
                holes.append((channel, before, here))
            if before is not None and here[0] > before[0]:
                epochs += 1
                if here[1] != 1:
                    holes.append((channel, before, here))
            if event["type"] == "STATUS" and event["status"].get("kind") == "LOST":
                notices.append(event)
            last[channel] = here
        return count, holes, notices, epochs


def flows(consumer, more):
    """Events go on: as many more as asked for came."""
    begin = consumer.judge()[0]
    wait_for(f"{more} more events", lambda: consumer.judge()[0] >= begin + more, 60)


def verdict(consumer, what, say, lost=False):
    """Nothing is missing without a word; and a word there is only where something is."""
    count, holes, notices, epochs = consumer.judge()
    new, consumer.said = notices[consumer.said:], len(notices)
    if holes:
        raise Failed(f"{what}: {len(holes)} holes, the first {holes[0]}")
    if bool(new) != lost:
        raise Failed(f"{what}: {len(new)} LOST notices, {[event['status'] for event in new[:1]]}")
    say(f"{what}: {count} events so far, no hole, {f'{len(new)} LOST said' if lost else 'nothing lost'}, {epochs} times a new epoch of a channel")


def shoot(cluster, consumer, say):
    """Each service once, in a seeded order, and again at random; the next one when all is well again."""
    order = list(SERVICES)
    random.seed(SEED)
    random.shuffle(order)
    for service in order + random.choices(SERVICES, k=3):
        pods = [p["metadata"]["name"] for p in cluster.get("pods", "-n", WHERE, "-l", f"app.kubernetes.io/component={service}")["items"]]
        victim = random.choice(sorted(pods))
        cluster.kubectl("delete", "pod", "-n", WHERE, victim, "--wait=true")
        took = wait_settled(cluster, f"{service} is back")
        flows(consumer, 100)
        # What the exchange sends while no Adapter listens is lost, and is said.
        verdict(consumer, f"pod {victim} deleted, all ready again {took:.1f} s after it was gone", say, lost=service == "adapter")


def leftovers(cluster):
    found = cluster.get("deployments,statefulsets,services,configmaps,networkpolicies,poddisruptionbudgets,serviceaccounts,pods", "-n", WHERE, "-l", "helm.sh/chart")
    return [f"{o['kind']}/{o['metadata']['name']}" for o in found["items"] if "helm.sh/hook" not in o["metadata"].get("annotations", {})]


def prove(cluster, binaries, root, archives, say):
    node.start(cluster)
    info = cluster.get("nodes")["items"][0]["status"]["nodeInfo"]
    say(f"a node is ready: kubelet {info['kubeletVersion']}, {info['containerRuntimeVersion']}, kernel {info['kernelVersion']}")
    images(cluster, binaries, root, archives, say)
    namespace(cluster, WHERE)
    helm(cluster, "install", "meltica", str(CHART), "-n", WHERE, *VALUES)
    say(f"installed; all ready after {wait_settled(cluster, 'the release is ready'):.1f} s")
    say(cluster.kubectl("get", "pods,services,deployments,statefulsets,networkpolicies", "-n", WHERE, "--no-headers").strip())
    text = helm(cluster, "test", "meltica", "-n", WHERE, "--timeout", "200s")
    if "Succeeded" not in text:
        raise Failed(text)
    say("helm test: an event arrived")
    prove_streams.compare(cluster, WHERE, say)
    consumer = Consumer(cluster)
    flows(consumer, 200)
    verdict(consumer, "at rest", say)
    for what, values in (("the Conductor has another throttle", "conductor.config.throttleMs=50"), ("the Data Bus logs more", "dataBus.config.logLevel=debug"),
                         ("two Control Buses", "controlBus.replicas=2")):
        helm(cluster, "upgrade", "meltica", str(CHART), "-n", WHERE, *VALUES, "--reuse-values", "--set", values)
        took = wait_settled(cluster, what)
        flows(consumer, 100)
        verdict(consumer, f"upgrade, {what}: {took:.1f} s", say)
    shoot(cluster, consumer, say)
    restarts = {p["metadata"]["name"]: p["status"]["containerStatuses"][0]["restartCount"] for p in cluster.get("pods", "-n", WHERE)["items"] if p["status"].get("containerStatuses")}
    if any(restarts.values()):
        raise Failed(f"containers were restarted: {restarts}")
    cluster.kubectl("delete", "pod", "consumer", "-n", WHERE)
    helm(cluster, "uninstall", "meltica", "-n", WHERE, "--wait", "--timeout", "120s")
    wait_for("everything is gone", lambda: not leftovers(cluster), 60)
    say("uninstalled: nothing of the release is left")

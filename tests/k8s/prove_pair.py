"""The pair of Adapters of adapter.hotStandby: one taken away, in each way that there is, costs nothing once the other one is warm."""

import re
import time
import urllib.request

import node
from cluster import wait_for
from consumer import WHERE
from prove_api import CHART, helm
from settle import pods, verdict, wait_settled

PORT = 8080  # httpPort of the chart
SPEAKING, UNGUARDED = "meltica_adapter_speaking_partitions", "meltica_adapter_unguarded_partitions"


def gauges(pod):
    """{metric: value} of those that have no labels; {} of one that does not answer."""
    try:
        with urllib.request.urlopen(f"http://{pod['status'].get('podIP')}:{PORT}/metrics", timeout=2) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    return {name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", text, re.M)}


def guarded(cluster):
    """Both speak for partitions of their own, and nothing would be lost if any of them died now."""
    cluster.check()
    seen = [gauges(pod) for pod in pods(cluster, "adapter")]
    return len(seen) == 2 and all(one.get(SPEAKING, 0) > 0 and one.get(UNGUARDED) == 0 for one in seen)


def settled(cluster, consumer, report, what, begin, lost=False):
    """All is well again after what was done at begin, and the channels say whether something was lost on the way."""
    ready = wait_settled(cluster, what, begin)
    wait_for(f"{what}: each guards the other", lambda: guarded(cluster), 120)
    seconds = time.monotonic() - begin
    report.rollout(what, {name: took for name, took in ready.items() if name.endswith("-adapter")})
    consumer.flows(500)
    verdict(consumer, report, what, seconds, lost=lost)


def values(cluster, text):
    begin = time.monotonic()
    helm(cluster, "upgrade", "meltica", str(CHART), "-n", WHERE, "--reuse-values", "--set", text)
    return begin


def kill(pod):
    """Its process, by the node: what is in the container cannot end itself so."""
    begin = time.monotonic()
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    node.ctr("tasks", "kill", "--signal", "SIGKILL", container)
    return begin


def restarted(cluster, name):
    found = [pod for pod in pods(cluster, "adapter") if pod["metadata"]["name"] == name]
    return found and found[0]["status"]["containerStatuses"][0]["restartCount"] == 1


def prove(cluster, consumer, report):
    # From one to two is a restart of it, which is said.
    settled(cluster, consumer, report, "upgrade, two Adapters of which one stands by", values(cluster, "adapter.hotStandby=true"), lost=True)
    settled(cluster, consumer, report, "upgrade, the pair has another setting", values(cluster, "adapter.config.silentAfterMs=61000"))
    for name in ("meltica-adapter-0", "meltica-adapter-1"):
        begin = time.monotonic()
        cluster.kubectl("delete", "pod", "-n", WHERE, name, "--wait=true")
        settled(cluster, consumer, report, f"pod {name} of the pair deleted", begin)
    for pod in pods(cluster, "adapter"):
        name = pod["metadata"]["name"]
        begin = kill(pod)
        wait_for(f"{name} was started again", lambda name=name: restarted(cluster, name), 60)
        settled(cluster, consumer, report, f"the process of {name} of the pair killed", begin)

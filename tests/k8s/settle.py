"""After each step of a proof: that all is well again, and what it cost."""

import time

from cluster import Failed, wait_for
from consumer import WHERE


def pods(cluster, service):
    """Those of a service that are to stay: an update's are on their way out."""
    items = cluster.get("pods", "-n", WHERE, "-l", f"app.kubernetes.io/component={service}")["items"]
    return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]


def workloads(cluster):
    return cluster.get("deployments,statefulsets", "-n", WHERE)["items"]


def is_settled(item):
    """It has all its pods, ready and of the newest template."""
    status, wanted = item["status"], item["spec"]["replicas"]
    new = status.get("observedGeneration") == item["metadata"]["generation"] and status.get("updatedReplicas") == wanted
    return new and status.get("readyReplicas") == wanted and status.get("replicas") == wanted


def diagnosis(cluster):
    """Why it is not well: pods, and the last words of those that are not ready."""
    text = [cluster.try_kubectl("get", "pods", "-n", WHERE) or ""]
    for pod in cluster.get("pods", "-n", WHERE)["items"]:
        if not all(status["ready"] for status in pod["status"].get("containerStatuses", [{"ready": False}])):
            name = pod["metadata"]["name"]
            text.append(f"{name}:\n{cluster.try_kubectl('logs', '-n', WHERE, name, '--tail=5') or ''}")
    text.append(cluster.try_kubectl("get", "events", "-n", WHERE, "--field-selector", "type=Warning") or "")
    return "\n".join(text)


def wait_settled(cluster, what, begin, seconds=300):
    """{workload: seconds from begin (before the command) until it was ready for good}, once all are."""
    ready = {}

    def all_settled():
        items = workloads(cluster)
        for item in items:
            name = item["metadata"]["name"]
            if not is_settled(item):
                ready.pop(name, None)
            else:
                ready.setdefault(name, time.monotonic() - begin)
        return len(ready) == len(items)
    try:
        wait_for(what, all_settled, seconds)
    except Failed as failure:
        raise Failed(f"{failure}\n{diagnosis(cluster)}") from failure
    return ready


def verdict(consumer, report, what, seconds=None, lost=False):
    """Nothing is missing without a word, and a word there is only where something is; and nothing is there twice."""
    begin = report.steps[-1].totals["holes"] if report.steps else 0
    twice = report.steps[-1].totals["duplicates"] if report.steps else 0
    channels = consumer.read()
    step = report.step(what, seconds, channels)
    if step.since["holes"]:
        raise Failed(f"{what}: {step.since['holes']} holes, the first: {channels.holes[begin]}")
    if step.since["duplicates"]:
        raise Failed(f"{what}: {step.since['duplicates']} duplicates, the first: {channels.duplicates[twice]}")
    if bool(step.since["lost"]) != lost:
        raise Failed(f"{what}: {step.since['lost']} LOST, {[event['status'] for event in channels.notices[-1:]]}")
    took = "" if seconds is None else f", all ready again after {seconds:.1f} s"
    report.say(f"{what}{took}: {step.since['events']} events more of {step.moved} channels, no hole, no duplicate, "
               f"{step.since['lost'] or 'nothing'} LOST, {step.since['epochs']} new epochs of channels, {step.since['repeats']} repeats")

"""The chart before a real API server with controllers: every object of every supported shape, and a release's life."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "helm"))

from chart import CHART, CI, load, tool  # noqa: E402
from cluster import Failed, sh, wait_for  # noqa: E402
from test_schema import NACK, OPERATOR, module  # noqa: E402

RESTRICTED = "pod-security.kubernetes.io"
WORKLOADS = "deployments,statefulsets"
ALL = "deployments,statefulsets,services,configmaps,serviceaccounts,networkpolicies,poddisruptionbudgets,pods"


def helm(cluster, *arguments):
    return sh(tool("helm"), *arguments, "--kubeconfig", str(cluster.config))


def namespace(cluster, name):
    """One that admits restricted pods only, and warns of workloads that would make others."""
    labels = {f"{RESTRICTED}/{mode}": "restricted" for mode in ("enforce", "warn")}
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, *[f"{key}={value}" for key, value in labels.items()])


def resource_definitions(cluster):
    operator = module(OPERATOR) / "example" / "prometheus-operator-crd"
    files = [operator / f"monitoring.coreos.com_{kind}.yaml" for kind in ("servicemonitors", "podmonitors", "prometheusrules")]
    files.append(module(NACK) / "deploy" / "crds.yml")
    for file in files:
        cluster.kubectl("apply", "--server-side", "-f", str(file))
    cluster.kubectl("wait", "--for=condition=Established", "--all", "crd", "--timeout=60s")


def dry_run(cluster, text, where):
    """What the server says of the objects: (accepted lines, warnings). Unknown fields and fields twice are refused."""
    command = [str(cluster.programs / "kubectl"), "--kubeconfig", str(cluster.config), "-n", where, "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"]
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise Failed(result.stderr.strip())
    return result.stdout.splitlines(), result.stderr.splitlines()


def every_object(cluster, say):
    namespace(cluster, "dry")
    cluster.kubectl("create", "serviceaccount", "meltica", "-n", "dry")  # pods are admitted only where theirs is
    for path in CI:
        text = helm(cluster, "template", "meltica", str(CHART), "-n", "dry", "-f", str(path), "--kube-version", "1.33.0")
        accepted, warnings = dry_run(cluster, text, "dry")
        if len(accepted) != len(load(text)) or warnings:
            raise Failed(f"{path.name}: {len(load(text))} objects, {len(accepted)} accepted; warnings: {warnings}")
        say(f"server-side dry run, {path.name}: {len(accepted)} objects accepted, no warning")


def refusals(cluster, say):
    """The server would have said it: what must be refused is."""
    text = helm(cluster, "template", "meltica", str(CHART), "-n", "dry", "--kube-version", "1.33.0")
    for old, new, words in (
        ("readOnlyRootFilesystem", "readOnlyRootFileSystem", "field not declared in schema"),
        ("runAsNonRoot: true", "runAsNonRoot: false", "violates PodSecurity"),
        ("port: http", "port: No_Port", "spec.ingress[0].ports[0].port"),
    ):
        try:
            dry_run(cluster, text.replace(old, new), "dry")
        except Failed as failure:
            if words not in str(failure):
                raise Failed(f"{new}: refused, but not for that: {failure}") from failure
            say(f"refused as it must be: {new}")
            continue
        raise Failed(f"{new}: accepted")


def templates(cluster, where):
    return {f"{o['kind']}/{o['metadata']['name']}": o["spec"]["template"] for o in cluster.get(WORKLOADS, "-n", where)["items"]}


def every_pod_made(cluster, where):
    """True when each workload has all its pods: the pods themselves were admitted."""
    wanted = sum(o["spec"]["replicas"] for o in cluster.get(WORKLOADS, "-n", where)["items"])
    pods = [o for o in cluster.get("pods", "-n", where)["items"] if o["metadata"].get("ownerReferences")]
    failed = [e["message"] for e in cluster.get("events", "-n", where)["items"] if e["reason"] == "FailedCreate"]
    if failed:
        raise Failed(f"{where}: {failed[0]}")
    return wanted if len(pods) == wanted else 0


def life(cluster, path, say):
    """Install, change, go back, uninstall; what is left is what should be."""
    where = "shape-" + path.name.removesuffix("-values.yaml")
    namespace(cluster, where)
    helm(cluster, "install", "meltica", str(CHART), "-n", where, "-f", str(path))
    count = wait_for(f"pods of {where}", lambda: every_pod_made(cluster, where), 60)
    before = templates(cluster, where)
    helm(cluster, "upgrade", "meltica", str(CHART), "-n", where, "-f", str(path), "--set", "conductor.config.throttleMs=77")
    changed = {name for name, template in templates(cluster, where).items() if template != before[name]}
    if len(changed) != 1 or not next(iter(changed)).endswith("-conductor"):
        raise Failed(f"{where}: another throttle for the Conductor changed {sorted(changed)}")
    helm(cluster, "rollback", "meltica", "-n", where)
    if templates(cluster, where) != before:
        raise Failed(f"{where}: rollback left something else than there was")
    helm(cluster, "uninstall", "meltica", "-n", where, "--wait")

    def gone():
        items = cluster.get(ALL, "-n", where, "-l", "app.kubernetes.io/instance=meltica")["items"]
        return not [o for o in items if o["kind"] != "Pod" or o["metadata"].get("ownerReferences")]
    wait_for(f"{where} is gone", gone, 60)
    kept = cluster.get("streams.jetstream.nats.io", "-n", where)["items"]
    if bool(kept) != (where == "shape-nack"):
        raise Failed(f"{where}: {len(kept)} streams are left")
    say(f"installed, upgraded (the Conductor alone changed), rolled back, uninstalled: {path.name}, {count} pods admitted as restricted"
        + (f", {len(kept)} streams kept" if kept else ""))


def prove(cluster, say):
    resource_definitions(cluster)
    every_object(cluster, say)
    refusals(cluster, say)
    for path in CI:
        life(cluster, path, say)

"""Rendering of the chart, and what is asked of the result."""

import functools
import os
import pathlib
import shutil
import subprocess

import yaml

from configuration import CHART, ROOT

RELEASE = "meltica"
NAMESPACE = "market"
CI = sorted((CHART / "ci").glob("*-values.yaml"))


class KubernetesLoader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: no dates, and "=" is text."""


KubernetesLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in ("timestamp", "value")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def tool(name):
    """Path of a program: on the PATH, or where `go install` puts it; None where it is not."""
    gobin = os.environ.get("GOBIN") or os.path.join(os.environ.get("GOPATH", os.path.expanduser("~/go")), "bin")
    return shutil.which(name) or shutil.which(name, path=gobin)


def helm(*arguments, chart=CHART):
    command = [tool("helm"), arguments[0], *([RELEASE] if arguments[0] == "template" else []), str(chart), *arguments[1:]]
    if arguments[0] == "template":
        # A helm that was built without a version of Kubernetes takes itself for 1.20.
        command += ["--kube-version", "1.33.0", "--namespace", NAMESPACE]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def load(text):
    return [document for document in yaml.load_all(text, KubernetesLoader) if document]


@functools.lru_cache(maxsize=None)
def rendered_text(*arguments):
    result = helm("template", *arguments)
    if result.returncode != 0:
        raise AssertionError(f"helm template {' '.join(arguments)}: {result.stderr}")
    return result.stdout


def rendered(*arguments):
    return load(rendered_text(*arguments))


def of_ci(path):
    return rendered("-f", str(path))


def pods(objects):
    """(name of the object, spec of its pods, labels, annotations) of everything that runs."""
    for item in objects:
        if item["kind"] in ("Deployment", "StatefulSet"):
            template = item["spec"]["template"]
            meta = template["metadata"]
            yield item["metadata"]["name"], template["spec"], meta["labels"], meta.get("annotations", {})
        elif item["kind"] == "Pod":
            meta = item["metadata"]
            yield meta["name"], item["spec"], meta["labels"], meta.get("annotations", {})


def component(labels):
    return labels.get("app.kubernetes.io/component")


def one(objects, kind, ending=None):
    found = [o for o in objects if o["kind"] == kind and (ending is None or o["metadata"]["name"].endswith(ending))]
    assert len(found) == 1, f"{len(found)} objects of kind {kind} with a name that ends in {ending}"
    return found[0]


def environment(spec):
    return {entry["name"]: entry for entry in spec["containers"][0].get("env", [])}

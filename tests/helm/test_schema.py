"""Every object of every supported shape against the schemas of Kubernetes, of the Prometheus operator and of NACK.

They come with the Go modules of those projects: ordinary packages, so that no other host has to be reached.
"""

import json
import os
import pathlib
import shutil
import subprocess
import unittest

from chart import CI, load, of_ci

try:
    import jsonschema
except ImportError:
    jsonschema = None

KUBERNETES = "k8s.io/kubernetes@v1.33.5"
OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.82.2"
NACK = "github.com/nats-io/nack@v0.22.4"


def module(name):
    """Folder of a Go module; None where it cannot be had."""
    if shutil.which("go") is None:
        return None
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
    result = subprocess.run(["go", "mod", "download", "-json", name], capture_output=True, text=True, check=False, env=environment, cwd="/")
    folder = json.loads(result.stdout or "{}").get("Dir")
    return pathlib.Path(folder) if folder else None


def strict(node):
    """Of a schema that leaves unknown members through, one that does not."""
    if isinstance(node, list):
        return [strict(child) for child in node]
    if not isinstance(node, dict):
        return node
    node = {key: strict(child) for key, child in node.items()}
    if isinstance(node.get("properties"), dict) and "additionalProperties" not in node and not node.get("x-kubernetes-preserve-unknown-fields"):
        node["additionalProperties"] = False
    if node.get("format") == "int-or-string" or node.get("x-kubernetes-int-or-string"):
        node.pop("type", None)
    return node


def of_kubernetes(folder):
    whole = strict(json.loads((folder / "api" / "openapi-spec" / "swagger.json").read_text()))
    found = {}
    for name, node in whole["definitions"].items():
        for kind in node.get("x-kubernetes-group-version-kind", []):
            group = f"{kind['group']}/" if kind["group"] else ""
            found[(group + kind["version"], kind["kind"])] = {"$ref": f"#/definitions/{name}", "definitions": whole["definitions"]}
    return found


def of_crds(files):
    found = {}
    for file in files:
        for crd in load(file.read_text()):
            for version in crd["spec"]["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                schema["properties"].update({"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}})
                found[(f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"])] = schema
    return found


class Schemas(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if jsonschema is None:
            raise unittest.SkipTest("python's jsonschema is not there: no object was compared with Kubernetes' schemas")
        folders = [module(name) for name in (KUBERNETES, OPERATOR, NACK)]
        if None in folders:
            raise unittest.SkipTest(f"the Go modules {KUBERNETES}, {OPERATOR}, {NACK} cannot be had: no object was compared with Kubernetes' schemas")
        cls.schemas = of_kubernetes(folders[0])
        operator = folders[1] / "example" / "prometheus-operator-crd"
        cls.schemas.update(of_crds(operator / f"monitoring.coreos.com_{kind}.yaml" for kind in ("servicemonitors", "podmonitors", "prometheusrules")))
        cls.schemas.update(of_crds([folders[2] / "deploy" / "crds.yml"]))

    def complaints(self, item):
        validator = jsonschema.Draft4Validator(self.schemas[(item["apiVersion"], item["kind"])])
        return [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in validator.iter_errors(item)]

    def test_every_object_of_every_shape(self):
        count = 0
        for path in CI:
            for item in of_ci(path):
                self.assertEqual(self.complaints(item), [], f"{path.name}: {item['kind']} {item['metadata']['name']}")
                count += 1
        self.assertGreater(count, 100)

    def test_they_would_be_refused_otherwise(self):
        for item in of_ci(CI[0]):
            if item["kind"] in ("Deployment", "StatefulSet"):
                item["spec"]["replica"] = 1
                self.assertIn("'replica' was unexpected", str(self.complaints(item)))


if __name__ == "__main__":
    unittest.main()

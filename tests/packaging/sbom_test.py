#!/usr/bin/env python3
"""The list of dependencies names every library that the programs load, in the version that is installed, and nothing else.

usage: sbom_test.py SBOM_PY PROGRAM...
"""
import json
import re
import shutil
import subprocess
import sys


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def main():
    script, programs = sys.argv[1], sys.argv[2:]
    if not shutil.which("dpkg-query"):
        print("no dpkg here")
        sys.exit(77)
    words = ["python3", script, "--name", "meltica", "--version", "1.2.3", *programs]
    text = run(*words)
    bom = json.loads(text)
    assert text == run(*words), "the same programs must give the same bytes"
    assert bom["bomFormat"] == "CycloneDX" and bom["specVersion"] == "1.5"
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bom["serialNumber"])
    assert bom["metadata"]["component"]["version"] == "1.2.3"
    refs = {c["bom-ref"] for c in bom["components"]}
    assert len(refs) == len(bom["components"]) > 0
    graph = {d["ref"]: d["dependsOn"] for d in bom["dependencies"]}
    top = bom["metadata"]["component"]["bom-ref"]
    assert set(graph) == refs | {top} and all(set(to) <= refs for to in graph.values())
    files = {p["value"] for c in bom["components"] for p in c["properties"] if p["name"] == "debian:file"}
    for program in programs:
        loaded = set(re.findall(r"(/\S+) \(0x", run("ldd", program)))
        assert loaded and loaded <= files, f"{program}: {loaded - files} are not in the list"
    for c in bom["components"]:
        assert run("dpkg-query", "-W", "-f", "${Version}", c["name"]) == c["version"], c["name"]
    direct = {c["name"] for c in bom["components"] if c["bom-ref"] in graph[top]}
    for library in ("libnats", "libcurl", "libwebsockets", "libyyjson", "libcjson", "libprotobuf-c"):
        assert any(name.startswith(library) for name in direct), f"{library} is not among {direct}"
    print(f"{len(refs)} components, {len(direct)} of them direct")


main()

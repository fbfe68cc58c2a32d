#!/usr/bin/env python3
"""Writes what programs need to run, with versions, as CycloneDX 1.5 JSON: the Debian packages of all libraries that the
programs load, and how they depend on each other. The same programs and packages give the same bytes.

usage: sbom.py --name NAME --version VERSION [--output FILE] PROGRAM...
"""
import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import uuid

FORMAT = "${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\t${Depends}\n"


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def libraries(program):
    """Paths of everything that the loader maps for a program, the loader included."""
    found = set()
    for line in run("ldd", program).splitlines():
        if "not found" in line:
            sys.exit(f"sbom: {program}: {line.strip()}")
        path = re.search(r"(/\S+) \(0x", line)
        if path:
            found.add(path.group(1))
    return found


def needed(program):
    return re.findall(r"\(NEEDED\)\s+Shared library: \[(.*)\]", run("readelf", "-dW", program))


def names_of(path):
    """Where /lib is a link to /usr/lib, dpkg may know either name."""
    names = [path, os.path.realpath(path)]
    return names + [n[4:] if n.startswith("/usr/") else "/usr" + n for n in names]


def owners(paths):
    """The package of each file, asked for at once: dpkg reads all its lists each time."""
    words = [name for path in sorted(paths) for name in names_of(path)]
    answer = subprocess.run(["dpkg-query", "-S", *words], capture_output=True, text=True).stdout
    package_of = {}
    for line in answer.splitlines():
        if not line.startswith("diversion by "):
            package, name = line.split(": ", 1)
            package_of[name] = package.split(",")[0].split(":")[0]
    found = {path: next((package_of[n] for n in names_of(path) if n in package_of), None) for path in paths}
    strange = [path for path, package in found.items() if package is None]
    if strange:
        sys.exit(f"sbom: no package has {strange[0]}: it was not installed by dpkg")
    return found


def details(packages):
    known = {}
    for line in run("dpkg-query", "-W", "-f", FORMAT, *sorted(packages)).splitlines():
        package, version, architecture, source, source_version, depends = line.split("\t")
        names = {re.split(r"[ :(]", word.strip())[0] for group in depends.split(",") for word in group.split("|")}
        known[package] = {"version": version, "architecture": architecture, "source": source,
                          "source_version": source_version, "depends": names}
    return known


def digest(paths):
    total = hashlib.sha256()
    for path in sorted(paths):
        with open(path, "rb") as file:
            total.update(file.read())
    return total.hexdigest()


def component(package, d, paths):
    return {
        "type": "library",
        "bom-ref": f"pkg:deb/debian/{package}@{d['version']}?arch={d['architecture']}",
        "name": package,
        "version": d["version"],
        "purl": f"pkg:deb/debian/{package}@{d['version'].replace('+', '%2B').replace(':', '%3A')}?arch={d['architecture']}",
        "properties": [{"name": "debian:source", "value": d["source"]},
                       {"name": "debian:source-version", "value": d["source_version"]}] +
                      [{"name": "debian:file", "value": path} for path in sorted(paths)] +
                      [{"name": "debian:files-sha256", "value": digest(paths)}],
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--output")
    parser.add_argument("programs", nargs="+")
    options = parser.parse_args()
    loaded = {program: libraries(program) for program in options.programs}
    package_of = owners(set().union(*loaded.values()))
    files, direct = {}, set()
    for program, paths in loaded.items():
        wanted = set(needed(program))
        for path in paths:
            files.setdefault(package_of[path], set()).add(path)
            if os.path.basename(path) in wanted:
                direct.add(package_of[path])
    known = details(files)
    parts = {package: component(package, known[package], files[package]) for package in sorted(files)}
    top = f"pkg:generic/{options.name}@{options.version}"
    links = [{"ref": top, "dependsOn": [parts[p]["bom-ref"] for p in sorted(direct)]}]
    links += [{"ref": parts[p]["bom-ref"], "dependsOn": [parts[d]["bom-ref"] for d in sorted(known[p]["depends"])
                                                         if d in parts and d != p]} for p in parts]
    bom = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
           "metadata": {"component": {"type": "application", "bom-ref": top, "name": options.name,
                                      "version": options.version}},
           "components": list(parts.values()), "dependencies": links}
    bom["serialNumber"] = "urn:uuid:" + str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bom, sort_keys=True)))
    text = json.dumps(bom, indent=2) + "\n"
    if options.output:
        with open(options.output, "w", encoding="utf-8") as to:
            to.write(text)
    else:
        sys.stdout.write(text)


main()

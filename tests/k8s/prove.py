#!/usr/bin/env python3
"""prove.py PROGRAMS WORK [--node BINARIES --root ROOT] [--report FILE.md]: brings the chart to a Kubernetes of this machine. Called by ./dev k8s.

It runs in network, mount and PID namespaces of its own: whatever it starts ends with it, and the host's network is as it was.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import node  # noqa: E402
import prove_api  # noqa: E402
import prove_node  # noqa: E402
from cluster import Cluster, Failed, sh  # noqa: E402
from report import Report  # noqa: E402


def versions(cluster, report):
    kubernetes = json.loads(cluster.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"]
    etcd = sh(str(cluster.programs / "etcd"), "--version").splitlines()[0].removeprefix("etcd Version: ")
    chart = (prove_api.CHART / "Chart.yaml").read_text()
    report.fact("Kubernetes (API server, controllers, scheduler)", kubernetes)
    report.fact("etcd", etcd)
    report.fact("helm", sh(prove_api.tool("helm"), "version", "--short").strip())
    report.fact("chart", re.search(r"^version: (\S+)", chart, re.M)[1])
    report.say(f"API server, controllers and scheduler run: {kubernetes}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs")
    parser.add_argument("work")
    parser.add_argument("--node", help="folder with Meltica's programs: a node too, and the real services on it")
    parser.add_argument("--root", help="with --node: root that the programs were built in, for their libraries")
    parser.add_argument("--images", nargs="*", default=[], help="with --node: archives of `docker save` whose images take the place of those made of the programs")
    parser.add_argument("--only-node", action="store_true", help="with --node: leave the other proofs out")
    parser.add_argument("--report", help="page that is written of it, also of a failure")
    options = parser.parse_args()
    report = Report(prove_api.ROOT)
    cluster = Cluster(options.programs, options.work)
    report.failure = "it was broken off"  # until it is known to be otherwise
    try:
        if options.node:
            node.own_folders()
        cluster.control_plane()
        versions(cluster, report)
        if not options.only_node:
            prove_api.prove(cluster, report.say)
        if options.node:
            prove_node.prove(cluster, pathlib.Path(options.node), options.root, [pathlib.Path(file) for file in options.images], report)
        report.memory = sorted(cluster.resident_mib().items())
        report.say("peak memory, MiB: " + ", ".join(f"{name} {mib}" for name, mib in report.memory))
        report.failure = None
        report.say("all of it held")
    except (Failed, subprocess.CalledProcessError, OSError, LookupError, ValueError) as failure:
        report.failure = f"{type(failure).__name__}: {failure}"
        report.say(f"FAILED: {failure}")
        if not isinstance(failure, Failed):
            raise
    finally:
        cluster.stop()
        if options.report:
            report.write(options.report)
    return 1 if report.failure else 0


if __name__ == "__main__":
    sys.exit(main())

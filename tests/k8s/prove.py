#!/usr/bin/env python3
"""prove.py PROGRAMS WORK [--node BINARIES --root ROOT]: brings the chart to a Kubernetes of this machine. Called by ./dev k8s.

It runs in network, mount and PID namespaces of its own: whatever it starts ends with it, and the host's network is as it was.
"""

import argparse
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import node  # noqa: E402
import prove_api  # noqa: E402
import prove_node  # noqa: E402
from cluster import Cluster, Failed  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs")
    parser.add_argument("work")
    parser.add_argument("--node", help="folder with Meltica's programs: a node too, and the real services on it")
    parser.add_argument("--root", help="with --node: root that the programs were built in, for their libraries")
    parser.add_argument("--images", nargs="*", default=[], help="with --node: archives of `docker save` whose images take the place of those made of the programs")
    parser.add_argument("--only-node", action="store_true", help="with --node: leave the other proofs out")
    options = parser.parse_args()
    begin = time.monotonic()

    def say(text):
        print(f"{time.monotonic() - begin:7.1f} s  {text}", flush=True)

    cluster = Cluster(options.programs, options.work)
    try:
        if options.node:
            node.own_folders()
        cluster.control_plane()
        version = cluster.kubectl("version", "-o", "json")
        say(f"API server, controllers and scheduler run: {version.split('serverVersion')[1].split('gitVersion')[1].split(chr(34))[2]}")
        if not options.only_node:
            prove_api.prove(cluster, say)
        if options.node:
            prove_node.prove(cluster, pathlib.Path(options.node), options.root, [pathlib.Path(file) for file in options.images], say)
        say("peak memory, MiB: " + ", ".join(f"{name} {mib}" for name, mib in sorted(cluster.resident_mib().items())))
    except Failed as failure:
        say(f"FAILED: {failure}")
        return 1
    finally:
        cluster.stop()
    say("all of it held")
    return 0


if __name__ == "__main__":
    sys.exit(main())

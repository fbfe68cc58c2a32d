#!/usr/bin/env python3
"""The version stands in the file VERSION; CMake, images and packages read it. What cannot read it is listed here, and must
say the same; nothing else may name it.

usage: versions.py [--write] [ROOT]   (--write: brings the listed places up to VERSION)
"""
import os
import re
import sys

VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
N = r"(\d+\.\d+\.\d+)"
# Files that name the version, and where: every match must be it, and there is at least one.
PLACES = [("helm/meltica/Chart.yaml", rf"^version: {N}$"),
          ("helm/meltica/Chart.yaml", rf'^appVersion: "{N}"$'),
          ("helm/meltica/ci/production-values.yaml", rf'^  tag: "{N}"$'),
          ("docs/operations.md", rf"(?:, version|this tool| \d\d:\d\d:\d\d) {N}$")]
# Versions of something else, which have a rule of their own: contracts by their major number, examples that nobody
# publishes, and one version of NATS for the chart and the tests.
OTHERS = [("docs/asyncapi.yaml", r"^  version: (\d+)\.\d+\.\d+$", "1"),  # as meltica.v1
          ("proto/meltica/v1/event.proto", r"^package meltica\.v(\d+);$", "1"),
          ("clients/asyncapi/package.json", r'^  "version": "(.*)"', "0.0.0"),
          ("clients/typescript/package.json", r'^  "version": "(.*)"', "0.0.0"),
          ("clients/rust/Cargo.toml", r'^version = "(.*)"', "0.0.0"),
          ("clients/java/pom.xml", r"^    <version>(.*)</version>", "0"),
          ("services/console/web/package.json", r'^  "version": "(.*)"', "0.0.0")]
NATS = [("helm/meltica/values.yaml", rf'^      # nats\.bundled\.image\.tag .*\n      tag: "{N}"$'),
        ("tests/k8s/build.sh", rf"^kubernetes=.* nats=v{N} ")]
# History, pictures and reports of one day among it; fixtures that stand for any version, and what others number.
EXEMPT = re.compile(r"CHANGELOG\.md|docs/images/.*|docs/reports/.*|helm/meltica/UPGRADING\.md|clients/.*|tests/unit/.*|tests/fuzz/.*|services/console/web/test/.*|"
                    r".*package-lock\.json")
SKIPPED = {".git", "build", "dist", "node_modules", "__pycache__", "gen"}


def read(root, name):
    with open(os.path.join(root, name), encoding="utf-8") as file:
        return file.read()


def version_of(root):
    lines = read(root, "VERSION").splitlines()
    if len(lines) != 1 or not VERSION.fullmatch(lines[0]):
        raise ValueError(f"VERSION is {lines}: one line with three numbers")
    return lines[0]


def texts(root):
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(set(folders) - SKIPPED)
        for name in sorted(files):
            path = os.path.relpath(os.path.join(folder, name), root)
            if name != "VERSION" and not EXEMPT.fullmatch(path) and os.path.isfile(os.path.join(root, path)):
                try:
                    yield path, read(root, path)
                except UnicodeDecodeError:
                    pass  # a picture


def faults(root):
    """What does not agree, as sentences."""
    try:
        version = version_of(root)
    except ValueError as error:
        return [str(error)]
    found = []

    def compare(name, pattern, value):
        said = re.findall(pattern, read(root, name), re.M)
        if not said:
            found.append(f"{name}: no version where one was ({pattern})")
        found.extend(f"{name} says {other}, not {value}" for other in said if other != value)

    for name, pattern in PLACES:
        compare(name, pattern, version)
    for name, pattern, value in OTHERS:
        compare(name, pattern, value)
    nats = {(re.findall(pattern, read(root, name), re.M) or [None])[0] for name, pattern in NATS}
    if len(nats) != 1 or None in nats:
        found.append(f"{' and '.join(name for name, _ in NATS)} name {nats} of NATS")
    known = {name for name, _ in PLACES}
    for path, text in texts(root):
        for line in text.splitlines():
            if path not in known and re.search(rf"(?<![\w.]){re.escape(version)}(?![\w.])", line):
                found.append(f"{path} names the version: let it read VERSION, or list it in packaging/versions.py: {line.strip()[:100]}")
    return found


def write(root):
    version = version_of(root)
    for name, pattern in PLACES:
        text = read(root, name)
        changed = re.sub(pattern, lambda m: m.group(0)[:m.start(1) - m.start()] + version + m.group(0)[m.end(1) - m.start():],
                         text, flags=re.M)
        if changed != text:
            with open(os.path.join(root, name), "w", encoding="utf-8") as file:
                file.write(changed)
            print(name)


def main():
    words = sys.argv[1:]
    writes = "--write" in words
    words = [word for word in words if word != "--write"]
    root = words[0] if words else os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if writes:
        write(root)
    found = faults(root)
    for fault in found:
        print("versions: " + fault, file=sys.stderr)
    if found:
        sys.exit(1)
    print(f"VERSION and {len(PLACES)} places: {version_of(root)}")


if __name__ == "__main__":
    main()

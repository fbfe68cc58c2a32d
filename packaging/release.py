#!/usr/bin/env python3
"""Makes a release into dist/ and verifies it, or verifies one that is there. docs/releasing.md has the steps.

usage: release.py check                        may this commit be released?
       release.py make [--allow-missing PART]...
       release.py verify [FOLDER] [--allow-missing PART]...
PART: chart (needs helm), images (needs a Docker engine). Exit status: 0 all there and right, 1 wrong, 77 a part is missing
that was not allowed to be.
"""
import argparse
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

import versions

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
IMAGES = ["meltica-adapter", "meltica-dispatcher", "meltica-conductor", "meltica-control-bus", "meltica-data-bus", "meltica",
          "meltica-exchange-sim", "meltica-nats", "meltica-console"]
PROGRAMS = ["meltica", "meltica-adapter", "meltica-conductor", "meltica-console", "meltica-control-bus",
            "meltica-data-bus", "meltica-dispatcher", "meltica-exchange-sim"]
PARTS = ("chart", "images")
PROTO = "meltica/v1/event.proto"
SUMS = "SHA256SUMS"
# Files for commands inside the root go through /tmp, which it shares with the host.


class Wrong(Exception):
    """What is wrong, as a sentence."""


def say(what):
    print("release: " + what, file=sys.stderr, flush=True)


def expect(holds, what):
    if not holds:
        raise Wrong(what)


def run(*words, data=None, cwd=ROOT, shown=False, env=None):
    """stdout as bytes; a failure is Wrong, with what the command said."""
    answer = subprocess.run(words, input=data, stdin=subprocess.DEVNULL if data is None else None, cwd=cwd, check=False,
                            stdout=None if shown else subprocess.PIPE, stderr=None if shown else subprocess.PIPE,
                            env={**os.environ, **(env or {})})
    if answer.returncode != 0:
        said = "" if shown else (answer.stdout + answer.stderr).decode("utf-8", "replace")[-1500:]
        raise Wrong(f"{' '.join(words)[:200]}: status {answer.returncode}\n{said}")
    return answer.stdout


def git(root, *words):
    return run("git", "-C", root, *words).decode().rstrip("\n")


def dev(*words, **options):
    return run(os.path.join(ROOT, "dev"), *words, **options)


def sha256(path):
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            total.update(piece)
    return total.hexdigest()


def twice(what, make):
    first = make()
    expect(make() == first, f"{what}: made twice, it differs")
    return first


def helm():
    gobin = os.environ.get("GOBIN") or os.path.join(os.environ.get("GOPATH", os.path.expanduser("~/go")), "bin")
    return shutil.which("helm") or shutil.which("helm", path=gobin)


def docker():
    program = os.environ.get("DOCKER", "docker")
    if not shutil.which(program):
        return None
    answer = subprocess.run([program, "version"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return program if answer.returncode == 0 else None


def packed(members, epoch):
    """A .tar.gz of (name, bytes), the same for the same members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in sorted(members):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(content), epoch, 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(out.getvalue(), mtime=epoch)


def members_of(path):
    """{name: bytes} of the plain files in a .tar.gz; a name that leads elsewhere is Wrong."""
    found = {}
    with tarfile.open(path, "r:gz") as archive:
        for entry in archive:
            expect(not entry.name.startswith("/") and ".." not in entry.name.split("/"), f"{path} has {entry.name}")
            if entry.isreg():
                found[entry.name] = archive.extractfile(entry).read()
    return found


# ---- may it be released? -------------------------------------------------------------------------------

def check_changelog(text, version):
    sections = re.split(r"^## ", text, flags=re.M)[1:]
    mine = [s for s in sections if re.match(rf"{re.escape(version)}(?: |$)", s.split("\n")[0])]
    expect(len(mine) == 1 and re.search(r"^- ", mine[0], re.M), f"CHANGELOG.md has no entries under \"## {version}\"")
    expect(re.fullmatch(rf"{re.escape(version)} \d{{4}}-\d\d-\d\d", mine[0].split("\n")[0]),
           f"CHANGELOG.md: \"## {mine[0].split(chr(10))[0]}\" has no day: \"## {version} YYYY-MM-DD\"")
    waiting = [s for s in sections if s.startswith("Unreleased")]
    expect(not any(re.search(r"^- ", s, re.M) for s in waiting), "CHANGELOG.md has entries under \"## Unreleased\": move them")


def check(root):
    """The version, when this commit may be released."""
    found = versions.faults(root)
    expect(not found, "; ".join(found))
    version = versions.version_of(root)
    dirty = git(root, "status", "--porcelain")
    expect(not dirty, f"the tree is not what is committed:\n{dirty[:500]}")
    with open(os.path.join(root, "CHANGELOG.md"), encoding="utf-8") as file:
        check_changelog(file.read(), version)
    if git(root, "tag", "--list", "v" + version):
        expect(git(root, "rev-parse", f"v{version}^{{commit}}") == git(root, "rev-parse", "HEAD"),
               f"v{version} is another commit already: raise VERSION")
    return version


# ---- make ----------------------------------------------------------------------------------------------

def make_chart(program, version, epoch):
    """helm's package, with the times of the commit instead of now."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        run(program, "package", "helm/meltica", "--destination", folder)
        return packed(members_of(os.path.join(folder, f"meltica-{version}.tgz")).items(), epoch)


def make_descriptor():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = os.path.join(folder, "descriptor")
        dev("shell", "protoc", "--include_imports", f"--descriptor_set_out={path}", "-I", "proto", PROTO)
        with open(path, "rb") as file:
            return file.read()


def make_deb():
    dev("deb", "--only-make")
    found = [name for name in os.listdir(os.path.join(ROOT, "build/package")) if name.endswith(".deb")]
    expect(len(found) == 1, f"build/package has {found}")
    with open(os.path.join(ROOT, "build/package", found[0]), "rb") as file:
        return found[0], file.read()


def make(allowed):
    version, missing = check(ROOT), []
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or git(ROOT, "log", "-1", "--format=%ct"))
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch)
    out = os.path.join(ROOT, "dist")
    shutil.rmtree(out, ignore_errors=True)
    os.mkdir(out)

    def put(name, content):
        with open(os.path.join(out, name), "wb") as file:
            file.write(content)
        say(f"{name}, {len(content)} bytes")

    top = f"meltica-{version}"
    put(f"{top}.tar.gz", twice("the source", lambda: gzip.compress(
        run("git", "-C", ROOT, "archive", "--format=tar", f"--prefix={top}/", "HEAD"), mtime=epoch)))
    put(f"meltica-v1-{version}.desc", twice("the descriptor set", make_descriptor))
    protos = []
    for name, path in ((PROTO, "proto/" + PROTO), ("README.md", "proto/meltica/v1/README.md"), ("LICENSE", "LICENSE")):
        with open(os.path.join(ROOT, path), "rb") as file:
            protos.append((f"meltica-proto-{version}/{name}", file.read()))
    put(f"meltica-proto-{version}.tar.gz", twice("the archive of .proto files", lambda: packed(protos, epoch)))
    put(*twice("the Debian package", make_deb))
    dev("deb", "--only-check", shown=True)
    programs = [os.path.join("build/package/bin", name) for name in PROGRAMS]
    sbom = twice("the bill of materials", lambda: dev("shell", "packaging/sbom.py", "--name", "meltica", "--version", version, *programs))
    put(f"{top}.cdx.json", sbom)
    program = helm()
    if program:
        put(f"{top}.tgz", twice("the chart", lambda: make_chart(program, version, epoch)))
    else:
        missing.append("chart")
    program = docker()
    if program:
        run(os.path.join(ROOT, "docker/build.sh"), shown=True)
        path = os.path.join(out, f"meltica-images-{version}.tar")
        run(program, "save", "--output", path, *(f"{name}:{version}" for name in IMAGES))
        os.chmod(path, 0o644)
        say(f"{os.path.basename(path)}, {os.path.getsize(path)} bytes")
    else:
        missing.append("images")
    with open(os.path.join(out, SUMS), "w", encoding="ascii") as file:
        for name in sorted(set(os.listdir(out)) - {SUMS}):
            file.write(f"{sha256(os.path.join(out, name))}  {name}\n")
    expect(git(ROOT, "status", "--porcelain") == "", "making it changed the tree")
    return verify(out, allowed, version=version, revision=git(ROOT, "rev-parse", "HEAD"), missing=missing)


# ---- verify --------------------------------------------------------------------------------------------

def verify_sums(folder):
    listed = {}
    with open(os.path.join(folder, SUMS), encoding="ascii") as file:
        for line in file:
            found = re.fullmatch(r"([0-9a-f]{64})  ([^/\n]+)\n", line)
            expect(found, f"{SUMS}: {line!r}")
            listed[found.group(2)] = found.group(1)
    there = set(os.listdir(folder)) - {SUMS}
    expect(set(listed) == there, f"{SUMS} and the folder differ: {sorted(set(listed) ^ there)}")
    for name, digest in listed.items():
        expect(sha256(os.path.join(folder, name)) == digest, f"{name} is not what {SUMS} says")
    return there


def verify_source(path, version):
    found = members_of(path)
    top = f"meltica-{version}/"
    expect(all(name.startswith(top) for name in found), f"{path} has files outside of {top}")
    expect(found.get(top + "VERSION") == f"{version}\n".encode(), f"{path}: VERSION is {found.get(top + 'VERSION')}")
    check_changelog(found[top + "CHANGELOG.md"].decode(), version)
    for name in ("CMakeLists.txt", "dev", "LICENSE", "proto/" + PROTO):
        expect(top + name in found, f"{path} lacks {name}")
    return found[top + "proto/" + PROTO]


def verify_proto(path, version, source):
    found = members_of(path)
    top = f"meltica-proto-{version}/"
    expect(set(found) == {top + PROTO, top + "README.md", top + "LICENSE"}, f"{path} has {sorted(found)}")
    expect(found[top + PROTO] == source, f"{path}: its event.proto is another one than the source's")


def verify_descriptor(path):
    """protoc knows the event by it: an empty message is one."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        shutil.copy(path, os.path.join(folder, "descriptor"))
        dev("shell", "protoc", f"--descriptor_set_in={folder}/descriptor", "--decode=meltica.v1.Event", PROTO, data=b"")


def verify_deb(path, version, descriptor):
    said = run("dpkg-deb", "-f", path, "Package", "Version", "Depends").decode()
    expect(f"Package: meltica\nVersion: {version}\n" in said, f"{path}: {said}")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        run("dpkg-deb", "-x", path, folder)
        for name in PROGRAMS:
            answer = dev("shell", f"{folder}/usr/bin/{name}", "--version").decode()
            expect(answer == f"{name} {version}\n", f"{path}: {name} says {answer!r}")
            pages = [os.path.join(folder, f"usr/share/man/man{s}/{name}.{s}.gz") for s in (1, 8)]
            page = next((p for p in pages if os.path.exists(p)), None)
            expect(page, f"{path}: no manual page of {name}")
            with gzip.open(page, "rt") as file:
                expect(f'"Meltica {version}"' in file.read(), f"{path}: the manual page of {name} is of another version")
        with open(os.path.join(folder, "usr/share/meltica/meltica-v1.desc"), "rb") as ours, open(descriptor, "rb") as other:
            expect(ours.read() == other.read(), f"{path}: its descriptor set is another one")
    return {word.strip().split(" ")[0] for word in re.search(r"^Depends: (.*)$", said, re.M).group(1).split(",")}


def verify_sbom(path, version, depends):
    with open(path, encoding="utf-8") as file:
        bom = json.load(file)
    top = bom["metadata"]["component"]
    expect(bom["bomFormat"] == "CycloneDX" and (top["name"], top["version"]) == ("meltica", version), f"{path} is of {top}")
    names = {component["name"] for component in bom["components"]}
    expect(depends - {"ca-certificates"} <= names, f"{path} lacks {sorted(depends - names)}")


def verify_chart(path, version, program):
    text = members_of(path).get("meltica/Chart.yaml", b"").decode()
    for line in (f"version: {version}", f"appVersion: {version}"):
        expect(re.search(rf"^{line.replace(': ', ': .?')}.?$", text, re.M), f"{path}: Chart.yaml has no {line}")
    run(program, "lint", "--strict", path)
    rendered = run(program, "template", "meltica", path, "--kube-version", "1.33.0").decode()
    tags = set(re.findall(r"image: \"?(?:\S*/)?meltica[a-z-]*:([^\"\s]+)", rendered))
    expect(tags == {version}, f"{path}: its images are of {tags}")


def verify_images(path, version, revision):
    with tarfile.open(path) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))
        tags = [tag for image in manifest for tag in image["RepoTags"] or []]
        expect(sorted(tags) == sorted(f"{name}:{version}" for name in IMAGES), f"{path} has {tags}")
        for image in manifest:
            config = json.load(archive.extractfile(image["Config"]))["config"]
            labels = config.get("Labels") or {}
            said = {name: labels.get("org.opencontainers.image." + name) for name in ("title", "version", "revision")}
            title = image["RepoTags"][0].split(":")[0]
            expect((said["title"], said["version"]) == (title, version), f"{path}: the labels of {title} are {said}")
            expect(re.fullmatch(r"[0-9a-f]{40,64}", said["revision"] or "") and revision in (None, said["revision"]),
                   f"{path}: {title} was built from {said['revision']}, not {revision or 'a commit'}")
            expect(config.get("User") == "65532:65532", f"{path}: {title} runs as {config.get('User')!r}")
            for layer in image["Layers"]:
                archive.getmember(layer)


def verify(folder, allowed, version=None, revision=None, missing=()):
    there = verify_sums(folder)
    if version is None:
        found = [re.fullmatch(r"meltica-(\d+\.\d+\.\d+)\.tar\.gz", name) for name in there]
        found = [match.group(1) for match in found if match]
        expect(len(found) == 1, f"{folder} has sources of {found}")
        version = found[0]
    debs = [name for name in there if re.fullmatch(rf"meltica_{re.escape(version)}_[a-z0-9]+\.deb", name)]
    at = {"source": f"meltica-{version}.tar.gz", "proto": f"meltica-proto-{version}.tar.gz", "desc": f"meltica-v1-{version}.desc",
          "sbom": f"meltica-{version}.cdx.json", "chart": f"meltica-{version}.tgz", "images": f"meltica-images-{version}.tar"}
    strange = sorted(there - set(at.values()) - set(debs))
    expect(not strange, f"{folder} has what no release has: {strange}")
    lacking = [name for part, name in at.items() if part not in PARTS and name not in there]
    expect(not lacking and debs, f"{folder} lacks {lacking or 'a Debian package'}")
    path = {part: os.path.join(folder, name) for part, name in at.items()}
    source = verify_source(path["source"], version)
    verify_proto(path["proto"], version, source)
    verify_descriptor(path["desc"])
    for name in sorted(debs):
        depends = verify_deb(os.path.join(folder, name), version, path["desc"])
        verify_sbom(path["sbom"], version, depends)
    unsure = []
    if at["chart"] in there:
        if helm():
            verify_chart(path["chart"], version, helm())
        else:
            unsure.append("chart")
    if at["images"] in there:
        verify_images(path["images"], version, revision)
    absent = sorted({part for part in PARTS if at[part] not in there} | set(missing))
    for part in absent:
        say(f"left out: {part} ({'helm is' if part == 'chart' else 'a Docker engine is'} not here)")
    for part in unsure:
        say(f"not verified: {part} (helm is not here)")
    refused = sorted(set(absent + unsure) - set(allowed))
    say(f"{len(there)} files of {version} in {folder} are right" + (f"; incomplete: {', '.join(refused)}" if refused else ""))
    return 77 if refused else 0


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    parser.add_argument("command", choices=("check", "make", "verify"))
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--allow-missing", action="append", default=[], choices=PARTS)
    options = parser.parse_args()
    try:
        if options.command == "check":
            say(f"{check(ROOT)} may be released")
        elif options.command == "make":
            sys.exit(make(options.allow_missing))
        else:
            sys.exit(verify(os.path.abspath(options.folder or os.path.join(ROOT, "dist")), options.allow_missing))
    except (Wrong, OSError, tarfile.TarError, ValueError, KeyError) as error:
        sys.exit(f"release: {error if isinstance(error, Wrong) else repr(error)}")


if __name__ == "__main__":
    main()

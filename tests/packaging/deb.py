#!/usr/bin/env python3
"""What the Debian package is: its fields, every file's place and mode, its programs, and what dpkg makes of it: installed,
changed, upgraded, removed and purged on a copy of this Debian that is thrown away (an overlay; needs root).

usage: deb.py DEB VERSION        all of it, on Debian 13
       deb.py --units DEB        systemd's own judgement of its units and users, where there is a systemd
       deb.py --pages DEB        groff's of its manual pages, where there is a groff
exit status 77: what judges is not here
"""
import glob
import gzip
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

PROGRAMS = ["meltica", "meltica-adapter", "meltica-conductor", "meltica-console", "meltica-control-bus",
            "meltica-data-bus", "meltica-dispatcher", "meltica-exchange-sim"]
SERVICES = ["adapter", "conductor", "control-bus", "data-bus", "dispatcher"]  # with a unit
PLACES = re.compile(r"(usr/bin/meltica(-[a-z-]+)?|usr/lib/systemd/system/meltica(-[a-z-]+)?\.(service|target)|"
                    r"usr/lib/sysusers\.d/meltica\.conf|usr/share/(doc/)?meltica/.+|usr/share/man/man[18]/meltica[a-z-]*\.[18]\.gz|"
                    r"etc/meltica/[a-z-]+\.(env|json))")
NEEDED = ["usr/share/meltica/dispatch.json", "usr/share/meltica/dispatch-all.json", "usr/share/meltica/policy.json",
          "usr/share/meltica/meltica-v1.desc", "usr/share/meltica/proto/meltica/v1/event.proto",
          "usr/share/meltica/console/index.html", "usr/share/doc/meltica/copyright", "usr/share/doc/meltica/CHANGELOG.md", "usr/share/doc/meltica/changelog.gz",
          "usr/share/doc/meltica/operations.md", "usr/lib/sysusers.d/meltica.conf", "usr/lib/systemd/system/meltica.target",
          "etc/meltica/meltica.env", "etc/meltica/dispatch.json"]
NEEDED += [f"usr/lib/systemd/system/meltica-{s}.service" for s in SERVICES] + [f"etc/meltica/{s}.env" for s in SERVICES]
NEEDED += [f"usr/bin/{p}" for p in PROGRAMS]
NEEDED += [f"usr/share/man/man{s}/{p}.{s}.gz" for p in PROGRAMS for s in (1 if p in ("meltica", "meltica-exchange-sim") else 8,)]
CONFIGURED = ["meltica.env", "dispatch.json"] + [s + ".env" for s in SERVICES]


def fail(what):
    sys.exit("deb: " + what)


def expect(holds, what):
    if not holds:
        fail(what)


def run(*words, status=0, **options):
    answer = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, **options)
    if status is not None and answer.returncode != status:
        fail(f"{' '.join(words)}: status {answer.returncode}\n{answer.stdout[-2000:]}{answer.stderr[-2000:]}")
    return answer.stdout


def fields(deb):
    return dict(line.split(": ", 1) for line in run("dpkg-deb", "-f", deb).splitlines() if re.match(r"[A-Z]", line))


def check_fields(deb, version):
    found = fields(deb)
    architecture = run("dpkg", "--print-architecture").strip()
    for name, value in (("Package", "meltica"), ("Version", version), ("Architecture", architecture), ("Section", "net"),
                        ("Priority", "optional")):
        expect(found.get(name) == value, f"{name} is {found.get(name)!r}, not {value!r}")
    expect(re.fullmatch(r".+ <\S+@\S+>", found.get("Maintainer", "")), f"Maintainer is {found.get('Maintainer')!r}")
    expect(os.path.basename(deb) == f"meltica_{version}_{architecture}.deb", f"its name is {os.path.basename(deb)}")
    return found


def check_depends(found, root):
    """Each library that a program names is of a package in Depends, and no other is there."""
    depends = {re.match(r"[a-z0-9.+-]+", word.strip())[0] for word in found["Depends"].split(",")}
    needed = set()
    for program in PROGRAMS:
        path = os.path.join(root, "usr/bin", program)
        names = re.findall(r"\(NEEDED\)\s+Shared library: \[(.*)\]", run("readelf", "-dW", path))
        loaded = dict(re.findall(r"(\S+) => (/\S+) \(0x", run("ldd", path)))
        for name in names:
            if name.startswith("ld-linux"):  # the loader, with the C library
                continue
            where = loaded.get(name) or fail(f"{program}: {name} is not here")
            ends = {where, os.path.realpath(where)}
            ends |= {e[4:] if e.startswith("/usr/") else "/usr" + e for e in ends}
            known = run("dpkg-query", "-S", *sorted(ends), status=None)
            needed.add(known.split(":")[0])
    expect(depends == needed | {"ca-certificates"}, f"Depends has {sorted(depends)}, the programs need {sorted(needed)}")
    expect("libc6 (>=" in found["Depends"] and "libnats3.10 (>=" in found["Depends"], "Depends names no versions")


def walk(root):
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            yield os.path.relpath(path, root), os.lstat(path)


def check_files(root):
    names = set()
    for name, found in walk(root):
        mode = stat.S_IMODE(found.st_mode)
        expect((found.st_uid, found.st_gid) == (0, 0), f"{name} is of {found.st_uid}:{found.st_gid}")
        if stat.S_ISDIR(found.st_mode):
            expect(mode == 0o755, f"{name}/ has the mode {mode:o}")
            continue
        expect(stat.S_ISREG(found.st_mode), f"{name} is no plain file")
        expect(PLACES.fullmatch(name), f"{name} has no business there")
        expect(mode == (0o755 if name.startswith("usr/bin/") else 0o644), f"{name} has the mode {mode:o}")
        names.add(name)
    missing = [name for name in NEEDED if name not in names]
    expect(not missing, f"without {missing}")
    return names


def check_control(control, root, names):
    with open(os.path.join(control, "conffiles"), encoding="utf-8") as file:
        listed = sorted(file.read().split())
    expect(listed == sorted("/" + name for name in names if name.startswith("etc/")), f"conffiles are {listed}")
    sums = {}
    with open(os.path.join(control, "md5sums"), encoding="utf-8") as file:
        for text in file:
            digest, name = text.rstrip("\n").split("  ", 1)
            sums[name] = digest
    expect(set(sums) == names, f"md5sums are of other files: {sorted(set(sums) ^ names)}")
    for name, digest in sums.items():
        with open(os.path.join(root, name), "rb") as file:
            expect(hashlib.md5(file.read(), usedforsecurity=False).hexdigest() == digest, f"the sum of {name} is wrong")
    scripts = sorted(set(os.listdir(control)) - {"control", "md5sums", "conffiles"})
    expect(scripts == ["postinst", "postrm", "prerm"], f"scripts are {scripts}")
    for name in scripts:
        path = os.path.join(control, name)
        expect(stat.S_IMODE(os.stat(path).st_mode) == 0o755, f"{name} is not executable")
        run("sh", "-n", path)
        with open(path, encoding="utf-8") as file:
            for text in file:
                expect(text.startswith("#") or not re.search(r"(systemctl|systemd).*(\b(re)?start|enable)|invoke-rc", text),
                       f"{name} starts something: {text.strip()}")


def check_changelog(root, version, found):
    """The newest entry as dpkg reads it."""
    path = os.path.join(root, "usr/share/doc/meltica/changelog.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        text = file.read()
    said = dict(line.split(": ", 1) for line in run("dpkg-parsechangelog", "-l", "-", input=text).splitlines() if ": " in line)
    expect((said.get("Source"), said.get("Version"), said.get("Maintainer")) == ("meltica", version, found["Maintainer"]),
           f"its changelog begins with {said}")


def check_programs(root, version):
    for program in PROGRAMS:
        path = os.path.join(root, "usr/bin", program)
        expect(run(path, "--version") == f"{program} {version}\n", f"{program} --version")
        expect(program in run(path, "--help"), f"{program} --help")
        sections = run("readelf", "-SW", path)
        expect(".symtab" not in sections and ".debug_info" not in sections, f"{program} is not stripped")
        expect(re.search(r"Type:\s+DYN", run("readelf", "-hW", path)) and "GNU_RELRO" in run("readelf", "-lW", path) and
               re.search(r"FLAGS_1\).*\bNOW\b.*\bPIE\b", run("readelf", "-dW", path)), f"{program} is not hardened")
    for service in SERVICES:
        with open(os.path.join(root, f"usr/lib/systemd/system/meltica-{service}.service"), encoding="utf-8") as file:
            unit = file.read()
        for text in (f"ExecStart=/usr/bin/meltica-{service}\n", "EnvironmentFile=-/etc/meltica/meltica.env\n",
                     f"EnvironmentFile=-/etc/meltica/{service}.env\n", "DynamicUser=yes\n"):
            expect(text in unit, f"the unit of {service} lacks {text!r}")
    with open(os.path.join(root, "usr/lib/sysusers.d/meltica.conf"), encoding="utf-8") as file:
        users = re.findall(r"^u (\S+) - ", file.read(), re.M)
    expect(sorted(users) == [f"meltica-{s}" for s in SERVICES], f"the users are {users}, the units others")


def check_pages(root, version):
    for path in sorted(glob.glob(os.path.join(root, "usr/share/man/man[18]/*.gz"))):
        name, section = os.path.basename(path).split(".")[:2]
        with gzip.open(path, "rt", encoding="ascii") as file:
            page = file.read()
        expect(f'.TH "{name.upper().replace("-", chr(92) + "-")}" "{section}" "" "Meltica {version}"' in page, f"{path}: its head")
        expect(not re.search(r"[^ -~\n]", page), f"{path}: not plain ASCII")
        for text in page.split("\n"):
            request = re.match(r"[.'](\S*)", text)
            expect(request is None or request.group(1) in ("TH", "SH", "SS", "TP", "P", "B", "br", "nh", "ad", '\\"'),
                   f"{path}: {text!r}")
            expect(re.fullmatch(r'(?:[^\\]|\\(?:[-e& "]|f[BIPR]|\([a-z]{2}))*', text), f"{path}: an escape in {text!r}")
        plain = re.sub(r"\\([-& ])", r"\1", page).replace("&", "")
        flags = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", run(os.path.join(root, "usr/bin", name), "--help")))
        if name == "meltica":
            for command in re.findall(r"^  meltica ([a-z-]+) ", run(os.path.join(root, "usr/bin/meltica"), "--help"), re.M):
                flags |= set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", run(os.path.join(root, "usr/bin/meltica"), command, "--help")))
                expect(re.search(rf'^\.SS "{command}"$', plain, re.M), f"{path}: without {command}")
        missing = sorted(flag for flag in flags if not re.search(re.escape(flag) + r"(?![a-z0-9-])", plain))
        expect(not missing, f"{path}: without {missing}")


class Copy:
    """This Debian once more; what is written there goes with it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="meltica-deb-")
        run("mount", "-t", "tmpfs", "tmpfs", self.folder)
        for name in ("upper", "work", "root"):
            os.mkdir(os.path.join(self.folder, name))
        self.root = os.path.join(self.folder, "root")
        run("mount", "-t", "overlay", "overlay", "-o",
            f"lowerdir=/,upperdir={self.folder}/upper,workdir={self.folder}/work", self.root)
        run("mount", "-t", "proc", "proc", self.root + "/proc")

    def end(self):
        for path in (self.root + "/proc", self.root, self.folder):
            run("umount", "--lazy", path)
        os.rmdir(self.folder)

    def run(self, *words, status=0):
        return run("chroot", self.root, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive",
                   "HOME=/root", *words, status=status)

    def path(self, name):
        return os.path.join(self.root, name)

    def has(self, name):
        return os.path.lexists(self.path(name))


def newer(deb, folder):
    """The same package as the next version, with a new default in a file of /etc, as an upgrade has."""
    tree = os.path.join(folder, "newer")
    run("dpkg-deb", "-R", deb, tree)
    control = os.path.join(tree, "DEBIAN/control")
    with open(control, encoding="utf-8") as file:
        text = file.read()
    with open(control, "w", encoding="utf-8") as file:
        file.write(re.sub(r"^Version: (.*)$", r"Version: \1+1", text, flags=re.M))
    for name in ("adapter.env", "meltica.env"):
        with open(os.path.join(tree, "etc/meltica", name), "a", encoding="utf-8") as file:
            file.write("# new\n")
    path = os.path.join(folder, "newer.deb")
    run("dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, path)
    return path


def life(deb, version, folder):
    copy = Copy()
    try:
        # As systemd-sysusers, where there is none: says that it was asked for, and with what.
        told = copy.path("usr/bin/systemd-sysusers")
        stand_in = not os.path.exists(told)
        if stand_in:
            with open(told, "w", encoding="utf-8") as file:
                file.write('#!/bin/sh\necho "$@" >>/told\n')
            os.chmod(told, 0o755)
        for path in (deb, newer(deb, folder)):
            shutil.copy(path, copy.root + "/")
        copy.run("dpkg", "-i", "/" + os.path.basename(deb))
        expect(copy.run("dpkg-query", "-W", "-f", "${Status} ${Version}", "meltica") == f"install ok installed {version}",
               "dpkg does not call it installed")
        expect(copy.run("dpkg", "--verify", "meltica") == "", "dpkg --verify finds differences")
        if stand_in:
            with open(copy.path("told"), encoding="utf-8") as file:
                expect(file.read() == "meltica.conf\n", "its users were not made")
        for place in ("etc/systemd/system/multi-user.target.wants", "etc/systemd/system/meltica.target.wants"):
            expect(not glob.glob(copy.path(place) + "/*meltica*"), "a unit is enabled by itself")
        for program in PROGRAMS:
            expect(copy.run(program, "--version") == f"{program} {version}\n", f"{program} --version, installed")
        for service in SERVICES:
            words = []
            for name in ("meltica.env", service + ".env"):
                with open(copy.path("etc/meltica/" + name), encoding="utf-8") as file:
                    words += [text.strip() for text in file if text.strip() and not text.startswith("#")]
            copy.run("env", *words, f"/usr/bin/meltica-{service}", "--check-config")
            if service == "dispatcher":
                expect("MELTICA_TABLE=/etc/meltica/dispatch.json" in words, "the Dispatcher does not read /etc/meltica")
                copy.run(f"/usr/bin/meltica-{service}", "--check-config")  # and without the file of variables
        copy.run("/usr/bin/meltica-console", "--check-config")
        # Every variable that the files offer is one.
        for name in CONFIGURED:
            if name.endswith(".env"):
                with open(copy.path("etc/meltica/" + name), encoding="utf-8") as file:
                    offered = re.findall(r"^#?(MELTICA_[A-Z_]+)=", file.read(), re.M)
                service = "adapter" if name == "meltica.env" else name[:-4]
                documented = copy.run(f"/usr/bin/meltica-{service}", "--help")
                expect(offered and all(re.search(rf"; {v}$", documented, re.M) for v in offered), f"{name} offers {offered}")
        with open(copy.path("etc/meltica/adapter.env"), "a", encoding="utf-8") as file:
            file.write("MELTICA_LOG_LEVEL=warn\n")
        copy.run("dpkg", "--force-confdef", "--force-confold", "-i", "/newer.deb")
        with open(copy.path("etc/meltica/adapter.env"), encoding="utf-8") as file:
            expect("MELTICA_LOG_LEVEL=warn" in file.read(), "an upgrade lost what was changed in /etc/meltica")
        with open(copy.path("etc/meltica/meltica.env"), encoding="utf-8") as file:
            expect(file.read().endswith("# new\n"), "an upgrade left an unchanged file of /etc/meltica as it was")
        os.makedirs(copy.path("etc/systemd/system/meltica.target.wants"))
        os.symlink("/usr/lib/systemd/system/meltica-adapter.service",
                   copy.path("etc/systemd/system/meltica.target.wants/meltica-adapter.service"))
        copy.run("dpkg", "-r", "meltica")
        expect(not copy.has("usr/bin/meltica") and not copy.has("usr/share/meltica"), "removed, but there")
        expect(copy.has("etc/meltica/adapter.env"), "removed, and its configuration as well")
        copy.run("dpkg", "-P", "meltica")
        expect(not copy.has("etc/meltica") and not copy.has("etc/systemd/system/meltica.target.wants"), "purged, but there")
        left = copy.run("find", "/usr", "/etc", "/var", "-xdev", "-name", "*meltica*", "-newer", "/newer.deb").split()
        expect(not left, f"purged, but {left} are left")
    finally:
        copy.end()


def units(root):
    if not shutil.which("systemd-analyze"):
        print("deb: no systemd-analyze here: nobody judged the units", file=sys.stderr)
        sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        copies = []
        for path in glob.glob(os.path.join(root, "usr/lib/systemd/system/*")):
            with open(path, encoding="utf-8") as file:
                text = file.read().replace("ExecStart=/usr/bin/", f"ExecStart={root}/usr/bin/")
            copies.append(os.path.join(folder, os.path.basename(path)))
            with open(copies[-1], "w", encoding="utf-8") as file:
                file.write(re.sub(r"^Documentation=.*\n", "", text, flags=re.M))
        answer = subprocess.run(["systemd-analyze", "verify", "--man=no", *copies], capture_output=True, text=True, check=False)
        complaints = [text for text in answer.stderr.splitlines() if "meltica" in text]
        expect(answer.returncode == 0 and not complaints, f"systemd-analyze verify: {answer.returncode} {answer.stderr}")
        if shutil.which("systemd-sysusers"):
            os.makedirs(os.path.join(folder, "root/etc"))
            run("systemd-sysusers", f"--root={folder}/root", os.path.join(root, "usr/lib/sysusers.d/meltica.conf"))
            with open(os.path.join(folder, "root/etc/passwd"), encoding="utf-8") as file:
                entries = [text.split(":") for text in file]
            expect(sorted(e[0] for e in entries) == [f"meltica-{s}" for s in SERVICES] and
                   all(e[6].strip().endswith("nologin") and 0 < int(e[2]) < 1000 for e in entries), f"the users are {entries}")
    print(f"{len(copies)} units and {len(SERVICES)} users: systemd has nothing against them")


def pages(root):
    if not shutil.which("groff"):
        print("deb: no groff here: nobody judged the manual pages", file=sys.stderr)
        sys.exit(77)
    paths = glob.glob(os.path.join(root, "usr/share/man/man[18]/*.gz"))
    for path in paths:
        with gzip.open(path, "rb") as file:
            answer = subprocess.run(["groff", "-man", "-ww", "-Tutf8"], input=file.read(), capture_output=True, check=False)
        expect(answer.returncode == 0 and not answer.stderr and len(answer.stdout) > 1000,
               f"groff on {os.path.basename(path)}: {answer.stderr.decode()[:500]}")
    print(f"{len(paths)} manual pages: groff has nothing against them")


def main():
    what = {"--units": units, "--pages": pages}.get(sys.argv[1])
    deb, version = sys.argv[2] if what else sys.argv[1], sys.argv[-1]
    with tempfile.TemporaryDirectory(prefix="meltica-deb-") as folder:
        root, control = os.path.join(folder, "root"), os.path.join(folder, "control")
        run("dpkg-deb", "-x", deb, root)
        if what:
            what(root)
            return
        run("dpkg-deb", "-e", deb, control)
        found = check_fields(deb, version)
        names = check_files(root)
        check_control(control, root, names)
        check_depends(found, root)
        check_changelog(root, version, found)
        check_programs(root, version)
        check_pages(root, version)
        with open(os.path.join(root, "usr/share/meltica/dispatch.schema.json"), encoding="utf-8") as file:
            json.load(file)
        if os.geteuid() == 0:
            life(deb, version, folder)
        else:
            print("deb: installing it needs root: left out", file=sys.stderr)
            sys.exit(77)
    print(f"{os.path.basename(deb)}: {len(names)} files, {len(PROGRAMS)} programs; installed, upgraded, removed, purged")


main()

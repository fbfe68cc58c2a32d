#!/usr/bin/env python3
"""What a release refuses: a tree that is not committed, versions that differ, a change nobody wrote down, a taken tag; and
files that are not what they should be. No release is made.

usage: release_test.py SOURCE_DIR
"""
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

SOURCE = sys.argv.pop()
sys.path.insert(0, os.path.join(SOURCE, "packaging"))
sys.dont_write_bytecode = True
import release  # noqa: E402
import versions  # noqa: E402

VERSION = versions.version_of(SOURCE)
CHANGELOG = f"# Changelog\n\n## Unreleased\n\n## {VERSION} 2026-01-31\n\n- A change.\n\n## 0.0.1 2025-01-01\n\n- Another.\n"


def git(root, *words):
    subprocess.run(["git", "-C", root, "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main",
                    "-c", "commit.gpgSign=false", "-c", "tag.gpgSign=false", *words], check=True, capture_output=True)


class Tree(unittest.TestCase):
    """A small repository with the files that name versions."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = folder.name
        for name in {name for name, *_ in versions.PLACES + versions.OTHERS + versions.NATS} | {"VERSION"}:
            to = os.path.join(self.root, name)
            os.makedirs(os.path.dirname(to), exist_ok=True)
            shutil.copy(os.path.join(SOURCE, name), to)
        self.put("CHANGELOG.md", CHANGELOG)
        git(self.root, "init")
        self.commit()

    def commit(self):
        git(self.root, "add", "--all")
        git(self.root, "commit", "--allow-empty", "-m", "x")

    def put(self, name, text):
        with open(os.path.join(self.root, name), "w", encoding="utf-8") as file:
            file.write(text)

    def change(self, name, old, new):
        text = versions.read(self.root, name)
        self.assertIn(old, text)
        self.put(name, text.replace(old, new))
        self.commit()

    def refused(self, words):
        with self.assertRaisesRegex(release.Wrong, words):
            release.check(self.root)


class Check(Tree):
    def test_as_it_should_be(self):
        self.assertEqual(release.check(self.root), VERSION)

    def test_what_is_not_committed(self):
        self.put("new", "")
        self.refused("not what is committed")

    def test_a_change_that_is_not_committed(self):
        self.put("CHANGELOG.md", CHANGELOG + "\n")
        self.refused("not what is committed")

    def test_no_entry(self):
        self.change("CHANGELOG.md", f"## {VERSION} ", "## 9.9.9 ")
        self.refused("no entries")

    def test_an_empty_entry(self):
        self.change("CHANGELOG.md", "- A change.\n", "")
        self.refused("no entries")

    def test_an_entry_without_a_day(self):
        self.change("CHANGELOG.md", " 2026-01-31", "")
        self.refused("has no day")

    def test_entries_that_wait(self):
        self.change("CHANGELOG.md", "## Unreleased\n", "## Unreleased\n\n- Not yet.\n")
        self.refused("Unreleased")

    def test_a_tag_of_another_commit(self):
        git(self.root, "tag", "v" + VERSION)
        self.assertEqual(release.check(self.root), VERSION)
        self.commit()
        self.refused("another commit")

    def test_each_place_that_differs(self):
        for name, pattern in versions.PLACES:
            with self.subTest(name=name, pattern=pattern):
                text = versions.read(self.root, name)
                found = versions.re.search(pattern, text, versions.re.M)
                self.put(name, text[:found.start(1)] + "7.7.7" + text[found.end(1):])
                self.commit()
                self.refused("7.7.7")
                self.put(name, text)
                self.commit()

    def test_another_version_of_a_contract_or_an_example(self):
        self.change("clients/rust/Cargo.toml", '\nversion = "0.0.0"', '\nversion = "1.2.3"')
        self.refused("clients/rust/Cargo.toml says 1.2.3")

    def test_two_versions_of_nats(self):
        self.change("tests/k8s/build.sh", " nats=v2.", " nats=v3.")
        self.refused("of NATS")

    def test_a_new_place(self):
        self.put("new.txt", f"this is {VERSION}, and not 1{VERSION}\n")
        self.commit()
        self.refused("new.txt names the version")

    def test_no_version(self):
        for text in ("1.2\n", "1.2.3-rc1\n", "01.2.3\n", "1.2.3\n4\n", ""):
            with self.subTest(text=text):
                self.put("VERSION", text)
                self.commit()
                self.refused("VERSION is")

    def test_the_next_one(self):
        self.put("VERSION", "8.0.1\n")
        self.put("CHANGELOG.md", CHANGELOG.replace(VERSION, "8.0.1"))
        self.commit()
        self.refused(f"says {VERSION}, not 8.0.1")
        versions.write(self.root)
        self.commit()
        self.assertEqual(release.check(self.root), "8.0.1")


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name, content=None):
        path = os.path.join(self.folder, name)
        if content is not None:
            with open(path, "wb") as file:
                file.write(content)
        return path

    def test_sums(self):
        for name in ("a", "b"):
            self.path(name, name.encode())
        lines = [f"{release.sha256(self.path(name))}  {name}\n" for name in ("a", "b")]
        for sums, wrong in (("".join(lines), None), (lines[0], "differ"), ("".join(lines) + lines[0].replace("  a", "  c"), "differ"),
                            (lines[0] + lines[1].replace("  b", " b"), "SHA256SUMS: "),
                            (lines[0] + "0" * 64 + "  b\n", "b is not what")):
            self.path("SHA256SUMS", sums.encode())
            if wrong:
                with self.assertRaisesRegex(release.Wrong, wrong):
                    release.verify_sums(self.folder)
            else:
                self.assertEqual(release.verify_sums(self.folder), {"a", "b"})

    def test_archives_are_the_same_in_any_order(self):
        self.assertEqual(release.packed([("a", b"1"), ("b", b"2")], 5), release.packed([("b", b"2"), ("a", b"1")], 5))

    def test_archives_that_lead_elsewhere(self):
        for name in ("/etc/x", "a/../../x"):
            with self.assertRaisesRegex(release.Wrong, "has "):
                release.members_of(self.path("x", release.packed([(name, b"")], 5)))

    def source(self, **changed):
        members = {"VERSION": f"{VERSION}\n", "CHANGELOG.md": CHANGELOG, "CMakeLists.txt": "", "dev": "", "LICENSE": "",
                   "proto/" + release.PROTO: "wire"}
        members.update(changed)
        return self.path("s", release.packed([(f"meltica-{VERSION}/{n}", t.encode()) for n, t in members.items() if t is not None], 5))

    def test_source(self):
        self.assertEqual(release.verify_source(self.source(), VERSION), b"wire")
        for changed in ({"VERSION": "7.7.7\n"}, {"CHANGELOG.md": "# Changelog\n"}, {"LICENSE": None}):
            with self.subTest(changed=changed), self.assertRaises(release.Wrong):
                release.verify_source(self.source(**changed), VERSION)

    def test_protos(self):
        def archive(text):
            return self.path("p", release.packed([(f"meltica-proto-{VERSION}/{n}", text) for n in
                                                  (release.PROTO, "README.md", "LICENSE")], 5))
        release.verify_proto(archive(b"wire"), VERSION, b"wire")
        with self.assertRaisesRegex(release.Wrong, "another one"):
            release.verify_proto(archive(b"other"), VERSION, b"wire")

    def test_bill_of_materials(self):
        bom = {"bomFormat": "CycloneDX", "metadata": {"component": {"name": "meltica", "version": VERSION}},
               "components": [{"name": "libc6"}, {"name": "zlib1g"}]}
        path = self.path("b", json.dumps(bom).encode())
        release.verify_sbom(path, VERSION, {"libc6", "ca-certificates"})
        for version, depends in ((VERSION, {"libc6", "libnats3.10"}), ("7.7.7", {"libc6"})):
            with self.assertRaises(release.Wrong):
                release.verify_sbom(path, version, depends)

    def images(self, name=None, **changed):
        """As an engine saves them; one of them changed."""
        out, manifest = io.BytesIO(), []
        with tarfile.open(fileobj=out, mode="w") as archive:
            def put(member, content):
                entry = tarfile.TarInfo(member)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
            put("layer", b"x")
            for image in release.IMAGES:
                what = {"title": image, "version": VERSION, "revision": "a" * 40, "user": "65532:65532", "tag": VERSION, "layer": "layer"}
                what.update(changed if image == name else {})
                labels = {"org.opencontainers.image." + label: what[label] for label in ("title", "version", "revision")}
                put(image + ".json", json.dumps({"config": {"Labels": labels, "User": what["user"]}}).encode())
                manifest.append({"Config": image + ".json", "RepoTags": [f"{image}:{what['tag']}"], "Layers": [what["layer"]]})
            put("manifest.json", json.dumps(manifest).encode())
        return self.path("i", out.getvalue())

    def test_images(self):
        release.verify_images(self.images(), VERSION, "a" * 40)
        release.verify_images(self.images(), VERSION, None)
        for changed in ({"version": "7.7.7"}, {"tag": "7.7.7"}, {"title": "meltica-nats"}, {"user": ""},
                        {"revision": "b" * 40}, {"revision": "a" * 40 + "-dirty"}, {"revision": "unknown"}):
            with self.subTest(changed=changed), self.assertRaises(release.Wrong):
                release.verify_images(self.images("meltica-adapter", **changed), VERSION, "a" * 40)
        with self.assertRaises(KeyError):
            release.verify_images(self.images("meltica-adapter", layer="missing"), VERSION, "a" * 40)


class Here(unittest.TestCase):
    def test_versions_agree(self):
        self.assertEqual(versions.faults(SOURCE), [])


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""Every place that the documentation names is there: links, anchors, titles, files. Standard library alone, no network.

usage: links.py SOURCE_DIR; prints each finding as FILE:LINE: what, exit status 1 when there is one.

Looked at in each page: Markdown links and images (file and anchor; of addresses outside only the form), pages named in the
text (`docs/control.md, "Leases"` wants the page and the title), paths of this project, and its tests: their programs
(`test_store`), and cases (with a colon behind their program: of that one). In a table that says by its last column what
shows or proves it, each line names a program. Of programs and scripts, the pages of docs/ that they name. An image of
docs/images that no page shows is a finding too.
"""
import os
import pathlib
import re
import sys
import urllib.parse

import named_tests

OUTSIDE = {".git", "build", "dist", "node_modules", "gen", "target", ".venv", "__pycache__", "reports"}
FOLDERS = "docs|services|tests|tools|clients|helm|docker|packaging|proto|shared|cmake"
MADE = {"docs/reports", "shared/captures"}  # by ./dev soak and chaos; beside the clone
SPEAKING = {"", ".c", ".h", ".py", ".sh", ".go", ".rs", ".java", ".ts", ".mjs", ".yaml", ".json", ".in", ".proto", ".tpl", ".txt"}

FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.M | re.S)
CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.S)
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]*)>?(?:\s+\"[^\"]*\")?\s*\)")
REFERENCE = re.compile(r"^\[[^\]]+\]:\s*(\S+)", re.M)
ATTRIBUTE = re.compile(r"<(?:a|img)\s[^>]*?(?:href|src)=\"([^\"]*)\"")
PAGE = re.compile(r"(?<![\w./<*-])((?:[\w-]+/)*[\w.-]+\.md)(?![\w/-])(?:,?\s+\(?\"([^\"]+)\")?")
MORE = re.compile(r'(?:,\s+"[^"]+")*')
PATH = re.compile(rf"(?<![\w./<-])((?:{FOLDERS})/[\w.<>*{{}}-]+(?:/[\w.<>*{{}}-]+)*)")
NAMED = re.compile(r"(?<![\w./-])docs/[\w/-]+\.md")
TEST = re.compile(r"`(test_\w+)`")
CASES = re.compile(r"`(\w+)`: (`\w+`(?:, `\w+`)*)")
TABLE = re.compile(r"^\|.*\| (?:shown by|test) \|\n\|[-|: ]+\|\n((?:\|.*\n)*)", re.M)
PLACEHOLDER = re.compile(r"[<>*{}]|(?:^|/)[A-Z]+(?:\.\w+)?$")


def pages(root):
    """Markdown files of the project, sorted, relative to it."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in OUTSIDE]
        found += [os.path.relpath(os.path.join(folder, name), root) for name in files if name.endswith(".md")]
    return sorted(found)


def blank(pattern, text):
    """The text with what matches blanked out, each line in its place."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def plain(title):
    """A title as it is read: without marks of code, emphasis and links."""
    title = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", title)
    return re.sub(r"<[^>]+>|[`*]", "", title).strip()


def slug(title, taken):
    """The anchor of a title, as forges make it; `taken` counts those of the page."""
    base = re.sub(r"[^\w\- ]", "", plain(title).lower()).replace(" ", "-")
    count = taken.get(base, 0)
    taken[base] = count + 1
    return f"{base}-{count}" if count else base


class Page:
    def __init__(self, root, name):
        self.name, self.text = name, pathlib.Path(root, name).read_text(encoding="utf-8")
        self.prose = blank(FENCE, self.text)  # without blocks of code
        taken = {}
        self.titles = {}  # as read: anchor
        for match in re.finditer(r"^#{1,6} +(.+?)\s*#*$", self.prose, re.M):
            self.titles.setdefault(plain(match[1]), slug(match[1], taken))
        self.anchors = set(self.titles.values()) | {f"{base}-{n}" for base, count in taken.items() for n in range(1, count)}
        self.anchors |= set(re.findall(r"<[^>]+\sid=\"([^\"]+)\"", self.prose))

    def line(self, at):
        return self.text.count("\n", 0, at) + 1


class Project:
    def __init__(self, root):
        self.root = root
        self.pages = {name: Page(root, name) for name in pages(root)}
        self.tests = named_tests.Tests(root)
        self.findings = []
        self.shown = set()

    def wrong(self, name, line, what):
        finding = f"{name}:{line}: {what}"
        if finding not in self.findings:  # found as a link, as a page and as a path
            self.findings.append(finding)

    def there(self, path):
        return path in MADE or os.path.exists(os.path.join(self.root, path))

    def named_page(self, name, of):
        """The page that is meant by `name` in the page `of`, or None."""
        for base in ("", os.path.dirname(of), "docs"):
            path = os.path.normpath(os.path.join(base, name))
            if path in self.pages:
                return path
        return None

    def look_at_link(self, page, at, target):
        line = page.line(at)
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            parts = urllib.parse.urlsplit(target)
            if parts.scheme not in ("http", "https", "mailto") or (parts.scheme != "mailto" and not re.fullmatch(
                    r"[a-z0-9-]+(\.[a-z0-9-]+)*", parts.hostname or "")):
                self.wrong(page.name, line, f"{target} is no address")
            return
        path, _, anchor = target.partition("#")
        name = os.path.normpath(os.path.join(os.path.dirname(page.name), urllib.parse.unquote(path))) if path else page.name
        if path.startswith("/") or name.startswith(".."):
            self.wrong(page.name, line, f"{target} leads out of the project")
        elif not self.there(name):
            self.wrong(page.name, line, f"{target} is not there")
        elif anchor and (name not in self.pages or anchor not in self.pages[name].anchors):
            self.wrong(page.name, line, f"{name} has no #{anchor}")
        self.shown.add(name)

    def look_at(self, page):
        without_code = blank(CODE, page.prose)
        for pattern in (LINK, REFERENCE, ATTRIBUTE):
            for match in pattern.finditer(without_code):
                self.look_at_link(page, match.start(1), match[1])
        without_links = blank(LINK, page.prose)
        for match in PAGE.finditer(without_links):
            name, title, line = match[1], match[2], page.line(match.start(1))
            if PLACEHOLDER.search(name) and os.path.basename(name) not in ("README.md", "SECURITY.md", "CHANGELOG.md",
                                                                           "CONTRIBUTING.md", "UPGRADING.md"):
                continue
            meant = self.named_page(name, page.name)
            if meant is None:
                self.wrong(page.name, line, f"{name} is not there")
            else:
                further = MORE.match(without_links, match.end())[0] if title else ""
                for named in ([title] if title else []) + re.findall(r'"([^"]+)"', further):
                    if re.sub(r"\s+", " ", named) not in self.pages[meant].titles:
                        self.wrong(page.name, line, f'{meant} has no title "{named}"')
        for match in PATH.finditer(blank(LINK, page.text)):
            path = match[1].rstrip(".")
            # In a folder with folders of the same names, it may be meant from there.
            if not PLACEHOLDER.search(path) and not self.there(path) and \
                    not self.there(os.path.join(os.path.dirname(page.name), path)):
                self.wrong(page.name, page.line(match.start(1)), f"{path} is not there")

    def look_at_tests(self, page):
        for match in TEST.finditer(page.prose):
            if not self.tests.there(match[1]):
                self.wrong(page.name, page.line(match.start()), f"{match[1]} is no test")
        for match in CASES.finditer(page.prose):
            for case in re.findall(r"\w+", match[2]):
                if match[1] in self.tests.programs and not self.tests.of(match[1], case):
                    self.wrong(page.name, page.line(match.start()), f"{match[1]} has no case {case}")
        for table in TABLE.finditer(page.prose):
            for line in re.finditer(r"^.*\| (.*) \|$", table[1], re.M):
                if not any(named in self.tests.programs for named in re.findall(r"`(\w+)`", line[1])):
                    self.wrong(page.name, page.line(table.start(1) + line.start()), "no test is named")

    def look_at_programs(self):
        for folder, folders, files in os.walk(self.root):
            folders[:] = [name for name in folders if name not in OUTSIDE]
            for name in files:
                path = os.path.relpath(os.path.join(folder, name), self.root)
                if os.path.splitext(name)[1] not in SPEAKING or path.startswith("tests/docs/"):
                    continue
                try:
                    text = pathlib.Path(self.root, path).read_text(encoding="utf-8")
                except (UnicodeDecodeError, OSError):
                    continue
                for match in NAMED.finditer(text):
                    if match[0] not in self.pages:
                        self.wrong(path, text.count("\n", 0, match.start()) + 1, f"{match[0]} is not there")

    def look(self):
        for page in self.pages.values():
            self.look_at(page)
            self.look_at_tests(page)
        self.look_at_programs()
        for image in sorted(pathlib.Path(self.root, "docs/images").glob("*")):
            name = os.path.relpath(image, self.root)
            if name not in self.shown:
                self.wrong(name, 1, "no page shows it")
        return self.findings


def main():
    project = Project(sys.argv[1])
    findings = project.look()
    for finding in findings:
        print(finding)
    if not project.pages:
        sys.exit("links: no page found")
    print(f"{len(project.pages)} pages, {len(findings)} findings")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()

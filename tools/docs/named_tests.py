"""Tests as pages name them: their programs, as CMake adds them, and the cases in each. Standard library alone."""
import itertools
import os
import pathlib
import re

ADDED = re.compile(r"\b(?:(?:(?:mlt_)?add_test|mlt_add_case)\(\s*NAME|add_executable\((?=test_))\s*(\S+)([^()]*)\)")
LOOP = r"\bforeach\({}\s+([^()]*)\)"
SET = r"\bset\({}\s+([^()]*)\)"
VARIABLE = re.compile(r"\$\{(\w+)\}")
HERE = re.compile(r"\$\{CMAKE_CURRENT_SOURCE_DIR\}/?")
ROOT = re.compile(r"\$\{(?:CMAKE|PROJECT)_SOURCE_DIR\}/")
CASE_C = re.compile(r"^static void (\w+)\(\s*void \*\*", re.M)
CASE_PYTHON = re.compile(r"^\s*def (test_\w+)\(", re.M)
CHAOS = "tests/chaos/chaos_recovery.c"  # has the name of each kind of fault
KINDS = re.compile(r"chaos_kind_names\[\w*\] = \{([^}]*)\}")


def values(text, variable, before):
    """What a variable may be at a place of a CMake file: of the loop that is nearest above, else as it is set above."""
    loops = list(re.finditer(LOOP.format(variable), text[:before]))
    if loops:
        return loops[-1][1].split()
    return [match[1].strip() for match in re.finditer(SET.format(variable), text[:before])]


def expanded(text, words, before):
    """The words with each value of the variables in them, one list a combination; variables without a value stay."""
    names = sorted(set(VARIABLE.findall(" ".join(words))))
    for name in names:
        found = values(text, name, before)
        if found:
            for value in found:
                yield from expanded(text, [word.replace(f"${{{name}}}", value) for word in words], before)
            return
    yield words


def sources(arguments):
    """The files among the arguments of a test or a program: what it is made of, or the script that it runs."""
    words = arguments.split()
    words = words[words.index("SOURCES") + 1:] if "SOURCES" in words else words
    return [word for word in itertools.takewhile(lambda word: word not in ("LIBS", "LABELS"), words)
            if word.endswith((".c", ".py"))]


class Tests:
    """programs: name: set of its cases; cases: of all of them."""

    def __init__(self, root):
        self.root = root
        self.programs = {}
        for folder, folders, files in os.walk(os.path.join(root, "tests")):
            folders.sort()
            for name in files:
                if name == "CMakeLists.txt" or name.endswith(".cmake"):
                    self.read(folder, pathlib.Path(folder, name).read_text(encoding="utf-8"))
        kinds = pathlib.Path(root, CHAOS)
        if kinds.exists():
            self.programs["chaos"] = set(re.findall(r'"(\w+)"', KINDS.search(kinds.read_text(encoding="utf-8"))[1]))
        self.cases = set().union(*self.programs.values())

    def read(self, folder, text):
        for match in ADDED.finditer(text):
            for name, *files in expanded(text, [match[1], *sources(match[2])], match.start()):
                if not VARIABLE.search(name):
                    paths = [os.path.join(self.root, ROOT.sub("", file)) if ROOT.match(file) else
                             os.path.join(folder, HERE.sub("", file)) for file in files]
                    self.programs.setdefault(name, set()).update(*map(self.cases_of, paths))

    @staticmethod
    def cases_of(path):
        if not os.path.exists(path):  # a value that the variable has for another name
            return []
        pattern = CASE_PYTHON if path.endswith(".py") else CASE_C
        return pattern.findall(pathlib.Path(path).read_text(encoding="utf-8"))

    def there(self, name):
        return name in self.programs or name in self.cases

    def of(self, program, case):
        return case in self.programs.get(program, ())

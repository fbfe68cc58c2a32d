#!/usr/bin/env python3
"""links.py finds what is broken, and nothing else: links_tell.py SOURCE_DIR."""
import pathlib
import sys
import tempfile
import unittest

source = pathlib.Path(sys.argv.pop())
sys.path.insert(0, str(source / "tools/docs"))
sys.dont_write_bytecode = True
import links  # noqa: E402

GOOD = {
    "README.md": "# Project\n\nSee [the wire](docs/wire.md), [its numbers](docs/wire.md#numbers-and-times) and docs/wire.md, \"Numbers and times\".\n"
                 "![a picture](docs/images/one.svg) [outside](https://example.org/a_(b)?c=d#e)\n\n```\n[no link](in/code)\n```\n",
    "docs/wire.md": "# Wire\n\n## Numbers and times\n\n## `Code`, and *more*\n\n<a id=\"by-hand\"></a>\n\n[up](../README.md#project) [here](#code-and-more) "
                    "[there](#by-hand) [twice](#twice-1)\n\n## Twice\n\n## Twice\n\n`tools/run.py` makes docs/reports/<date>.json; `[no](link)`.\n",
    "docs/images/one.svg": "<svg/>\n",
    "tools/run.py": "# docs/wire.md says it\n",
    "docs/faults.md": "# Faults\n\n`test_line_cut` has it.\n\n| fault | seen | shown by |\n|---|---|---|\n| a cut | `line_down` | `test_line_cut`: "
                      "`test_it_is_told`, `it_heals`; `chaos`: `reset` |\n| none | nothing | `test_script`: `test_nothing` |\n",
    "tests/line/CMakeLists.txt": "foreach(what cut half_open)\n    mlt_add_test(NAME test_line_${what} SOURCES test_${what}.c LABELS unit)\n"
                                 "endforeach()\nadd_test(NAME test_script COMMAND python3\n    ${CMAKE_CURRENT_SOURCE_DIR}/script.py)\n",
    "tests/line/test_cut.c": "static void test_it_is_told(void **state)\n{\n}\n\nstatic void it_heals(void **state)\n{\n}\n",
    "tests/line/test_half_open.c": "static void test_it_is_noticed(void **state)\n{\n}\n",
    "tests/line/script.py": "class Case:\n    def test_nothing(self):\n        pass\n",
    "tests/chaos/chaos_recovery.c": "const char *const chaos_kind_names[CHAOS_KINDS] = { \"kill_it\",\n    \"reset\" };\n",
}


class Links(unittest.TestCase):
    def findings(self, **changes):
        """Of the good project with other texts; the names have `__` for `/` and one `_` for the last dot."""
        with tempfile.TemporaryDirectory() as folder:
            files = dict(GOOD)
            for name, text in changes.items():
                stem, _, extension = name.replace("__", "/").rpartition("_")
                files[f"{stem}.{extension}"] = text
            for name, text in files.items():
                path = pathlib.Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return links.Project(folder).look()

    def finds(self, what, text):
        """A page with this text has exactly this finding, in its third line."""
        self.assertEqual(self.findings(docs__page_md=f"# Page\n\n{text}\n"), [f"docs/page.md:3: {what}"])

    def test_all_is_well(self):
        self.assertEqual(self.findings(), [])

    def test_a_file_that_is_not_there(self):
        self.finds("gone.md is not there", "[link](gone.md)")
        self.finds("images/gone.png is not there", "![image](images/gone.png)")
        self.finds("gone.png is not there", '<img src="gone.png">')
        self.finds("gone.md is not there", "[x]: gone.md")

    def test_an_anchor_that_is_not_there(self):
        self.finds("docs/page.md has no #gone", "[link](#gone)")
        self.finds("docs/wire.md has no #numbers", "[link](wire.md#numbers)")
        self.finds("docs/wire.md has no #twice-2", "[link](wire.md#twice-2)")

    def test_an_anchor_in_code_is_none(self):
        found = self.findings(docs__page_md="# Page\n\n[link](#title)\n\n```\n# Title\n```\n")
        self.assertEqual(found, ["docs/page.md:3: docs/page.md has no #title"])

    def test_out_of_the_project(self):
        self.finds("../../other/a.md leads out of the project", "[link](../../other/a.md)")
        self.finds("/docs/wire.md leads out of the project", "[link](/docs/wire.md)")

    def test_an_address_has_a_form(self):
        self.finds("https:///path is no address", "[link](https:///path)")
        self.finds("htps://example.org is no address", "[link](htps://example.org)")
        self.finds("https://exa_mple.org is no address", "[link](https://exa_mple.org)")

    def test_a_page_that_is_named(self):
        self.finds("docs/gone.md is not there", "More in docs/gone.md.")
        self.finds("gone.md is not there", "More in `gone.md`.")
        self.finds('docs/wire.md has no title "Numbers"', 'More in docs/wire.md, "Numbers".')
        self.finds('docs/wire.md has no title "Times"', 'More in docs/wire.md, "Twice", "Times".')

    def test_a_path_that_is_named(self):
        self.finds("tools/gone.py is not there", "`tools/gone.py` does it")
        self.finds("tools/gone.py is not there", "    tools/gone.py does it")

    def test_a_program_that_names_a_page(self):
        self.assertEqual(self.findings(tools__run_py="#\n# docs/gone.md says it\n"), ["tools/run.py:2: docs/gone.md is not there"])

    def test_a_test_that_is_not_there(self):
        self.finds("test_gone is no test", "Seen by `test_gone`.")
        self.finds("test_line_cut has no case test_it_is_noticed", "Seen by `test_line_cut`: `test_it_is_told`, `test_it_is_noticed`.")
        self.finds("test_line_half_open has no case it_heals", "Seen by `test_line_half_open`: `it_heals`.")
        self.finds("test_script has no case it_heals", "Seen by `test_script`: `it_heals`.")
        self.finds("chaos has no case cut", "Seen by `chaos`: `kill_it`, `cut`.")

    def test_a_test_may_be_named_by_its_program_or_its_case(self):
        for text in ("Seen by `test_line_half_open` and `test_it_is_noticed`.", "It is `test_line_cut`: `it_heals`.", "```\n`test_gone`\n```",
                     "`other`: `test_it_is_told`"):
            self.assertEqual(self.findings(docs__page_md=f"# Page\n\n{text}\n"), [])

    def test_a_program_that_is_gone_is_missed(self):
        cmake = GOOD["tests/line/CMakeLists.txt"].replace("cut half_open", "half_open")
        self.assertEqual(self.findings(tests__line__CMakeLists_txt=cmake),
                         ["docs/faults.md:3: test_line_cut is no test", "docs/faults.md:7: test_line_cut is no test",
                          "docs/faults.md:7: test_it_is_told is no test"])

    def test_a_line_of_a_table_that_names_no_test(self):
        table = "| fault | {} |\n|---|---|\n| a cut | `test_line_cut` |\n| another | the same |\n"
        for title in ("shown by", "test"):
            self.assertEqual(self.findings(docs__page_md="# Page\n\n" + table.format(title)), ["docs/page.md:6: no test is named"])
        self.assertEqual(self.findings(docs__page_md="# Page\n\n" + table.format("what it costs")), [])

    def test_an_image_that_no_page_shows(self):
        self.assertEqual(self.findings(docs__images__two_svg="<svg/>"), ["docs/images/two.svg:1: no page shows it"])


unittest.main()

#!/usr/bin/env python3
"""The documentation as a static site: docs/, README.md, and every other page of the project.

usage: make_site.py SOURCE_DIR OUT_DIR; called by ./dev docs, which has markdown-it-py ready.

The text of a page is what its file says. Pages and titles that the text names become links; pictures of terminals are put
into the page, so that their text can be selected. At the end every link of the site is followed: one that leads nowhere is
an error. All addresses are relative, so the site works from any folder, also as files.
"""
import html
import html.parser
import os
import pathlib
import re
import shutil
import sys
import urllib.parse

import links
import navigation
from markdown_it import MarkdownIt
from markdown_it.token import Token

MARK = re.compile(rf"(?:{links.PAGE.pattern})|(?:{links.PATH.pattern})")


def address(page):
    """Where a page is on the site: docs/ is its root, and a README the index of its folder."""
    page = page.removeprefix("docs/")
    folder, name = os.path.split(page)
    return os.path.join(folder, "index.html" if name == "README.md" else name.removesuffix(".md") + ".html")


class Site:
    def __init__(self, source, out):
        self.source, self.out = source, out
        self.project = links.Project(source)
        self.pages = self.project.pages
        self.sections = navigation.sections(self.pages)
        self.order = [page for _, pages in self.sections for page in pages]
        self.version = pathlib.Path(source, "VERSION").read_text(encoding="ascii").split("\n", 1)[0]
        self.titles = {name: next(iter(page.titles), name) for name, page in self.pages.items()}
        self.files = set()  # of the project, that pages link to
        self.markdown = MarkdownIt("commonmark", {"html": True}).enable("table")
        self.template = pathlib.Path(__file__).with_name("page.html").read_text(encoding="utf-8")

    # ---- links ----

    def href(self, of, path, anchor=""):
        """From page to page or file of the project; None where the site has no such thing."""
        if path in self.pages:
            target = address(path)
        elif os.path.join(path, "README.md") in self.pages:
            target = address(os.path.join(path, "README.md"))
        elif path == "docs/decisions":
            target = address(next(page for page in self.order if page.startswith("docs/decisions/")))
        elif os.path.isfile(os.path.join(self.source, path)):
            target = path.removeprefix("docs/")
            self.files.add(path)
        else:
            return None
        start = os.path.dirname(address(of))
        return urllib.parse.quote(os.path.relpath(target, start or ".")) + (f"#{anchor}" if anchor else "")

    def rewritten(self, of, target):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            return target
        path, _, anchor = target.partition("#")
        name = os.path.normpath(os.path.join(os.path.dirname(of), urllib.parse.unquote(path))) if path else of
        return self.href(of, name, anchor) or target

    def mark(self, of, match):
        """(href, text, what follows of the match) of a page or path that the text names, or None."""
        page, title, path = match.groups()
        if page:
            meant = self.project.named_page(page, of)
            if meant is None or meant == of and not title:
                return None
            anchor = self.pages[meant].titles.get(re.sub(r"\s+", " ", title or ""), "")
            # With a title all of it is the link; a quote or bracket behind stays outside.
            return self.href(of, meant, anchor), match[0] if anchor else page, "" if anchor else match[0][len(page):]
        name = path.rstrip(".")
        if os.path.isdir(os.path.join(self.source, name)) or name.startswith("docs/"):
            href = self.href(of, name.rstrip("/"))
            return (href, name, path[len(name):]) if href else None
        return None

    # ---- tokens ----

    def linked(self, of, text):
        """Tokens of a text, with links where it names pages."""
        tokens, at = [], 0
        for match in MARK.finditer(text):
            found = self.mark(of, match)
            if found is None:
                continue
            href, shown, after = found
            if match.start() > at:
                tokens.append(Token("text", "", 0, content=text[at:match.start()]))
            tokens += [Token("link_open", "a", 1, attrs={"href": href}), Token("text", "", 0, content=shown), Token("link_close", "a", -1)]
            if after:
                tokens.append(Token("text", "", 0, content=after))
            at = match.end()
        if text[at:]:
            tokens.append(Token("text", "", 0, content=text[at:]))
        return tokens

    def picture(self, of, token):
        """A picture of a terminal goes into the page; of others the file is named."""
        target = os.path.normpath(os.path.join(os.path.dirname(of), token.attrs["src"]))
        if target.endswith(".svg"):
            drawing = pathlib.Path(self.source, target).read_text(encoding="utf-8")
            label = html.escape(token.content)
            return Token("html_inline", "", 0, content=f'<span class="picture" role="group" aria-label="{label}" tabindex="0">{drawing}</span>')
        token.attrs["src"] = self.href(of, target)
        return token

    def inline(self, of, children):
        joined, inside = [], 0
        for token in children:  # what a line break parts may be one name
            if token.type == "softbreak":
                token = Token("text", "", 0, content="\n")
            if token.type == "text" and joined and joined[-1].type == "text":
                joined[-1].content += token.content
            else:
                joined.append(token)
        result = []
        for token in joined:
            if token.type in ("link_open", "link_close"):
                inside += token.nesting
                if token.nesting == 1:
                    token.attrs["href"] = self.rewritten(of, token.attrs["href"])
            if token.type == "text" and not inside:
                result += self.linked(of, token.content)
            elif token.type == "code_inline" and not inside and (match := MARK.fullmatch(token.content)) and \
                    (found := self.mark(of, match)):
                result += [Token("link_open", "a", 1, attrs={"href": found[0]}), token, Token("link_close", "a", -1)]
            elif token.type == "image":
                result.append(self.picture(of, token))
            else:
                result.append(token)
        return result

    def body(self, of):
        """HTML of a page, its sections [(level, anchor, title)], and its first sentence or two."""
        tokens, taken, contents, first = self.markdown.parse(self.pages[of].text), {}, [], ""
        out, heads, column = [], [], 0
        for index, token in enumerate(tokens):
            if token.type == "inline":
                # The titles themselves stay as they are.
                if tokens[index - 1].type != "heading_open":
                    token.children = self.inline(of, token.children)
                    if not first and tokens[index - 1].type == "paragraph_open" and tokens[index - 1].level == 0:
                        first = "".join(t.content for t in token.children if t.type in ("text", "code_inline"))
            elif token.type == "heading_open":
                title = tokens[index + 1].content
                anchor = links.slug(title, taken)
                token.attrs["id"] = anchor
                contents.append((int(token.tag[1]), anchor, links.plain(title)))
            elif token.type == "heading_close":
                out.append(Token("html_inline", "", 0, content=f' <a class="anchor" href="#{contents[-1][1]}" aria-label="Link to this section">#</a>'))
            elif token.type == "th_open":
                heads.append(links.plain(tokens[index + 1].content))
            elif token.type == "tr_open":
                column = 0
            elif token.type == "td_open":  # on a telephone a row is a card, and each cell says what it is
                token.attrs["data-head"] = heads[column]
                column += 1
            elif token.type == "table_open":
                heads = []
                out.append(Token("html_block", "", 0, content='<div class="table" role="group" aria-label="Table" tabindex="0">\n'))
            out.append(token)
            if token.type == "table_close":
                out.append(Token("html_block", "", 0, content="</div>\n"))
        text = self.markdown.renderer.render(out, self.markdown.options, {})
        # What scrolls can be reached by keyboard.
        return text.replace("<pre><code", '<pre tabindex="0"><code'), contents, re.sub(r"\s+", " ", first)[:200]

    # ---- pages ----

    def label(self, page):
        title = navigation.LABELS.get(page, self.titles[page])
        return re.sub(r"^(\d{4}):? ", r"\1 ", title)

    def menu(self, of):
        out = []
        for title, pages in self.sections:
            items = "".join(f'<li><a href="{self.href(of, page)}"{" aria-current=page" if page == of else ""}>{html.escape(self.label(page))}</a></li>'
                            for page in pages)
            is_open = " open" if of in pages or title not in [name for name, _ in navigation.FOLDERS] else ""
            out.append(f"<details{is_open}><summary>{title}</summary><ul>{items}</ul></details>")
        return "\n".join(out)

    def neighbours(self, of):
        at, out = self.order.index(of), []
        for index, word in ((at - 1, "Previous"), (at + 1, "Next")):
            if 0 <= index < len(self.order):
                page = self.order[index]
                out.append(f'<a href="{self.href(of, page)}"><span>{word}</span> {html.escape(self.label(page))}</a>')
            else:
                out.append("<span></span>")
        return "".join(out)

    def write(self, of):
        body, contents, first = self.body(of)
        here = "".join(f'<li class="level{level}"><a href="#{anchor}">{html.escape(title)}</a></li>'
                       for level, anchor, title in contents if level in (2, 3))
        root = os.path.relpath(".", os.path.dirname(address(of)) or ".")
        filled = {"title": html.escape(self.titles[of] if of == "README.md" else f"{self.titles[of]} - Meltica"), "first": html.escape(first),
                  "root": root, "version": html.escape(self.version), "menu": self.menu(of), "here": here, "body": body,
                  "neighbours": self.neighbours(of), "source": html.escape(of), "lone": "" if here else " lone"}
        text = re.sub(r"\{\{(\w+)\}\}", lambda match: filled[match[1]], self.template)
        path = pathlib.Path(self.out, address(of))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def make(self):
        shutil.rmtree(self.out, ignore_errors=True)
        for page in self.order:
            self.write(page)
        shutil.copy(pathlib.Path(__file__).with_name("site.css"), self.out)
        for name in sorted(self.files):
            target = pathlib.Path(self.out, name.removeprefix("docs/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(os.path.join(self.source, name), target)


# ---- what was made is looked at -----------------------------------------------------------------------------------

class Made(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.ids, self.targets = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                self.ids.add(value)
            elif name in ("href", "src"):
                self.targets.append(value)


def dead_links(out):
    made = {os.path.relpath(path, out): Made(path.read_text(encoding="utf-8")) for path in pathlib.Path(out).rglob("*.html")}
    for name, page in sorted(made.items()):
        for target in page.targets:
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            path, _, anchor = target.partition("#")
            path = os.path.normpath(os.path.join(os.path.dirname(name), urllib.parse.unquote(path))) if path else name
            if not os.path.isfile(os.path.join(out, path)) or anchor and anchor not in made[path].ids:
                yield f"{name}: {target} leads nowhere"


def main():
    source, out = (os.path.abspath(word) for word in sys.argv[1:])
    os.chdir(source)
    site = Site(source, out)
    site.make()
    dead = list(dead_links(out))
    for finding in dead:
        print(finding)
    print(f"{len(site.order)} pages in {os.path.relpath(out, source)}, {len(dead)} dead links")
    sys.exit(1 if dead else 0)


main()

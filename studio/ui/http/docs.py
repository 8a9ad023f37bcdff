"""The pages of docs/ for the browser, at studio/docs/NAME, so that help opens without a network.

Owns: finding the files, Markdown to HTML, and the frame around a page. A request names a page; it never becomes a path.
HTML in a file is shown as text, except `<br>` and comments: the pages need nothing else.
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

import studio
from studio.ui.components.icons import icon
from studio.ui.components.markup import Html, attrs, html
from studio.ui.http import static

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

ADDRESS = "studio/docs/"
INDEX = "index"
"""The page that lists all others, by shelf."""
POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""The content policy of a page. It has no script; the columns of its tables are aligned by inline styles."""
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}


@cache
def folder() -> Path:
    """docs/ in the installed package, or in the checkout."""
    package = Path(studio.__file__).parent
    own = package / "docs"
    return own if own.is_dir() else package.parent / "docs"


@cache
def sources() -> dict[str, Path]:
    """The file of each page by the page's name, such as guides/read-results."""
    return {_name(path): path for path in sorted(folder().rglob("*.md"))}


@cache
def pictures() -> dict[str, Path]:
    """The file of each picture by its name, such as pictures/chat.png."""
    return {path.relative_to(folder()).as_posix(): path for path in folder().rglob("*.png")}


def _name(path: Path) -> str:
    return path.relative_to(folder()).with_suffix("").as_posix()


@cache
def title(name: str) -> str:
    """The first heading of a page. Rendering each page for it would take half a second."""
    heading = re.search(r"^# (.+)$", sources()[name].read_text(encoding="utf-8"), re.MULTILINE)
    return heading[1] if heading else name


@cache
def page(name: str) -> Html:
    """The page of this name as HTML.

    Raises:
        KeyError: there is no such page.
    """
    return rendered(sources()[name].read_text(encoding="utf-8"))


def rendered(markdown: str) -> Html:
    """Markdown as HTML. It is safe: the parser lets no HTML and no scripts of links through."""
    return Html(_parser().render(markdown))


@cache
def contents() -> list[tuple[str, list[str]]]:
    """The shelves of the index, each with the names of its pages, in the order of the index."""
    shelves: list[tuple[str, list[str]]] = []
    tokens = _parser().parse(sources()[INDEX].read_text(encoding="utf-8"))
    for before, token in pairwise(tokens):
        if before.type == "heading_open" and before.tag == "h2":
            shelves.append((_text(token), []))
        elif shelves and token.type == "inline":
            links = (str(each.attrs["href"]) for each in token.children or () if each.type == "link_open")
            shelves[-1][1].extend(link for link in links if link in sources())
    return shelves


def document(name: str) -> Html:
    """The whole document of a page: header, page, and the list of all pages.

    Raises:
        KeyError: there is no such page.
    """
    body, up = page(name), "../" * name.count("/")
    return html(
        """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title} · Fine-tune Studio</title>
<link rel="stylesheet" href="{root}{style}"></head>
<body class="docs"><div class="gradio-container"><header class="top"><a class="brand" href="{root}">{logo}Fine-tune
 Studio</a><a class="right" href="#pages">All pages</a></header>
<div class="docs-columns"><main>{body}</main><nav id="pages" aria-labelledby="pages-title" tabindex="-1">
<h2 id="pages-title">All pages</h2>{shelves}</nav></div></div></body></html>""",
        title=title(name),
        root=f"{up}../../",
        style=static.address("css"),
        logo=icon("logo"),
        body=body,
        shelves=[_shelf(shelf, names, name, up) for shelf, names in contents()],
    )


def _shelf(shelf: str, names: Sequence[str], current: str, up: str) -> Html:
    links = [
        html(
            "<li><a{attrs}>{title}</a></li>",
            attrs=attrs(href=f"{up}{name}", aria_current="page" if name == current else None),
            title=title(name),
        )
        for name in names
    ]
    return html("<h3>{shelf}</h3><ul>{links}</ul>", shelf=shelf, links=links)


def routes() -> APIRouter:
    """The addresses of pages and pictures. They need the same password as the studio."""
    router = APIRouter()

    @router.get("/studio/docs")
    def index() -> Response:
        return RedirectResponse(f"docs/{INDEX}", 307)

    @router.get("/studio/docs/{name:path}")
    def one(name: str) -> Response:
        if name in sources():
            return HTMLResponse(document(name), headers=HEADERS)
        if name in pictures():
            return Response(pictures()[name].read_bytes(), media_type="image/png", headers=HEADERS)
        return PlainTextResponse("There is no page at this address.", 404)

    return router


@cache
def _parser() -> "MarkdownIt":
    """CommonMark with tables. HTML becomes text, links lead to our addresses, and wide tables and code scroll."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.push("links_to_pages", _link_pages)
    parser.core.ruler.push("named_headings", _name_headings)
    parser.core.ruler.push("empty_headers", _empty_headers)
    parser.add_render_rule("html_inline", _html_as_text)
    parser.add_render_rule("html_block", _html_as_text)
    parser.add_render_rule("table_open", _table_open)
    parser.add_render_rule("table_close", lambda *_: "</table></div>")
    parser.add_render_rule("fence", _code)
    parser.add_render_rule("code_block", _code)
    return parser


def _html_as_text(_: Any, tokens: Sequence["Token"], at: int, *__: Any) -> str:
    content = tokens[at].content
    if re.fullmatch(r"\s*<!--.*?-->\s*", content, re.DOTALL):
        return ""
    return content if content == "<br>" else str(html("{content}", content=content))


def _table_open(*_: Any) -> str:
    return '<div class="scroll-x" role="group" tabindex="0" aria-label="Table, scrolls sideways"><table>'


def _code(_: Any, tokens: Sequence["Token"], at: int, *__: Any) -> str:
    return str(html('<pre tabindex="0"><code>{content}</code></pre>', content=tokens[at].content))


def _link_pages(state: Any) -> None:
    """Relative links lead to pages instead of files: ../reference/coach.md#x becomes ../reference/coach#x."""
    for token in state.tokens:
        for child in token.children or ():
            href = str(child.attrs.get("href", ""))
            if child.type == "link_open" and "://" not in href:
                child.attrs["href"] = re.sub(r"\.md(?=#|$)", "", href)


def _empty_headers(state: Any) -> None:
    """The empty corner of a table is a plain cell, because screen readers announce each header."""
    for opening, inline, closing in zip(state.tokens, state.tokens[1:], state.tokens[2:], strict=False):
        if opening.type == "th_open" and not inline.content:
            opening.tag = closing.tag = "td"


def _name_headings(state: Any) -> None:
    """Each heading gets an id, made like GitHub's."""
    seen: Counter[str] = Counter()
    for heading, inline in pairwise(state.tokens):
        if heading.type == "heading_open":
            name = re.sub(r"[^\w\- ]", "", _text(inline).strip().lower()).replace(" ", "-")
            heading.attrs["id"] = f"{name}-{seen[name]}" if seen[name] else name
            seen[name] += 1


def _text(inline: "Token") -> str:
    """The text of a line without its markup."""
    return "".join(each.content for each in inline.children or () if each.type in ("text", "code_inline"))

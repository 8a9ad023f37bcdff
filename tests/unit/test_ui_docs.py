"""The pages of docs/ in the browser: what "?" opens is there, links lead somewhere, and no other file can be read."""

import asyncio
import re
from collections.abc import Sequence
from posixpath import dirname, join, normpath

import pytest
from fastapi import FastAPI

from studio.ui.http import docs
from studio.ui.http.docs import contents, page, pictures, rendered, sources
from studio.ui.http.security import Guard
from studio.ui.tabs.base import Tab
from studio.ui.tabs.registry import TABS
from studio.ui.visitors.login import Login
from studio.ui.visitors.passwords import Account, hash_password
from tests.unit.asgi import Answer, ask


def app() -> FastAPI:
    """An application with the docs alone."""
    made = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    made.include_router(docs.routes())
    return made


def asked(path: str) -> Answer:
    return asyncio.run(ask(Guard(app()), path))


def anchors(name: str) -> set[str]:
    return set(re.findall(r'<h\d id="([^"]+)"', page(name)))


@pytest.mark.parametrize("tab", TABS.values(), ids=lambda tab: tab.name)
def test_the_help_page_of_a_tab_and_its_heading_exist(tab: Tab) -> None:
    name, _, anchor = tab.help_page.partition("#")
    assert name in sources()
    assert not anchor or anchor in anchors(name)


def test_a_tab_of_a_plugin_needs_no_help_page() -> None:
    assert Tab("notes", "Notes", lambda: None, lambda *_: None).help_page == ""


@pytest.mark.parametrize("name", sources())
def test_each_link_of_a_page_leads_to_a_page_and_a_heading_that_exist(name: str) -> None:
    folder = dirname(name)
    for link in re.findall(r'<a href="([^"]*)"', page(name)):
        if not re.match(r"https?://", link):
            target, _, anchor = link.partition("#")
            other = normpath(join(folder, target)) if target else name
            assert other in sources(), f"{name} links to {link}"
            assert not anchor or anchor in anchors(other), f"{name} links to {link}"
    for picture in re.findall(r'<img src="([^"]*)"', page(name)):
        assert normpath(join(folder, picture)) in pictures()


@pytest.mark.parametrize("name", sources())
def test_a_page_is_served_whole_with_one_title_and_without_scripts(name: str) -> None:
    answer = asked(f"/studio/docs/{name}")
    text = answer.body.decode()
    assert answer.status == 200 and answer.header("content-type").startswith("text/html")
    (title,) = re.findall(r"<h1[^>]*>(.*?)</h1>", text)
    assert f"<title>{docs.title(name)} · Fine-tune Studio</title>" in text and title
    assert "default-src 'none'" in answer.header("content-security-policy")
    assert re.findall(r"<!--|<(?:script|iframe|object|form)\b|<[^>]*\son\w+=|src=\"https?:", text) == []


def test_the_list_beside_each_page_has_every_page() -> None:
    assert sorted([docs.INDEX, *(name for _, names in contents() for name in names)]) == sorted(sources())
    text = docs.document("guides/read-results")
    assert text.count('aria-current="page"') == 1
    assert '<a href="../guides/read-results" aria-current="page">' in text
    assert '<a href="../reference/settings">' in text and '<a class="brand" href="../../../">' in text


def test_pictures_are_served_and_the_folder_leads_to_its_index() -> None:
    picture = asked("/studio/docs/pictures/chat.png")
    assert picture.status == 200 and picture.body.startswith(b"\x89PNG")
    assert (asked("/studio/docs").status, asked("/studio/docs").header("location")) == (307, "docs/index")


OUTSIDE: Sequence[str] = (
    "/studio/docs/../pyproject.toml",
    "/studio/docs/../../etc/passwd",
    "/studio/docs/guides/../../README.md",
    "/studio/docs/guides/../index",
    "/studio/docs/..\\..\\pyproject.toml",
    "/studio/docs/%2e%2e/README",
    "/studio/docs/./index",
    "/studio/docs//etc/passwd",
    "/studio/docs/etc/passwd",
    "/studio/docs/index.md",
    "/studio/docs/index\0",
    "/studio/docs/guides",
    "/studio/docs/guides/",
    "/studio/docs/",
    "/studio/docs/pictures/../../assets/samples/support-tone.csv",
    "/studio/docs/C:/Windows/win.ini",
)


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_name_that_is_no_page_is_refused_whatever_it_spells(path: str) -> None:
    answer = asked(path)
    assert (answer.status, answer.body) == (404, b"There is no page at this address.")


def test_only_files_of_the_docs_are_on_offer() -> None:
    for path in (*sources().values(), *pictures().values()):
        assert path.resolve().is_relative_to(docs.folder().resolve()) and not path.is_symlink()
        assert path.suffix in (".md", ".png")


def test_docs_need_the_password_of_the_studio() -> None:
    login = Login(app(), [Account(hash_password("blue stone"), "owner")], "a key")
    for name in ("guides/read-results", "pictures/chat.png"):
        assert asyncio.run(ask(login, f"/studio/docs/{name}")).status == 401


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("a <script>alert(1)</script> b", "a &lt;script&gt;alert(1)&lt;/script&gt; b"),
        ("<script>\nalert(1)\n</script>", "&lt;script&gt;"),
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"),
        ("between <think> and", "between &lt;think&gt; and"),
        ("<!-- made by a script -->\n\nText", "<p>Text</p>"),
        ("<!-- one --><b onclick=x>two</b>", "&lt;!-- one --&gt;&lt;b onclick=x&gt;"),
        ("one<br>two", "one<br>two"),
        ("[x](javascript:alert(1))", "[x](javascript:alert(1))"),
        ("[x](../a/b.md#c)", '<a href="../a/b#c">'),
        ("[x](https://example.org/b.md)", '<a href="https://example.org/b.md">'),
        ('```sh" onclick="x\n<b>\n```', '<pre tabindex="0"><code>&lt;b&gt;'),
        ("## A `b` & <c>, d-e", '<h2 id="a-b---d-e">'),
        ("## Same\n\n## Same", '<h2 id="same-1">'),
    ],
)
def test_html_of_a_page_is_shown_as_text(markdown: str, shown: str) -> None:
    text = rendered(markdown)
    assert shown in text
    assert not re.search(r"<(script|img|b|think)\b", text)


def test_tables_and_code_can_be_scrolled_by_keyboard() -> None:
    text = rendered("| a | b |\n|---|--:|\n| 1 | 2 |\n\n    code\n")
    assert '<div class="scroll-x" role="group" tabindex="0" aria-label="Table, scrolls sideways"><table>' in text
    assert "<td></td>" in rendered("| | b |\n|---|---|\n| 1 | 2 |"), "an empty header would be announced"
    assert text.count("</table></div>") == 1 and '<pre tabindex="0"><code>code\n</code></pre>' in text

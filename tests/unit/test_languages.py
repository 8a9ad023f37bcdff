"""Languages of the page: which texts are collected, the catalogs, their address, and the language of plain pages."""

import asyncio
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from fastapi import FastAPI

from studio.ui import languages
from studio.ui.components.basic import select_input
from studio.ui.components.markup import Verbatim, attrs, html
from studio.ui.http.security import Guard
from studio.ui.visitors.login import Login
from studio.ui.visitors.passwords import Account, hash_password
from tests.unit.asgi import Seen, ask

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def translations() -> ModuleType:
    """scripts/translations.py."""
    spec = importlib.util.spec_from_file_location("translations", ROOT / "scripts/translations.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pseudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(languages.PSEUDO, "1")


# --- which texts are collected ---


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ('say("Choose a model.")', ["Choose a model."]),
        ('f"{len(rows)} of {self.total:,} rows are {word!r}"', ["{rows} of {total} rows are {word}"]),
        ('f"{rows} and {rows} more"', ["{rows} and {rows2} more"]),
        ('html("<p><b>{n:,} rows</b> are {what}.</p>", n=n)', ["{n} rows", "are {what}."]),
        ("""html('<i title="Show all" class="a b">{x}</i>', x=x)""", ["Show all"]),
        ('html("<b>{a}</b> · {b} left")', ["{b} left"]),
        ('tag("kept", "ok")', ["kept"]),
        ('"""What a module does."""\ndef f() -> "Some Words":\n    """What it does."""', []),
        ('{"Some key": 1}["Some key"]; LOG.info("A request ended early")', []),
        ('"snake_case"; "data-act"; "SELECT * FROM runs"; "https://a.b/c d"', []),
        (
            'class C:\n    rate: int = setting(1)\n    """How fast it is."""\n    other: int = 2\n    """Not here."""',
            ["How fast it is."],
        ),
    ],
)
def test_texts_of_python_are_those_that_people_can_see(translations: ModuleType, source: str, texts: list[str]) -> None:
    assert [text for _, text in translations.texts_of_python(source)] == texts


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ("h('p', {}, 'No run is running')", ["No run is running"]),
        ("h(`p`, {}, `${about(run.left)} left of ${run.steps}`)", ["{left} left of {steps}"]),
        (
            '`Delete ${run.name}: ${ok ? "its log" : "nothing at all"}?`',
            ["its log", "nothing at all", "Delete {name}: {ok}?"],
        ),
        ('count(n, "{n} step", "{n} steps")', ["{n} step", "{n} steps"]),
        ('// Not a text\n/* Not a text */ x.querySelector("main section")', []),
        ('const pattern = /Not a text "here"/; status === "Not a text"', []),
    ],
)
def test_texts_of_scripts_are_those_that_people_can_see(
    translations: ModuleType, source: str, texts: list[str]
) -> None:
    assert [text for _, text in translations.texts_of_script(source)] == texts


# --- the catalogs ---


@pytest.mark.slow
def test_every_text_of_the_page_is_in_every_catalog_with_the_same_placeholders(translations: ModuleType) -> None:
    assert translations.problems() == [], "run scripts/translations.py, then translate what is new"


def test_a_text_that_is_in_no_catalog_is_found(
    translations: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    texts = {"{n} rows": [("a.py", 1)], "Send": [("a.py", 2)]}
    monkeypatch.setattr(translations, "LOCALES", tmp_path)
    monkeypatch.setattr(translations, "collected", lambda: texts)
    head = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n\n'
    (tmp_path / "de.po").write_text(f'{head}msgid "{{n}} rows"\nmsgstr "{{m}} Zeilen"\n', encoding="utf-8")
    translations.write()
    assert set(translations.problems()) == {
        "de.po: other placeholders: {n} rows → {m} Zeilen",
        "de.po: not translated: Send",
    }
    texts |= {"A new text": [("a.py", 3)]}
    texts.pop("Send")
    found = translations.problems()
    assert "messages.pot: not in the catalog: A new text" in found and "messages.pot: no longer used: Send" in found


@pytest.mark.slow
def test_messages_that_look_alike_agree_on_what_is_the_users(translations: ModuleType) -> None:
    """The script finds a message by the text around its placeholders, and does not translate names of the user."""
    import re

    source = (ROOT / "studio/ui/js/1-language.js").read_text(encoding="utf-8")
    names = re.compile(re.search(r"const NAMES = /(.*)/;", source)[1])  # type: ignore[index]
    alike: dict[str, set[tuple[bool, ...]]] = {}
    for text in translations.collected():
        kinds = tuple(bool(names.match(name)) for name in re.findall(r"\{(\w+)\}", text))
        alike.setdefault(re.sub(r"\{\w+\}", "{}", text), set()).add(kinds)
    assert {text for text, kinds in alike.items() if len(kinds) > 1} <= SHARED


SHARED = {
    "{} and {}",
    "{} and {} more",
    "{} at {} from the Hub",
    "Download {}",
    "Open {}",
    "device {}",
    "sheet {}",
    "studio {}",
}
"""Messages for names of the user at one place, and for words of ours at another."""


# --- the addresses ---


@pytest.fixture
def app() -> FastAPI:
    made = FastAPI()
    made.include_router(languages.routes())
    return made


def test_a_catalog_is_kept_by_the_browser_under_the_address_of_its_version(app: FastAPI, pseudo: None) -> None:
    plain = asyncio.run(ask(app, "/studio/languages/en-XA.json"))
    assert plain.status == 200 and plain.header("cache-control") == "no-cache"
    assert json.loads(plain.body)["Cancel"] == "⟦Cancel⟧"
    kept = asyncio.run(ask(app, f"/studio/languages/en-XA.json?{languages.version('en-XA')}"))
    assert kept.header("cache-control") == "public, max-age=31536000, immutable"
    for other in languages.languages():
        if other != "en":
            assert asyncio.run(ask(app, f"/studio/languages/{other}.json")).status == 200


@pytest.mark.parametrize(
    "name", ["en", "xx", "en-XA", "messages", "../messages", "..%2fmessages", "de.po", "%00", "de/../en"]
)
def test_an_unknown_language_is_not_found(app: FastAPI, name: str) -> None:
    assert asyncio.run(ask(app, f"/studio/languages/{name}.json")).status == 404


def test_the_script_is_told_version_and_direction_of_each_language(pseudo: None) -> None:
    told = json.loads(languages.script().removeprefix("window.studioLanguages = ").removesuffix(";"))
    assert told["en"] == {"version": "", "direction": "ltr"} and told["ar-XB"]["direction"] == "rtl"
    assert set(told) == set(languages.languages())


# --- pages without the script ---


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("en-XA", "en-XA"),
        ("is, en-xa;q=0.5, en;q=0.4", "en-XA"),
        ("en, en-XA;q=0.5", "en"),
        ("en-XA;q=0, is", "en"),
        ("*;q=nonsense,,;;; -", "en"),
        ("ar-XB;q=0.9,en-XA;q=0.8", "ar-XB"),
    ],
)
def test_a_plain_page_is_in_the_language_that_the_browser_prefers(pseudo: None, header: str, language: str) -> None:
    scope = {"headers": [(b"accept-language", header.encode("latin-1"))]}
    assert languages.accepted(scope) == language


def test_a_text_without_a_translation_stays_english(pseudo: None) -> None:
    assert languages.translated("Password", "en-XA") == "⟦Password⟧"
    assert languages.translated("Nobody wrote {this}.", "en-XA", this=3) == "Nobody wrote 3."
    assert languages.translated("Password", "en") == "Password"


def test_the_login_and_its_errors_are_in_the_language_of_the_browser(pseudo: None) -> None:
    login = Login(Seen(), [Account(hash_password("blue stone"), "owner")])
    headers = [("host", "127.0.0.1:7860"), ("accept-language", "en-XA")]
    form = asyncio.run(ask(login, "/", headers=headers)).body.decode()
    assert '<html lang="en-XA" dir="ltr">' in form and "⟦Password⟧</label>" in form and ">⟦Log in⟧</button>" in form
    refused = asyncio.run(ask(login, "/studio/bar", headers=headers))
    assert refused.status == 401 and refused.body.decode() == "⟦Log in first: reload the page.⟧"
    guard = Guard(Seen())
    unknown = asyncio.run(ask(guard, "/nothing", headers=headers))
    assert unknown.status == 404 and unknown.body.decode() == "⟦There is no page at this address.⟧"


# --- content of the user ---


def test_content_of_the_user_is_marked_in_elements_and_plain_in_attributes() -> None:
    name = Verbatim("<Model>")
    assert html("<b>{n}</b>", n=name) == '<b><bdi translate="no">&lt;Model&gt;</bdi></b>'
    assert html("{n}", n=[name, "a"]) == '<bdi translate="no">&lt;Model&gt;</bdi>a'
    assert attrs(title=name) == ' title="&lt;Model&gt;"' and f"{name}" == "<Model>"
    options = select_input("column", [("", "Choose a column"), ("Data", Verbatim("Data"))], "Data", "map")
    assert '<option value="">Choose a column</option>' in options
    assert '<option value="Data" selected translate="no">Data</option>' in options

"""The languages of the page. The server writes English; the page's script looks texts up in the catalog of a language.

A catalog is a gettext file, `locales/<language>.po`, written and read with Babel. `scripts/translations.py` collects
the texts. js/1-language.js chooses the language and translates what is shown.
"""

import hashlib
import json
import os
import re
from functools import cache
from pathlib import Path

from babel import Locale, negotiate_locale
from babel.messages.pofile import read_po
from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Scope

LOCALES = Path(__file__).parent / "locales"
TEMPLATE = LOCALES / "messages.pot"
PSEUDO = "STUDIO_PSEUDO_LANGUAGES"
"""Environment variable that also offers two languages for tests: en-XA marks each translated text, ar-XB runs from
right to left. The codes are those of Unicode's CLDR."""
_PSEUDO = {"en-XA": "[English]", "ar-XB": "[RTL]"}


def languages() -> dict[str, str]:
    """The code of each language and its own name. English is first."""
    return {"en": "English", **_catalogs(), **(_PSEUDO if os.environ.get(PSEUDO) else {})}


@cache
def _catalogs() -> dict[str, str]:
    """The languages with a catalog. Each refused request asks for them, so a flood of requests must cost little."""
    codes = sorted(path.stem for path in LOCALES.glob("*.po"))
    return {code: (Locale.parse(code, sep="-").get_language_name(code) or code).capitalize() for code in codes}


@cache
def messages(language: str) -> dict[str, str]:
    """English text → text of the language. Texts without a translation are left out.

    Raises:
        OSError: when the language has no catalog.
    """
    with _file(language).open("rb") as file:
        entries = {str(each.id): str(each.string) for each in read_po(file) if each.id}
    if language in _PSEUDO:
        return {text: _marked(text, language) for text in entries}
    return {text: translation for text, translation in entries.items() if translation}


def _marked(text: str, language: str) -> str:
    """A text of a language for tests: recognizable, and with the same placeholders."""
    return f"⟦{text}⟧" if language == "en-XA" else f"\u202e{text}\u202c"


def accepted(scope: Scope) -> str:
    """The language for a page without our script: the first one of the request's Accept-Language that is offered."""
    header = b",".join(value for name, value in scope["headers"] if name == b"accept-language").decode("latin-1")
    weighed = []
    for part in header[:500].split(","):
        code, _, quality = part.replace(" ", "").partition(";q=")
        weighed.append((float(quality) if re.fullmatch(r"[01](\.\d{0,3})?", quality) else 1.0, code))
    preferred = [code for weight, code in sorted(weighed, key=lambda each: -each[0]) if weight]
    offered = {code.lower(): code for code in languages()}
    return offered[(negotiate_locale(preferred, list(offered), sep="-") or "en").lower()]


def direction(language: str) -> str:
    """`rtl` for languages that are written from right to left, else `ltr`."""
    return "rtl" if Locale.parse(language.partition("-")[0]).character_order == "right-to-left" else "ltr"


def translated(text: str, language: str, **values: object) -> str:
    """A text in a language, else in English. `values`: what stands for the names in braces."""
    message = text if language == "en" else messages(language).get(text, text)
    return message.format(**values) if values else message


@cache
def version(language: str) -> str:
    """A short hash of the catalog, for its address. It reads no messages, so that the server starts quickly."""
    return hashlib.sha256(_file(language).read_bytes()).hexdigest()[:12] if language != "en" else ""


def _file(language: str) -> Path:
    return TEMPLATE if language in _PSEUDO else LOCALES / f"{language}.po"


def script() -> str:
    """JavaScript that gives the page's script version and direction of each language, by code."""
    described = {code: {"version": version(code), "direction": direction(code)} for code in languages()}
    return f"window.studioLanguages = {json.dumps(described)};"


def routes() -> APIRouter:
    """The address of the catalogs."""
    router = APIRouter()

    @router.get("/studio/languages/{language}.json")
    def catalog(language: str, request: Request) -> Response:
        if language == "en" or language not in languages():
            return PlainTextResponse("There is no such language.", 404)
        cache = "public, max-age=31536000, immutable" if request.url.query == version(language) else "no-cache"
        body = json.dumps(messages(language), ensure_ascii=False)
        return Response(body, media_type="application/json", headers={"Cache-Control": cache})

    return router

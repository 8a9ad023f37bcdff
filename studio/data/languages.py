"""In which language a text is written. Knows no check, no role and no row.

The library (py3langid) carries its own model and asks nobody; it is loaded when first needed, since that takes half a
second. Short texts, and texts that it is not sure of, get no verdict.
"""

import re
from functools import lru_cache
from typing import Any

SURE = 0.8
"""Probability from which a verdict counts."""
LETTERS = 40
"""Letters that a text needs for a verdict; half as many where each letter is a syllable or a word."""
READ = 400
"""Letters that are looked at."""
NAMES: dict[str, tuple[str, ...]] = {
    "af": ("Afrikaans",),
    "ar": ("Arabic", "العربية"),
    "az": ("Azerbaijani",),
    "be": ("Belarusian",),
    "bg": ("Bulgarian", "български"),
    "bn": ("Bengali", "বাংলা"),
    "bs": ("Bosnian",),
    "ca": ("Catalan", "català"),
    "cs": ("Czech", "čeština", "česky"),
    "cy": ("Welsh",),
    "da": ("Danish", "dansk"),
    "de": ("German", "Deutsch"),
    "el": ("Greek", "ελληνικά"),
    "en": ("English",),
    "es": ("Spanish", "español"),
    "et": ("Estonian", "eesti"),
    "eu": ("Basque",),
    "fa": ("Persian", "Farsi", "فارسی"),
    "fi": ("Finnish", "suomi"),
    "fr": ("French", "français"),
    "ga": ("Irish",),
    "gl": ("Galician",),
    "gu": ("Gujarati",),
    "he": ("Hebrew", "עברית"),
    "hi": ("Hindi", "हिन्दी"),
    "hr": ("Croatian", "hrvatski"),
    "hu": ("Hungarian", "magyar"),
    "hy": ("Armenian",),
    "id": ("Indonesian",),
    "is": ("Icelandic",),
    "it": ("Italian", "italiano"),
    "ja": ("Japanese", "日本語"),
    "ka": ("Georgian",),
    "kk": ("Kazakh",),
    "kn": ("Kannada",),
    "ko": ("Korean", "한국어"),
    "lt": ("Lithuanian",),
    "lv": ("Latvian",),
    "mk": ("Macedonian",),
    "ml": ("Malayalam",),
    "mr": ("Marathi",),
    "ms": ("Malay",),
    "ne": ("Nepali",),
    "nl": ("Dutch", "Nederlands"),
    "nb": ("Norwegian", "norsk"),
    "nn": ("Norwegian", "nynorsk"),
    "no": ("Norwegian", "norsk"),
    "pa": ("Punjabi",),
    "pl": ("Polish", "polski"),
    "pt": ("Portuguese", "português"),
    "ro": ("Romanian", "română"),
    "ru": ("Russian", "русский"),
    "sk": ("Slovak",),
    "sl": ("Slovenian",),
    "sq": ("Albanian",),
    "sr": ("Serbian", "srpski"),
    "sv": ("Swedish", "svenska"),
    "sw": ("Swahili",),
    "ta": ("Tamil",),
    "te": ("Telugu",),
    "th": ("Thai",),
    "tl": ("Tagalog", "Filipino"),
    "tr": ("Turkish", "Türkçe"),
    "uk": ("Ukrainian",),
    "ur": ("Urdu",),
    "uz": ("Uzbek",),
    "vi": ("Vietnamese",),
    "zh": ("Chinese", "Mandarin", "中文"),
}
"""Languages that a verdict may name: in English first, then as their speakers call them."""
_KIN = ({"bs", "hr", "sr"}, {"nb", "nn", "no", "da"}, {"id", "ms"}, {"cs", "sk"}, {"be", "uk", "ru"}, {"gl", "pt"})
_ABOUT = re.compile(r"translat|languages?\b|bilingual|überset|sprache|tradu|langue|idioma|lingua|перев|язык|翻[译譯訳]")
_NO_PROSE = re.compile(r"```.*?(```|\Z)|https?://\S+|\S+@\S+|[\[{<][^\]}>]{0,200}[\]}>]|\S*[_/\\=|]\S*", re.DOTALL)
"""Code, addresses and marks: no language is told by them."""
_WORD = re.compile(r"[^\W\d_]+")
_DENSE = re.compile(r"[぀-ヿ㐀-鿿가-힯฀-๿]")


def prose(text: str) -> str:
    """The words of a text's beginning, without code, addresses and marks; empty when they are too few for a verdict."""
    plain = _NO_PROSE.sub(" ", text[: 4 * READ])[:READ]
    letters = len(plain) - plain.count(" ")
    if letters < LETTERS / 2 or (letters < LETTERS and len(_DENSE.findall(plain)) < LETTERS / 4):
        return ""
    words = sum(map(len, _WORD.findall(plain)))
    return plain if words >= 0.6 * letters else ""


def language_of(prose: str) -> str:
    """The language's code, empty where the library is not sure."""
    code, sure = _identifier().classify(prose)
    return str(code) if sure >= SURE and code in NAMES else ""


def name_of(code: str) -> str:
    """A language's name in English."""
    return NAMES[code][0]


def are_kin(one: str, other: str) -> bool:
    """Whether two codes are one language, or so near that nobody can tell them apart by a few words."""
    return one == other or any(one in family and other in family for family in _KIN)


def is_named(code: str, text: str) -> bool:
    """Whether a text speaks of the language, or of languages at all, as a request for a translation does."""
    lowered = text.casefold()
    return _ABOUT.search(lowered) is not None or any(name.casefold() in lowered for name in NAMES[code])


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid import langid

    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)

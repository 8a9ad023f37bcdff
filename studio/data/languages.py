"""Language detection for texts.

The library (py3langid) contains its own model and does not use the network. It is loaded on first use, in half a
second. Short texts and uncertain results give no language.
"""

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

SURE = 0.8
"""Minimum probability of a result."""
LETTERS = 40
"""Minimum number of letters in a text; half as many for scripts whose letters are syllables or words."""
READ = 400
"""Maximum number of letters to read."""
LEAST = 20
"""Minimum number of texts with a detected language. With fewer, the usual language is unknown."""
MOSTLY = 0.8
"""Minimum fraction of detections for one language. With less, the texts have several languages."""
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
"""Language code → its name in English, then its name in the language."""
_CLOSE = ({"bs", "hr", "sr"}, {"nb", "nn", "no", "da"}, {"id", "ms"}, {"cs", "sk"}, {"be", "uk", "ru"}, {"gl", "pt"})
_ABOUT = re.compile(r"translat|languages?\b|bilingual|überset|sprache|tradu|langue|idioma|lingua|перев|язык|翻[译譯訳]")
_NO_PROSE = re.compile(r"```.*?(```|\Z)|https?://\S+|\S+@\S+|[\[{<][^\]}>]{0,200}[\]}>]|\S*[_/\\=|]\S*", re.DOTALL)
"""Code, addresses and markup, which carry no language."""
_WORD = re.compile(r"[^\W\d_]+")
_DENSE = re.compile(r"[぀-ヿ㐀-鿿가-힯฀-๿]")


def prose(text: str) -> str:
    """Return the beginning of a text without code, addresses and markup. Empty if too short for detection."""
    plain = _NO_PROSE.sub(" ", text[: 4 * READ])[:READ]
    letters = len(plain) - plain.count(" ")
    if letters < LETTERS / 2 or (letters < LETTERS and len(_DENSE.findall(plain)) < LETTERS / 4):
        return ""
    words = sum(map(len, _WORD.findall(plain)))
    return plain if words >= 0.6 * letters else ""


def language_of(prose: str) -> str:
    """Return the language code of a text, or "" if the result is uncertain."""
    code, probability = _identifier().classify(prose)
    return str(code) if probability >= SURE and code in NAMES else ""


def usual_language(texts: Iterable[str]) -> str:
    """Return the language code of nearly all texts with a detection. Empty if there are several, or too few."""
    languages = Counter(filter(None, (language_of(plain) for text in texts if (plain := prose(text)))))
    code, most = languages.most_common(1)[0] if languages else ("", 0)
    return code if languages.total() >= LEAST and most >= MOSTLY * languages.total() else ""


def name_of(code: str) -> str:
    """Return a language's name in English."""
    return NAMES[code][0]


def are_close(one: str, other: str) -> bool:
    """Return whether two codes are the same language, or so close that short texts do not tell them apart."""
    return one == other or any(one in family and other in family for family in _CLOSE)


def is_named(code: str, text: str) -> bool:
    """Return whether a text mentions the language, or languages at all, as a translation request does."""
    lowered = text.casefold()
    return _ABOUT.search(lowered) is not None or any(name.casefold() in lowered for name in NAMES[code])


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid import langid

    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)

"""Personal data in texts, and masks that replace it.

The form tells which numbers are personal. A phone number has a country code, or groups of three, three and four digits,
or follows a word like telephone. A card number has a valid prefix and check digit.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter

_OFFICE_MAILBOXES = frozenset(
    "abuse admin billing careers contact customerservice donotreply feedback hello help helpdesk hi hr info jobs mail "
    "marketing news newsletter no-reply noreply office orders postmaster press privacy returns sales security service "
    "shop support team webmaster".split()
)
"""Mailboxes of an office, not of a person."""
_PLACEHOLDER_EMAIL = re.compile(
    r"(?:your\w*|recipient|sender|user(?:name)?|email|someone|name|password)[\w.+-]{0,8}@", re.I
)
"""Placeholder addresses in instructions."""
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_]{2,24}(?![\w-])")
_AFTER = r"(?![\w-]|[.,/]\d|[ ]\d)"
_PHONE = re.compile(
    r"(?<![\w+./=,-])(?:"
    r"(?:\+|00)[1-9]\d{0,2}[\s./-]?(?:\(0?\d{1,4}\)[\s./-]?)?\d{1,5}(?:[\s./-]?\d{1,5}){1,5}"  # +44 20 7946 0958
    r"|(?:1[ .-])?(?:\([2-9]\d{2}\)[ ]?|[2-9]\d{2}(?P<gap>[.-]))\d{3}(?(gap)(?P=gap)|[ .-])\d{4}"  # (555) 123-4567
    r")" + _AFTER
)
_PHONE_AFTER_WORD = re.compile(
    r"\b(?:phone|telephone|tel|call|mobile|cell|whatsapp|fax|sms|dial|telefon|handy|mobil|anrufen|rufnummer|tel[eé]fono|"
    r"t[eé]l[eé]phone|portable|m[oó]vil|telefono|cellulare|(?:my|his|her|our|their) number)\b"
    r"(?:[\s:.#()-]|\b(?:me|us|him|her|them|at|on|is|number|no|nr|my|under|unter|now)\b){1,9}"
    r"(?P<number>\(?0\d{1,5}\)?(?:[\s./-]?\d{2,8}){1,4}|[2-9]\d{2}[ ]\d{3}[ ]\d{4}|\d{3}[-.]\d{4})" + _AFTER,
    re.IGNORECASE,
)
_CARD = re.compile(r"(?<![\w.+-])(?:\d[ -]?){12,18}\d(?![\w-]|[.,]\d)")
_CARDS = re.compile(
    r"4\d{15}(?:\d{3})?|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|"
    r"3(?:0[0-5]|[68]\d)\d{11}|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}"
)
_KEY = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"sk-(?:[a-z]+-)*[A-Za-z0-9_-]{20,}|hf_[A-Za-z0-9]{30,}|gh[opsur]_[A-Za-z0-9]{36,}|github_pat_\w{22,}|"
    r"glpat-[\w-]{20,}|(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[\w-]{35}|xox[abeprs]-[\w-]{10,}|[sr]k_(?:live|test)_\w{16,}|"
    r"SG\.[\w-]{16,}\.[\w-]{16,}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"
    r")(?![A-Za-z0-9_-])"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
_DIGIT = re.compile(r"\d")
_SIGNS = b"0123456789@"
_SOME_DIGITS = re.compile(r"\d(?:[^A-Za-z\d]{0,3}\d){5}")
"""Begins with a digit and matches in one way only: re skips other characters quickly, and never tries again."""
_DATE = re.compile(r"(?:19|20)\d\d[./ -]\d\d?[./ -]\d\d?|\d\d?[./ -]\d\d?[./ -](?:19|20)\d\d")


@dataclass(frozen=True)
class PersonalDataKind:
    """One kind of personal data."""

    counted: tuple[str, str]
    """Its name with a number, in singular and plural."""
    mask: str
    find: Callable[[str], Iterator[tuple[int, int]]]
    redacted: Callable[[str], str]
    """Returns a redacted form for reports."""


def luhn(digits: str) -> bool:
    """Return whether the last digit is the Luhn check digit of the others, as on payment cards."""
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(each - 9 if each > 9 else each for each in doubled) % 10 == 0


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def _emails(text: str) -> Iterator[tuple[int, int]]:
    for match in _EMAIL.finditer(text) if "@" in text else ():
        if not _PLACEHOLDER_EMAIL.match(match[0]) and match[0].split("@")[0].casefold() not in _OFFICE_MAILBOXES:
            yield match.span()


def _phones(text: str) -> Iterator[tuple[int, int]]:
    if not _SOME_DIGITS.search(text):
        return
    spans = [match.span() for match in _PHONE.finditer(text)]
    spans += [match.span("number") for match in _PHONE_AFTER_WORD.finditer(text)]
    for start, end in sorted(spans):
        digits = _digits(text[start:end])
        if 7 <= len(digits) <= 15 and len(set(digits)) > 2 and not _DATE.fullmatch(text[start:end]):
            yield start, end


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for match in _CARD.finditer(text) if _SOME_DIGITS.search(text) else ():
        digits = _digits(match[0])
        if _CARDS.fullmatch(digits) and luhn(digits) and len(set(digits)) > 1:
            yield match.span()


def _keys(text: str) -> Iterator[tuple[int, int]]:
    for match in _KEY.finditer(text):
        if any(map(str.isdigit, match[0])) or match[0].startswith("-"):
            yield match.span()


def _redacted_email(text: str) -> str:
    name, _, place = text.partition("@")
    return f"{name[0]}…@{place[0]}….{place.rpartition('.')[2]}"


PERSONAL_DATA: dict[str, PersonalDataKind] = {
    "key": PersonalDataKind(("{n} key", "{n} keys"), "[key]", _keys, lambda text: f"{text[:4]}…"),
    "email": PersonalDataKind(("{n} e-mail address", "{n} e-mail addresses"), "[email]", _emails, _redacted_email),
    "card": PersonalDataKind(
        ("{n} card number", "{n} card numbers"), "[card]", _cards, lambda text: f"…{_digits(text)[-4:]}"
    ),
    "phone": PersonalDataKind(
        ("{n} phone number", "{n} phone numbers"), "[phone]", _phones, lambda text: f"…{_digits(text)[-2:]}"
    ),
}
"""Kinds of personal data. If matches overlap, the first kind wins."""


def may_contain_any(text: str) -> bool:
    """Return whether a text has a digit, an @ or a private key. Fast, because it runs for every text."""
    if text.isascii():
        signs = len(text.encode().translate(None, _SIGNS)) < len(text)
    else:
        signs = "@" in text or bool(_DIGIT.search(text))
    return signs or "PRIVATE KEY" in text


def _spans(text: str) -> list[tuple[int, int, str]]:
    """Return (start, end, kind) of each piece of personal data, sorted and without overlaps."""
    spans: list[tuple[int, int, str]] = []
    if not may_contain_any(text):
        return spans
    for name, kind in PERSONAL_DATA.items():
        for start, end in kind.find(text):
            at = bisect_left(spans, start, key=itemgetter(0))
            if (not at or spans[at - 1][1] <= start) and (at == len(spans) or spans[at][0] >= end):
                spans.insert(at, (start, end, name))
    return spans


def find_personal_data(text: str) -> list[tuple[str, str]]:
    """Return (kind, text) of each piece of personal data."""
    return [(name, text[start:end]) for start, end, name in _spans(text)]


def masked(text: str) -> str:
    """Return the text with all personal data masked."""
    parts, place = [], 0
    for start, end, name in _spans(text):
        parts += [text[place:start], PERSONAL_DATA[name].mask]
        place = end
    return "".join(parts) + text[place:]

"""What is private in a text, and the mask that hides it. Knows no row.

Numbers are told from other numbers by how they are written: a phone number has a country's code, or groups of three,
three and four digits, or stands after a word like telephone; a card number has its first and its check digit right.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_ROLES = frozenset(
    "abuse admin billing careers contact customerservice donotreply feedback hello help helpdesk hi hr info jobs mail "
    "marketing news newsletter no-reply noreply office orders postmaster press privacy returns sales security service "
    "shop support team webmaster".split()
)
"""Mailboxes of an office and not of a person."""
_NOBODY = re.compile(r"(?:your\w*|recipient|sender|user(?:name)?|email|someone|name|password)[\w.+-]{0,8}@", re.I)
"""What stands for an address in instructions."""
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_]{2,24}(?![\w-])")
_AFTER = r"(?![\w-]|[.,/]\d|[ ]\d)"
_PHONE = re.compile(
    r"(?<![\w+./=,-])(?:"
    r"(?:\+|00)[1-9]\d{0,2}[\s./-]?(?:\(0?\d{1,4}\)[\s./-]?)?\d{1,5}(?:[\s./-]?\d{1,5}){1,5}"  # +44 20 7946 0958
    r"|(?:1[ .-])?(?:\([2-9]\d{2}\)[ ]?|[2-9]\d{2}(?P<gap>[.-]))\d{3}(?(gap)(?P=gap)|[ .-])\d{4}"  # (555) 123-4567
    r")" + _AFTER
)
_TOLD = re.compile(
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
_SOME_DIGITS = re.compile(r"(?:\d[^A-Za-z]{0,3}){5}\d")
_DATE = re.compile(r"(?:19|20)\d\d[./ -]\d\d?[./ -]\d\d?|\d\d?[./ -]\d\d?[./ -](?:19|20)\d\d")


@dataclass(frozen=True)
class Private:
    """One kind of private data."""

    words: tuple[str, str]
    """What one is called, and several."""
    mask: str
    find: Callable[[str], Iterator[tuple[int, int]]]
    shown: Callable[[str], str]
    """How one is named without telling it."""


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others, as cards have it."""
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(each - 9 if each > 9 else each for each in doubled) % 10 == 0


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def _emails(text: str) -> Iterator[tuple[int, int]]:
    for found in _EMAIL.finditer(text) if "@" in text else ():
        if not _NOBODY.match(found[0]) and found[0].split("@")[0].casefold() not in _ROLES:
            yield found.span()


def _phones(text: str) -> Iterator[tuple[int, int]]:
    if not _SOME_DIGITS.search(text):
        return
    spans = [found.span() for found in _PHONE.finditer(text)]
    spans += [found.span("number") for found in _TOLD.finditer(text)]
    for start, end in sorted(spans):
        digits = _digits(text[start:end])
        if 7 <= len(digits) <= 15 and len(set(digits)) > 2 and not _DATE.fullmatch(text[start:end]):
            yield start, end


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for found in _CARD.finditer(text) if _SOME_DIGITS.search(text) else ():
        digits = _digits(found[0])
        if _CARDS.fullmatch(digits) and luhn(digits) and len(set(digits)) > 1:
            yield found.span()


def _keys(text: str) -> Iterator[tuple[int, int]]:
    for found in _KEY.finditer(text):
        if any(map(str.isdigit, found[0])) or found[0].startswith("-"):
            yield found.span()


def _shown_email(text: str) -> str:
    name, _, place = text.partition("@")
    return f"{name[0]}…@{place[0]}….{place.rpartition('.')[2]}"


PRIVATE: dict[str, Private] = {
    "key": Private(("key", "keys"), "[key]", _keys, lambda text: f"{text[:4]}…"),
    "email": Private(("e-mail address", "e-mail addresses"), "[email]", _emails, _shown_email),
    "card": Private(("card number", "card numbers"), "[card]", _cards, lambda text: f"…{_digits(text)[-4:]}"),
    "phone": Private(("phone number", "phone numbers"), "[phone]", _phones, lambda text: f"…{_digits(text)[-2:]}"),
}
"""Kinds of private data, the one that a piece of text counts as first."""


def may_hold_any(text: str) -> bool:
    """Whether there is a digit, an @ or a key in a text: asked of every text, so it is quick where most have none."""
    if text.isascii():
        signs = len(text.encode().translate(None, _SIGNS)) < len(text)
    else:
        signs = "@" in text or bool(_DIGIT.search(text))
    return signs or "PRIVATE KEY" in text


def _spans(text: str) -> list[tuple[int, int, str]]:
    """Where private data stand, without overlaps."""
    taken: list[tuple[int, int, str]] = []
    if not may_hold_any(text):
        return taken
    for name, kind in PRIVATE.items():
        for start, end in kind.find(text):
            if all(end <= other[0] or start >= other[1] for other in taken):
                taken.append((start, end, name))
    return sorted(taken)


def private_in(text: str) -> list[tuple[str, str]]:
    """Kind and text of all that is private."""
    return [(name, text[start:end]) for start, end, name in _spans(text)]


def masked(text: str) -> str:
    """The text with a mask over all that is private."""
    for start, end, name in reversed(_spans(text)):
        text = text[:start] + PRIVATE[name].mask + text[end:]
    return text

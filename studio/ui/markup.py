"""HTML made safe: whatever is put into a template is escaped, unless it is `Html` already.

No page builds HTML by an f-string; all of it goes through `html`.
"""

import html as _html
import string
from collections.abc import Iterable
from typing import Any


class Html(str):
    """Text that is HTML: written by us, or escaped already."""

    __slots__ = ()

    def __add__(self, other: str) -> "Html":
        return Html(str(self) + str(esc(other)))


def esc(value: Any) -> Html:
    """A value as HTML: text is escaped, lists are joined, None is nothing."""
    if isinstance(value, Html):
        return value
    if value is None:
        return Html("")
    if isinstance(value, str):
        return Html(_html.escape(value, quote=True))
    if isinstance(value, Iterable):
        return Html("".join(str(esc(each)) for each in value))
    return Html(_html.escape(str(value), quote=True))


class _Escaping(string.Formatter):
    """`str.format` that escapes; a format spec applies before escaping."""

    def format_field(self, value: Any, format_spec: str) -> str:
        return str(esc(format(value, format_spec) if format_spec else value))


_FORMATTER = _Escaping()


def html(template: str, /, **parts: Any) -> Html:
    """The template with its `{names}` filled in, each escaped."""
    return Html(_FORMATTER.vformat(template, (), parts))


def join(parts: Iterable[Any], between: str = "") -> Html:
    """Parts as HTML, with `between` (escaped too) in the gaps."""
    return Html(str(esc(between)).join(str(esc(part)) for part in parts))


def attrs(**values: Any) -> Html:
    """Attributes with a leading space each; True is the bare name, None and False are left out, `_` becomes `-`."""
    made = []
    for name, value in values.items():
        name = name.rstrip("_").replace("_", "-")
        if value is True:
            made.append(f" {name}")
        elif value is not None and value is not False:
            made.append(f' {name}="{_html.escape(str(value), quote=True)}"')
    return Html("".join(made))

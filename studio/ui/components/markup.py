"""HTML made safe, by markupsafe: whatever is put into a template is escaped, unless it is `Html` already.

No page builds HTML by an f-string; all of it goes through `html`.
"""

from collections.abc import Iterable
from functools import lru_cache
from string import Formatter
from typing import Any

from markupsafe import Markup, escape

Html = Markup
"""Text that is HTML: written by us, or escaped already."""


class Verbatim(str):
    """Content of the user, a name or code. The page shows it as it is, while our own texts are translated.

    Where `html` puts it, it becomes an element, which also keeps the direction of its writing apart. In an attribute
    and in an f-string it is plain text.
    """

    __slots__ = ()

    def __html__(self) -> Html:
        """The element."""
        return Html(f'<bdi translate="no">{escape(str(self))}</bdi>')


def esc(value: Any) -> Html:
    """A value as HTML: text is escaped, lists are joined, None and False are nothing."""
    return escape(_joined(value))


def _joined(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if value is None or value is False:
        return Html("")
    return Html("".join(esc(each) for each in value)) if isinstance(value, Iterable) else value


def html(template: str, /, **parts: Any) -> Html:
    """The template with its `{names}` filled in, each escaped; a format spec applies before escaping."""
    # About twice as fast as `Markup.format`, which parses the template each time. A tab has hundreds of templates.
    made = []
    for text, name, spec, _ in _parsed(template):
        made.append(text)
        if name is not None:
            made.append(escape(format(parts[name], spec)) if spec else esc(parts[name]))
    return Html("".join(made))


@lru_cache(maxsize=4096)
def _parsed(template: str) -> tuple[tuple[str, str | None, str | None, str | None], ...]:
    return tuple(Formatter().parse(template))


def join(parts: Iterable[Any], between: str = "") -> Html:
    """Parts as HTML, with `between` (escaped too) in the gaps."""
    return esc(between).join(esc(part) for part in parts)


def attrs(**values: Any) -> Html:
    """Attributes with a leading space each; True is the bare name, None and False are left out, `_` becomes `-`."""
    made = []
    for name, value in values.items():
        name = name.rstrip("_").replace("_", "-")
        if value is True:
            made.append(f" {name}")
        elif value is not None and value is not False:
            made.append(f' {name}="{escape(str(value))}"')
    return Html("".join(made))

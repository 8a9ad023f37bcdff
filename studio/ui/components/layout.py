"""Frames that all tabs use: panels with a title, tables that scroll sideways, page buttons, and what the page polls."""

from typing import Any

from studio.ui.components.basic import button
from studio.ui.components.markup import Html, html


def panel(title: Any, key: str, body: Any, side: Any = "", bar: str = "bar") -> Html:
    """A panel with a title bar, and `side` at its end. `key`: id of the title; `bar`: classes of the bar."""
    return html(
        '<section class="panel flush" aria-labelledby="{key}"><div class="{bar}"><h2 id="{key}">{title}</h2>{side}'
        "</div>{body}</section>",
        title=title,
        key=key,
        body=body,
        side=side,
        bar=bar,
    )


def stack(title: Any, key: str, body: Any, gaps: str = "tight") -> Html:
    """A panel with its title and parts below each other. `key`: id of the title."""
    return html(
        '<section class="panel stack {gaps}" aria-labelledby="{key}"><h2 id="{key}">{title}</h2>{body}</section>',
        title=title,
        key=key,
        body=body,
        gaps=gaps,
    )


def scroll_table(label: str, heads: Any, rows: Any, classes: str = "") -> Html:
    """A table that scrolls sideways. `heads`: the cells of its head."""
    return html(
        '<div class="scroll-x" role="region" tabindex="0" aria-label="{title}, scrolls sideways"><table '
        'class="{classes}"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>',
        title=label,
        heads=heads,
        rows=rows,
        classes=classes,
    )


def with_button(sentence: Any, made: Html, classes: str = "muted small") -> Html:
    """A paragraph, and a button below it."""
    return html('<p class="{c}">{s}</p><div class="row">{b}</div>', c=classes, s=sentence, b=made)


def page_buttons(act: str, start: int, total: int, size: int, what: str = "", **data: Any) -> Html:
    """Buttons to the entries before and after. `start`: the first one shown, from 1; `size`: entries of a page.

    `what`: the entries, for screen readers. Other arguments become data attributes of both buttons.
    """
    steps = (("Previous", start <= 1, max(1, start - size)), ("Next", start + size > total, start + size))
    return html(
        "{buttons}",
        buttons=[
            button(word, act, "s", disabled=end, value=to, aria_label=f"{word} {what}" if what else None, **data)
            for word, end, to in steps
        ],
    )


def foot(words: Any, buttons: Any) -> Html:
    """The bar below a table: its position or total, said when it changes, and buttons."""
    return html(
        '<div class="bar foot"><span class="muted" aria-live="polite">{words}</span><span class="right row">{buttons}'
        "</span></div>",
        words=words,
        buttons=buttons,
    )


def poll(act: str, milliseconds: int, repeat: bool = True) -> Html:
    """Lets the page send an action by itself after a while: once, or as long as this is drawn."""
    again = Html(" data-repeat" if repeat else "")
    return html('<i hidden data-poll="{ms}"{again} data-act="{act}"></i>', ms=milliseconds, again=again, act=act)


def look_again(milliseconds: int, act: str = "look") -> Html:
    """Lets the page draw the tab again after a while, without touching what is typed."""
    return html(
        '<button type="button" hidden data-act="{act}" data-quiet data-again="{ms}">Update</button>',
        act=act,
        ms=milliseconds,
    )

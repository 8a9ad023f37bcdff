"""The card of the current row: labels with their keys, a reply to write, or two replies to compare."""

from typing import Any

from studio.schema.labeling import Labeling
from studio.schema.numbers import share
from studio.ui.components.basic import button, select_input, tag, textarea, track
from studio.ui.components.layout import panel
from studio.ui.components.markup import Html, Verbatim, attrs, html

KEYS = 9
WORDS = {"first": "the first", "second": "the second", "both": "equally good", "skip": "skipped", "unsure": "unsure"}
_GIVES = {"label": "has a label", "reply": "has a reply", "choice": "has a choice"}


def card(now: Labeling) -> Html:
    """Return the card of the current row."""
    if now.row is None:
        return _all_done(now)
    return html(
        '<section class="panel flush labelcard" tabindex="0" data-hotkeys data-shown="{row}" '
        '{focus} aria-label="Row to label"><div class="bar">'
        '<span class="muted">Row {row:,} of {total:,}</span><span class="right muted">Order</span>'
        '<span class="w200">{order}</span></div>'
        '<blockquote aria-live="polite" class="{short}">{text}</blockquote>{give}'
        '<div class="bar foot keys">{keys}<span class="right row">{aside}{undo}</span></div></section>',
        row=now.row,
        total=now.total,
        order=_order(now),
        focus=attrs(data_autofocus=now.work != "reply"),
        short="" if now.work == "label" else "short",
        text=Verbatim(now.text) or html('<span class="muted">This row is empty.</span>'),
        give=_GIVE[now.work](now),
        keys=_keys(now),
        aside=[
            button(_with_key("U", "Unsure"), "unsure", "s", row=now.row, hot="u", quiet=""),
            button(_with_key("S", "Skip"), "skip", "s", row=now.row, hot="s", quiet=""),
        ],
        undo=_undo(now),
    )


def _all_done(now: Labeling) -> Html:
    message = f"No rows are left in this order: {dict(now.orders).get(now.order, now.order)}."
    if now.done >= now.total:
        message = f"Every row {_GIVES[now.work]}."
    return html(
        '<section class="panel stack mid labelcard" tabindex="0" data-hotkeys data-shown="none" aria-label="Row to '
        'label"><p><b>{message}</b>{unsure} <span>Use them, choose another order, or undo the last one.</span></p>'
        '<div class="row"><span class="w200">{order}</span>{u}</div></section>',
        message=message,
        order=_order(now),
        unsure=html(" <span>{words}</span>", words=f"You marked {now.unsure:,} as unsure.") if now.unsure else "",
        u=_undo(now),
    )


def _with_key(key: str, text: str) -> Html:
    """Return a button's text with its key."""
    return html('<span class="kbd" aria-hidden="true">{k}</span>{w}', k=key, w=text)


def _undo(now: Labeling) -> Html:
    return button(_with_key("⌫", "Undo"), "undo", "s", hot="Backspace", quiet="", disabled=not now.recent)


def _order(now: Labeling) -> Html:
    return select_input("label-order", now.orders, now.order, "label-order", class_="s", aria_label="Order of rows")


def _put(now: Labeling, label: str, key: int | str | None, body: Any, classes: str = "lbl", **more: Any) -> Html:
    """A button that gives the row a label. `key`: its key."""
    return html(
        '<button type="button" class="{classes}"{attrs}>{body}</button>',
        classes=classes,
        attrs=attrs(data_act="label", data_row=now.row, data_label=label, data_hot=key, data_quiet="", **more),
        body=body,
    )


def _labels(now: Labeling) -> Html:
    chances = dict(now.suggestion.labels) if now.suggestion else {}
    best = now.suggestion.best if now.suggestion else None
    made = []
    for number, name in enumerate(now.labels, 1):
        chance, suggested, key = chances.get(name, 0.0), name == best, number if number <= KEYS else None
        body = html(
            '{key}<b>{name}</b>{tag}<span class="right num muted">{n}</span>{track}',
            key=html('<span class="kbd">{n}</span>', n=number) if key else Html("<span></span>"),
            name=Verbatim(name),
            tag=chances and (tag("suggested", "acc") if suggested else Html("<span></span>")),
            n=share(chance) if chances else f"{now.counts.get(name, 0):,}",
            track=chances and track(chance, "" if suggested else "grey"),
        )
        classes = ["lbl", "chance" if chances else "", "sug" if suggested else ""]
        made.append(_put(now, name, key, body, " ".join(classes)))
    return html('<div class="labels" role="group" aria-label="Labels">{labels}</div>', labels=made)


def _reply(now: Labeling) -> Html:
    reply = {"data_row": now.row, "data_key": f"reply-{now.row}"}
    return html(
        '<div class="reply stack tight"><label for="f-reply"><b>Reply</b></label>{area}<div class="row"><button '
        'type="button" class="btn accent" data-act="reply" data-take="reply" data-primary data-quiet data-row="{row}">'
        'Save and next</button><small class="muted">Your text is saved while you type.</small></div></div>',
        area=textarea("reply", now.reply, "type-reply", rows=6, data_live=True, data_autofocus=True, **reply),
        row=now.row,
    )


def _replies(now: Labeling) -> Html:
    assert now.replies is not None
    left, right = ("second", "first") if now.replies.swapped else ("first", "second")
    side = '<span class="row"><span class="kbd">{key}</span><b>Reply on the {where}</b></span><span>{text}</span>'
    empty = Html('<span class="muted">This reply is empty.</span>')
    return html(
        '<div class="pair" role="group" aria-label="Which reply is better?">{sides}</div><div class="labels">{same}'
        "</div>",
        sides=[
            _put(now, value, key, html(side, key=key, where=where, text=Verbatim(text) or empty))
            for key, where, value, text in ((1, "left", left, now.replies.left), (2, "right", right, now.replies.right))
        ],
        same=_put(now, "both", 3, Html('<span class="kbd">3</span><b>Neither is better</b>')),
    )


_GIVE = {"label": _labels, "reply": _reply, "choice": _replies}


def _keys(now: Labeling) -> Html:
    if now.work == "reply":
        return html(
            '<span><span class="kbd">Ctrl</span><span class="kbd">Enter</span> save and next</span>'
            '<span class="muted">Other keys work when you are not typing.</span>'
        )
    enter: Html | str = ""
    if now.suggestion:
        more = {"tabindex": "-1", "aria_label": "Accept the suggestion"}
        button_ = _put(now, now.suggestion.best, "Enter", "Enter", "kbd", **more)
        enter = html("<span>{b} accept the suggestion</span>", b=button_)
    return html(
        '<span><span class="kbd">1</span> to <span class="kbd">{n}</span> {what}</span>{enter}',
        n=min(len(now.labels), KEYS) if now.work == "label" else 3,
        what="label" if now.work == "label" else "choose",
        enter=enter,
    )


def value_of(now: Labeling, value: str) -> str:
    """What a row got, as the page shows it: a label or a reply of the user, or our word for a choice."""
    return Verbatim(value) if now.work == "label" or value not in WORDS else WORDS[value]


def recent(now: Labeling) -> Html:
    """Return the last three rows. Each can be opened again."""
    if not now.recent:
        return Html("")
    rows = [
        html(
            '<li><button type="button" class="btn quiet s grow cut"{attrs}>{text}</button>{was}{tag}</li>',
            attrs=attrs(data_act="open-row", data_row=each.row, title="Open this row again"),
            text=Verbatim(each.text) or "(empty)",
            was=each.was and html('<small class="hide-s nowrap">suggested: {name}</small>', name=Verbatim(each.was)),
            tag=tag(value_of(now, each.value)),
        )
        for each in now.recent[:3]
    ]
    return panel("Last three rows", "rec", html('<ul class="list recent">{r}</ul>', r=rows))

"""The card of the current row: labels with their keys, a reply to write, or two replies to compare."""

from studio.schema.labeling import Labeling
from studio.ui.components.basic import button, select_input, tag, textarea, track
from studio.ui.markup import Html, attrs, html
from studio.ui.numbers import share

KEYS = 9
WORDS = {"first": "the first", "second": "the second", "both": "both as good", "skip": "skipped", "unsure": "unsure"}
_GIVES = {"label": "has a label", "reply": "has a reply", "choice": "is compared"}


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
        text=now.text or html('<span class="muted">This row is empty.</span>'),
        give=_GIVE[now.work](now),
        keys=_keys(now),
        aside=[
            button(_with_key("U", "Unsure"), "unsure", "s", row=now.row, hot="u", quiet=""),
            button(_with_key("S", "Skip"), "skip", "s", row=now.row, hot="s", quiet=""),
        ],
        undo=_undo(now),
    )


def _all_done(now: Labeling) -> Html:
    message = f"No row is left in the order: {dict(now.orders).get(now.order, now.order)}."
    if now.done >= now.total:
        message = f"Every row {_GIVES[now.work]}."
    return html(
        '<section class="panel stack mid labelcard" tabindex="0" data-hotkeys data-shown="none" aria-label="Row to '
        'label"><p><b>{message}</b>{unsure} Use them, look at the rows in another order, or take the last one back.</p>'
        '<div class="row"><span class="w200">{order}</span>{u}</div></section>',
        message=message,
        order=_order(now),
        unsure=f" You were unsure of {now.unsure:,}." if now.unsure else "",
        u=_undo(now),
    )


def _with_key(key: str, text: str) -> Html:
    """Return a button's text with its key."""
    return html('<span class="kbd" aria-hidden="true">{k}</span>{w}', k=key, w=text)


def _undo(now: Labeling) -> Html:
    return button(_with_key("⌫", "Undo"), "undo", "s", hot="Backspace", quiet="", disabled=not now.recent)


def _order(now: Labeling) -> Html:
    return select_input("label-order", now.orders, now.order, "label-order", small=True, label="Order of rows")


def _labels(now: Labeling) -> Html:
    return html(
        '<div class="labels" role="group" aria-label="Labels">{labels}</div>',
        labels=[_choice(now, number, name) for number, name in enumerate(now.labels, 1)],
    )


def _choice(now: Labeling, number: int, name: str) -> Html:
    chances = dict(now.suggestion.labels) if now.suggestion else {}
    chance = chances.get(name, 0.0)
    suggested = now.suggestion is not None and name == now.suggestion.best
    return html(
        '<button type="button" class="lbl {chance} {sug}"{attrs}>{key}<b>{name}</b>{tag}<span class="right num '
        'muted">{n}</span>{track}</button>',
        chance="chance" if chances else "",
        sug="sug" if suggested else "",
        attrs=attrs(
            data_act="label",
            data_row=now.row,
            data_label=name,
            data_hot=number if number <= KEYS else None,
            data_quiet="",
        ),
        key=html('<span class="kbd">{n}</span>', n=number) if number <= KEYS else html("<span></span>"),
        name=name,
        tag=(tag("suggested", "acc") if suggested else html("<span></span>")) if chances else "",
        n=share(chance) if chances else f"{now.counts.get(name, 0):,}",
        track=track(chance, "" if suggested else "grey") if chances else "",
    )


def _reply(now: Labeling) -> Html:
    return html(
        '<div class="reply stack tight"><label for="f-reply"><b>Reply</b></label>{area}<div class="row">{keep}'
        '<small class="muted">What you type is kept as you go.</small></div></div>',
        area=textarea(
            "reply",
            now.reply,
            "type-reply",
            rows=6,
            data_live=True,
            data_row=now.row,
            data_key=f"reply-{now.row}",
            data_autofocus=True,
        ),
        keep=html(
            '<button type="button" class="btn accent" data-act="reply" data-take="reply" data-primary data-quiet '
            'data-row="{row}">Keep and go on</button>',
            row=now.row,
        ),
    )


def _pair(now: Labeling) -> Html:
    assert now.replies is not None
    left, right = ("second", "first") if now.replies.swapped else ("first", "second")
    sides = ((1, "left", left, now.replies.left), (2, "right", right, now.replies.right))
    return html(
        '<div class="pair" role="group" aria-label="Which reply is better?">{sides}</div><div class="labels">{same}'
        "</div>",
        sides=[_side(now, *each) for each in sides],
        same=html(
            '<button type="button" class="lbl"{attrs}><span class="kbd">3</span><b>Neither is better</b></button>',
            attrs=attrs(data_act="label", data_row=now.row, data_label="both", data_hot=3, data_quiet=""),
        ),
    )


def _side(now: Labeling, key: int, where: str, value: str, text: str) -> Html:
    return html(
        '<button type="button" class="lbl"{attrs}><span class="row"><span class="kbd">{key}</span><b>The {where} one'
        "</b></span><span>{text}</span></button>",
        attrs=attrs(data_act="label", data_row=now.row, data_label=value, data_hot=key, data_quiet=""),
        key=key,
        where=where,
        text=text or html('<span class="muted">This reply is empty.</span>'),
    )


_GIVE = {"label": _labels, "reply": _reply, "choice": _pair}


def _keys(now: Labeling) -> Html:
    if now.work == "reply":
        return html(
            '<span><span class="kbd">Ctrl</span><span class="kbd">Enter</span> keep and go on</span>'
            '<span class="muted">Other keys work while you are not writing.</span>'
        )
    return html(
        '<span><span class="kbd">1</span> to <span class="kbd">{n}</span> {what}</span>{enter}',
        n=min(len(now.labels), KEYS) if now.work == "label" else 3,
        what="label" if now.work == "label" else "choose",
        enter=_enter(now) if now.suggestion else "",
    )


def _enter(now: Labeling) -> Html:
    assert now.suggestion is not None
    return html(
        '<span><button type="button" class="kbd" tabindex="-1"{attrs}>Enter</button> take the suggestion</span>',
        attrs=attrs(
            data_act="label",
            data_row=now.row,
            data_label=now.suggestion.best,
            data_hot="Enter",
            data_quiet="",
            aria_label="Take the suggestion",
        ),
    )


def recent(now: Labeling) -> Html:
    """Return the last three rows. Each can be opened again."""
    if not now.recent:
        return Html("")
    rows = [
        html(
            '<li><button type="button" class="btn quiet s grow cut"{attrs}>{text}</button>{was}{tag}</li>',
            attrs=attrs(data_act="open-row", data_row=each.row, title="Open this row again"),
            text=each.text or "(empty)",
            was=html('<small class="hide-s nowrap">suggested: {w}</small>', w=each.was) if each.was else "",
            tag=tag(WORDS.get(each.value, each.value) if now.work != "label" else each.value),
        )
        for each in now.recent[:3]
    ]
    return html(
        '<section class="panel flush" aria-labelledby="rec"><div class="bar"><h2 id="rec">Last three</h2></div><ul '
        'class="list recent">{r}</ul></section>',
        r=rows,
    )

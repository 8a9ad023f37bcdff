"""Components that all tabs use: headings, notes, buttons, cards, meters, fields and the action bar."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from studio.schema.errors import StudioError
from studio.ui.components.icons import icon
from studio.ui.components.markup import Html, Verbatim, attrs, html, join

STATE_ICONS = {"ok": "ok", "warn": "warn", "error": "error", "idle": "info", "run": "clock", "": "info", "acc": "info"}


_FLAGS = re.compile(
    r"(?:,? or(?: with)?|:) (?:studio [a-z-]+ (?:[A-Z]+ )?)?--[a-z-]+(?: [A-Z][\w=]*)?| \((?:studio [^()]*)?--[^()]*\)"
)
"""`, or with --map COLUMN=reply`, `: studio evaluate RUN --data FILE`, ` (--leave-out bad-line)`."""


def heading(title: Any, sentence: Any = "", side: Any = "") -> Html:
    """The heading of a tab, a sentence under it, and buttons on its right."""
    return html(
        '<div class="head"><div><h1>{title}</h1>{sentence}</div>{side}</div>',
        title=title,
        sentence=html("<p>{s}</p>", s=sentence) if sentence else "",
        side=html('<div class="side row wrap">{side}</div>', side=side) if side else "",
    )


def state(kind: str, word: Any, icon_name: str = "") -> Html:
    """A state: icon, color and a word. Kinds: ok, warn, error, run, idle."""
    return html(
        '<span class="state {kind}">{icon}{word}</span>',
        kind=kind,
        icon=icon(icon_name or STATE_ICONS[kind]),
        word=word,
    )


def tag(text: Any, kind: str = "") -> Html:
    """A small colored word."""
    return html('<span class="tag {kind}">{text}</span>', kind=kind, text=text)


def note(kind: str, body: Any, button: Any = "") -> Html:
    """A framed note: ok, warn, error, acc or plain."""
    return html(
        '<div class="note {kind}">{icon}<div class="grow">{body}</div>{button}</div>',
        kind=kind,
        icon=icon(STATE_ICONS[kind]),
        body=body if isinstance(body, Html) else html("<p>{body}</p>", body=body),
        button=button,
    )


def final(question: str) -> str:
    """The question before a deletion, which says that it is final."""
    return " ".join((question, "This can't be undone."))


def alert(error: StudioError) -> Html:
    """An error, announced by screen readers: what happened, which setting or rows, and what to do."""
    return html(
        '<div class="note error" role="alert" tabindex="-1" data-code="{code}">{icon}<div class="grow stack '
        'tight">{lines}</div></div>',
        code=error.code,
        icon=icon("error"),
        lines=[_problem(each) for each in error.all()],
    )


def without_flags(words: str) -> str:
    """A message for command line and page without its command-line flags."""
    return _FLAGS.sub("", words)


def _problem(error: StudioError) -> Html:
    rest = error.message[len(error.what) :].strip() if error.message.startswith(error.what) else error.message
    listed = ", ".join(map(str, error.rows[:12]))
    rows = f"Rows {listed} …" if len(error.rows) > 12 else f"Rows {listed}." if listed else ""
    rest = without_flags(rest)
    return html(
        "<p><b>{what}</b>{rest}</p>", what=error.what, rest=join([html(" {part}", part=p) for p in (rest, rows) if p])
    )


def button(
    label: Any, /, act: str = "", kind: str = "", icon_name: str = "", disabled: bool = False, **data: Any
) -> Html:
    """A button that sends `act`. Other arguments become data attributes, except `aria_label`."""
    aria = data.pop("aria_label", None)
    return html(
        '<button type="button" class="btn {kind}"{attrs}>{icon}{label}</button>',
        kind=kind,
        attrs=attrs(
            data_act=act or None,
            disabled=disabled,
            aria_label=aria,
            **{f"data_{key}": value for key, value in data.items()},
        ),
        icon=icon(icon_name) if icon_name else "",
        label=label,
    )


@dataclass(frozen=True)
class Primary:
    """The primary button: sends `act`, or opens the tab `goto`."""

    label: str
    act: str = ""
    goto: str = ""
    disabled: bool = False
    run: str | None = None
    """The run that the action is for."""
    newest: str | None = None
    """The newest run when the button was drawn. A second click on the same button gets the run of the first."""


def action_bar(reason: Any = "", primary: Primary | Html | None = None, back: str = "", extra: Any = "") -> Html:
    """The bar at the bottom of a tab: back, a sentence, and the primary button."""
    made: Html | str = primary if isinstance(primary, Html) else ""
    if isinstance(primary, Primary):
        made = html(
            '<button type="button" class="btn primary" data-primary{attrs}>{label}</button>',
            attrs=attrs(
                data_act=primary.act or None,
                data_goto=primary.goto or None,
                disabled=primary.disabled,
                data_newest=primary.newest,
                data_run=primary.run,
            ),
            label=primary.label,
        )
    return html(
        '<section class="actions" aria-label="Next step">{back}{extra}<p class="why" '
        'id="why">{reason}</p>{primary}</section>',
        back=back and html('<button type="button" class="btn quiet" data-goto="{back}">Back</button>', back=back),
        extra=extra,
        reason=reason,
        primary=made,
    )


def track(share: float, kind: str = "", label: str = "") -> Html:
    """A thin progress bar, 0 to 1, with a label for screen readers."""
    return html(
        '<span class="track"{attrs}><i class="{kind}" style="width:{width:.1f}%"></i></span>',
        attrs=attrs(role="img", aria_label=label) if label else attrs(aria_hidden="true"),
        kind=kind,
        width=100 * min(1.0, max(0.0, share)),
    )


def meter(title: Any, value: Any, whole: Any, share: float, kind: str = "") -> Html:
    """A labeled amount over a bar: `Memory  3.9 of 24 GB`."""
    return html(
        '<div class="meter"><span class="row"><span class="grow">{title}</span><span><b>{value}</b> '
        '<span class="muted">{whole}</span></span></span>{track}</div>',
        title=title,
        value=value,
        whole=whole,
        track=track(share, kind, f"{title}: {value} {whole}"),
    )


def facts(pairs: Iterable[tuple[Any, Any]]) -> Html:
    """A list of names and values."""
    return html('<dl class="facts">{rows}</dl>', rows=[html("<dt>{k}</dt><dd>{v}</dd>", k=k, v=v) for k, v in pairs])


@dataclass(frozen=True)
class Card:
    """One choice with a title and a sentence. `unavailable_reason` disables it and is shown."""

    value: str
    title: str
    sentence: str
    side: Any = ""
    unavailable_reason: str = ""
    example_in: str = ""
    example_out: str = ""
    small: str = ""
    off_word: str = "Not available"


def cards(name: str, act: str, choices: Sequence[Card], chosen: str, **attributes: Any) -> Html:
    """Choice cards, in three columns or with `class_="two"` in two. They are radio buttons, which can be disabled."""
    return html(
        '<div class="cards {two}" role="radiogroup"{attrs}>{cards}</div>',
        two=attributes.pop("class_", ""),
        attrs=attrs(**attributes),
        cards=[_card(name, act, each, chosen) for each in choices],
    )


def _card(name: str, act: str, card: Card, chosen: str) -> Html:
    off = bool(card.unavailable_reason)
    side = state("idle", card.off_word, "x") if off else (html("<small>{s}</small>", s=card.side) if card.side else "")
    title = html('<span class="t">{t}</span>', t=card.title)
    if side:
        title = html('<span class="row">{t}<span class="right">{side}</span></span>', t=title, side=side)
    example = ""
    if card.example_in:
        example = html(
            '<span class="eg"><span>In</span><span>{i}</span><span>Out</span><span class="out">{o}</span></span>',
            i=Verbatim(card.example_in),
            o=Verbatim(card.example_out),
        )
    return html(
        '<label class="card {off}"><input type="radio"{attrs}><span class="grow">{title}'
        '<span class="muted">{sentence}</span>{example}{small}</span></label>',
        off="off" if off else "",
        attrs=attrs(name=name, value=card.value, data_act=act, checked=card.value == chosen and not off, disabled=off),
        title=title,
        sentence=card.unavailable_reason or card.sentence,
        example=example,
        small=html("<small>{s}</small>", s=card.small) if card.small else "",
    )


def segments(name: str, act: str, choices: Sequence[tuple[str, str, str]], chosen: str, label: str) -> Html:
    """Joined radio buttons: (value, label, reason why it is disabled). Reasons are shown on the line below."""
    return html(
        '<div class="seg" role="radiogroup" aria-label="{label}">{made}</div>',
        label=label,
        made=[
            html(
                '<label{off}><input type="radio"{attrs}>{words}{why}</label>',
                off=attrs(class_="off") if reason else "",
                attrs=attrs(name=name, value=value, data_act=act, checked=value == chosen, disabled=bool(reason)),
                words=words,
                why=reason and html('<span class="sr">: {w}</span>', w=reason),
            )
            for value, words, reason in choices
        ],
    )


def fold(title: Any, summary: Any, body: Any, open_: bool = False, key: str = "") -> Html:
    """A fold with a summary in its title. `open_` counts only when it is first drawn."""
    return html(
        '<details class="fold"{attrs}><summary>{icon}<b>{title}</b><span>{summary}</span></summary>'
        '<div class="body">{body}</div></details>',
        attrs=attrs(open=open_, data_key=key or None, data_opened=open_),
        icon=icon("chevron"),
        title=title,
        summary=summary,
        body=body,
    )


def wrong_words(name: str, error: str) -> Html:
    """The error of a control, if any."""
    return html('<p class="wrong" id="e-{name}" role="alert">{e}</p>', name=name, e=error) if error else Html("")


@dataclass(frozen=True)
class Field:
    """A control with its label, the library's name, help, and its error."""

    name: str
    label: Any
    help: Any = ""
    error: str = ""
    library: str = ""

    def described(self) -> dict[str, Any]:
        """Attributes that tie the control to its error and its help."""
        ids = [f"e-{self.name}"] * bool(self.error) + [f"h-{self.name}"] * bool(self.help)
        return {"aria_describedby": " ".join(ids) or None, "aria_invalid": "true" if self.error else None}

    def around(self, control: Html) -> Html:
        """The field with any control."""
        return html(
            '<div class="field {bad}"><div class="row"><label for="f-{name}">{label}</label>{library}</div>{control}'
            "{error}{help}</div>",
            bad="bad" if self.error else "",
            name=self.name,
            label=self.label,
            library=self.library and html('<small class="mono right" translate="no">{l}</small>', l=self.library),
            control=control,
            error=wrong_words(self.name, self.error),
            help=self.help and html('<p class="help" id="h-{name}">{h}</p>', name=self.name, h=self.help),
        )

    def text(self, value: Any, act: str, **attributes: Any) -> Html:
        """The field with a line of text."""
        return self.around(text_input(self.name, value, act, **self.described(), **attributes))

    def area(self, value: Any, act: str, **attributes: Any) -> Html:
        """The field with several lines of text."""
        return self.around(textarea(self.name, value, act, **self.described(), **attributes))

    def select(self, choices: Sequence[tuple[str, Any]], chosen: str, act: str, **attributes: Any) -> Html:
        """The field with a drop-down."""
        return self.around(select_input(self.name, choices, chosen, act, **self.described(), **attributes))


def text_input(name: str, value: Any, act: str, **attributes: Any) -> Html:
    """A line of text (or, with type="number" and inputmode, a number)."""
    kept = {"type": "text", "autocomplete": "off", **attributes}
    return html(
        '<input class="input {c}"{attrs}>',
        c=kept.pop("class_", ""),
        attrs=attrs(id=f"f-{name}", name=name, value=value, data_act=act or None, **kept),
    )


def textarea(name: str, value: Any, act: str, **attributes: Any) -> Html:
    """Several lines of text."""
    kept = {"rows": 3, **attributes}
    return html(
        '<textarea class="input"{attrs}>\n{value}</textarea>',
        attrs=attrs(id=f"f-{name}", name=name, data_act=act or None, **kept),
        value=value,
    )


def select_input(
    name: str, choices: Sequence[tuple[str, Any]], chosen: str, act: str, off: Collection[str] = (), **attributes: Any
) -> Html:
    """A drop-down of (value, label), a label as `Verbatim` if it is the user's. Those in `off` are disabled.

    With `class_="s"` it is small.
    """
    return html(
        '<span class="select {c}"><select{attrs}>{options}</select>{icon}</span>',
        c=attributes.pop("class_", ""),
        attrs=attrs(id=f"f-{name}", name=name, data_act=act or None, **attributes),
        options=[
            html(
                "<option{attrs}>{words}</option>",
                attrs=attrs(
                    value=value,
                    selected=value == chosen,
                    disabled=value in off and value != chosen,
                    translate="no" if isinstance(words, Verbatim) else None,
                ),
                words=str(words),
            )
            for value, words in choices
        ],
        icon=icon("down"),
    )


def check_input(name: str, words: Any, checked: bool, act: str = "", **attributes: Any) -> Html:
    """A checkbox with its label."""
    return html(
        '<label class="check"><input type="checkbox"{attrs}><span>{words}</span></label>',
        attrs=attrs(id=f"f-{name}", name=name, data_act=act or None, checked=checked, **attributes),
        words=words,
    )

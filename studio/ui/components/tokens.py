"""What the model gets: the tokens of a row, gray for context and blue for learned ones, and the template."""

import re
from collections.abc import Sequence
from itertools import groupby

from studio.schema.report import Preview, TokenView
from studio.ui.components.basic import check_input, tag
from studio.ui.markup import Html, attrs, html

SPECIAL = re.compile(r"<\|?[^<>\s]{1,40}\|?>|\[[A-Z]{2,12}\]|</?s>")
SPEAKERS = {
    "system": "System",
    "user": "Prompt",
    "assistant": "Reply",
    "human": "Prompt",
    "model": "Reply",
    "tool": "Tool",
}
MOST = 6000
"""Maximum number of tokens that are drawn."""


def is_special(text: str) -> bool:
    """Whether a token is a special token of the template."""
    return bool(SPECIAL.fullmatch(text.strip()))


def turns(tokens: Sequence[TokenView]) -> list[tuple[str, list[TokenView]]]:
    """Tokens grouped into turns with names: by the template's special tokens, else by context and learned tokens."""
    starts = {token.text for token in tokens if is_special(token.text) and "start" in token.text}
    if not starts:
        return [
            ("Learned" if learned else "Read", list(part)) for learned, part in groupby(tokens, lambda t: t.learned)
        ]
    made: list[list[TokenView]] = []
    for token in tokens:
        if token.text in starts or not made:
            made.append([])
        made[-1].append(token)
    return [(_speaker(part), part) for part in made]


def _speaker(part: Sequence[TokenView]) -> str:
    words = "".join(token.text for token in part[1:6]).strip().lower()
    return next((title for name, title in SPEAKERS.items() if words.startswith(name)), "Text")


def tokens_panel(preview: Preview, limit: int, special: bool) -> Html:
    """One row as tokens."""
    learned = sum(token.learned for token in preview.tokens)
    cut = preview.full_length - len(preview.tokens)
    whole = f"{len(preview.tokens):,} tokens of {limit:,}, " + (
        f"{cut:,} cut off" if preview.truncated else "nothing cut"
    )
    tokens = preview.tokens[:MOST]
    if preview.label and not learned:
        legend = html(
            '<span><i class="sq b"></i>Read <b>{r:,}</b></span><span><i class="sq"></i>Learned <b>the label</b></span>',
            r=len(preview.tokens),
        )
    else:
        legend = html(
            '<span><i class="sq b"></i>Read <b>{r:,}</b></span><span><i class="sq"></i>Learned <b>{l:,}</b></span>',
            r=len(preview.tokens) - learned,
            l=learned,
        )
    return html(
        '<section class="panel flush" tabindex="0" data-arrows{label}><div class="bar"><div '
        'class="legend">{legend}<span class="muted">{whole}</span></div>'
        '<span class="right">{check}</span></div><div class="{plain}">{turns}{cut}{answer}</div>{more}<div class="bar '
        'foot under" data-under>'
        '<small>Under the pointer</small><span class="tok"></span><span class="mono muted"></span><span '
        'class="muted"></span>'
        '<span class="right small">↵ is a line break</span></div></section>',
        label=attrs(aria_label=f"Row {preview.row} as tokens; left and right arrow keys go to other rows"),
        legend=legend,
        whole=whole,
        check=check_input("special", "Show special tokens", special, "special"),
        plain="" if special else "no-special",
        turns=[_turn(name, part) for name, part in turns(tokens)],
        cut=_cut_off(preview),
        answer=(
            _turn("Worse reply", preview.worse)
            if preview.worse
            else _label(preview.label)
            if preview.label and not learned
            else ""
        ),
        more=html('<p class="bar muted">Only the first {n:,} tokens are drawn.</p>', n=MOST)
        if len(preview.tokens) > MOST
        else "",
    )


def _turn(name: str, part: Sequence[TokenView]) -> Html:
    learned = any(token.learned for token in part)
    return html(
        '<div class="turn"><div><b>{name}</b><br>{tag}</div><div class="toks">{tokens}</div></div>',
        name=name,
        tag=tag("learned", "acc") if learned else tag("read"),
        tokens=[_token(token) for token in part],
    )


def _token(token: TokenView) -> Html:
    special = is_special(token.text)
    text = token.text.replace("\n", "↵").replace("\t", "⇥") or "␣"
    classes = (
        "tok"
        + (" l" if token.learned else "")
        + (" sp" if special or not token.text.strip() else "")
        + (" mark" if special else "")
    )
    return html("<span{attrs}>{text}</span>", attrs=attrs(class_=classes, data_id=token.id), text=text)


def _label(label: str) -> Html:
    return html(
        '<div class="turn"><div><b>Label</b><br>{tag}</div><div class="toks"><span class="tok '
        'l">{label}</span></div></div>',
        tag=tag("learned", "acc"),
        label=label,
    )


def _cut_off(preview: Preview) -> Html:
    """Where the row is truncated, and the tokens behind that."""
    if not preview.truncated:
        return Html("")
    lost = max(len(preview.beyond), preview.full_length - len(preview.tokens))
    return html(
        '<p class="cut-here" role="separator" aria-label="Cut here: what follows is not seen"><span>cut here, at '
        '{limit:,} tokens</span></p><div class="turn gone"><div><b>Cut off</b><br>{tag}</div><div '
        'class="toks">{tokens}{more}</div></div>',
        limit=preview.limit,
        tag=tag(f"{lost:,} tokens", "warn"),
        tokens=[_token(token) for token in preview.beyond],
        more=" …" if lost > len(preview.beyond) else "",
    )


CHAT_TEMPLATE = (
    "chat_template · assistant-only loss",
    "The model’s own template. Words in angle brackets mark who speaks; people never see them.",
)
OWN_SIGNS = (
    "special tokens",
    "Names in curly brackets stand for what is in the row; what else is there the model’s tokenizer adds, and people "
    "never see it.",
)


def template_panel(preview: Preview) -> Html:
    """How a row is formatted by the model's template."""
    if not preview.template:
        return Html("")
    small, words = CHAT_TEMPLATE if preview.templated else OWN_SIGNS
    return html(
        '<section class="panel stack mid" aria-labelledby="tpl"><div class="row"><h2 id="tpl">How a row is put '
        'together</h2><small class="right">{small}</small></div><p class="muted">{words}</p><pre tabindex="0" '
        'aria-label="Template">{template}</pre></section>',
        small=small,
        words=words,
        template=preview.template[:4000],
    )

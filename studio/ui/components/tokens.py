"""What the model gets: the tokens of a row, gray for context and blue for learned ones, and the template."""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from studio.schema.report import Preview, TokenView
from studio.ui.components.basic import check_input, tag
from studio.ui.components.markup import Html, attrs, html

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
    number, learned = len(preview.tokens), sum(token.learned for token in preview.tokens)
    cut = f"{preview.full_length - number:,} truncated" if preview.truncated else "not truncated"
    label = preview.label if not learned else ""
    answer: Html | str = ""
    if preview.worse:
        answer = _turn("Worse reply", preview.worse)
    elif label:
        token = html('<span class="tok l" translate="no">{label}</span>', label=label)
        answer = _named("Label", tag("learned", "acc"), token)
    return html(
        '<section class="panel flush" tabindex="0" data-arrows{label}><div class="bar"><div class="legend"><span><i '
        'class="sq b"></i>Read <b>{read:,}</b></span><span><i class="sq"></i>Learned <b>{learned}</b></span><span '
        'class="muted">{whole}</span></div><span class="right">{check}</span></div><div class="{plain}">{turns}{cut}'
        '{answer}</div>{more}<div class="bar foot under" data-under><small>Pointed at</small><span class="tok" '
        'translate="no"></span><span class="mono muted"></span><span class="muted"></span><span class="right small">'
        "↵ is a line break</span></div></section>",
        label=attrs(aria_label=f"Row {preview.row} as tokens; left and right arrow keys go to other rows"),
        read=number - learned,
        learned="the label" if label else f"{learned:,}",
        whole=f"{number:,} tokens of {limit:,}, {cut}",
        check=check_input("special", "Show special tokens", special, "special"),
        plain="" if special else "no-special",
        turns=[_turn(name, part) for name, part in turns(preview.tokens[:MOST])],
        cut=_cut_off(preview),
        answer=answer,
        more=number > MOST and html('<p class="bar muted">Only the first {n:,} tokens are drawn.</p>', n=MOST),
    )


def _named(name: str, mark: Html, tokens: Any, classes: str = "turn") -> Html:
    return html(
        '<div class="{classes}"><div><b>{name}</b><br>{mark}</div><div class="toks">{tokens}</div></div>',
        classes=classes,
        name=name,
        mark=mark,
        tokens=tokens,
    )


def _turn(name: str, part: Sequence[TokenView]) -> Html:
    learned = any(token.learned for token in part)
    return _named(name, tag("learned", "acc") if learned else tag("read"), [_token(token) for token in part])


def _token(token: TokenView) -> Html:
    special = is_special(token.text)
    text = token.text.replace("\n", "↵").replace("\t", "⇥") or "␣"
    marks = {"l": token.learned, "sp": special or not token.text.strip(), "mark": special}
    classes = " ".join(["tok", *(name for name, on in marks.items() if on)])
    return html("<span{attrs}>{text}</span>", attrs=attrs(class_=classes, data_id=token.id, translate="no"), text=text)


def _cut_off(preview: Preview) -> Html:
    """Where the row is truncated, and the tokens behind that."""
    if not preview.truncated:
        return Html("")
    lost = max(len(preview.beyond), preview.full_length - len(preview.tokens))
    tokens = [*(_token(token) for token in preview.beyond), " …" if lost > len(preview.beyond) else ""]
    return html(
        '<p class="cut-here" role="separator" aria-label="Truncated here: the model does not see the rest">'
        "<span>truncated here, at {limit:,} tokens</span></p>{gone}",
        limit=preview.limit,
        gone=_named("Truncated", tag(f"{lost:,} tokens", "warn"), tokens, "turn gone"),
    )


def template_panel(preview: Preview) -> Html:
    """How a row is formatted by the model's template."""
    if not preview.template:
        return Html("")
    small = "special tokens"
    words = (
        "Names in curly brackets stand for the text of the row. The model’s tokenizer adds the rest, and people never "
        "see it."
    )
    if preview.templated:
        small = "chat_template · assistant-only loss"
        words = "The model’s own template. Words in angle brackets mark who speaks; people never see them."
    return html(
        '<section class="panel stack mid" aria-labelledby="tpl"><div class="row"><h2 id="tpl">How a row is '
        'formatted</h2><small class="right">{small}</small></div><p class="muted">{words}</p><pre tabindex="0" '
        'aria-label="Template">{template}</pre></section>',
        small=small,
        words=words,
        template=preview.template[:4000],
    )

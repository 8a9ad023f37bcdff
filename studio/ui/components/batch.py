"""The first batch of a run, as training gets it: context tokens, learned tokens and padding."""

from itertools import groupby

from studio.schema.numbers import rows as rows_words
from studio.schema.preview import Batch, BatchRow
from studio.ui.components.basic import button, fold
from studio.ui.components.layout import panel, with_button
from studio.ui.components.markup import Html, attrs, html

MOST = 400
"""Maximum tokens of a line that are drawn."""


def batch_panel(batch: Batch | None) -> Html:
    """The batch, or the button that computes it."""
    words, body = "", Html("")
    if batch is None:
        offer = with_button(
            "Shows the rows of the first training step, shuffled and padded to one length. This loads the model, as a "
            "run does.",
            button("Show the first batch", "batch", "s"),
            "muted",
        )
        body = html('<div class="body stack tight">{offer}</div>', offer=offer)
    else:
        padding = 100 * sum(line.padding for line in batch.rows) / max(1, batch.width * len(batch.rows))
        words = f"{rows_words(len(batch.rows))} of {batch.width:,} tokens, {padding:.0f}% padding"
        laid = "" if batch.padded else "This machine packs the rows without padding (padding-free). "
        tokens = html("{lines}", lines=[_tokens(line) for line in batch.rows])
        body = html(
            '<ul class="list batch">{lines}</ul>{tokens}<p class="bar foot small muted">{foot}</p>',
            lines=[_line(line) for line in batch.rows],
            tokens=fold("As tokens", "the whole batch", tokens, key="batch-tokens"),
            foot=f"{laid}One epoch has {batch.steps:,} such batches.",
        )
    return panel("The first batch", "batch", body, html('<span class="right muted">{words}</span>', words=words))


def _name(line: BatchRow) -> str:
    return "Several rows" if line.row is None else f"Row {line.row:,}"


def _line(line: BatchRow) -> Html:
    learned = sum(token.learned for token in line.tokens)
    name = _name(line)
    what = f"the label {line.label}" if line.label else f"{learned:,} learned"
    label_text = f"{name}: {len(line.tokens):,} tokens, {what}, {line.padding:,} padding tokens"
    parts = [(len(list(part)), "l" if mine else "") for mine, part in groupby(line.tokens, lambda t: t.learned)]
    parts += [(line.padding, "p")] if line.padding else []
    return html(
        '<li><span class="who">{who}</span><span class="strip" role="img"{label}>{parts}</span><small class="num">'
        "{n:,} + {p:,}</small></li>",
        who=button(name, "row", "s quiet", value=line.row, aria_label=f"Show {name.lower()}") if line.row else name,
        label=attrs(aria_label=label_text),
        parts=[html('<i class="{c}" style="flex:{n}"></i>', c=css, n=count) for count, css in parts],
        n=len(line.tokens),
        p=line.padding,
    )


def _tokens(line: BatchRow) -> Html:
    return html(
        '<div class="turn"><div><b>{name}</b></div><div class="toks"><span translate="no">{made}</span>{more}{pads}'
        "</div></div>",
        name=_name(line),
        made=[
            html(
                '<span class="tok {l}">{t}</span>',
                l="l" if token.learned else "",
                t=token.text.replace("\n", "↵") or "␣",
            )
            for token in line.tokens[:MOST]
        ],
        more=f" … {len(line.tokens) - MOST:,} more" if len(line.tokens) > MOST else "",
        pads=html('<span class="tok pad">padding × {n:,}</span>', n=line.padding) if line.padding else "",
    )

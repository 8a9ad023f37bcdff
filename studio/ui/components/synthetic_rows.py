"""Review of synthetic rows, each beside its source row."""

from studio.schema.augmentation import MadeRow, Proposals
from studio.schema.numbers import rows as rows_words
from studio.ui.components.basic import button, tag
from studio.ui.components.layout import page_buttons, panel
from studio.ui.components.markup import Html, Verbatim, attrs, html

PAGE = 20


def review_panel(proposals: Proposals, page: int) -> Html:
    """A page of synthetic rows with their verdicts, and buttons for all."""
    kept, waiting, total = proposals.count("kept"), proposals.count("waiting"), len(proposals.rows)
    skipped = f" No usable text was found for {rows_words(proposals.skipped)}." if proposals.skipped else ""
    words = f"{waiting:,} to review · {kept:,} kept · {proposals.count('refused'):,} refused"
    body = html(
        '<ul class="list made">{rows}</ul><div class="bar foot"><span class="muted small">Made by {by}.'
        '{skipped}</span></div><div class="bar foot"><span class="row gap">{all}{none}{forget}</span><span '
        'class="right row">{turn}{use}</span></div>',
        rows=[_proposal(row) for row in proposals.rows[page - 1 : page - 1 + PAGE]],
        by=proposals.made_by,
        skipped=skipped,
        all=button("Keep all unreviewed", "keep-made", "s", disabled=not waiting),
        none=button("Refuse all unreviewed", "refuse-made", "s", disabled=not waiting),
        forget=button("Delete all", "forget-made", "s quiet", confirm="Delete all synthetic rows that were not added?"),
        turn=total > PAGE and page_buttons("made-page", page, total, PAGE),
        use=button(f"Add {rows_words(kept)}", "use-made", "s primary", disabled=not kept),
    )
    side = html('<span class="right muted" role="status">{words}</span>', words=words)
    return panel("Synthetic rows", "made", body, side)


def _proposal(row: MadeRow) -> Html:
    words = {"kept": tag("kept", "ok"), "refused": tag("refused"), "waiting": ""}
    verdicts = (
        ("Keep", "keep-made", "s", row.verdict == "kept"),
        ("Refuse", "refuse-made", "s quiet", row.verdict == "refused"),
    )
    return html(
        '<li{key} class="{verdict}"><span class="grow"><small class="muted">Row {source:,}: {before}</small>'
        '<span class="t">{after}</span></span>{tag}{buttons}</li>',
        key=attrs(data_key=f"m{row.number}"),
        verdict=row.verdict,
        source=row.source,
        before=Verbatim(row.before),
        after=Verbatim(row.after),
        tag=words[row.verdict],
        buttons=[
            button(word, act, kind, number=row.number, aria_label=f"{word} synthetic row {row.number}", disabled=off)
            for word, act, kind, off in verdicts
        ],
    )

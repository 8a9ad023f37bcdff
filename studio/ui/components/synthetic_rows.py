"""Review of made rows, each beside its source row."""

from studio.schema.augmentation import MadeRow, Proposals
from studio.ui.components.basic import button, tag
from studio.ui.markup import Html, attrs, html
from studio.ui.numbers import rows as rows_words

PAGE = 20


def review_panel(proposals: Proposals, page: int) -> Html:
    """A page of made rows with their verdicts, and buttons for all."""
    kept = proposals.count("kept")
    waiting, page_rows = proposals.count("waiting"), proposals.rows[page - 1 : page - 1 + PAGE]
    skipped = f" For {proposals.skipped:,} rows nothing honest could be made." if proposals.skipped else ""
    return html(
        '<section class="panel flush" aria-labelledby="made"><div class="bar"><h2 id="made">Rows made from yours</h2>'
        '<span class="right muted" role="status">{words}</span></div><ul class="list made">{rows}</ul>'
        '<div class="bar foot"><span class="muted small">Marked as made by {by}.{skipped}</span></div>'
        '<div class="bar foot"><span class="row gap">{all}{none}{forget}</span><span class="right row">{back}{on}{use}'
        "</span></div></section>",
        words=f"{waiting:,} wait · {kept:,} kept · {proposals.count('refused'):,} refused",
        rows=[_proposal(row) for row in page_rows],
        by=proposals.made_by,
        skipped=skipped,
        all=button("Keep all that wait", "keep-made", "s", disabled=not waiting),
        none=button("Refuse all that wait", "refuse-made", "s", disabled=not waiting),
        forget=button("Throw away", "forget-made", "s quiet", confirm="Throw away the made rows?"),
        back=button("Previous", "made-page", "s", disabled=page <= 1, value=max(1, page - PAGE))
        if len(proposals.rows) > PAGE
        else "",
        on=button("Next", "made-page", "s", disabled=page + PAGE > len(proposals.rows), value=page + PAGE)
        if len(proposals.rows) > PAGE
        else "",
        use=button(f"Add {rows_words(kept)}", "use-made", "s primary", disabled=not kept),
    )


def _proposal(row: MadeRow) -> Html:
    words = {"kept": tag("kept", "ok"), "refused": tag("refused"), "waiting": ""}
    return html(
        '<li{key} class="{verdict}"><span class="grow"><small class="muted">Row {source:,}: {before}</small>'
        '<span class="t">{after}</span></span>{tag}{keep}{refuse}</li>',
        key=attrs(data_key=f"m{row.number}"),
        verdict=row.verdict,
        source=row.source,
        before=row.before,
        after=row.after,
        tag=words[row.verdict],
        keep=button(
            "Keep",
            "keep-made",
            "s",
            number=row.number,
            aria_label=f"Keep made row {row.number}",
            disabled=row.verdict == "kept",
        ),
        refuse=button(
            "Refuse",
            "refuse-made",
            "s quiet",
            number=row.number,
            aria_label=f"Refuse made row {row.number}",
            disabled=row.verdict == "refused",
        ),
    )

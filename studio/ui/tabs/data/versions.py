"""The view of a dataset's versions: what each changed, comparison of two, and restoring one. Part of the Data tab."""

from studio.schema.dataset import DatasetRecord
from studio.schema.views import Comparison, RowChange
from studio.services.datasets.subprocess_jobs import Cancelled
from studio.ui.components.basic import button, segments, select_input, tag
from studio.ui.jobs import JOBS, Job, Key
from studio.ui.markup import Html, attrs, html
from studio.ui.numbers import ago
from studio.ui.numbers import rows as rows_words
from studio.ui.session import Visit

PAGE = 12
CELL = 300
WORDS = {"added": ("added", "ok"), "removed": ("removed", "error"), "changed": ("changed", "warn")}


def drawn(visit: Visit) -> Html:
    """All versions, and below them a comparison of two."""
    record = visit.studio.datasets.get(visit.choices.dataset)
    known = visit.studio.versions.all(record.id)
    return html(
        '<div class="stack"><section class="panel flush" aria-label="Versions"><ul class="list opts">{rows}</ul>'
        '<p class="bar foot small">Nothing is thrown away: each version stays until the dataset is deleted.</p>'
        "</section>{compared}</div>",
        rows=[_version(each, record) for each in reversed(known)],
        compared=_compared(visit, known) if len(known) > 1 else "",
    )


def _version(each: DatasetRecord, current: DatasetRecord) -> Html:
    here = each.version == current.version
    back = button(
        "Use this one", "version", "s", version=each.version, aria_label=f"Use version {each.version}", stay="yes"
    )
    return html(
        '<li><span class="grow"><span class="row"><b>Version {v}</b>{now}</span>'
        "<small>{rows} · {when} · {note}</small></span>{back}</li>",
        v=each.version,
        now=tag("current", "ok") if here else "",
        rows=rows_words(each.rows),
        when=ago(each.created),
        note=each.note,
        back="" if here else back,
    )


def chosen(visit: Visit, known: list[DatasetRecord]) -> tuple[int, int]:
    """The two versions to compare: the chosen ones, else the last two."""
    kept = visit.choices.extra.get("compared") or {}
    numbers = [each.version for each in known]
    if kept.get("of") == visit.choices.dataset and {kept.get("before"), kept.get("after")} <= set(numbers):
        return kept["before"], kept["after"]
    return numbers[-2], numbers[-1]


def _compared(visit: Visit, known: list[DatasetRecord]) -> Html:
    before, after = chosen(visit, known)
    kept = visit.choices.extra.get("compared") or {}
    if not visit.studio.versions.is_compared(visit.choices.dataset, before, after):
        return _progress(visit, known, before, after)
    only, start = kept.get("only", ""), max(1, kept.get("start", 1))
    comparison = visit.studio.versions.compare(visit.choices.dataset, before, after, start, PAGE, only)
    kinds = [("", f"All {comparison.added + comparison.removed + comparison.changed:,}", "")]
    kinds += [(kind, f"{getattr(comparison, kind):,} {words}", "") for kind, (words, _) in WORDS.items()]
    return html(
        '<section class="panel flush" aria-labelledby="cmp"><div class="bar wrap"><h2 id="cmp">Compare</h2>{pair}'
        '<span class="right">{kinds}</span></div>{columns}{table}{foot}</section>',
        pair=_pair(known, before, after),
        kinds=segments("only", "compare", kinds, only, "Rows shown"),
        columns=_columns(comparison),
        table=_table(comparison),
        foot=_foot(comparison),
    )


def _pair(known: list[DatasetRecord], before: int, after: int) -> Html:
    """Selectors of the two versions."""
    versions = [(str(each.version), f"Version {each.version}") for each in known]
    return html(
        '{one}<span class="muted">with</span>{other}',
        one=select_input("before", versions, str(before), "compare", small=True, label="Earlier version"),
        other=select_input("after", versions, str(after), "compare", small=True, label="Later version"),
    )


def _progress(visit: Visit, known: list[DatasetRecord], before: int, after: int) -> Html:
    """The progress of a comparison of many rows in a subprocess. The page polls it."""
    key = _key(visit, before, after)
    job = JOBS.get(key)
    if visit.choices.extra.get("not_compared") == key[1] and job is None:
        body = html(
            '<p class="muted">These two were not compared.</p><div class="row">{b}</div>',
            b=button("Compare them", "compare-again", "s"),
        )
    else:
        body = html(
            '<p class="muted" role="status">Comparing{s} …</p><div class="row">{b}</div>'
            '<i hidden data-poll="{wait}" data-repeat data-act="compare-look"></i>',
            s=f": {job.seconds:.0f} s" if job else "",
            b=button("Stop", "stop-comparing", "s", aria_label="Stop comparing"),
            wait=500 if job else 100,
        )
    return html(
        '<section class="panel flush" aria-labelledby="cmp"><div class="bar wrap"><h2 id="cmp">Compare</h2>{pair}</div>'
        '<div class="body stack tight">{body}</div></section>',
        pair=_pair(known, before, after),
        body=body,
    )


def _key(visit: Visit, before: int, after: int) -> Key:
    return visit.workspace, f"comparing {visit.choices.dataset} {before} {after}"


def _columns(comparison: Comparison) -> Html | str:
    words = [("New columns", comparison.columns_added), ("Columns that are gone", comparison.columns_removed)]
    sentences = [f"{title}: {', '.join(names)}." for title, names in words if names]
    return html('<p class="body muted">{s}</p>', s=" ".join(sentences)) if sentences else ""


def _table(comparison: Comparison) -> Html:
    if not comparison.rows:
        return html('<p class="body muted">No row differs: {n} are the same.</p>', n=rows_words(comparison.same))
    wide = max(0, len(comparison.columns) - 4) * 150 + 640
    return html(
        '<div class="scroll-x" role="region" tabindex="0" aria-label="Rows that differ, scrolls sideways"><table '
        'class="grid-table compared"{style}><colgroup><col style="width:72px"><col style="width:96px">{cols}</colgroup>'
        '<thead><tr><th>Row</th><th><span class="sr">What happened</span></th>{heads}</tr></thead>'
        "<tbody>{rows}</tbody></table></div>",
        style=attrs(style=f"min-width:{wide}px"),
        cols=[Html("<col>") for _ in comparison.columns],
        heads=[html("<th>{c}</th>", c=column) for column in comparison.columns],
        rows=[_row(each, comparison.columns) for each in comparison.rows],
    )


def _row(change: RowChange, columns: tuple[str, ...]) -> Html:
    words, kind = WORDS[change.kind]
    number = change.after if change.after is not None else change.before
    return html(
        '<tr{key}><td class="idx num">{n:,}</td><td>{tag}</td>{cells}</tr>',
        key=attrs(data_key=f"c{change.before}-{change.after}"),
        n=number,
        tag=tag(words, kind),
        cells=[_cell(change, column) for column in columns],
    )


def _cell(change: RowChange, column: str) -> Html:
    """A changed cell shows both texts, the old one struck out."""
    if column not in change.changed:
        return html("<td{a}>{t}</td>", a=attrs(class_="muted"), t=change.cells.get(column, "")[:CELL])
    before, after = change.changed[column]
    return html(
        '<td class="changed"><del>{before}</del> <ins>{after}</ins></td>',
        before=before[:CELL] or "nothing",
        after=after[:CELL] or "nothing",
    )


def _foot(comparison: Comparison) -> Html:
    last = comparison.start + len(comparison.rows) - 1
    words = f"Differences {comparison.start:,} to {last:,} of {comparison.total:,}" if comparison.rows else ""
    return html(
        '<div class="bar foot"><span class="muted" aria-live="polite">{words} · {same} the same</span>'
        '<span class="right row">{back}{on}</span></div>',
        words=words,
        same=rows_words(comparison.same),
        back=button(
            "Previous",
            "compare",
            "s",
            disabled=comparison.start <= 1,
            name="start",
            value=max(1, comparison.start - PAGE),
            aria_label="Previous differences",
        ),
        on=button(
            "Next",
            "compare",
            "s",
            disabled=last >= comparison.total,
            name="start",
            value=comparison.start + PAGE,
            aria_label="Next differences",
        ),
    )


def compare(visit: Visit) -> None:
    """Choose the two versions, the kind of rows, or another page."""
    known = visit.studio.versions.all(visit.choices.dataset)
    if len(known) < 2:
        return
    before, after = chosen(visit, known)
    kept = visit.choices.extra.get("compared") or {}
    now = {"of": visit.choices.dataset, "before": before, "after": after, "only": kept.get("only", ""), "start": 1}
    name = visit.text("name", 20)
    if name == "only":
        now["only"] = visit.text("value") if visit.text("value") in WORDS else ""
    elif name in ("before", "after", "start"):
        now[name] = max(1, visit.whole("value", 1))
    visit.remember(compared=now)


def update(visit: Visit) -> None:
    """Start the comparison, or update its progress."""
    known = visit.studio.versions.all(visit.choices.dataset)
    if len(known) < 2:
        return
    before, after = chosen(visit, known)
    key, studio, dataset = _key(visit, before, after), visit.studio, visit.choices.dataset
    if visit.choices.extra.get("not_compared") == key[1] or studio.versions.is_compared(dataset, before, after):
        JOBS.take(key)
        return
    over = JOBS.take(key)
    if over is not None and over.error is not None:
        visit.remember(not_compared=key[1])
        if not isinstance(over.error, Cancelled):
            raise over.error
    elif over is None and JOBS.get(key) is None:
        JOBS.begin(
            key,
            Job("Comparing"),
            lambda job: studio.jobs.compare_versions(dataset, before, after, job.read, job.cancelled),
        )


def stop(visit: Visit) -> None:
    """Stop the comparison."""
    before, after = chosen(visit, visit.studio.versions.all(visit.choices.dataset))
    key = _key(visit, before, after)
    JOBS.cancel(key)
    visit.remember(not_compared=key[1])


def again(visit: Visit) -> None:
    """Start the stopped comparison again."""
    visit.remember(not_compared="")
    update(visit)


ACTS = {"compare": compare, "compare-look": update, "stop-comparing": stop, "compare-again": again}

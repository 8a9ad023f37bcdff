"""The view of a dataset's versions: what each changed, comparison of two, and restoring one. Part of the Data tab."""

from studio.schema.dataset import DatasetRecord
from studio.schema.numbers import ago
from studio.schema.numbers import rows as rows_words
from studio.schema.views import Comparison, Page, RowChange
from studio.services.datasets.subprocess_jobs import Cancelled
from studio.ui.components.basic import button, segments, select_input, tag
from studio.ui.components.layout import foot, page_buttons, panel, poll, with_button
from studio.ui.components.markup import Html, Verbatim, attrs, html, join
from studio.ui.jobs import JOBS, Job, Key
from studio.ui.visitors.session import Visit

PAGE = 12
CELL = 300
WORDS = {"added": ("added", "ok"), "removed": ("removed", "error"), "changed": ("changed", "warn")}


def drawn(visit: Visit) -> Html:
    """All versions, and below them a comparison of two."""
    record = visit.studio.datasets.get(visit.choices.dataset)
    known = visit.studio.versions.all(record.id)
    return html(
        '<div class="stack"><section class="panel flush" aria-label="Versions"><ul class="list opts">{rows}</ul>'
        '<p class="bar foot small">Each version stays until you delete the dataset.</p>'
        "</section>{compared}</div>",
        rows=[_version(each, record) for each in reversed(known)],
        compared=_compared(visit, known) if len(known) > 1 else "",
    )


def _version(each: DatasetRecord, current: DatasetRecord) -> Html:
    here, name = each.version == current.version, f"Use version {each.version}"
    return html(
        '<li><span class="grow"><span class="row"><b>Version {v}</b>{now}</span>'
        "<small>{rows} · {when} · {note}</small></span>{back}</li>",
        v=each.version,
        now=here and tag("current", "ok"),
        rows=rows_words(each.rows),
        when=ago(each.created),
        note=each.note,
        back=not here and button("Use this version", "version", "s", version=each.version, aria_label=name, stay="yes"),
    )


def chosen(visit: Visit, known: list[DatasetRecord]) -> tuple[int, int]:
    """The two versions to compare: the chosen ones, else the last two."""
    kept = visit.choices.extra.get("compared_versions") or {}
    numbers = [each.version for each in known]
    if kept.get("of") == visit.choices.dataset and {kept.get("before"), kept.get("after")} <= set(numbers):
        return kept["before"], kept["after"]
    return numbers[-2], numbers[-1]


def _compared(visit: Visit, known: list[DatasetRecord]) -> Html:
    before, after = chosen(visit, known)
    kept = visit.choices.extra.get("compared_versions") or {}
    versions, small = [(str(each.version), f"Version {each.version}") for each in known], {"class_": "s"}
    pair = html(
        '{one}<span class="muted">with</span>{other}',
        one=select_input("before", versions, str(before), "compare", aria_label="Earlier version", **small),
        other=select_input("after", versions, str(after), "compare", aria_label="Later version", **small),
    )
    if not visit.studio.versions.is_compared(visit.choices.dataset, before, after):
        body = html('<div class="body stack tight">{p}</div>', p=_progress(visit, _key(visit, before, after)))
        return panel("Compare", "cmp", body, pair, "bar wrap")
    only, start = kept.get("only", ""), max(1, kept.get("start", 1))
    comparison = visit.studio.versions.compare(visit.choices.dataset, before, after, Page(start, PAGE), only)
    kinds = [("", f"All {comparison.added + comparison.removed + comparison.changed:,}", "")]
    kinds += [(kind, f"{getattr(comparison, kind):,} {words}", "") for kind, (words, _) in WORDS.items()]
    side = html('<span class="right">{s}</span>', s=segments("only", "compare", kinds, only, "Rows side"))
    body = html("{c}{t}{f}", c=_columns(comparison), t=_table(comparison), f=_foot(comparison))
    return panel("Compare", "cmp", body, pair + side, "bar wrap")


def _progress(visit: Visit, key: Key) -> Html:
    """The progress of a comparison of many rows in a subprocess. The page polls it."""
    job = JOBS.get(key)
    if visit.choices.extra.get("not_compared") == key[1] and job is None:
        return with_button("These versions have not been compared.", button("Compare", "compare-again", "s"), "muted")
    return html(
        '<p class="muted" role="status">Comparing{s} …</p><div class="row">{b}</div>{poll}',
        s=f": {job.seconds:.0f} s" if job else "",
        b=button("Stop", "stop-comparing", "s", aria_label="Stop comparing"),
        poll=poll("compare-look", 500 if job else 100),
    )


def _key(visit: Visit, before: int, after: int) -> Key:
    return visit.workspace, f"comparing {visit.choices.dataset} {before} {after}"


def _columns(comparison: Comparison) -> Html | str:
    words = [("New columns", comparison.columns_added), ("Removed columns", comparison.columns_removed)]
    lists = [html("<span>{t}:</span> {n}.", t=title, n=Verbatim(", ".join(names))) for title, names in words if names]
    return html('<p class="body muted">{s}</p>', s=join(lists, " ")) if lists else ""


def _table(comparison: Comparison) -> Html:
    if not comparison.rows:
        return html('<p class="body muted">No row differs: {n} are the same.</p>', n=rows_words(comparison.same))
    wide = max(0, len(comparison.columns) - 4) * 150 + 640
    return html(
        '<div class="scroll-x" role="region" tabindex="0" aria-label="Rows that differ, scrolls sideways"><table '
        'class="grid-table compared"{style}><colgroup><col style="width:72px"><col style="width:96px">{cols}</colgroup>'
        '<thead><tr><th>Row</th><th><span class="sr">Change</span></th>{heads}</tr></thead>'
        "<tbody>{rows}</tbody></table></div>",
        style=attrs(style=f"min-width:{wide}px"),
        cols=[Html("<col>") for _ in comparison.columns],
        heads=[html('<th translate="no">{c}</th>', c=column) for column in comparison.columns],
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
        return html("<td{a}>{t}</td>", a=attrs(class_="muted", translate="no"), t=change.cells.get(column, "")[:CELL])
    before, after = change.changed[column]
    return html(
        '<td class="changed"><del>{before}</del> <ins>{after}</ins></td>',
        before=Verbatim(before[:CELL]) or "empty",
        after=Verbatim(after[:CELL]) or "empty",
    )


def _foot(comparison: Comparison) -> Html:
    last = comparison.start + len(comparison.rows) - 1
    words = f"Differences {comparison.start:,} to {last:,} of {comparison.total:,}" if comparison.rows else ""
    turn = page_buttons("compare", comparison.start, comparison.total, PAGE, "differences", name="start")
    return foot(f"{words} · {rows_words(comparison.same)} the same", turn)


def compare(visit: Visit) -> None:
    """Choose the two versions, the kind of rows, or another page."""
    known = visit.studio.versions.all(visit.choices.dataset)
    if len(known) < 2:
        return
    before, after = chosen(visit, known)
    kept = visit.choices.extra.get("compared_versions") or {}
    now = {"of": visit.choices.dataset, "before": before, "after": after, "only": kept.get("only", ""), "start": 1}
    name = visit.text("name", 20)
    if name == "only":
        now["only"] = visit.text("value") if visit.text("value") in WORDS else ""
    elif name in ("before", "after", "start"):
        now[name] = max(1, visit.whole("value", 1))
    visit.remember(compared_versions=now)


def update(visit: Visit) -> None:
    """Start the comparison, or update its progress."""
    known = visit.studio.versions.all(visit.choices.dataset)
    if len(known) < 2:
        return
    before, after = chosen(visit, known)
    key, studio, dataset = _key(visit, before, after), visit.studio, visit.choices.dataset
    over = JOBS.take(key)
    if visit.choices.extra.get("not_compared") == key[1] or studio.versions.is_compared(dataset, before, after):
        return
    if over is not None and over.error is not None:
        visit.remember(not_compared=key[1])
        if not isinstance(over.error, Cancelled):
            raise over.error
    elif over is None and JOBS.get(key) is None:

        def compare_versions(job: Job) -> None:
            studio.jobs.compare_versions(dataset, before, after, job.watch)

        JOBS.begin(key, Job("Comparing"), compare_versions)


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

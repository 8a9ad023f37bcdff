"""The report of the data checks with buttons, and the splits."""

from studio.schema.dataset import CheckReport, Problem, SplitCounts
from studio.schema.errors import StudioError
from studio.schema.numbers import share
from studio.ui.components.basic import alert, attrs, button, state, without_flags
from studio.ui.components.icons import icon
from studio.ui.components.layout import panel
from studio.ui.components.markup import Html, html

ICONS = {
    "error": ("error", "error", "Error:"),
    "warning": ("warn", "warn", "Warning:"),
    "note": ("idle", "info", "Note:"),
}


def doctor_panel(report: CheckReport | None, refused: StudioError | None, version: int, change: str = "") -> Html:
    """The problems, worst first, with buttons to fix them.

    `version`: the newest one. `change`: what the current version changed, empty for the first.
    """
    if report is None:
        why = alert(refused) if refused else html('<p class="muted">Nothing to check yet.</p>')
        return panel("Data checks", "doc", html('<div class="body">{why}</div>', why=why))
    usable = state("error" if report.blocked else "ok", f"{report.usable:,} of {report.rows:,} rows can be used")
    problems = sorted(report.problems, key=lambda problem: list(ICONS).index(problem.severity))
    listed = html('<p class="body muted">No problems found: no duplicates, no empty cells, nothing unreadable.</p>')
    foot = "" if change else "Your rows stay as they are."
    if problems:
        listed = html('<ul class="list doctor">{rows}</ul>', rows=[_finding(each) for each in problems])
        foot = f"A fix makes version {version + 1} and notes what it changed. Version {version} stays."
    done = change and html('<p class="body changed-note"><b>Changed:</b> <span>{change}</span></p>', change=change)
    body = html(
        "{done}{list}{foot}",
        done=done,
        list=listed,
        foot=foot and html('<p class="bar foot small">{foot}</p>', foot=foot),
    )
    return panel("Data checks", "doc", body, html('<span class="right">{usable}</span>', usable=usable))


def _finding(problem: Problem) -> Html:
    kind, icon_name, word = ICONS[problem.severity]
    words, name = short_fix(problem.fix), f"{problem.fix}: {problem.message}"
    fix = button(words, "fix", "s", finding=problem.kind, aria_label=name) if problem.fix else ""
    show: Html | str = ""
    if problem.rows:
        name = f"Show: {problem.message}"
        show = button(
            "Show", "only", "s quiet", finding=problem.kind, row=problem.rows[0], aria_label=name, shows="rows"
        )
    fixing = problem.fix[:1].lower() + problem.fix[1:]
    remedy = f" The fix: {fixing}." if problem.fix and words == "Fix" else ""
    return html(
        '<li{key}><span class="state {kind}">{icon}<span class="sr">{word}</span></span><span class="grow"><span '
        'class="t">{message}</span><small>{why}</small></span>{fix}{show}</li>',
        key=attrs(data_key=f"p-{problem.kind}-{problem.message[:40]}"),
        kind=kind,
        icon=icon(icon_name),
        word=word,
        message=without_flags(problem.message).rstrip("."),
        why=f"{problem.why}{remedy}",
        fix=fix,
        show=show,
    )


def short_fix(fix: str) -> str:
    """The first words of a fix, for its button."""
    for words in ("Leave out", "Remove", "Mask", "Move", "Merge", "Rename"):
        if fix.lower().startswith(words.lower()) or (words == "Leave out" and fix.startswith("Leave")):
            return words
    return "Fix"


def splits_panel(counts: SplitCounts | None, seed: int, changing: Html | None) -> Html:
    """Train, validation and test rows, as a bar and in numbers."""
    if counts is None:
        return Html("")
    total = max(1, counts.train + counts.validation + counts.test)
    parts = (
        ("train", counts.train, "trains the model", ""),
        ("validation", counts.validation, "picks the best checkpoint", "v"),
        ("test", counts.test, "only for Evaluate", "x"),
    )
    return html(
        '<section class="panel stack mid" aria-labelledby="spl"><div class="row"><h2 id="spl">Splits</h2><small '
        'class="right">seed {seed}</small></div><div class="split" role="img"{label}>{bar}</div><div class="row '
        'splits">{words}</div>{because}{change}</section>',
        seed=seed,
        label=attrs(aria_label=f"{counts.train} rows train, {counts.validation} validation, {counts.test} test"),
        bar=[html('<i class="{c}" style="flex:{n}"></i>', c=css, n=n) for _, n, _, css in parts if n],
        words=[
            html(
                "<span><b>{n:,}</b> {name}<small>{what}</small></span>",
                n=n,
                name=name,
                what=f"{share(n / total)}, {what}" if n else "none",
            )
            for name, n, what, _ in parts
        ],
        because=html('<p class="muted small">{b}</p>', b=counts.because) if counts.because else "",
        change=changing or html('<div class="row">{b}</div>', b=button("Change splits", "shares", "s")),
    )

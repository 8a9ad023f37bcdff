"""The limits of a public demo as sentences, above the tabs and at the upload."""

from studio.schema.limits import MB, Limits
from studio.schema.numbers import duration, size
from studio.ui.components.icons import icon
from studio.ui.components.markup import Html, html


def where(account: str = "") -> str:
    """Who can see what a visitor has. `account`: the name of a visitor who is signed in."""
    return "Only you can see your rows and runs." if account else "Only this browser can see your rows and runs."


def banner(limits: Limits) -> Html:
    """A banner about the demo: how long data is kept, and the limits."""
    kept = (
        f"The demo deletes them {duration(limits.workspace_hours * 3600)} after your last visit."
        if limits.workspace_hours
        else "The owner of this demo may delete them at any time."
    )
    return html(
        '<section class="banner demo" aria-label="Public demo"><p class="row wrap">{i}<b>Public demo</b>'
        "<span><span data-where>{w}</span> {k}</span>"
        '</p><details class="limits"><summary>Limits of this demo</summary><ul>{l}</ul></details></section>',
        i=icon("info"),
        w=where(),
        k=kept,
        l=[html("<li>{s}</li>", s=each) for each in sentences(limits)],
    )


def sentences(limits: Limits) -> list[str]:
    """The limits of a visitor, a sentence for each kind that is set."""
    kinds = {
        "Files": files(limits),
        "Training": _listed(
            (limits.running_runs, f"{limits.running_runs} running and {limits.waiting_runs} queued runs at a time"),
            (limits.run_minutes, f"{limits.run_minutes:g} minutes"),
            (limits.run_steps, f"{limits.run_steps:,} training steps"),
            (limits.run_rows, f"{limits.run_rows:,} training rows"),
        ),
        "Chat": _listed((limits.chat_tokens, f"{limits.chat_tokens:,} tokens per reply")),
        "Disk space": _listed(
            (limits.workspace_mb, f"{size(limits.workspace_mb * MB)} for your datasets, runs and exports together")
        ),
    }
    return [f"{kind}: up to {limit}." for kind, limit in kinds.items() if limit]


def files(limits: Limits) -> str:
    """The limits of a file. Empty when there are none."""
    return _listed(
        (limits.upload_mb, f"{limits.upload_mb} MB"),
        (limits.rows_per_dataset, f"{limits.rows_per_dataset:,} rows"),
        (limits.columns_per_dataset, f"{limits.columns_per_dataset} columns"),
    )


def _listed(*limits: tuple[float, str]) -> str:
    return ", ".join(words for limit, words in limits if limit)

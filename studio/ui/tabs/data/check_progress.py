"""Data checks of many rows in the background, while the table is shown. Part of the Data tab."""

from studio.schema.dataset import DatasetRecord, SplitSpec
from studio.schema.numbers import rows as rows_words
from studio.services.datasets.subprocess_jobs import Cancelled
from studio.ui.components.basic import button, track
from studio.ui.components.layout import poll, stack, with_button
from studio.ui.components.markup import Html, html
from studio.ui.jobs import JOBS, Job, Key
from studio.ui.visitors.session import Visit

TOLD = 20_000
"""When at most this many rows remain, the page says that rows are compared."""
MANY = 5_000
"""Minimum number of rows that are checked in a subprocess, after the table is shown."""


def check_key(visit: Visit) -> str:
    """A key for the rows and roles that are checked."""
    record = visit.studio.datasets.get(visit.choices.dataset)
    roles = sorted(record.spec.roles.items()) if record.spec else ""
    return f"{record.id} {record.version} {visit.choices.task} {roles}"


def needs_check(visit: Visit, record: DatasetRecord) -> bool:
    """Whether many rows were not checked yet."""
    if record.rows <= MANY or visit.choices.extra.get("refused") == check_key(visit):
        return False
    return not visit.studio.checks.is_cached(record.id, visit.choices.task)


def check(visit: Visit) -> None:
    """Start the checks, or update their progress."""
    key, chosen = check_key(visit), visit.choices
    if chosen.extra.get("stopped") == key:
        return
    over = JOBS.take(_key(visit, key))
    if over is not None:
        if isinstance(over.error, Cancelled):
            visit.remember(stopped=key)
        elif over.error is not None:
            visit.remember(refused=key)
        return
    if JOBS.get(_key(visit, key)) is not None:
        return
    record, studio = visit.studio.datasets.get(chosen.dataset), visit.studio
    splits = {name: chosen.settings[name] for name in SplitSpec.model_fields if name in chosen.settings}
    JOBS.begin(
        _key(visit, key),
        Job("Checking", total=record.rows),
        lambda job: studio.jobs.check(record.id, chosen.task, job.watch, **splits),
    )


def stop(visit: Visit) -> None:
    """Stop the checks. The rows can be used without them."""
    key = check_key(visit)
    JOBS.cancel(_key(visit, key))
    visit.remember(stopped=key)


def again(visit: Visit) -> None:
    """Start the stopped checks again."""
    visit.remember(stopped="")
    check(visit)


def panel(visit: Visit, record: DatasetRecord) -> Html:
    """The progress of the checks, or that they were stopped."""
    key = check_key(visit)
    job = JOBS.get(_key(visit, key))
    if visit.choices.extra.get("stopped") == key and job is None:
        words = "These rows have not been checked yet. Training checks them before it starts."
        return stack("Data checks", "doc", with_button(words, button("Check the rows", "look-again", "s"), "muted"))
    done = min(job.done if job else 0, record.rows)
    words = f"Checking {rows_words(record.rows)}" + (f": {done:,} done" if done else " …")
    if done and done > record.rows - TOLD:
        words += ". Comparing rows with each other."
    body = html(
        '{bar}<p class="muted" role="status">{words}</p><div class="row">{b}</div>{poll}',
        bar=track(done / max(1, record.rows), "", f"{done:,} of {record.rows:,} rows"),
        words=words,
        b=button("Stop", "stop-looking", "s", aria_label="Stop checking the rows"),
        poll=poll("check", 400 if job else 100),
    )
    return stack("Data checks", "doc", body)


def _key(visit: Visit, key: str) -> Key:
    return visit.workspace, f"looking {key}"


ACTS = {"check": check, "stop-looking": stop, "look-again": again}

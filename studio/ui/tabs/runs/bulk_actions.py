"""Bulk actions on the ticked runs: delete or archive them, from the action bar. Active runs are left alone."""

from collections.abc import Sequence

from studio.schema.numbers import plural, runs, size
from studio.schema.runs import ACTIVE, RunRecord
from studio.ui.components.basic import Primary, action_bar, button, final
from studio.ui.components.markup import Html, html
from studio.ui.components.run_table import Line
from studio.ui.tabs.runs.compare import TICKED, ticked
from studio.ui.visitors.session import Visit


def bar(lines: Sequence[Line], archived: bool) -> Html:
    """The action bar for the ticked runs. `archived`: the table shows archived runs."""
    primary = Primary("New run", "new-run")
    chosen = [each for each in lines if each.chosen]
    if not chosen:
        return action_bar("Start another run, or open one in the list.", primary)
    able = [each for each in chosen if each.record.status not in ACTIVE]
    stays = _stays(len(chosen) - len(able))
    extra = [button("Select none", "choose-several", "quiet", runs=""), _acts(able, archived, stays) if able else ""]
    if len(lines) > len(chosen):
        extra.insert(0, button(f"Select all {len(lines)}", "choose-several", "quiet", runs=_ids(lines)))
    reason = html("<b>{n}</b> selected.{s}", n=runs(len(chosen)), s=f" {stays}" if stays else "")
    return action_bar(reason, primary, extra=extra)


def _ids(lines: Sequence[Line]) -> str:
    return " ".join(each.record.id for each in lines)


def _acts(able: Sequence[Line], archived: bool, stays: str) -> Html:
    many, ids = runs(len(able)), _ids(able)
    used = size(sum(each.bytes for each in able))
    question = f"Delete {many} with their curves, logs, checkpoints and fine-tuned models, {used}? {stays}"
    if len(able) == 1:
        question = f"Delete 1 run with its curve, log, checkpoints and fine-tuned model, {used}? {stays}"
    one, several = ("Unarchive {n} run", "Unarchive {n} runs") if archived else ("Archive {n} run", "Archive {n} runs")
    return html(
        "{d}{a}",
        d=button(
            plural(len(able), "Delete {n} run", "Delete {n} runs"),
            "delete-several",
            "danger",
            "bin",
            runs=ids,
            confirm=final(question.strip()),
        ),
        a=button(plural(len(able), one, several), "archive-several", runs=ids, to="" if archived else "yes"),
    )


def _stays(number: int) -> str:
    """A sentence about active runs, which are left alone."""
    if not number:
        return ""
    return "1 active run does not change." if number == 1 else f"{number} active runs do not change."


def choose(visit: Visit) -> None:
    """Tick these runs, and no others."""
    ids = visit.text("runs").split()
    visit.remember(compared=[each.id for each in _here(visit, ids)][-TICKED:])


def delete(visit: Visit) -> None:
    """Delete the runs that the question named."""
    ids = visit.text("runs").split()
    stay = {each.id for each in visit.studio.runs.delete_many([each.id for each in _here(visit, ids)])}
    gone = len(set(ids) - stay)
    visit.done_message = plural(gone, "{n} run was deleted.", "{n} runs were deleted.") if gone else ""
    _untick(visit, set(ids) - stay)
    if visit.choices.run in set(ids) - stay:
        visit.choose(run="", reached=())


def archive(visit: Visit) -> None:
    """Archive or unarchive runs. Active ones are left alone."""
    ids, aside = visit.text("runs").split(), bool(visit.text("to", 5))
    stay = {each.id for each in _here(visit, ids) if aside and each.status in ACTIVE}
    for record in _here(visit, ids):
        if record.id not in stay:
            visit.studio.saved.annotate(record.id, archived=aside)
    _untick(visit, set(ids) - stay)


def _here(visit: Visit, ids: Sequence[str]) -> list[RunRecord]:
    """The runs that still exist: another tab may have deleted some."""
    return [each for each in visit.studio.runs.all() if each.id in ids]


def _untick(visit: Visit, gone: set[str]) -> None:
    visit.remember(compared=[each for each in ticked(visit) if each not in gone])


ACTS = {"choose-several": choose, "delete-several": delete, "archive-several": archive}

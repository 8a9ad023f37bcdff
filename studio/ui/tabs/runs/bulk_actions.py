"""The runs that are ticked in the table: deleted or put aside together, from the bar below it. Those at work stay."""

from collections.abc import Sequence

from studio.schema.runs import ACTIVE, RunRecord
from studio.ui.components.basic import Primary, action_bar, button
from studio.ui.components.run_table import Line
from studio.ui.markup import Html, html
from studio.ui.numbers import size
from studio.ui.session import Visit
from studio.ui.tabs.runs.compare import TICKED, ticked

LOST = "their curves, logs, checkpoints and tuned models"


def bar(shown: Sequence[Line], archived: bool) -> Html:
    """What can be done together with the runs that are chosen of these; `archived`: they are put aside already."""
    primary = Primary("New run", goto="model")
    lines = [each for each in shown if each.chosen]
    if not lines:
        return action_bar("", primary)
    able = [each for each in lines if each.record.status not in ACTIVE]
    stays = _stays(len(lines) - len(able))
    reason = html("<b>{n}</b> chosen.{s}", n=_runs(len(lines)), s=f" {stays}" if stays else "")
    acts = _acts(able, archived, stays) if able else ""
    return action_bar(reason, primary, extra=html("{c}{a}", c=_choices(shown, lines), a=acts))


def _choices(shown: Sequence[Line], chosen: Sequence[Line]) -> Html:
    """All that are shown instead of these, where there are more, and none of them."""
    more = len(shown) > len(chosen)
    ids = " ".join(each.record.id for each in shown)
    return html(
        "{a}{n}",
        a=button(f"Choose all {len(shown)}", "choose-several", "quiet", runs=ids) if more else "",
        n=button("Choose none", "choose-several", "quiet", runs=""),
    )


def _acts(able: Sequence[Line], archived: bool, stays: str) -> Html:
    ids = " ".join(each.record.id for each in able)
    many = _runs(len(able))
    lost = "its curve, log, checkpoints and tuned model" if len(able) == 1 else LOST
    taken = size(sum(each.bytes for each in able))
    question = f"Delete {many}: {lost}, {taken}?"
    word = f"Put {many} back" if archived else f"Archive {many}"
    return html(
        "{d}{a}",
        d=button(f"Delete {many}", "delete-several", "danger", "bin", runs=ids, confirm=f"{question} {stays}".strip()),
        a=button(word, "archive-several", runs=ids, to="" if archived else "yes"),
    )


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"


def _stays(number: int) -> str:
    """That runs at work are left alone."""
    if not number:
        return ""
    return "One is at work and stays." if number == 1 else f"{number} are at work and stay."


def choose(visit: Visit) -> None:
    """Choose these runs, and no others."""
    asked = visit.text("runs").split()
    visit.remember(compared=[each.id for each in _here(visit, asked)][-TICKED:])


def delete(visit: Visit) -> None:
    """Remove the runs that were named in the question, and no other."""
    asked = visit.text("runs").split()
    stay = {each.id for each in visit.studio.runs.delete_many([each.id for each in _here(visit, asked)])}
    _untick(visit, set(asked) - stay)
    if visit.choices.run in set(asked) - stay:
        visit.choose(run="", reached=())


def archive(visit: Visit) -> None:
    """Put them aside, or back; one that has begun to work meanwhile stays."""
    asked, aside = visit.text("runs").split(), bool(visit.text("to", 5))
    stay = {each.id for each in _here(visit, asked) if aside and each.status in ACTIVE}
    for record in _here(visit, asked):
        if record.id not in stay:
            visit.studio.saved.annotate(record.id, archived=aside)
    _untick(visit, set(asked) - stay)


def _here(visit: Visit, asked: Sequence[str]) -> list[RunRecord]:
    """Those of the runs that are still there: another tab may have deleted some."""
    return [each for each in visit.studio.runs.all() if each.id in asked]


def _untick(visit: Visit, gone: set[str]) -> None:
    visit.remember(compared=[each for each in ticked(visit) if each not in gone])


ACTS = {"choose-several": choose, "delete-several": delete, "archive-several": archive}

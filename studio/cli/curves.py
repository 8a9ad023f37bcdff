"""Commands about curves: one run as a table, several runs side by side."""

from pathlib import Path
from typing import Annotated

import typer

from studio.cli.context import Context
from studio.cli.options import Run
from studio.cli.terminal import plain
from studio.schema.numbers import duration
from studio.schema.views import CurvesView
from studio.store.files import require_folder


def curve(
    context: Context,
    run: Run,
    out: Annotated[Path, typer.Option(metavar="FILE", help="CSV file to write.")],
) -> None:
    """Write every step of a run to a CSV file: losses, learning rate, gradient norm, speed, memory, CPU."""
    record = context.studio.runs.get(run)
    require_folder(out.parent, "out")
    text = context.studio.curves.csv(record.id)
    out.write_text(text, encoding="utf-8")
    lines = text.count("\n") - 1
    context.answer({"id": record.id, "steps": lines, "out": str(out)}, lambda: context.say(f"{lines:,} steps in {out}"))


def compare(
    context: Context,
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Two to eight runs.")],
) -> None:
    """Compare runs side by side: their results, and the settings that differ."""
    view = context.studio.curves.compare(runs)
    context.answer(view, lambda: _show(context, view))


def _show(context: Context, view: CurvesView) -> None:
    names = [plain(run.name) for run in view.runs]
    table = context.table("", *names, right=tuple(names))
    table.add_row("Best loss", *("" if run.best_loss is None else f"{run.best_loss:.4f}" for run in view.runs))
    table.add_row("Time", *(duration(run.seconds) if run.seconds else "" for run in view.runs))
    for each in view.differs:
        table.add_row(plain(each.label), *(plain(value) for value in each.values))
    context.out.print(table)
    if not view.differs:
        context.say("All settings are the same.")
    if not view.same_rows:
        context.say("These runs used different rows. Compare their losses with care.")

"""Commands: a learning curve for a dataset, and augmentation."""

from typing import Annotated, Any

import typer

from studio.cli.context import Context
from studio.cli.data import save_roles
from studio.cli.options import Data, Map, OptionalModel, Task
from studio.schema.augmentation import AugmentationRequest, Proposals
from studio.schema.errors import StudioError
from studio.schema.label_quality import LearningCurve

WIDE = 40


def learning_curve(context: Context, data: Data, reading: dict[str, Any], task: Task = None, map_: Map = None) -> None:
    """Train a small classifier on growing parts of the rows, to see whether more rows would help."""
    record = context.studio.datasets.open(data, **reading)
    save_roles(context, record.id, task, map_)
    with context.progress("Reading texts") as progress:
        curve = context.studio.label_quality.curve(record.id, task, progress)
    context.answer(curve, lambda: _show_curve(context, curve))


def augment(
    context: Context,
    data: Data,
    reading: dict[str, Any],
    way: Annotated[str, typer.Option(metavar="NAME", help="How to make rows: spelling or paraphrase.")] = "spelling",
    count: Annotated[int, typer.Option(min=1, help="Rows to make, each from a different row.")] = 20,
    model: OptionalModel = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same rows.")] = 42,
    keep: Annotated[
        str | None, typer.Option(metavar="NUMBERS", help="Synthetic rows to keep: numbers, as in 1,4,9, or all.")
    ] = None,
    refuse: Annotated[
        str | None, typer.Option(metavar="NUMBERS", help="Synthetic rows to refuse: numbers, or all.")
    ] = None,
    use: Annotated[bool, typer.Option("--use", help="Make a new version of the dataset with the kept rows.")] = False,
    task: Task = None,
    map_: Map = None,
) -> None:
    """Make synthetic rows from your rows, review them, and keep the good ones.

    First run `studio augment DATA`. Then use the dataset's id or name with `--keep 1,2,5` or `--keep all`, and with
    `--use`. The columns made_by and made_from mark synthetic rows. They are used for training only, never for
    validation or test.
    """
    propose = keep is None and refuse is None and not use
    known = not propose and not data.startswith("sample:")
    record = context.studio.datasets.find(data) if known else context.studio.datasets.open(data, **reading)
    if propose:
        save_roles(context, record.id, task, map_)
        request = AugmentationRequest(way=way, count=count, model=model, seed=seed)
        with context.progress("Making rows") as progress:
            made = context.studio.augmentation.propose(record.id, request, progress)
        context.answer({"dataset": record.id, **made.model_dump()}, lambda: _show_made(context, record.id, made))
        return
    if keep is not None:
        context.studio.augmentation.decide(record.id, "kept", _numbers(keep))
    if refuse is not None:
        context.studio.augmentation.decide(record.id, "refused", _numbers(refuse))
    made = context.studio.augmentation.proposals(record.id)
    if not use:
        context.answer({"dataset": record.id, **made.model_dump()}, lambda: _show_made(context, record.id, made))
        return
    new = context.studio.augmentation.use(record.id)
    context.answer(new, lambda: context.say(f"{new.id}, version {new.version}: {new.note}"))


def _numbers(text: str) -> list[int] | None:
    """1,4,9 as numbers; all as None."""
    if text.strip() == "all":
        return None
    try:
        return [int(each) for each in text.replace(" ", ",").split(",") if each]
    except ValueError:
        raise StudioError(
            "bad-setting",
            "Synthetic rows are chosen by number.",
            given=text,
            valid="numbers, for example 1,4,9, or all",
        ) from None


def _show_made(context: Context, dataset: str, made: Proposals) -> None:
    for row in made.rows:
        context.say(f"{row.number:>4} {row.verdict:8} row {row.source}: {row.before}")
        context.say(f"{'':14}{row.after}")
    left = f" No row could be made from {made.skipped:,} rows." if made.skipped else ""
    context.say(
        f"{made.count('waiting'):,} waiting, {made.count('kept'):,} kept, {made.count('refused'):,} refused.{left}"
    )
    context.say(f"Next: studio augment {dataset} --keep all --use")


def _show_curve(context: Context, curve: LearningCurve) -> None:
    table = context.table("Rows", "Accuracy", "Range", "", right=("Rows", "Accuracy"))
    for point in curve.points:
        between = f"{point.low:.0%} to {point.high:.0%}" if point.low < point.high else ""
        table.add_row(f"{point.rows:,}", f"{point.score:.0%}", between, "█" * round(WIDE * point.score))
    context.out.print(table)
    context.say(curve.sentence)

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
    """Train a small classifier on ever more of the rows, and say whether more rows would help."""
    record = context.studio.datasets.open(data, **reading)
    save_roles(context, record.id, task, map_)
    with context.progress("Reading texts") as progress:
        curve = context.studio.label_quality.curve(record.id, task, progress)
    context.answer(curve, lambda: _show_curve(context, curve))


def augment(
    context: Context,
    data: Data,
    reading: dict[str, Any],
    way: Annotated[str, typer.Option(help="How rows are made: spelling or paraphrase.")] = "spelling",
    count: Annotated[int, typer.Option(min=1, help="Rows to make, each from another row.")] = 20,
    model: OptionalModel = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same rows.")] = 42,
    keep: Annotated[str | None, typer.Option(help="Numbers of made rows to keep, 1,4,9 say, or all.")] = None,
    refuse: Annotated[str | None, typer.Option(help="Numbers of made rows to refuse, or all.")] = None,
    use: Annotated[
        bool, typer.Option("--use", help="Make a new version of the dataset with the rows that were kept.")
    ] = False,
    task: Task = None,
    map_: Map = None,
) -> None:
    """Make rows from others, look at them, and keep those that are good.

    Made rows wait until they are kept: first `studio augment DATA`, then with the dataset's id or name
    `--keep 1,2,5` or `--keep all`, and `--use`. They are marked in the columns made_by and made_from, and never
    stand in validation or test.
    """
    anew = keep is None and refuse is None and not use
    known = not anew and not data.startswith("sample:")
    record = context.studio.datasets.find(data) if known else context.studio.datasets.open(data, **reading)
    if anew:
        save_roles(context, record.id, task, map_)
        wanted = AugmentationRequest(way=way, count=count, model=model, seed=seed)
        with context.progress("Making rows") as progress:
            made = context.studio.augmentation.propose(record.id, wanted, progress)
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
            "bad-setting", "Made rows are named by their numbers.", given=text, valid="1,4,9 say, or all"
        ) from None


def _show_made(context: Context, dataset: str, made: Proposals) -> None:
    for row in made.rows:
        context.say(f"{row.number:>4} {row.verdict:8} row {row.source}: {row.before}")
        context.say(f"{'':14}{row.after}")
    left = f" For {made.skipped:,} rows nothing could be made." if made.skipped else ""
    context.say(
        f"{made.count('waiting'):,} wait, {made.count('kept'):,} are kept, {made.count('refused'):,} refused.{left}"
    )
    context.say(f"Next: studio augment {dataset} --keep all --use")


def _show_curve(context: Context, curve: LearningCurve) -> None:
    table = context.table("Rows", "Right", "Between", "", right=("Rows", "Right"))
    for point in curve.points:
        between = f"{point.low:.0%} and {point.high:.0%}" if point.low < point.high else ""
        table.add_row(f"{point.rows:,}", f"{point.score:.0%}", between, "█" * round(WIDE * point.score))
    context.out.print(table)
    context.say(curve.sentence)

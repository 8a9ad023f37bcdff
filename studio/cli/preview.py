"""The command that previews what the model gets: a row token by token, the longest rows, and the first batch."""

from typing import Annotated, Any

import typer

from studio.cli.context import Context
from studio.cli.data import roles_of
from studio.cli.options import Data, Map, Method, Model, Preset, Task, run_request
from studio.cli.terminal import plain
from studio.schema.numbers import rows
from studio.schema.preview import Batch, LengthStats
from studio.schema.report import Preview

SHOWN = 20


def preview(
    context: Context,
    data: Data,
    model: Model,
    reading: dict[str, Any],
    settings: dict[str, Any],
    task: Task = None,
    row: Annotated[int, typer.Option(min=1, help="Row of the file, from 1.")] = 1,
    longest: Annotated[bool, typer.Option("--longest", help="Show how long the rows are, the longest first.")] = False,
    batch: Annotated[
        bool, typer.Option("--batch", help="Show the first batch exactly as training gets it, with padding.")
    ] = False,
    method: Method = None,
    preset: Preset = None,
    map_: Map = None,
) -> None:
    """Show the exact tokens that training gets from a row, and which of them the model learns.

    Without --max-length, the maximum length is the one that a run would use.
    """
    record, roles = context.studio.datasets.open(data, **reading), roles_of(map_)
    request = run_request(
        dataset=record.id, model=model, task=task, method=method, preset=preset, settings=settings, roles=roles
    )
    if batch:
        with context.progress("Making the first batch") as progress:
            first_batch = context.studio.preview.first_batch(request, progress)
        context.answer(first_batch, lambda: _show_batch(context, first_batch))
    elif longest:
        stats = context.studio.preview.lengths(request)
        context.answer(stats, lambda: _show_lengths(context, stats))
    else:
        seen = context.studio.preview.row(request, row)
        context.answer(seen, lambda: _show_preview(context, seen))


def _show_preview(context: Context, seen: Preview) -> None:
    from rich.text import Text

    text = Text()
    for token in seen.tokens:
        text.append(plain(token.text), style="bold blue" if token.learned else "dim")
    context.out.print(text)
    learned = sum(token.learned for token in seen.tokens)
    context.say()
    context.say(
        f"{len(seen.tokens):,} tokens, {learned:,} of them learned (bold)"
        if learned or not seen.label
        else f"{len(seen.tokens):,} tokens. The model learns the label {seen.label}"
    )
    if seen.truncated:
        context.say(f"Truncated: the row has {seen.full_length:,} tokens. The model sees {seen.limit:,} of them.")


def _show_lengths(context: Context, stats: LengthStats) -> None:
    counted = " of a sample" if stats.sampled else ""
    context.say(
        f"{rows(stats.rows)}{counted}: median {stats.middle:,} tokens, maximum {stats.longest:,}. "
        f"Truncated at {stats.limit:,} tokens: {rows(stats.over)}"
    )
    table = context.table("Row", "Tokens", "", right=("Row", "Tokens"))
    for row, tokens in stats.longest_rows[:SHOWN]:
        table.add_row(f"{row:,}", f"{tokens:,}", f"{tokens - stats.limit:,} truncated" if tokens > stats.limit else "")
    context.out.print(table)


def _show_batch(context: Context, batch: Batch) -> None:
    right = ("Row", "Tokens", "Learned", "Padding")
    table = context.table(*right, "Learned text begins with", right=right)
    for line in batch.rows:
        learned = line.label or f"{sum(token.learned for token in line.tokens):,}"
        texts = [token.text for token in line.tokens if token.learned] or [token.text for token in line.tokens]
        begins = " ".join("".join(texts).split())[:80]
        number = "" if line.row is None else f"{line.row:,}"
        table.add_row(number, f"{len(line.tokens):,}", plain(learned), f"{line.padding:,}", plain(begins))
    context.out.print(table)
    padding = sum(line.padding for line in batch.rows)
    context.say(
        f"{rows(len(batch.rows))} of {batch.width:,} tokens each, {padding:,} of them padding"
        + ("" if batch.padded else ". This machine skips the padding (padding-free batches)")
    )
    context.say(f"One epoch has {batch.steps:,} such batches")

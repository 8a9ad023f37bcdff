"""Commands about what a run made: talk to it, let it label or answer rows, measure it, take it away."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli.context import Door, command
from studio.cli.options import Run
from studio.cli.read_options import opened
from studio.cli.terminal import plain
from studio.schema.report import Answer, ChatSettings, ExportResult, Report
from studio.schema.runs import RunRecord
from studio.ui.numbers import rows, share, size

PANEL = "The result"


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @command(app, "chat", PANEL)
    def chat(
        door: Door,
        run: Run,
        prompt: Annotated[str | None, typer.Argument(help="Left out, you are asked.", show_default=False)] = None,
        system: Annotated[str, typer.Option(help="System prompt.", show_default=False)] = "",
        max_new_tokens: Annotated[int, typer.Option(min=1, max=4096, help="The most tokens in a reply.")] = 160,
        temperature: Annotated[float, typer.Option(min=0, max=2, help="0 takes the likeliest word each time.")] = 0.0,
        top_p: Annotated[
            float, typer.Option(help="Only the likeliest words that reach this share, above 0, at most 1.")
        ] = 0.9,
        seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same words again.")] = 42,
    ) -> None:
        """Ask base and tuned model the same and see both answers."""
        record = door.studio.run(run)
        settings = chat_settings(
            system=system, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed
        )
        if prompt is not None:
            base, tuned = _ask(door, record, [{"role": "user", "content": prompt}], settings)
            document = {"prompt": prompt, "base": answer_row(base), "tuned": answer_row(tuned)}
            door.answer(document, lambda: _show_answers(door, base, tuned))
        else:
            _converse(door, record, settings)

    @command(app, "predict", PANEL)
    def predict(
        door: Door,
        run: Run,
        data: Annotated[str, typer.Argument(help="Rows to answer or label.", show_default=False)],
        out: Annotated[
            Path, typer.Option(help="File to write: csv, tsv, json, jsonl, xlsx or parquet.", show_default=False)
        ],
        reading: dict[str, Any],
        base: Annotated[bool, typer.Option("--base", help="Ask the base instead of the tuned model.")] = False,
    ) -> None:
        """Write a file with every column of the rows and what the model says to them."""
        record = door.studio.run(run)
        data = opened(door, data, reading).id
        with door.progress("Rows") as progress:
            count = door.studio.predict(record.id, data, out, base=base, progress=progress)
        door.answer({"id": record.id, "rows": count, "out": str(out)}, lambda: door.say(f"{rows(count)} in {out}"))

    @command(app, "evaluate", PANEL)
    def evaluate(
        door: Door,
        run: Run,
        data: Annotated[
            str | None, typer.Option(metavar="FILE", help="Rows; left out, those kept apart.", show_default=False)
        ] = None,
        *,
        reading: dict[str, Any],
    ) -> None:
        """Measure base and tuned model on rows that training never saw."""
        record = door.studio.run(run)
        data = opened(door, data, reading).id if data else None
        with door.progress("Rows") as progress:
            report = door.studio.evaluate(record.id, data, progress=progress)
        door.answer(report, lambda: _show_report(door, report))

    @command(app, "export", PANEL)
    def export(
        door: Door,
        run: Run,
        form: Annotated[str, typer.Option("--format", help="adapter or merged.", show_default=False)],
        to: Annotated[Path, typer.Option(help="Folder to write to; made when missing.", show_default=False)],
    ) -> None:
        """Write the adapter or the merged model to a folder, load it again and compare its replies."""
        record = door.studio.run(run)
        with door.progress("Exporting") as progress:
            result = door.studio.export(record.id, form, to, progress=progress)
        door.answer(result, lambda: _show_export(door, result))


def chat_settings(**values: Any) -> ChatSettings:
    """Checked settings of a chat, refused in our own words."""
    from pydantic import ValidationError

    from studio.schema.errors import StudioError

    try:
        return ChatSettings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise StudioError(
            "bad-setting",
            f"The setting {name.replace('_', ' ')} can't have this value.",
            given=first["input"],
            valid=first["msg"],
            field=name,
        ) from error


def answer_row(answer: Answer) -> dict[str, Any]:
    """An answer as the contract prints it: labels with probabilities, or a text."""
    keep = {"labels", "how", "seconds"} if answer.labels else {"text", "tokens", "seconds", "how"}
    return answer.model_dump(include=keep)


def _ask(
    door: Door, record: RunRecord, messages: list[dict[str, str]], settings: ChatSettings
) -> tuple[Answer, Answer]:
    if door.studio.at_once(record.id):
        return door.studio.classify(record.id, messages[-1]["content"])
    answers: dict[str, Answer] = {}
    texts = {"base": "", "tuned": ""}
    with _streaming(door) as show:
        for chunk in door.studio.chat(record.id, messages, settings):
            texts[chunk.who] = chunk.text
            show(texts)
            if chunk.answer is not None:
                answers[chunk.who] = chunk.answer
    return answers["base"], answers["tuned"]


@contextmanager
def _streaming(door: Door) -> Iterator[Callable[[dict[str, str]], None]]:
    """Both replies side by side while they are written, where a person looks; nothing elsewhere."""
    if door.as_json or not door.out.is_terminal:
        yield lambda texts: None
        return
    from rich.live import Live

    with Live(console=door.out, transient=True, refresh_per_second=8) as live:

        def show(texts: dict[str, str]) -> None:
            table = door.table(*texts)
            table.expand = True
            table.add_row(*(plain(text) for text in texts.values()))
            live.update(table)

        yield show


def _converse(door: Door, record: RunRecord, settings: ChatSettings) -> None:
    """One prompt after the other until an empty line or the end of the input. Each prompt stands alone, so that base
    and tuned are always asked the same."""
    from studio.schema.errors import StudioError

    if door.as_json:
        raise StudioError("bad-setting", "With --json a prompt is needed.", hint='studio chat RUN "PROMPT" --json')
    door.note("Each prompt stands alone. An empty line ends it.")
    while True:
        try:
            prompt = input("> ").strip()
        except EOFError:
            return
        if not prompt:
            return
        _show_answers(door, *_ask(door, record, [{"role": "user", "content": prompt}], settings))


def _show_answers(door: Door, base: Answer, tuned: Answer) -> None:
    for who, answer in (("base", base), ("tuned", tuned)):
        door.say(f"{who} ({answer.how})" if answer.how else who)
        if answer.labels:
            for each in answer.labels:
                door.say(f"  {share(each.probability, 1):>7}  {each.label}")
        else:
            door.say(f"  {answer.text}")
            door.say(f"  {answer.tokens} tokens in {answer.seconds:.1f} s")


def _show_report(door: Door, report: Report) -> None:
    door.say(report.verdict)
    door.say(f"{rows(report.rows)} ({report.split}). {report.note}".strip())
    numbers = ("Base", "Tuned", "From", "To")
    table = door.table("Metric", *numbers, right=numbers)
    for name, metric in report.metrics.items():
        values = (metric.base, metric.tuned, metric.low, metric.high)
        table.add_row(plain(metric.title or name), *("" if value is None else f"{value:.3f}" for value in values))
    door.out.print(table)
    for label, scores in (report.per_label or {}).items():
        door.say(f"{label}: " + ", ".join(f"{name} {value:.3g}" for name, value in scores.items()))


def _show_export(door: Door, result: ExportResult) -> None:
    door.say(f"{result.path} ({size(result.bytes)})")
    door.say(result.tested)
    if result.how_to_use:
        door.say(result.how_to_use)

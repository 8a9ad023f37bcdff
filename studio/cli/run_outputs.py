"""Commands that use the result of a run: chat, predict, evaluate, export."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli.context import Context
from studio.cli.cross_validation import cross_validate
from studio.cli.options import ExportFormat, Run
from studio.cli.progress import predicting
from studio.cli.read_options import open_dataset
from studio.cli.terminal import plain
from studio.schema.errors import StudioError
from studio.schema.numbers import rows, share, size
from studio.schema.predictions import FileRequest
from studio.schema.report import Answer, ChatSettings, ExportResult, Report, confused_pairs, confusion_sentence
from studio.schema.runs import RunRecord

WHO = {"base": "Base model", "tuned": "Fine-tuned model"}
"""Model → its name in the output."""
SHOWN_PAIRS = 5
"""Pairs of confused labels that are listed."""


def chat(
    context: Context,
    run: Run,
    prompt: Annotated[str | None, typer.Argument(help="A prompt. Without it, the command asks for prompts.")] = None,
    system: Annotated[str, typer.Option(help="System prompt.")] = "",
    max_new_tokens: Annotated[int, typer.Option(min=1, max=4096, help="Maximum number of tokens in a reply.")] = 160,
    temperature: Annotated[
        float, typer.Option(min=0, max=2, help="Variety of replies. 0: always the most likely token.")
    ] = 0.0,
    top_p: Annotated[float, typer.Option(help="Total probability of the tokens to choose from, >0 to 1.")] = 0.9,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same reply.")] = 42,
) -> None:
    """Send a prompt to the base model and the fine-tuned model, and show both replies."""
    record = context.studio.runs.get(run)
    settings = chat_settings(
        system=system, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed
    )
    if prompt is not None:
        base, tuned = _ask(context, record, [{"role": "user", "content": prompt}], settings)
        document = {"prompt": prompt, "base": answer_row(base), "tuned": answer_row(tuned)}
        context.answer(document, lambda: _show_answers(context, base, tuned))
    else:
        _converse(context, record, settings)


def predict(
    context: Context,
    run: Run,
    data: Annotated[str, typer.Argument(help="Rows to answer or label.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="File to write: csv, tsv, json, jsonl, xlsx or parquet.")],
    reading: dict[str, Any],
    base: Annotated[
        bool,
        typer.Option("--base", help="Use the base model instead. Labels: nearest neighbors among the training rows."),
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Predict all rows again, also those that an earlier command predicted.")
    ] = False,
) -> None:
    """Write a file with every column of the rows and the predictions of the fine-tuned model.

    After a break, the same command predicts only the remaining rows.
    """
    record = context.studio.runs.get(run)
    predictions = context.studio.predictions
    request = FileRequest(run=record.id, data=data, out=str(out), base=base, restart=restart, reading=reading)
    try:
        with predicting(context) as progress:
            saved = predictions.predict_file(request, progress=progress)
    except KeyboardInterrupt:
        if (begun := predictions.begun(request)) is not None:
            context.note(f"{begun.done:,} of {begun.total:,} rows are predicted and saved.")
            context.note("The same command, without --restart, predicts the remaining rows.")
        raise
    for note in context.studio.datasets.get(saved.dataset, saved.version).notes:
        context.note(f"{saved.name}: {note}")
    document = {"id": record.id, "rows": saved.done, "out": str(out)}
    context.answer(document, lambda: context.say(f"{rows(saved.done)} in {out}"))


def evaluate(
    context: Context,
    run: Run,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Rows to evaluate on.", show_default="the test rows, else the validation rows"
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(metavar="N", help="Cross-validate: train the same settings on N folds."),
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="With --folds: cancel the cross-validation.")] = False,
    *,
    reading: dict[str, Any],
) -> None:
    """Evaluate the fine-tuned model against the base model, or against baselines, on rows it did not learn from."""
    record = context.studio.runs.get(run)
    if folds is not None or stop:
        _fold(context, record, folds or 0, stop, data)
        return
    data = open_dataset(context, data, reading).id if data else None
    with context.progress("Rows") as progress:
        report = context.studio.evaluation.evaluate(record.id, data, progress=progress)
    context.answer(report, lambda: _show_report(context, report))


def _fold(context: Context, record: RunRecord, folds: int, stop: bool, data: str | None) -> None:
    """Cross-validate a run, or cancel that."""
    if data is not None or not folds:
        raise StudioError(
            "bad-setting",
            "A cross-validation tests the rows of the run, so it has a number of folds and no other rows.",
            hint=f"For example: studio evaluate {record.id} --folds 5",
            field="folds",
        )
    if stop:
        view = context.studio.cross_validation.stop(record.id)
        context.answer(view, lambda: context.say(view.sentence))
        return
    found = cross_validate(context, record, folds)
    context.answer(found, lambda: _show_report(context, found) if isinstance(found, Report) else None)


def export(
    context: Context,
    run: Run,
    form: ExportFormat,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder to write to. Created if missing.",
            show_default="the run's folder",
        ),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="An option of the format.")
    ] = None,
    install_tools: Annotated[
        bool, typer.Option("--install-tools", help="Install the packages that the format needs, if they are missing.")
    ] = False,
) -> None:
    """Export the fine-tuned model to a folder, load it again and compare its replies."""
    record = context.studio.runs.get(run)
    options = _options(option or [])
    if install_tools:
        with context.progress("Installing") as progress:
            installed = context.studio.exports.install_tools(record.id, form, options, progress)
        for name in installed:
            context.note(f"Installed: {name}")
    with context.progress("Exporting") as progress:
        result = context.studio.exports.create(record.id, form, to, progress=progress, options=options)
    context.answer(result, lambda: _show_export(context, result))


def _options(given: list[str]) -> dict[str, str]:
    """The options of a format: name → value.

    Raises:
        StudioError: for one without "=".
    """
    options = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise StudioError("bad-setting", "This is not an option of a format.", given=each, valid="NAME=VALUE")
        options[name.strip()] = value.strip()
    return options


def chat_settings(**values: Any) -> ChatSettings:
    """Chat settings, validated.

    Raises:
        StudioError: for an invalid value.
    """
    from pydantic import ValidationError

    from studio.schema.errors import invalid_value

    try:
        return ChatSettings(**values)
    except ValidationError as error:
        raise invalid_value(error, "The setting {name} can't have this value.") from error


def answer_row(answer: Answer) -> dict[str, Any]:
    """An answer as a JSON document: labels with probabilities, or a text."""
    keep = {"labels", "how", "seconds"} if answer.labels else {"text", "tokens", "seconds", "how"}
    keep |= {"title"} if answer.title else set()
    return answer.model_dump(include=keep)


def _ask(
    context: Context, record: RunRecord, messages: list[dict[str, str]], settings: ChatSettings
) -> tuple[Answer, Answer]:
    if context.studio.chat.is_classifier(record.id):
        return context.studio.chat.classify(record.id, messages[-1]["content"])
    answers: dict[str, Answer] = {}
    texts = {"base": "", "tuned": ""}
    with _streaming(context) as show:
        for chunk in context.studio.chat.stream(record.id, messages, settings):
            texts[chunk.who] = chunk.text
            show(texts)
            if chunk.answer is not None:
                answers[chunk.who] = chunk.answer
    return answers["base"], answers["tuned"]


@contextmanager
def _streaming(context: Context) -> Iterator[Callable[[dict[str, str]], None]]:
    """Show both replies side by side while they are written, if stdout is a terminal."""
    if context.as_json or not context.out.is_terminal:
        yield lambda texts: None
        return
    from rich.live import Live

    with Live(console=context.out, transient=True, refresh_per_second=8) as live:

        def show(texts: dict[str, str]) -> None:
            table = context.table(*(WHO[each] for each in texts))
            table.expand = True
            table.add_row(*(plain(text) for text in texts.values()))
            live.update(table)

        yield show


def _converse(context: Context, record: RunRecord, settings: ChatSettings) -> None:
    """Answer prompts until an empty line or the end of the input.

    Each prompt is a new conversation, so that both models always get the same.
    """
    if context.as_json:
        raise StudioError("bad-setting", "--json needs a prompt.", hint='studio chat RUN "PROMPT" --json')
    context.note("Each prompt is a new conversation. An empty line ends the chat.")
    while True:
        try:
            prompt = input("> ").strip()
        except EOFError:
            return
        if not prompt:
            return
        _show_answers(context, *_ask(context, record, [{"role": "user", "content": prompt}], settings))


def _show_answers(context: Context, base: Answer, tuned: Answer) -> None:
    for who, answer in ((base.title or WHO["base"], base), (WHO["tuned"], tuned)):
        context.say(f"{who} ({answer.how})" if answer.how else who)
        if answer.labels:
            for each in answer.labels:
                context.say(f"  {share(each.probability, 1):>7}  {each.label}")
        else:
            context.say(f"  {answer.text}")
            context.say(f"  {answer.tokens} tokens in {answer.seconds:.1f} s")


def _show_report(context: Context, report: Report) -> None:
    context.say(report.verdict)
    context.say(f"Measured on: {report.measured_on}. {report.note}".strip())
    for caution in filter(None, (report.leakage, report.suggestions)):
        context.say(caution)
    others = [each.title for each in report.baselines] or ["Base model"]
    numbers = (*others, "Fine-tuned model", "95% low", "95% high")
    table = context.table("Metric", *numbers, right=numbers)
    for name, metric in report.metrics.items():
        of_baselines = [each.metrics[name].value if name in each.metrics else None for each in report.baselines]
        values = (*(of_baselines or [metric.base]), metric.tuned, metric.low, metric.high)
        table.add_row(plain(metric.title or name), *("" if value is None else f"{value:.3f}" for value in values))
    context.out.print(table)
    for number, fold in enumerate(report.fold_scores, start=1):
        of_fold = ", ".join(f"{name} {value:.3g}" for name, value in fold.metrics.items())
        context.say(f"Fold {number}, {rows(fold.rows)}: {of_fold}")
    for label, other, times in confused_pairs(report.confusion or {})[:SHOWN_PAIRS]:
        context.say(confusion_sentence(label, other, times))
    for label, scores in (report.per_label or {}).items():
        context.say(f"{label}: " + ", ".join(f"{name} {value:.3g}" for name, value in scores.items()))


def _show_export(context: Context, result: ExportResult) -> None:
    context.say(f"{result.path} ({size(result.bytes)})")
    context.say(result.tested)
    for row in result.comparison:
        context.say("  ".join(row))
    for usage in result.usages:
        context.say(f"\n{usage.title}:\n{usage.code}")

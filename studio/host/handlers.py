"""One handler for each kind of request. Libraries are imported when a handler first needs them."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from studio.host.cancelled import Stopped
from studio.schema.errors import StudioError
from studio.schema.host import (
    Chat,
    Classify,
    CountTokens,
    DrawCurve,
    Embed,
    Evaluate,
    EvaluateFolds,
    Export,
    FirstBatch,
    JudgeLabels,
    Lengths,
    Load,
    Ping,
    Predict,
    PreviewRow,
    Stop,
    Suggest,
    Texts,
    Unload,
    Write,
)
from studio.schema.host_responses import Chunk, Moved

if TYPE_CHECKING:
    from studio.host.host import Host
    from studio.inference.base_and_tuned import ModelPair

Result = dict[str, Any]


def _load(host: "Host", request: Load) -> Result:
    from studio.inference.warm_up import warm_up

    began = time.monotonic()
    with _models(host, request) as pair:
        warm_up(pair)
        return {"seconds": round(time.monotonic() - began, 2), "how": pair.how, "one_copy": pair.one_copy}


def chat(host: "Host", request: Chat) -> Iterator[Literal[True]]:
    """Answer a chat one token at a time, so that the host can answer others in between (chats.py)."""
    from studio.inference.side_by_side import step_by_step

    if not any(turn.role == "user" and turn.content.strip() for turn in request.messages):
        raise StudioError("bad-setting", "The message is empty.", hint="Write a message first.", field="prompt")
    with _models(host, request, labels=False) as pair:
        encoding = pair.encoding(system=request.settings.system)
        base, tuned = (
            pair.task.prompt_ids([turn.as_said_by(who) for turn in request.messages], encoding)
            for who in ("base", "tuned")
        )
        longest = max(len(base), len(tuned))
        if request.prompt_tokens and longest > request.prompt_tokens:
            raise StudioError(
                "limit-reached",
                "The conversation is longer than this demo allows.",
                given=f"{longest:,} tokens",
                valid=f"up to {request.prompt_tokens:,} tokens",
                hint="Start a new conversation.",
                field="prompt",
            )
        for chunk in step_by_step(pair, tuned, request.settings, host.stop_of(request), base):
            if chunk is not None:
                host.send(Chunk(id=request.id, **dict(chunk)))
            yield True


def _classify(host: "Host", request: Classify) -> Result:
    from studio.inference.classify import classify

    with _models(host, request, labels=True) as pair:
        base, tuned = classify(pair, request.text)
    return {"base": base.model_dump(), "tuned": tuned.model_dump()}


def _predict(host: "Host", request: Predict) -> Result:
    from studio.inference.generate import BatchOptions
    from studio.inference.predict import Predictor
    from studio.inference.rows import read_rows

    numbered, known_numbers = read_rows(request.rows), set(request.known)
    numbers, rows = [number for number, _ in numbered], [row for _, row in numbered]
    known = {place for place, number in enumerate(numbers) if number in known_numbers}
    roles = request.run.spec.data.roles if request.roles is None else request.roles
    progress, began = host.progress_reporter(request, "Predicting"), time.monotonic()
    options = BatchOptions(request.settings, progress, host.stop_of(request))
    predictions: list[Any] = []
    try:
        with _models(host, request) as pair:
            for batch in Predictor(pair, roles, request.base, options).batches(rows, known):
                if options.stop():  # a reply was ended early
                    raise Stopped
                predictions += [
                    (numbers[place], each.text, each.confidence, each.labels if request.labels else ())
                    for place, each in batch.items()
                    if place not in known
                ]
                progress(len(predictions), len(rows) - len(known))
                if request.within is not None and time.monotonic() - began > request.within:
                    break
    except Stopped:  # what is there is kept
        host.stopped.add(request.id)
    return {"predictions": predictions}


def _evaluate(host: "Host", request: Evaluate) -> Result:
    from studio.evaluation.evaluate import evaluate
    from studio.inference.rows import read_rows

    rows = read_rows(request.rows)
    with _models(host, request) as pair:
        report = evaluate(pair, rows, request.split, host.progress_reporter(request), request.roles)
    return {"report": report.model_dump()}


def _evaluate_folds(host: "Host", request: EvaluateFolds) -> Result:
    from studio.evaluation.cross_validation import CrossValidationReport
    from studio.inference.rows import read_rows

    report = CrossValidationReport(len(request.folds))
    for fold in request.folds:
        with host.model_cache.using(fold.run, one_copy=True if request.visitor else None) as pair:
            report.add(pair, read_rows(fold.rows), fold.name, host.progress_reporter(request))
        host.model_cache.forget(fold.run.folder)  # the next fold needs the memory
    return {"report": report.report().model_dump()}


def _export(host: "Host", request: Export) -> Result:
    from studio.export import ExportJob, export_named

    exporter = export_named(request.format)
    if request.visitor:  # the export is compared with models that share no weights, if the memory allows it
        host.model_cache.forget(request.run.folder)
    job = ExportJob(
        run=request.run,
        facts=request.facts,
        model_cache=host.model_cache,
        zip=request.zip,
        options=request.options,
        training=request.training,
        tools=host.home.tools,
    )
    try:
        return {"result": exporter.export(job, Path(request.to), host.progress_reporter(request)).model_dump()}
    finally:
        if request.visitor:
            host.model_cache.forget(request.run.folder)


def _preview(host: "Host", request: PreviewRow) -> Result:
    from studio.inference.preview import preview
    from studio.tasks import task_named

    task = task_named(request.task)
    return {"preview": preview(task, request.row, _encoding(host, request), request.number).model_dump()}


def _lengths(host: "Host", request: Lengths) -> Result:
    from studio.inference.preview import lengths
    from studio.inference.rows import read_rows
    from studio.tasks import task_named

    rows = [row for _, row in read_rows(request.rows)]

    def progress(done: int, total: int) -> None:
        host.send(Moved(id=request.id, done=done, total=total, message="Counting tokens"))
        if host.stop_of(request)():
            raise Stopped

    known = task_named(request.task)
    counts, heads, learned = lengths(known, rows, _encoding(host, request), request.max_length, progress)
    return {"lengths": counts, "heads": heads, "learned_share": learned}


def _first_batch(host: "Host", request: FirstBatch) -> Result:
    import tempfile

    import torch

    from studio.inference.rows import read_rows
    from studio.training.loop.first_batch import first_batch
    from studio.training.loop.run import TrainingJob

    rows = read_rows(request.rows)
    with tempfile.TemporaryDirectory() as folder:
        job = TrainingJob(
            config=request.config,
            info=request.info,
            data=request.data,
            train_rows=[row for _, row in rows],
            validation_rows=[],
            folder=Path(folder),
            threads=torch.get_num_threads(),
            trusted=request.trusted,
        )
        batch = first_batch(job, [number for number, _ in rows], host.progress_reporter(request, "Reading rows"))
    return {"batch": batch.model_dump()}


def _count_tokens(host: "Host", request: CountTokens) -> Result:
    tokenizer = host.model_cache.tokenizer(request.info, request.trusted)
    return {"counts": [len(ids) for ids in tokenizer(list(request.texts), verbose=False)["input_ids"]]}


def _embed(host: "Host", request: Embed) -> Result:
    from studio.inference.label_suggestions import EmbeddingStore, embed

    model, tokenizer = host.model_cache.embedder(request.info, request.trusted)
    texts = list(_texts(request.texts).values())
    vectors = EmbeddingStore(Path(request.texts.folder))
    return {
        "rows": len(texts),
        "new": embed(model, tokenizer, texts, vectors, host.progress_reporter(request, "Reading texts")),
    }


def _suggest(host: "Host", request: Suggest) -> Result:
    from studio.inference.label_suggestions import EmbeddingStore, suggest

    suggestions = suggest(EmbeddingStore(Path(request.texts.folder)), _texts(request.texts), request.labels)
    return {"rows": suggestions}


def _write(host: "Host", request: Write) -> Result:
    from studio.inference.base_replies import base_model_replies
    from studio.inference.generate import BatchOptions

    options = BatchOptions(request.settings, host.progress_reporter(request, "Writing"), host.stop_of(request))
    texts = base_model_replies(request.info, request.prompts, options, request.trusted)
    if options.stop():
        raise Stopped
    return {"texts": texts}


def _judge_labels(host: "Host", request: JudgeLabels) -> Result:
    from studio.inference.label_quality import label_errors
    from studio.inference.label_suggestions import EmbeddingStore

    vectors, on_progress = (
        EmbeddingStore(Path(request.texts.folder)),
        host.progress_reporter(request, "Checking labels"),
    )
    suspects, trust = label_errors(vectors, _texts(request.texts), request.labels, on_progress)
    return {"rows": {row: suspect.model_dump() for row, suspect in suspects.items()}, "agrees": trust}


def _draw_curve(host: "Host", request: DrawCurve) -> Result:
    from studio.inference.label_quality import learning_curve
    from studio.inference.label_suggestions import EmbeddingStore

    on_progress = host.progress_reporter(request, "Training on more and more rows")
    vectors = EmbeddingStore(Path(request.texts.folder))
    return {"curve": learning_curve(vectors, _texts(request.texts), request.labels, on_progress).model_dump()}


def _texts(request: Texts) -> dict[int, str]:
    """Row number → its text. Rows without text are left out."""
    from studio.data.column import column_of
    from studio.data.values import text_of

    values = column_of(Path(request.rows.path), request.column, request.rows.numbers)
    return {row: text for row, value in values if (text := text_of(value))}


def _stop(host: "Host", request: Stop) -> Result:
    host.stop(request.target)
    return {}


def _unload(host: "Host", request: Unload) -> Result:
    host.model_cache.forget(request.folder)
    return {}


def _ping(host: "Host", request: Ping) -> Result:
    return {"pid": os.getpid(), "loaded": host.model_cache.folders(), "busy": host.busy}


ANSWERS: dict[type, Callable[["Host", Any], Result]] = {
    Load: _load,
    Classify: _classify,
    Predict: _predict,
    Evaluate: _evaluate,
    EvaluateFolds: _evaluate_folds,
    Export: _export,
    PreviewRow: _preview,
    Lengths: _lengths,
    FirstBatch: _first_batch,
    CountTokens: _count_tokens,
    Embed: _embed,
    Suggest: _suggest,
    Write: _write,
    JudgeLabels: _judge_labels,
    DrawCurve: _draw_curve,
    Stop: _stop,
    Unload: _unload,
    Ping: _ping,
}


@contextmanager
def _models(
    host: "Host", request: Load | Chat | Classify | Predict | Evaluate, labels: bool | None = None
) -> Iterator["ModelPair"]:
    """The models of a request's run, which stay loaded inside the block.

    `labels` states whether the request needs labels (True) or generated text (False). None accepts both.
    """
    with host.model_cache.using(request.run, one_copy=True if request.visitor else None) as pair:
        if labels is not None and pair.head.single_pass != labels:
            does = "predicts labels or answers, not replies" if pair.head.single_pass else "writes replies, not labels"
            raise StudioError("wrong-state", f"This run {does}.", given=request.op)
        yield pair


def _encoding(host: "Host", request: PreviewRow | Lengths) -> Any:
    from studio.inference.base_and_tuned import encoding_of
    from studio.schema.dataset import DatasetSpec
    from studio.schema.settings_check import config_from

    data = DatasetSpec(task=request.task, roles=request.roles, label_names=request.label_names)
    settings = {"max_length": request.max_length, "system_prompt": request.system_prompt, **request.settings}
    config = config_from({"task": request.task, "model": request.info.name, **settings})
    return encoding_of(request.info, host.model_cache.tokenizer(request.info, request.trusted), data, config)

"""Predictions for many rows, and files with them beside all columns of the data."""

import csv
import json
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from studio.data.values import for_spreadsheet
from studio.inference.base_and_tuned import ModelPair
from studio.inference.batches import by_length
from studio.inference.classify import neighbors, predicted_label, probabilities
from studio.inference.generate import BatchOptions, max_reply_tokens, replies
from studio.inference.spans import extract_answers
from studio.schema.errors import StudioError
from studio.tasks import Row

Prediction = tuple[str, float | None]
"""A reply or a label, and the probability of a label."""
MOST_TOKENS = 2048
"""Maximum prompt tokens of a batch, with padding."""
MOST_LABELS = 9
"""Likeliest labels of a row that are returned with their probabilities."""


class Scored(NamedTuple):
    """A prediction, with the likeliest labels of a classifier that gives each row one label."""

    text: str
    confidence: float | None = None
    labels: tuple[tuple[str, float], ...] = ()
    """(label, probability), likeliest first."""


def predict(
    pair: ModelPair, rows: Sequence[Row], roles: dict[str, str], base: bool, options: BatchOptions
) -> list[Prediction]:
    """Return the prediction of the fine-tuned (or base) model for each row. Empty for a row without input."""
    return [(each.text, each.confidence) for each in predict_scored(pair, rows, roles, base, options)]


def predict_scored(
    pair: ModelPair, rows: Sequence[Row], roles: dict[str, str], base: bool, options: BatchOptions
) -> list[Scored]:
    """Return the same, with the likeliest labels and their probabilities."""
    predictions = [Scored("")] * len(rows)
    encoding, progress, who = (
        pair.encoding(roles, options.settings.system),
        options.progress,
        "base" if base else "tuned",
    )
    usable = [number for number, row in enumerate(rows) if pair.task.text_of(row, roles).strip()]
    ids = [pair.task.prompt_ids(pair.task.prompt_of(rows[number], roles), encoding) for number in usable]
    if not usable:
        return predictions
    if pair.head.name == "spans":
        values = [pair.task.values(rows[number], roles) for number in usable]
        questions = [(each.get("question") or "", each.get("context") or "") for each in values]
        spans = extract_answers(pair, questions, who, lambda done: progress(done, len(questions)))
        answers = [Scored(each[0].text, each[0].share) for each in spans]
    elif pair.head.single_pass:
        answers = labels_of(pair, ids, base, lambda done: progress(done, len(ids)))
    else:
        answers = [Scored(text) for text in replies_in_batches(pair, ids, who, options)]
    for number, answer in zip(usable, answers, strict=True):
        predictions[number] = answer
    return predictions


def labels_of(
    pair: ModelPair, ids: Sequence[Sequence[int]], base: bool, progress: Callable[[int], None]
) -> list[Scored]:
    """Return the likeliest label of each row, with its probability, and those of the next ones."""
    outputs = (neighbors(pair).probabilities if base else probabilities)(pair, ids, progress)
    if pair.head.problem == "regression":
        return [Scored(predicted_label(pair, row)) for row in outputs]
    return [Scored(predicted_label(pair, row), float(row.max()), _likeliest(pair, row)) for row in outputs]


def _likeliest(pair: ModelPair, output: Any) -> tuple[tuple[str, float], ...]:
    """Return the likeliest labels. Empty where a row has several labels: then they do not exclude each other."""
    if pair.head.problem:
        return ()
    places = output.argsort()[::-1][:MOST_LABELS]
    return tuple((pair.labels[int(place)], round(float(output[place]), 6)) for place in places)


def replies_in_batches(pair: ModelPair, prompts: Sequence[Sequence[int]], who: str, options: BatchOptions) -> list[str]:
    """Return a reply to each prompt, in batches of similar length. Prompts that are too long lose their beginning."""
    max_prompt = pair.context - min(options.settings.max_new_tokens, pair.context // 2)
    is_encoder_decoder = pair.head.name == "seq2seq"  # reads its prompt, cut already, elsewhere than it writes
    truncated = [prompt if is_encoder_decoder else prompt[-max_prompt:] for prompt in prompts]
    texts_, done = [""] * len(truncated), 0
    for batch in by_length([len(prompt) for prompt in truncated], MOST_TOKENS, most_rows=16):
        if options.stop():
            break
        max_tokens = pair.context
        if not is_encoder_decoder:
            max_tokens = min(max_reply_tokens(truncated[each], pair.context) for each in batch)
        limited, chunk = options.limited(max_tokens), [truncated[each] for each in batch]
        texts = replies(pair.model_for(who), pair.tokenizer, chunk, limited, lambda *_: options.stop())
        for each, text in zip(batch, texts, strict=True):
            texts_[each] = text
        done += len(batch)
        options.progress(done, len(truncated))
    return texts_


def write_predictions(
    path: Path, columns: Sequence[str], rows: Sequence[Row], predictions: Sequence[Prediction]
) -> None:
    """Write all columns, `prediction`, and `confidence` for labels, in the format of the file's extension."""
    write = writer_for(path)
    with_confidence = any(confidence is not None for _, confidence in predictions)
    names = ["prediction", *(["confidence"] if with_confidence else [])]
    header = [*(column for column in columns if column not in names), *names]
    records = (
        {**row, "prediction": text, **({"confidence": confidence} if with_confidence else {})}
        for row, (text, confidence) in zip(rows, predictions, strict=True)
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        write(temporary, header, records)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def writer_for(path: Path) -> Callable[[Path, list[str], Iterable[dict[str, Any]]], None]:
    """Return the writer for a file's extension. Raise `StudioError` for another extension or a missing folder."""
    if path.suffix.lower() not in WRITERS:
        raise StudioError(
            "unknown-format",
            "Predictions can't be written in this format.",
            given=path.suffix or path.name,
            valid=list(WRITERS),
            field="out",
        )
    if not path.parent.is_dir():
        raise StudioError(
            "unknown-format",
            "The folder of the output file does not exist.",
            given=path.parent,
            field="out",
            hint="Create the folder, or choose another one.",
        )
    return WRITERS[path.suffix.lower()]


def _flat(value: Any) -> Any:
    """Return a value that fits into one cell."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value


def _csv(path: Path, header: list[str], rows: Iterable[dict[str, Any]], delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, delimiter=delimiter)
        writer.writerow(header)
        writer.writerows([for_spreadsheet(_flat(row.get(column))) for column in header] for row in rows)


def _jsonl(path: Path, header: list[str], rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps({column: row.get(column) for column in header}, ensure_ascii=False) + "\n")


def _json(path: Path, header: list[str], rows: Iterable[dict[str, Any]]) -> None:
    records = [{column: row.get(column) for column in header} for row in rows]
    path.write_text(json.dumps(records, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _parquet(path: Path, header: list[str], rows: Iterable[dict[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    records = list(rows)
    columns = {column: [row.get(column) for row in records] for column in header}
    try:
        table = pyarrow.table({column: pyarrow.array(values) for column, values in columns.items()})
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):  # one column with values of several types
        texts = {c: [None if v is None else str(_flat(v)) for v in values] for c, values in columns.items()}
        table = pyarrow.table({column: pyarrow.array(values) for column, values in texts.items()})
    pyarrow.parquet.write_table(table, path)


def _xlsx(path: Path, header: list[str], rows: Iterable[dict[str, Any]]) -> None:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    book = Workbook(write_only=True)
    sheet = book.create_sheet("predictions")

    def cell(value: Any) -> Any:
        value = _flat(value)
        cell_ = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", value)[:32767] if isinstance(value, str) else value)
        if isinstance(value, str):
            cell_.data_type = "s"  # a text that begins with = is a text, not a formula
        return cell_

    sheet.append([cell(column) for column in header])
    for row in rows:
        sheet.append([cell(row.get(column)) for column in header])
    book.save(path)


WRITERS: dict[str, Callable[[Path, list[str], Iterable[dict[str, Any]]], None]] = {
    ".csv": _csv,
    ".tsv": partial(_csv, delimiter="\t"),
    ".jsonl": _jsonl,
    ".json": _json,
    ".parquet": _parquet,
    ".xlsx": _xlsx,
}

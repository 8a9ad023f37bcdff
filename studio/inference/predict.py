"""A prediction for every row, and files that hold them beside all columns of the data."""

import csv
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from studio.data.values import for_spreadsheet
from studio.inference.base_and_tuned import Pair
from studio.inference.batches import by_length
from studio.inference.classify import chosen, neighbours, probabilities
from studio.inference.generate import replies, room_for_reply
from studio.inference.spans import pointed
from studio.schema.errors import StudioError
from studio.schema.report import ChatSettings
from studio.tasks import Row

Progress = Callable[[int, int], None]
Prediction = tuple[str, float | None]
"""A reply or a label; for a label its probability too."""
MOST_TOKENS = 2048
"""Prompt tokens of a batch, with its padding."""


def predict(
    pair: Pair,
    rows: Sequence[Row],
    roles: dict[str, str],
    settings: ChatSettings,
    base: bool,
    progress: Progress,
    stop: Callable[[], bool],
) -> list[Prediction]:
    """What the tuned (or the base) says to each row; an empty text for a row without an input."""
    found: list[Prediction] = [("", None)] * len(rows)
    encoding = pair.encoding(roles, settings.system)
    usable = [number for number, row in enumerate(rows) if pair.task.text_of(row, roles).strip()]
    ids = [pair.task.prompt_ids(pair.task.prompt_of(rows[number], roles), encoding) for number in usable]
    if not usable:
        return found
    if pair.head.name == "spans":
        values = [pair.task.values(rows[number], roles) for number in usable]
        asked = [(each.get("question") or "", each.get("context") or "") for each in values]
        spans = pointed(pair, asked, "base" if base else "tuned", lambda done: progress(done, len(asked)))
        answers: list[Prediction] = [(each[0].text, each[0].share) for each in spans]
    elif pair.head.at_once:
        answers = labels_of(pair, ids, base, lambda done: progress(done, len(ids)))
    else:
        answers = [(text, None) for text in texts_of(pair, ids, "base" if base else "tuned", settings, progress, stop)]
    for number, answer in zip(usable, answers, strict=True):
        found[number] = answer
    return found


def labels_of(
    pair: Pair, ids: Sequence[Sequence[int]], base: bool, progress: Callable[[int], None]
) -> list[Prediction]:
    """The likeliest label of each row, with its probability."""
    if base:
        shares = neighbours(pair).probabilities(pair, ids, progress)
    else:
        shares = probabilities(pair, ids, progress)
    sure = pair.head.problem != "regression"
    return [(chosen(pair, row), float(row.max()) if sure else None) for row in shares]


def texts_of(
    pair: Pair,
    prompts: Sequence[Sequence[int]],
    who: str,
    settings: ChatSettings,
    progress: Progress,
    stop: Callable[[], bool],
) -> list[str]:
    """A reply to each prompt, in batches of like length. Of a prompt that the model can't hold, the end is read."""
    most = pair.context - min(settings.max_new_tokens, pair.context // 2)
    apart = pair.head.name == "seq2seq"  # reads its prompt, cut already, elsewhere than it writes
    cut = [prompt if apart else prompt[-most:] for prompt in prompts]
    found, done = [""] * len(cut), 0
    for batch in by_length([len(prompt) for prompt in cut], MOST_TOKENS, most_rows=16):
        if stop():
            break
        room = pair.context if apart else min(room_for_reply(cut[each], pair.context) for each in batch)
        short = settings.model_copy(update={"max_new_tokens": min(settings.max_new_tokens, room)})
        with pair.speaking(who) as model:
            texts = replies(model, pair.tokenizer, [cut[each] for each in batch], short, stop)
        for each, text in zip(batch, texts, strict=True):
            found[each] = text
        done += len(batch)
        progress(done, len(cut))
    return found


def write_predictions(path: Path, columns: Sequence[str], rows: Sequence[Row], found: Sequence[Prediction]) -> None:
    """All columns of the data, `prediction`, and `confidence` for labels, in the format that the name ends in."""
    write = writer_for(path)
    with_confidence = any(confidence is not None for _, confidence in found)
    names = ["prediction", *(["confidence"] if with_confidence else [])]
    header = [*(column for column in columns if column not in names), *names]
    whole = (
        {**row, "prediction": text, **({"confidence": confidence} if with_confidence else {})}
        for row, (text, confidence) in zip(rows, found, strict=True)
    )
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        write(beside, header, whole)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def writer_for(path: Path) -> Callable[[Path, list[str], Iterable[dict[str, Any]]], None]:
    """The writer for a file's ending; a refusal that lists them."""
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
            "There is no such folder to write to.",
            given=path.parent,
            field="out",
            hint="Make it first, or name another one.",
        )
    return WRITERS[path.suffix.lower()]


def _flat(value: Any) -> Any:
    """A value that fits into one cell."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value


def _csv(path: Path, header: list[str], rows: Iterable[dict[str, Any]], delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, delimiter=delimiter)
        writer.writerow(header)
        writer.writerows([for_spreadsheet(_flat(row.get(column))) for column in header] for row in rows)


def _tsv(path: Path, header: list[str], rows: Iterable[dict[str, Any]]) -> None:
    _csv(path, header, rows, "\t")


def _jsonl(path: Path, header: list[str], rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps({column: row.get(column) for column in header}, ensure_ascii=False) + "\n")


def _json(path: Path, header: list[str], rows: Iterable[dict[str, Any]]) -> None:
    whole = [{column: row.get(column) for column in header} for row in rows]
    path.write_text(json.dumps(whole, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _parquet(path: Path, header: list[str], rows: Iterable[dict[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    whole = list(rows)
    columns = {column: [row.get(column) for row in whole] for column in header}
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
        made = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", value)[:32767] if isinstance(value, str) else value)
        if isinstance(value, str):
            made.data_type = "s"  # a text that begins with = is a text, not a formula
        return made

    sheet.append([cell(column) for column in header])
    for row in rows:
        sheet.append([cell(row.get(column)) for column in header])
    book.save(path)


WRITERS: dict[str, Callable[[Path, list[str], Iterable[dict[str, Any]]], None]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": _jsonl,
    ".json": _json,
    ".parquet": _parquet,
    ".xlsx": _xlsx,
}

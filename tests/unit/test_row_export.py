"""Rows in the formats of other tools: our own importer and `datasets.load_dataset` read the same rows again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from studio.api import Studio
from studio.data.table import Row
from studio.schema.errors import StudioError
from studio.services.datasets.row_formats import ROW_FORMATS
from studio.tasks import task_named

CALL = {"type": "function", "function": {"name": "find", "arguments": '{"city": "Bonn"}'}}
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
REPLIES = ("Yes. ", " =1+1", 'He said "no".', "Zwölf 🦉", "a\nb", "It is.", "Maybe", "Never", "<b>", "0")
ROWS: dict[str, list[Row]] = {
    "chat": [
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": f"Question {number}?"},
                {"role": "assistant", "content": reply},
            ]
        }
        for number, reply in enumerate(REPLIES)
    ],
    "chat with tools": [
        {
            "messages": [
                {"role": "user", "content": f"Where is parcel {number}?"},
                {"role": "assistant", "content": "", "tool_calls": [CALL | {"id": f"c{number}"}]},
                {"role": "tool", "content": "Bonn", "tool_call_id": f"c{number}"},
                {"role": "assistant", "content": f"In Bonn, number {number}."},
            ],
            "tools": [TOOL],
        }
        for number in range(10)
    ],
    "preference": [
        {"prompt": f"Question {number}?", "chosen": f"Good {reply}", "rejected": f"Bad {reply}"}
        for number, reply in enumerate(REPLIES)
    ],
    "feedback": [
        {"prompt": f"Question {number}?", "reply": reply, "thumb": number % 2 == 0}
        for number, reply in enumerate(REPLIES)
    ],
    "classification": [
        {"text": f" The lid {reply} cracked {number}. ", "label": ("bad", "good")[number % 2]}
        for number, reply in enumerate(REPLIES)
    ],
    "several labels": [
        {"text": f"Comment {number} is here.", "labels": [["late"], ["late", "broken"]][number % 2]}
        for number in range(10)
    ],
    "scores": [
        {"text": f"Comment {number} is here.", "second": f"Other {number}", "score": number / 4} for number in range(10)
    ],
    "summarization": [
        {"text": f"A long article about {number}. It has two sentences.", "summary": f"About {number}."}
        for number in range(10)
    ],
    "question-answering": [
        {
            "question": f"Who is number {number}?",
            "context": f"Number {number} is Ada.",
            "answers": {"text": ["Ada"], "answer_start": [12]},
        }
        for number in range(10)
    ],
    "completion": [{"text": f"Chapter {number}: {reply}\nThe end."} for number, reply in enumerate(REPLIES)],
}
"""What the rows are → the rows."""
TASKS = {"chat with tools": "chat", "several labels": "classification", "scores": "classification"}
PAIRS = [(kind, name) for kind in ROWS for name, format in ROW_FORMATS.items() if TASKS.get(kind, kind) in format.tasks]


def imported(studio: Studio, folder: Path, kind: str) -> str:
    """A dataset with some rows, and their task."""
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS[kind]), encoding="utf-8")
    dataset = studio.datasets.add_file(file).id
    spec = studio.datasets.spec(dataset, TASKS.get(kind, kind))
    studio.datasets.set_roles(dataset, spec.task, spec.roles)
    return dataset


def values_of(studio: Studio, dataset: str, task_name: str) -> list[Any]:
    """What the model learns from each row: the messages, or the values by role."""
    task, spec = task_named(task_name), studio.datasets.spec(dataset, task_name)
    rows = [row for _, row in studio.datasets.table(dataset).numbered()]
    found = []
    for row in rows:
        values = task.values(row, spec.roles)
        turns = task.turns(row, spec.roles) if hasattr(task, "turns") else None  # chat and what is made of it
        others = {name: value for name, value in values.items() if name in ("chosen", "rejected", "thumb")}
        found.append((turns, others) if turns is not None else values)
    return found


@pytest.mark.parametrize(("kind", "format"), PAIRS)
def test_the_studio_reads_its_own_export_as_the_same_rows(
    studio: Studio, tmp_path: Path, kind: str, format: str
) -> None:
    task = TASKS.get(kind, kind)
    dataset = imported(studio, tmp_path, kind)
    target = tmp_path / f"out{ROW_FORMATS[format].suffix}"
    assert studio.library.export_file(dataset, target, format=format) == len(ROWS[kind])
    again = studio.datasets.open(str(target)).id
    expected = values_of(studio, dataset, task)
    if format in ("openai", "sharegpt") and task not in ("chat", "preference", "feedback"):
        prompts = [task_named(task).text_of(row, studio.datasets.spec(dataset, task).roles) for row in ROWS[kind]]
        found = [turns for turns, _ in values_of(studio, again, "chat")]
        assert [turns[0]["content"] for turns in found] == [prompt.strip() for prompt in prompts]
        assert all(turns[-1]["role"] == "assistant" and turns[-1]["content"] for turns in found)
        return
    found = values_of(studio, again, task)
    if format == "sharegpt":  # it has no ids of calls
        found, expected = without_ids(found), without_ids(expected)
    assert sorted(map(repr, found)) == sorted(map(repr, expected))


def without_ids(value: Any) -> Any:
    """A value without the ids of tool calls in it."""
    if isinstance(value, dict):
        return {key: without_ids(each) for key, each in value.items() if key not in ("id", "tool_call_id")}
    return [without_ids(each) for each in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize(("kind", "format"), PAIRS)
def test_the_datasets_library_reads_all_rows_of_an_export(
    studio: Studio, tmp_path: Path, kind: str, format: str
) -> None:
    from datasets import load_dataset

    dataset = imported(studio, tmp_path, kind)
    target = tmp_path / f"out{ROW_FORMATS[format].suffix}"
    studio.library.export_file(dataset, target, format=format)
    cache = str(tmp_path / "cache")
    if format == "hub":
        loaded = load_dataset(str(target), cache_dir=cache)
        assert set(loaded) == {"train", "validation"}
        rows = [row for split in loaded.values() for row in split]
    else:
        loader = "parquet" if format == "parquet" else "json"
        rows = list(load_dataset(loader, data_files=str(target), split="train", cache_dir=cache))
    assert len(rows) == len(ROWS[kind])
    expected = set(studio.library.lines(dataset, format)) if format in ("openai", "sharegpt") else None
    if expected is not None:
        assert {without_none(row) for row in rows} == {without_none(json.loads(line)) for line in expected}


def without_none(row: Any) -> str:
    """A row as JSON without the keys that `datasets` adds to objects that lack them."""

    def cleaned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: cleaned(each) for key, each in sorted(value.items()) if each is not None}
        return [cleaned(each) for each in value] if isinstance(value, list) else value

    return json.dumps(cleaned(row))


def test_only_usable_rows_are_exported_with_cleaned_values(studio: Studio, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(
        "text,label\n" + "".join(f'"  Row {n} is fine. ",good\n"Row {n} again",bad\n' for n in range(5)) + ",good\n"
    )
    dataset = studio.datasets.add_file(file).id
    assert studio.library.export_file(dataset, tmp_path / "all.jsonl") == 11
    assert studio.library.export_file(dataset, tmp_path / "clean.parquet") == 10
    import pyarrow.parquet

    assert pyarrow.parquet.read_table(tmp_path / "clean.parquet").to_pylist()[0] == {
        "text": "Row 0 is fine.",
        "label": "good",
    }


def test_the_card_of_a_hub_folder_names_its_files_and_can_hold_no_other_front_matter(
    studio: Studio, tmp_path: Path
) -> None:
    dataset = imported(studio, tmp_path, "classification")
    studio.library.rename(dataset, "rows\n---\nlicense: mit <script>")
    studio.library.export_file(dataset, tmp_path / "hub", format="hub")
    card = (tmp_path / "hub" / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(card.split("---")[1])
    assert front["configs"][0]["data_files"][0] == {"split": "train", "path": "data/train.parquet"}
    assert "license" not in front and front["task_categories"] == ["text-classification"]
    assert "<script>" not in card


def test_rows_without_a_format_are_refused_before_anything_is_written(studio: Studio, tmp_path: Path) -> None:
    dataset = imported(studio, tmp_path, "completion")
    with pytest.raises(StudioError, match="can't hold rows of this task") as refused:
        studio.library.export_file(dataset, tmp_path / "out.jsonl", format="openai")
    assert refused.value.field == "format" and "parquet" in refused.value.hint
    with pytest.raises(StudioError, match="There is no format openapi"):
        studio.library.export_file(dataset, tmp_path / "out.jsonl", format="openapi")
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "notes.txt").write_text("mine")
    with pytest.raises(StudioError, match="already exists"):
        studio.library.export_file(dataset, tmp_path / "hub", format="hub")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith((".", "out"))) == []
    assert (tmp_path / "hub" / "notes.txt").read_text() == "mine"


def test_the_command_writes_a_format(call: Callable[..., Any], studio: Studio, tmp_path: Path) -> None:
    dataset = imported(studio, tmp_path, "chat")
    status, answer, _ = call("data", "export", dataset, "--to", tmp_path / "o.jsonl", "--format", "openai")
    assert (status, answer["rows"]) == (0, 10)
    first = json.loads((tmp_path / "o.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first["messages"][-1] == {"role": "assistant", "content": "Yes. "}

"""Writes the usable rows of a dataset for other tools: JSON Lines, Parquet, or a dataset folder for the Hub."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from studio.data.checks import usable_rows
from studio.data.table import Table
from studio.machine.disk import put_in_place, sync_tree
from studio.schema.dataset import DatasetRecord, DatasetSpec
from studio.services.datasets.row_formats import HUB, PARQUET, RowFormat
from studio.store.files import require_new_folder
from studio.tasks import Task, task_named

Rows = Iterator[dict[str, Any]]
ROWS_AT_ONCE = 1000
"""Rows in one row group of a Parquet file."""
CATEGORIES = {
    "classification": "text-classification",
    "question-answering": "question-answering",
    "summarization": "summarization",
}
"""Task → its category on the Hub. Other tasks: text-generation."""
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""Upper limit of the rows → name of the size on the Hub."""


@dataclass(frozen=True)
class RowsToExport:
    """The rows of one version, and how they are read."""

    record: DatasetRecord
    table: Table
    spec: DatasetSpec
    splits: Callable[[], Mapping[int, str]]
    """Computes row number → split. Raises `StudioError` if the rows can't be split."""

    @property
    def task(self) -> Task:
        return task_named(self.spec.task)

    def converted(self, format: RowFormat, split: str = "", splits: Mapping[int, str] | None = None) -> Rows:
        """Yield the usable rows in a format: all, or those of one split."""
        spec = self.spec
        rows = usable_rows(self.table, self.task, spec.roles, left_out=spec.left_out, rows_left_out=spec.rows_left_out)
        for number, row in rows:
            if splits is None or splits.get(number) == split:
                yield format.convert(self.task, row, spec.roles)

    def lines(self, format: RowFormat) -> Iterator[str]:
        """Yield the rows as JSON Lines. Raise `StudioError` before the first one if the format can't hold them."""
        format.require_task(self.task)
        return (json.dumps(row, ensure_ascii=False) + "\n" for row in self.converted(format))

    def write(self, format: RowFormat, to: Path) -> int:
        """Write a file, or a folder for the Hub. Return the number of rows. What existed stays if it fails.

        Raises:
            StudioError: for rows that the format can't hold, and for a folder that has files already.
        """
        format.require_task(self.task)
        if format is HUB:
            return self._write_folder(to)
        temporary = to.with_name(f".{to.name}.new")
        try:
            if format is PARQUET:
                count = write_columns(lambda: self.converted(format), temporary)
            else:
                count = 0
                with temporary.open("w", encoding="utf-8") as file:
                    for line in self.lines(format):
                        file.write(line)
                        count += 1
            temporary.replace(to)
        finally:
            temporary.unlink(missing_ok=True)
        return count

    def _write_folder(self, to: Path) -> int:
        require_new_folder(to)
        splits, stage = self.splits(), to.with_name(f".{to.name}.new")
        shutil.rmtree(stage, ignore_errors=True)
        try:
            (stage / "data").mkdir(parents=True)
            counts = {}
            for split in ("train", "validation", "test"):
                if split in splits.values():
                    file = stage / "data" / f"{split}.parquet"
                    counts[split] = write_columns(partial(self.converted, HUB, split, splits), file)
            (stage / "README.md").write_text(self.card(counts), encoding="utf-8")
            sync_tree(stage)
            put_in_place(stage, to)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
        return sum(counts.values())

    def card(self, counts: Mapping[str, int]) -> str:
        """Return the dataset card: front matter with the files of each split, and a text."""
        import yaml

        total, task = sum(counts.values()), self.task
        front = {
            "task_categories": [CATEGORIES.get(task.name, "text-generation")],
            "size_categories": [next((name for most, name in SIZES if total < most), "n>1M")],
            "tags": ["finetune-studio", task.name],
            "configs": [
                {
                    "config_name": "default",
                    "data_files": [{"split": split, "path": f"data/{split}.parquet"} for split in counts],
                }
            ],
        }
        labels = ", ".join(f"`{label}`" for label in self.spec.label_names)
        parts = [
            f"# {_one_line(self.record.name)}",
            f"Rows for the task {task.name} ({task.term}), written by Fine-tune Studio.",
            "| Split | Rows |\n|---|---|\n" + "\n".join(f"| {split} | {rows:,} |" for split, rows in counts.items()),
            f"Labels: {labels}" if labels else "",
            "Rows that can't be used for training were left out. Texts have no space at their start and end.",
            "No license is set. Add one to the front matter before you publish the rows.",
        ]
        text = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
        return f"---\n{text}---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def write_columns(rows: Callable[[], Rows], path: Path) -> int:
    """Write rows as a Parquet file, in two passes: the first finds the columns. Return the number of rows."""
    import pyarrow
    import pyarrow.parquet

    columns, message_keys = _columns_of(rows())
    schema = pyarrow.schema([(name, _type_of(name, value, message_keys)) for name, value in columns.items()])
    count, block = 0, []
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for row in rows():
            block.append(row)
            count += 1
            if len(block) == ROWS_AT_ONCE:
                writer.write_table(pyarrow.Table.from_pylist(block, schema=schema))
                block = []
        if block:
            writer.write_table(pyarrow.Table.from_pylist(block, schema=schema))
    return count


def _columns_of(rows: Rows) -> tuple[dict[str, Any], list[str]]:
    """Return column → its first value, and the keys of all messages."""
    columns: dict[str, Any] = {}
    keys: dict[str, None] = {}
    for row in rows:
        for name, value in row.items():
            if columns.get(name) is None:
                columns[name] = value
            if isinstance(value, list) and value and isinstance(value[0], dict):
                keys |= dict.fromkeys(key for message in value for key in message)
    return columns, list(keys)


def _type_of(name: str, value: Any, message_keys: list[str]) -> Any:
    """Return the Arrow type of a column."""
    import pyarrow

    text = pyarrow.string()
    if isinstance(value, bool):
        return pyarrow.bool_()
    if isinstance(value, int | float):
        return pyarrow.float64()
    if isinstance(value, dict):
        return pyarrow.struct([("text", pyarrow.list_(text)), ("answer_start", pyarrow.list_(pyarrow.int64()))])
    if isinstance(value, list) and name == "labels":
        return pyarrow.list_(text)
    if isinstance(value, list):
        function = pyarrow.struct([("name", text), ("arguments", text)])
        call = pyarrow.struct([("id", text), ("type", text), ("function", function)])
        types = {"tool_calls": pyarrow.list_(call), "weight": pyarrow.float64()}
        return pyarrow.list_(pyarrow.struct([(key, types.get(key, text)) for key in message_keys]))
    return text


def _one_line(text: str) -> str:
    """Return a name on one line, without characters that begin markup."""
    return " ".join(text.split()).replace("<", "&lt;").replace("[", "\\[")

"""Predictions of a run in its folder: a description and one line for each row. They are saved piece by piece.

A piece is appended and synced before the description counts it. So after a power failure all counted rows are there,
and the rest of the rows can be predicted later.
"""

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from studio.machine.locks import alone
from studio.schema.errors import StudioError
from studio.schema.labeling import Suggestion
from studio.schema.predictions import PredictedRow, PredictionSet
from studio.store.files import no_room, write_whole

ROW, NO_CONFIDENCE = b'{"row":', b'"confidence":null'
"""How each line begins, and what it holds if there is no confidence. Inside of a text, quotes have a backslash."""
BLOCK = 65_536
"""Bytes that are read at once to find the end of the last line."""


class PredictionStore:
    """The predictions of one run."""

    def __init__(self, folder: Path) -> None:
        """`folder`: of the predictions. It is created when it is first needed."""
        self.folder = folder

    def all(self) -> list[PredictionSet]:
        """The saved predictions, newest first."""
        records = [each for path in self.folder.glob("*.json") if (each := self._read(path)) is not None]
        return sorted(records, key=lambda each: each.created, reverse=True)

    def find(self, id: str) -> PredictionSet | None:
        """The description of saved predictions, or None."""
        return next((each for each in self.all() if each.id == id), None)

    def get(self, id: str) -> PredictionSet:
        """The description of saved predictions.

        Raises:
            StudioError: `unknown-name` when there are none with this id.
        """
        record = self.find(id)
        if record is None:
            saved = self.all()
            raise StudioError(
                "unknown-name",
                "These predictions do not exist. They may have been deleted.",
                given=id[:100],
                valid=[each.id for each in saved] or "no predictions, because none were made with this run",
                hint="Predict the rows again on the Evaluate tab.",
            )
        return record

    def writing(self, waiting: Callable[[], None]) -> AbstractContextManager[None]:
        """Hold a lock, so that only one process or thread adds predictions to this run.

        `waiting` is called from time to time while another one does. It can raise an exception to give up.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        return alone(self.folder / "writing", waiting)

    def keep(self, description: PredictionSet) -> PredictionSet:
        """Save a description."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._description(description.id), description.model_dump_json(indent=2))
        return description

    def append(self, id: str, rows: Sequence[PredictedRow]) -> None:
        """Add rows. A line that was not written completely before is removed first."""
        path = self._rows(id)
        with no_room(path), path.open("ab+") as out:
            out.truncate(_complete_bytes(out))
            out.write(b"".join(each.model_dump_json().encode() + b"\n" for each in rows))
            out.flush()
            os.fsync(out.fileno())

    def scan(self, id: str) -> Iterator[tuple[int, int, bool]]:
        """Yield the number of each row, the place of its line in the file, and whether it has a confidence."""
        place = 0
        with suppress(FileNotFoundError), self._rows(id).open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    row = int(line[len(ROW) : line.index(b",")])
                    yield row, place, NO_CONFIDENCE not in line
                place += len(line)

    @contextmanager
    def reader(self, id: str) -> Iterator[Callable[[int], PredictedRow]]:
        """A function that reads the prediction at a place in the file."""
        path = self._rows(id)
        with path.open("rb") if path.exists() else io.BytesIO() as file:

            def read(place: int) -> PredictedRow:
                file.seek(place)
                return PredictedRow.model_construct(**json.loads(file.readline()))

            yield read

    def suggestions(self, id: str) -> Mapping[int, Suggestion]:
        """Row → the likeliest labels, for predictions of one label. The same object until rows are added."""
        path = self._rows(id)
        try:
            status = path.stat()
        except FileNotFoundError:
            return {}
        return _read_suggestions(path, status.st_size, status.st_mtime_ns)

    def delete(self, id: str) -> None:
        """Remove predictions."""
        self._description(id).unlink(missing_ok=True)
        self._rows(id).unlink(missing_ok=True)

    def _read(self, path: Path) -> PredictionSet | None:
        """A description. None for a file that is none, or is of another version of the studio."""
        with suppress(OSError, ValueError):
            return PredictionSet.model_validate_json(path.read_bytes())
        return None

    def _description(self, id: str) -> Path:
        return self.folder / f"{id}.json"

    def _rows(self, id: str) -> Path:
        return self.folder / f"{id}.jsonl"


def _complete_bytes(file: BinaryIO) -> int:
    """The size of a file up to the end of its last complete line."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - BLOCK)
        file.seek(start)
        place = file.read(end - start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0


@lru_cache(maxsize=8)
def _read_suggestions(path: Path, size: int, changed: int) -> dict[int, Suggestion]:
    """The suggestions of a file that has this size and this time of its last change."""
    suggestions = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n") and (each := json.loads(line)).get("labels"):
                labels = tuple((name, share) for name, share in each["labels"])
                suggestions[each["row"]] = Suggestion(labels=labels)
    return suggestions

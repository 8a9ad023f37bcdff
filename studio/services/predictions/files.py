"""Files of `studio predict`: whether rows, model and options are those of an earlier, incomplete command."""

import hashlib
from io import BufferedReader
from pathlib import Path

from studio.data.formats import files_in
from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError
from studio.schema.predictions import FileJob, FileRequest, PredictionSet
from studio.services.datasets.service import Datasets


def digest_of(request: FileRequest, datasets: Datasets) -> tuple[str, DatasetRecord | None]:
    """Return what tells DATA from other rows, and the dataset, if DATA is one already.

    Rows of the Hub are known by their name: they are fetched once for a file.
    """
    data, path = request.data, Path(request.data)
    if data.startswith("hf:"):
        return data, None
    if data.startswith("sample:") or (data.startswith("data-") and not path.exists()):
        record = datasets.open(data, **request.reading)
        return f"{record.id}-v{record.version}", record
    files = files_in(path)[0] if path.is_dir() else {path.name: path}
    digest = hashlib.sha256()
    for name, file in files.items():
        digest.update(name.encode("utf-8", "surrogatepass") + b"\0")
        with _opened(file, name) as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest(), None


def _opened(path: Path, name: str) -> BufferedReader:
    """Open a file. Raise `StudioError` if there is none."""
    if not path.is_file():
        hint = "Check the name, or choose the file again."
        raise StudioError("unreadable-file", "There is no such file.", given=name, hint=hint)
    return path.open("rb")


def require_same(begun: PredictionSet, run: str, base: bool, step: int, job: FileJob) -> None:
    """Raise `StudioError` if incomplete predictions for a file have other rows, options or another model."""
    what = ""
    if begun.base != base:
        what = "The rows of this file are being predicted by the other model: the base model or the fine-tuned one."
    elif begun.step != step:
        what = f"The model {run} was trained further since the predictions for this file began."
    elif begun.job and begun.job.reading != job.reading:
        what = "The data is read with other options than when the predictions for this file began."
    elif begun.job and begun.job.digest != job.digest:
        what = "The data has changed since the predictions for this file began."
    if what:
        raise StudioError(
            "wrong-state",
            what,
            given=f"{begun.done:,} of {begun.total:,} rows are predicted",
            valid="the same data, model and options until all rows are predicted",
            hint="Add --restart to predict all rows again, or choose another file with --out.",
            field="out",
        )

"""Paths in a run's folder, and its disk usage."""

from pathlib import Path

from studio.store.datasets import IN_RUN
from studio.store.files import folder_size, read_json


class RunFolder:
    """Paths in a run's folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "config.yaml"
        self.log = root / "worker.log"
        self.checkpoints = root / "checkpoints"
        self.adapter = root / "adapter"
        self.model = root / "model"
        self.report = root / "report.json"
        self.folds = root / "cross-validation.json"
        self.exports = root / "exports"
        self.predictions = root / "predictions"
        self.record = root / "run.json"
        self.splits = root / "splits.json"
        self.events = root / "events.jsonl"
        self.rows = root / IN_RUN

    @property
    def of_processes(self) -> list[Path]:
        """The logs of the processes that trained together, in their order."""
        logs = self.root.glob("rank-*.log")
        return sorted(logs, key=lambda path: int(path.stem.rpartition("-")[2]))

    @property
    def result(self) -> Path | None:
        """The folder of the adapter or the fine-tuned model, None when there is none."""
        return next(
            (
                folder
                for folder in (self.adapter, self.model)
                if (folder / "config.json").exists() or (folder / "adapter_config.json").exists()
            ),
            None,
        )

    def read_splits(self) -> dict[str, list[int]]:
        """Return split → its row numbers, as the worker saved them. Empty when it has saved none yet."""
        saved = read_json(self.splits)
        return {name: saved.get(name) or [] for name in ("train", "validation", "test")} if saved else {}

    @property
    def bytes(self) -> int:
        """Bytes on the disk. Rows that are hard links to a dataset's file count there, not here."""
        row_files = [path.stat() for path in self.rows.glob("*")]
        return folder_size(self.root) - sum(each.st_size for each in row_files if each.st_nlink > 1)

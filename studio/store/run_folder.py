"""Names of what lies in a run's folder, and how much of the disk it takes."""

from pathlib import Path

from studio.store.datasets import IN_RUN
from studio.store.files import folder_size


class RunFolder:
    """Names of what lies in a run's folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "config.yaml"
        self.log = root / "worker.log"
        self.checkpoints = root / "checkpoints"
        self.adapter = root / "adapter"
        self.model = root / "model"
        self.report = root / "report.json"
        self.exports = root / "exports"
        self.record = root / "run.json"
        self.splits = root / "splits.json"
        self.events = root / "events.jsonl"
        self.rows = root / IN_RUN

    @property
    def of_processes(self) -> list[Path]:
        """What each of several processes printed that trained together, in their order."""
        found = self.root.glob("rank-*.log")
        return sorted(found, key=lambda path: int(path.stem.rpartition("-")[2]))

    @property
    def result(self) -> Path | None:
        """The tuned adapter's or model's folder, None when there is none."""
        return next(
            (
                folder
                for folder in (self.adapter, self.model)
                if (folder / "config.json").exists() or (folder / "adapter_config.json").exists()
            ),
            None,
        )

    @property
    def bytes(self) -> int:
        """What it takes on the disk; rows that are a dataset's file as well are counted there, and not here."""
        kept = [path.stat() for path in self.rows.glob("*")]
        return folder_size(self.root) - sum(each.st_size for each in kept if each.st_nlink > 1)

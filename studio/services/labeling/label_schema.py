"""Labels themselves: which there are, further ones, other names, and two that become one."""

import json
from collections.abc import Sequence

from studio.schema.errors import StudioError
from studio.schema.labeling import What
from studio.services.labeling.annotation_state import AnnotationState
from studio.services.labeling.session import LabelingSession, clean_name

MOST_LABELS = 100


class LabelNames:
    """The names of a dataset's labels."""

    def __init__(self, bench: AnnotationState) -> None:
        self.bench = bench

    def set(self, dataset: str, labels: Sequence[str], labeller: str = "") -> None:
        """Which labels there are, in this order."""
        with self.bench.lock:
            desk = self.bench.labels_desk(dataset)
            names = list(dict.fromkeys(self.bench.checked(desk, label) for label in labels if label.strip()))
            self._keep(desk, "names", json.dumps(names, ensure_ascii=False), len(names), labeller)

    def add(self, dataset: str, labels: Sequence[str], labeller: str = "") -> None:
        """Further labels, after those that there are."""
        with self.bench.lock:
            desk = self.bench.labels_desk(dataset)
            for label in (label for label in labels if label.strip()):
                name = self.bench.checked(desk, label)
                if name not in desk.board.labels:
                    self._keep(desk, "add", name, len(desk.board.labels) + 1, labeller)

    def rename(self, dataset: str, label: str, new: str, merge: bool = False, labeller: str = "") -> int:
        """Give a label another name; with `merge` it may be the name of another one. How many rows had it."""
        with self.bench.lock:
            desk = self.bench.labels_desk(dataset)
            self._require(desk, label)
            name, rows = self.bench.checked(desk, new), desk.board.counts[label]
            if name in desk.board.labels and name != label and not merge:
                raise StudioError(
                    "bad-setting",
                    f"There is a label {name} already.",
                    given=name,
                    hint=f"Merge {label} into {name} if both mean the same.",
                )
            if name != label:
                self._keep(desk, "rename", json.dumps([label, name], ensure_ascii=False), 0, labeller)
            return rows

    def remove(self, dataset: str, label: str, labeller: str = "") -> None:
        """Take away a label that no row has."""
        with self.bench.lock:
            desk = self.bench.labels_desk(dataset)
            self._require(desk, label)
            if rows := desk.board.counts[label]:
                raise StudioError(
                    "wrong-state",
                    f"The label {label} stands on {rows:,} {'row' if rows == 1 else 'rows'}.",
                    hint="Merge it into another label, or give those rows another one.",
                )
            self._keep(desk, "remove", label, 0, labeller)

    def _require(self, desk: LabelingSession, label: str) -> None:
        if label not in desk.board.labels:
            raise StudioError("unknown-name", f"There is no label {label}.", valid=desk.board.labels)

    def _keep(self, desk: LabelingSession, what: What, value: str, labels: int, labeller: str) -> None:
        if labels > MOST_LABELS:
            raise StudioError(
                "too-many-labels",
                "Nobody can choose among so many labels.",
                given=labels,
                valid=f"up to {MOST_LABELS}",
            )
        self.bench.add(desk, [self.bench.fact(desk, what, clean_name(labeller), value=value)])

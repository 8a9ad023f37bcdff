"""Quality of labels: labels that are likely wrong, and a learning curve. The model host does the work."""

from collections.abc import Callable

from studio.data.checks import usable_rows
from studio.data.dataset_size import describe_learning_curve
from studio.data.table import even_sample
from studio.data.values import label_name
from studio.schema.dataset import DatasetRecord, DatasetSpec
from studio.schema.errors import StudioError
from studio.schema.host import RowsRef, Texts
from studio.schema.label_quality import LearningCurve, Suspect
from studio.services.datasets.service import Datasets, suspects_key
from studio.services.labeling.active_learning import EMBEDDING_MODEL
from studio.services.model_host.client import HostClient
from studio.services.models.service import Models
from studio.tasks import task_named

MOST_ROWS, DEMO_ROWS = 20_000, 2_000
"""Maximum number of rows that are judged; a larger dataset is sampled evenly."""
LEAST_ROWS, LEAST_EACH = 40, 4
AGREES = 0.7
"""Minimum accuracy of the small classifier for its judgment of other labels to count."""
Progress = Callable[[int, int, str], None]


class LabelQuality:
    """Checks the labels of a workspace's datasets with a small classifier."""

    def __init__(self, datasets: Datasets, models: Models, host: HostClient) -> None:
        self.datasets, self.models, self.host = datasets, models, host.of(datasets.context.workspace)
        self.drafts = datasets.context.workspace.drafts

    def judge(
        self, dataset: str, task: str | None = None, progress: Progress = lambda done, total, words: None
    ) -> dict[int, Suspect]:
        """Rows whose label is likely wrong. They are saved, and the data checks include them from now on."""
        record, spec, texts, labels = self._read(dataset, task, progress)
        result = self.host.result("judge_labels", progress, texts=texts, labels=labels)
        if result["agrees"] < AGREES:
            percent = f"{100 * result['agrees']:.0f}%"
            raise StudioError(
                "too-few-rows",
                f"The small classifier predicts the given label for only {percent} of the rows. "
                "That is too few to find wrong labels.",
                hint="Add rows for each label, or look at the worst rows on the Evaluate tab.",
            )
        suspects = {int(row): Suspect.model_validate(each) for row, each in result["rows"].items()}
        kept = {"roles": spec.roles, "rows": {row: each.model_dump() for row, each in suspects.items()}}
        self.drafts.put(suspects_key(record), kept)
        return suspects

    def was_judged(self, dataset: str) -> bool:
        """Whether the labels of the current rows were judged."""
        return self.drafts.get(suspects_key(self.datasets.store.get(dataset))) is not None

    def curve(
        self, dataset: str, task: str | None = None, progress: Progress = lambda done, total, words: None
    ) -> LearningCurve:
        """The score of classifiers that are trained on more and more rows."""
        record, spec, texts, labels = self._read(dataset, task, progress)
        result = self.host.result("draw_curve", progress, texts=texts, labels=labels)
        curve = LearningCurve.model_validate(result["curve"])
        curve = curve.model_copy(update={"sentence": describe_learning_curve(curve)})
        self.drafts.put(_curve_key(record), {"roles": spec.roles, "curve": curve.model_dump()})
        return curve

    def known_curve(self, dataset: str) -> LearningCurve | None:
        """The saved curve of the current rows."""
        kept = self.drafts.get(_curve_key(self.datasets.store.get(dataset)))
        if not kept or kept["roles"] != self.datasets.resolve_spec(dataset)[0].roles:
            return None
        return LearningCurve.model_validate(kept["curve"])

    def _read(
        self, dataset: str, task: str | None, progress: Progress
    ) -> tuple[DatasetRecord, DatasetSpec, Texts, dict[int, str]]:
        """The texts, embedded by the starter model, and the labels."""
        spec, _ = self.datasets.resolve_spec(dataset, task)
        record, task_info = self.datasets.store.get(dataset), task_named(spec.task)
        column = {role: name for name, role in spec.roles.items()}
        if not task_info.has_labels or not {"text", "label"} <= column.keys():
            raise StudioError(
                "method-unavailable",
                f"This works for labels only, because a small classifier does it. {task_info.title} has no labels.",
                given=spec.task,
                valid="rows with labels",
                hint="For replies, train one run on some of the rows and one on all, and compare them.",
            )
        if "second" in column:
            raise StudioError(
                "method-unavailable",
                "The small classifier for this reads one text, but these labels belong to two texts.",
                given=f"{column['text']} and {column['second']}",
                hint="Train one run on some of the rows and one on all, and compare them.",
            )
        rows = usable_rows(
            self.datasets.table(dataset),
            task_info,
            spec.roles,
            left_out=spec.left_out,
            rows_left_out=spec.rows_left_out,
        )
        labels = {number: name for number, row in rows if (name := label_name(row[column["label"]]))}
        most = DEMO_ROWS if self.datasets.context.demo else MOST_ROWS
        labels = {row: labels[row] for row in even_sample(list(labels), most)}
        different = len(set(labels.values()))
        if different > len(labels) / LEAST_EACH:
            raise StudioError(
                "too-many-labels",
                "There are too many different labels. Each label needs several rows.",
                given=f"{different:,} labels in {len(labels):,} rows",
                valid=f"at least {LEAST_EACH} rows for each label",
            )
        if len(labels) < LEAST_ROWS or different < 2:
            raise StudioError(
                "too-few-rows",
                f"{len(labels):,} labeled rows are too few for this.",
                valid=f"at least {LEAST_ROWS} rows, and at least two labels",
            )
        folder = self.datasets.store.labelling_folder(record.id) / EMBEDDING_MODEL
        path = self.datasets.store.rows_path(record.id, record.version)
        texts = Texts(rows=RowsRef(path=str(path), numbers=tuple(labels)), column=column["text"], folder=str(folder))
        self.host.result("embed", progress, info=self.models.ready(EMBEDDING_MODEL), texts=texts)
        return record, spec, texts, labels


def _curve_key(record: DatasetRecord) -> str:
    return f"learning-curve:{record.id}:{record.version}"

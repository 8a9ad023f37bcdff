"""The starting point of a run: replay rows to mix in, and the result of an earlier run to start from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studio.data.phrases import listed
from studio.schema.dataset import DatasetSpec
from studio.schema.errors import StudioError, raise_all
from studio.schema.models import ModelInfo
from studio.schema.requests import RunRequest
from studio.schema.runs import Replay, RunSpec
from studio.schema.settings_check import gathered
from studio.services.context import Context
from studio.services.datasets.service import Datasets
from studio.tasks import Task, as_turns, task_named
from studio.tasks.classification import label_role
from studio.training.methods import METHODS, method_named, trains_base_weights


@dataclass(frozen=True)
class StartingPoint:
    """Method and settings of a run, its replay data, and the problems of these."""

    method: str | None
    settings: Mapping[str, Any]
    replay: Replay | None = None
    problems: tuple[StudioError, ...] = ()
    """The plan reports them with all other problems."""

    @classmethod
    def of(cls, request: RunRequest) -> "StartingPoint":
        """That of a request without an earlier run to start from and without replay."""
        return cls(request.method, request.all_settings)


def starting_point(datasets: Datasets, request: RunRequest, info: ModelInfo, spec: DatasetSpec) -> StartingPoint:
    """The method, the settings and the replay data of a run, and all problems of these."""
    problems: list[StudioError] = []
    method, values, replay = request.method, request.all_settings, None
    with gathered(problems):
        method, values = start_from_run(datasets.context, values, method, info.name, spec)
    with gathered(problems):
        replay = replay_of(datasets, values, spec)
    return StartingPoint(method, values, replay, tuple(problems))


def replay_of(datasets: Datasets, settings: Mapping[str, Any], spec: DatasetSpec) -> Replay | None:
    """The replay data, or None without replay.

    Raises:
        StudioError: when the rows don't fit the task.
    """
    share, source = settings.get("replay") or 0, str(settings.get("replay_from") or "")
    if share in (0, "0"):
        return None
    task, problems = task_named(spec.task), []
    if not source:
        problems.append(
            StudioError(
                "bad-setting",
                "Replay needs a dataset to take rows from.",
                hint="Set replay_from to a dataset or a sample.",
                field="replay_from",
            )
        )
    if task.has_labels:
        problems.append(
            StudioError(
                "bad-setting",
                "Replay does not work for tasks with labels: replay rows would have other labels.",
                hint="Against forgetting, freeze layers or train for fewer epochs instead.",
                field="replay",
            )
        )
    raise_all(problems)
    record = datasets.open(source) if source.startswith("sample:") else datasets.store.get(source)
    read, _ = datasets.resolve_spec(record.id, spec.task)
    given, needed = set(read.roles.values()), set(spec.roles.values())
    missing = [role.title for role in task.roles if role.required and role.name in needed - given]
    turned = as_turns(task, read.roles, spec.roles)
    if missing or not (turned or any(set(one) <= given & needed for one in task.alternatives)):
        missing = missing or [role.title for role in task.roles if role.name in needed - given]
        columns = ", ".join(missing).lower()
        raise StudioError(
            "bad-setting",
            "The replay rows lack a column that your rows have.",
            given=f"no {columns} in {record.name}",
            hint="Choose replay rows for the same task, or set the roles of their columns first.",
            field="replay_from",
        )
    return Replay(dataset=record.id, version=record.version, roles=dict(read.roles), left_out=read.left_out)


def start_from_run(
    context: Context, settings: Mapping[str, Any], method: str | None, model: str, spec: DatasetSpec
) -> tuple[str | None, dict[str, Any]]:
    """Method and settings of a run that starts from the result of an earlier one; unchanged when it does not.

    Raises:
        StudioError: with all reasons why it can't start from that run.
    """
    values = {key.replace("-", "_"): value for key, value in settings.items()}
    if not values.get("start_from"):
        return method, values
    record = context.workspace.runs.get(str(values["start_from"]))
    before, folder = context.workspace.runs.spec(record.id), context.workspace.runs.folder(record.id)
    earlier = before.config
    problems = []
    if folder.result is None:
        problems.append(_refused(f"The run {record.name} has no result to start from.", given=record.id))
    if earlier.model != model:
        problems.append(
            _refused(f"The run {record.name} has another base model.", given=earlier.model, valid=f"a run of {model}")
        )
    learned_by = method_named(earlier.method)
    chosen = METHODS.get(method or earlier.method)
    if chosen is None or chosen.continues != learned_by.continues:
        problems.append(
            _refused(
                f"The run {record.name} was trained with another kind of method.", given=method, valid=earlier.method
            )
        )
    problems += _head_problems(record.name, before, spec)
    for name in learned_by.shape:
        earlier_value, setting = getattr(earlier, name), name.replace("_", " ")
        if values.get(name) not in (None, earlier_value):
            problems.append(
                StudioError(
                    "bad-setting",
                    f"The adapter of {record.name} has another {setting}.",
                    given=values[name],
                    valid=earlier_value,
                    field=name,
                )
            )
        values[name] = earlier_value
    raise_all(problems)
    return method or earlier.method, {**values, "start_from": record.id}


def _head_problems(name: str, before: RunSpec, spec: DatasetSpec) -> list[StudioError]:
    """Problems of a result whose head is for other labels, or for none.

    Tasks without labels have the same head on one base model: chat can start from continued pretraining, and
    preference training from chat. A whole model can get a new head. An adapter keeps its own.
    """
    earlier, now = task_named(before.data.task), task_named(spec.task)
    if earlier.has_labels != now.has_labels:
        if trains_base_weights(before.config.method) and _gets_new_layers(now):
            return []
        return [
            _refused(
                f"The run {name} was trained for another task. Its model has other output layers.",
                given=earlier.title,
                valid=f"a run for: {now.title}",
                hint="Choose a run of the same task, or start from the base model.",
            )
        ]
    earlier_labels, labels = _labels_of(before.data), _labels_of(spec)
    if not now.has_labels or not spec.roles or earlier_labels == labels:  # without rows no labels are known
        return []
    return [
        _refused(
            f"The run {name} was trained on other labels.",
            given=_in_words(*earlier_labels),
            valid=_in_words(*labels),
            hint="Choose a run with exactly these labels, or start from the base model.",
        )
    ]


def _gets_new_layers(task: Task) -> bool:
    """Whether an encoder gets new layers for this task."""
    return task.variant("encoder", {}).loss in ("labels", "spans")


def _labels_of(spec: DatasetSpec) -> tuple[str, tuple[str, ...]]:
    """What is assigned to a text, and the labels in the order of their class ids."""
    kind = label_role(spec.roles)
    return kind, () if kind == "score" else spec.label_names


def _in_words(kind: str, labels: Sequence[str]) -> str:
    if kind == "score":
        return "a score"
    if not labels:
        return "one label" if kind == "label" else "several labels"
    named = listed(labels)
    return f"one label of {named}" if kind == "label" else f"several labels of {named}"


def _refused(what: str, **more: Any) -> StudioError:
    return StudioError("bad-setting", what, field="start_from", **more)

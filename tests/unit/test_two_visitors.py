"""Two visitors of one studio: whatever one asks with the other's run or dataset, there is no such thing for him."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from studio.api import Studio
from studio.schema.augmentation import AugmentationRequest
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.predictions import FileRequest
from studio.schema.report import ChatSettings
from studio.schema.requests import RunRequest, SearchRequest
from studio.schema.runs import RunSpec
from studio.services.datasets.check_options import CheckOptions
from tests.model_facts import SMALL
from tests.visitors import new_visitor

ROWS = "question,answer\n" + "".join(f"Where is number {n}?,Under the blue stone {n}.\n" for n in range(20))
GIVEN: dict[str, Any] = {
    "model": "starter-chat",
    "task": "chat",
    "roles": {"question": "prompt", "answer": "reply"},
    "row": 1,
    "version": 1,
    "label": "a",
    "labels": ["a", "b"],
    "kind": "duplicate",
    "mark": "skip",
    "text": "Where?",
    "name": "adapter",
    "format": "adapter",
    "messages": [{"role": "user", "content": "Where?"}],
    "settings": ChatSettings(),
    "data": "sample:support-tone",
    "to": "labels.csv",
    "path": "labels.csv",
    "new": "b",
    "how": {"delimiter": ";"},
    "before": 1,
    "after": 1,
    "splits": {},
    "way": "spelling",
    "count": 2,
    "verdict": "accept",
    "others": {},
    "rule": "overfitting",
    "most": 10,
    "cells": {"question": "Where is it?"},
    "spec": DatasetSpec(task="chat", roles={"question": "prompt", "answer": "reply"}),
    "kinds": ("duplicate",),
    "values": {1: {"question": "Where is it?"}},
    "note": "Row 1 edited",
    "info": SMALL,
    "augmentation": AugmentationRequest(way="spelling", count=2),
    "options": CheckOptions(leave_out=("duplicate",)),
    "run": "20260101-00000000",
    "dataset": "data-0000000000",
    "id": "predictions-1",
    "folder": Path("rows"),
    "saved": None,
    "request": None,
}
"""Something plausible for every parameter that has no default."""
QUIET: dict[str, Any] = {
    "runs.events": [],
    "runs.sampled_events": [],
    "runs.has_room": False,
    "search.run_ended": None,
    "versions.all": [],
    "preview.limit": 512,  # the default without a plan
}
"""What answers as if there were nothing, instead of an error."""


OF_THE_OWNER = {
    "exports.install_tools",
    "hub.push",
    "hub.view",
    "predictions.begun",
    "predictions.export_file",
    "predictions.predict_file",
    "projects.with_run",
}
"""What no visitor of a demo may do, whatever is named."""


WITH_A_RUN = {"predictions.label_rest", "predictions.unavailable_reason"}
"""What looks for the run before the dataset."""


def acts(on: str) -> list[str]:
    """Names, as service.method, of all that a Studio can do with a run, a dataset or a request."""
    services = inspect.getmembers(Studio, lambda member: isinstance(member, cached_property))
    methods = [
        (f"{service}.{name}", method)
        for service, made in services
        if not service.startswith("_")
        for name, method in inspect.getmembers(get_type_hints(made.func)["return"], inspect.isfunction)
        if not name.startswith("_")
    ]
    return [name for name, method in methods if on in inspect.signature(method).parameters]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Studio, Studio]]:
    """Anna and Ben in a demo; Anna has rows and a finished run."""
    root = Studio(tmp_path / "home", demo=True)
    anna, ben = (root.visitor(new_visitor(root.home).name) for _ in range(2))
    yield anna, ben
    root.close()


def run_of(anna: Studio) -> tuple[str, str]:
    data = anna.datasets.add_text(ROWS)
    runs = anna.context.workspace.runs
    spec = RunSpec(
        config=TrainingConfig(task="chat", model="starter-chat", name="stones"),
        dataset=data.id,
        dataset_version=1,
        data=DatasetSpec(task="chat", roles=GIVEN["roles"]),
        splits=SplitSpec(),
    )
    run = runs.create(spec).id
    runs.folder(run).adapter.mkdir()
    (runs.folder(run).adapter / "adapter_config.json").write_text("{}")
    runs.set_status(run, "finished", has_result=True)
    return data.id, run


def call(studio: Studio, name: str, out: Path, **named: Any) -> Any:
    act: Callable[..., Any] = attrgetter(name)(studio)
    parameters = inspect.signature(act).parameters
    needed = {
        key
        for key, each in parameters.items()
        if each.default is inspect.Parameter.empty and each.kind is not inspect.Parameter.VAR_KEYWORD
    }
    given = {key: out if key == "out" else GIVEN[key] for key in needed if key not in named}
    made = act(**{key: value for key, value in named.items() if key in parameters}, **given)
    return list(made) if inspect.isgenerator(made) else made


@pytest.mark.parametrize("name", acts("run"))
def test_no_act_knows_anothers_run(name: str, two: tuple[Studio, Studio], tmp_path: Path) -> None:
    anna, ben = two
    _, run = run_of(anna)
    before = anna.runs.get(run), anna.runs.events(run)
    if name == "runs.handle":  # no more than a name in the own workspace
        assert call(ben, name, tmp_path, run=run).workspace is ben.context.workspace
    elif name == "cross_validation.problem":  # returns what would be raised
        assert call(ben, name, tmp_path, run=run).code == "no-such-run"
    elif name in QUIET:
        assert call(ben, name, tmp_path, run=run) == QUIET[name]
    else:
        with pytest.raises(StudioError) as caught:
            call(ben, name, tmp_path / "out.csv", run=run)
        refusals = {"not-allowed"} if name in OF_THE_OWNER else {"no-such-run"}
        if name == "predictions.predict":  # the dataset that is named is not there either
            refusals = {"no-such-dataset"}
        assert caught.value.code in refusals
    assert (anna.runs.get(run), anna.runs.events(run)) == before and ben.runs.all() == []


@pytest.mark.parametrize("name", acts("dataset"))
def test_no_act_knows_anothers_dataset(name: str, two: tuple[Studio, Studio], tmp_path: Path) -> None:
    anna, ben = two
    data, _ = run_of(anna)
    before = anna.versions.all(data)
    if name in QUIET:
        settings = {"settings": {}} if name == "preview.limit" else {}
        assert call(ben, name, tmp_path, dataset=data, **settings) == QUIET[name]
    else:
        with pytest.raises(StudioError) as caught:
            call(ben, name, tmp_path / "out.csv", dataset=data)
        assert caught.value.code == ("no-such-run" if name in WITH_A_RUN else "no-such-dataset")
    assert anna.versions.all(data) == before and ben.datasets.all() == []


@pytest.mark.parametrize("name", acts("request"))
def test_no_request_reaches_anothers_dataset(name: str, two: tuple[Studio, Studio], tmp_path: Path) -> None:
    anna, ben = two
    data, _ = run_of(anna)
    run = RunRequest(dataset=data, model="starter-chat", task="chat")
    request = SearchRequest(run=run) if name == "search.start" else run
    if name == "planning.problems":  # tells what is refused
        assert "no-such-dataset" in [each.code for each in call(ben, name, tmp_path, request=request)]
    elif name in ("preview.cached_first_batch", "runs.prepare"):
        with suppress(StudioError):
            assert not call(ben, name, tmp_path, request=request)
    else:
        with pytest.raises(StudioError) as caught:
            call(ben, name, tmp_path, request=request)
        assert caught.value.code == ("not-allowed" if name in OF_THE_OWNER else "no-such-dataset")
    assert ben.runs.all() == [] and ben.datasets.all() == []


@pytest.mark.parametrize(
    "place", ["sample:../../home", "data-../../x", "/etc/passwd", "~/.ssh/id_rsa", "hf:owner/name"]
)
def test_no_name_of_data_leads_a_visitor_to_a_file(place: str, two: tuple[Studio, Studio]) -> None:
    with pytest.raises(StudioError) as caught:
        two[1].datasets.open(place)
    assert caught.value.code in ("not-allowed", "no-such-dataset", "no-such-sample")


def test_a_visitor_writes_no_predictions_and_no_export_to_a_place_on_the_disk(
    two: tuple[Studio, Studio], tmp_path: Path
) -> None:
    anna = two[0]
    _, run = run_of(anna)
    for write in (
        lambda: anna.predictions.predict_file(
            FileRequest(run=run, data="sample:support-tone", out=str(tmp_path / "out.csv"))
        ),
        lambda: anna.exports.create(run, "adapter", tmp_path / "taken"),
    ):
        with pytest.raises(StudioError) as caught:
            write()
        assert caught.value.code == "not-allowed"
    assert not (tmp_path / "out.csv").exists() and not (tmp_path / "taken").exists()


def test_a_name_of_a_workspace_leads_nowhere_else(two: tuple[Studio, Studio]) -> None:
    for name in ("../x", "a/b", "", ".", "x" * 65, "a\x00b"):
        with pytest.raises(StudioError) as caught:
            two[0].visitor(name)
        assert caught.value.code == "not-allowed"
        assert not two[0].home.workspace_exists(name)

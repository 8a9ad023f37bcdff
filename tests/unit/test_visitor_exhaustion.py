"""What one visitor of a demo could send without an end: labels, names, jobs, slow downloads. Each has a bound."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio import to_thread
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from studio.api import Studio
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.errors import LONGEST_GIVEN, StudioError
from studio.schema.labeling import Fact
from studio.schema.limits import Limits
from studio.schema.runs import RunSpec
from studio.services.labeling import visitor_limits
from studio.services.labeling.labels import MAX_SESSIONS
from studio.services.labeling.session import MAX_LABELERS
from studio.services.labeling.state import LabelingState
from studio.services.model_host.client import WAITING_JOBS
from studio.store import quota
from studio.store.quota import Quota
from studio.ui import run_drafts
from studio.ui.http.poll import routes
from studio.ui.http.proxies import ADDRESS, ROLE
from studio.ui.jobs import JOBS, MOST_ENDED, Job, Jobs
from studio.ui.tabs.runs import run_detail
from studio.ui.visitors.session import HEADER, Choices, Sessions
from tests.visitors import new_visitor

ROWS = "text\n" + "".join(f"message number {number}\n" for number in range(12))
PAIRS = "question,answer\n" + "".join(f"Where is number {n}?,Under the blue stone {n}.\n" for n in range(12))


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    root = Studio(tmp_path / "home", demo=True)
    yield root.visitor(new_visitor(root.home).name)
    root.close()


def limited(studio: Studio, **limits: int) -> None:
    studio.home.keep_demo_limits(Limits(**limits))


# --- labels ---


def test_a_visitor_has_a_bounded_number_of_labels_in_all_datasets(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitor_limits, "MAX_FACTS", 10)
    first, second = (studio.datasets.add_text(ROWS).id for _ in range(2))
    assert studio.labels.give_many(first, range(1, 9), "refund") == 8
    studio.labels.mark(second, 1, "skip")
    with pytest.raises(StudioError, match="as many labels") as refused:
        studio.labels.give_many(second, range(1, 9), "refund")
    assert refused.value.code == "limit-reached"
    studio.labels.mark(second, 2, "skip")
    with pytest.raises(StudioError, match="as many labels"):
        studio.labels.mark(second, 3, "skip")
    studio.datasets.delete(first)
    studio.labels.mark(second, 3, "skip")


def test_the_owner_has_no_such_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitor_limits, "MAX_FACTS", 3)
    with Studio(tmp_path) as studio:
        assert studio.labels.give_many(studio.datasets.add_text(ROWS).id, range(1, 9), "refund") == 8


def test_labels_and_replies_that_are_typed_count_toward_a_visitors_disk_space(studio: Studio) -> None:
    dataset = studio.datasets.add_text(ROWS).id
    studio.labels.choose(dataset, "reply")
    limited(studio, workspace_mb=1)
    with pytest.raises(StudioError, match="disk space"):
        for row in range(1, 13):
            studio.labels.give_many(dataset, range(1, 13), f"{row} " + "a" * 19_000)
    with pytest.raises(StudioError, match="disk space"):
        for number in range(100):
            studio.labels.type_reply(dataset, 1, "a" * 19_000, f"labeler {number}")


def test_names_of_labelers_that_a_browser_invents_take_no_memory(studio: Studio) -> None:
    dataset = studio.datasets.add_text(ROWS).id
    for number in range(2 * MAX_LABELERS):
        studio.labels.choose_order(dataset, "random", f"labeler {number}")
    session = studio.labels._last[dataset]
    assert len(session.queues) <= MAX_LABELERS
    orders = studio.context.workspace.drafts.get(f"labelling:{dataset}")["orders"]
    assert len(orders) == MAX_LABELERS and f"labeler {2 * MAX_LABELERS - 1}" in orders
    assert not any(session.state.marks.values()), "a person who did nothing is not remembered"


def test_sessions_of_many_datasets_do_not_stay_in_memory(studio: Studio) -> None:
    datasets = [studio.datasets.add_text(f"text\nrow {number}\nother\n").id for number in range(MAX_SESSIONS + 2)]
    for dataset in datasets:
        studio.labels.set_names(dataset, ["refund", "parcel"])
    assert list(studio.labels._last) == datasets[-MAX_SESSIONS:]
    assert studio.labels.state(datasets[0]).labels == ("refund", "parcel"), "it is computed again"


# --- the page ---


def test_ended_jobs_whose_names_a_request_invents_are_forgotten() -> None:
    jobs = Jobs()

    def ended(name: str) -> Job:
        job = jobs.begin(("visitor", name), Job(), lambda job: None)
        while not job.ended:
            time.sleep(0.001)
        return job

    others = jobs.begin(("other", "export"), Job(), lambda job: None)
    for number in range(3 * MOST_ENDED):
        ended(f"run export {number}")
    assert sum(jobs.get(("visitor", f"run export {number}")) is not None for number in range(3 * MOST_ENDED)) <= (
        MOST_ENDED + 1
    )
    assert jobs.get(("visitor", f"run export {3 * MOST_ENDED - 1}")) is not None
    assert jobs.get(("other", "export")) is others


def test_a_removed_workspace_leaves_no_job_and_no_suggestions_in_memory(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, demo=True, limits=Limits(workspace_hours=1e-9))
    visit = sessions.visit({HEADER: sessions.new_secret({}), ADDRESS: "192.0.2.1"}, "page", {})
    visit.admit()
    dataset = visit.studio.datasets.add_text(ROWS).id
    visit.studio.labels.set_names(dataset, ["refund", "parcel"])
    assert dataset in sessions.root.shared.suggesters
    resume = threading.Event()
    job = JOBS.begin((visit.workspace, "reading"), Job(), lambda job: resume.wait(5))
    time.sleep(0.01)
    assert sessions.workspaces.sweep() == [visit.workspace]
    assert JOBS.get((visit.workspace, "reading")) is None and job.cancelled.is_set()
    assert dataset not in sessions.root.shared.suggesters
    resume.set()


def test_a_setting_that_is_shown_twice_is_saved_once(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    for _ in range(3):
        run_detail.show_rerun_setting(sessions.visit({}, "page", {"value": "warmup_ratio"}))
        run_detail.show_rerun_setting(sessions.visit({}, "page", {"value": "seed"}))
    kept = sessions.visit({}, "page").choices.extra["again"]["more"]
    assert sorted(kept) == sorted(set(kept)) and "seed" in kept


def test_a_viewer_adds_no_draft_which_would_delete_the_oldest_one_of_an_editor(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    editor, viewer = ({ROLE: role} for role in ("editor", "viewer"))
    dataset = sessions.visit(editor, "one").studio.datasets.add_text(PAIRS).id
    for who, drafts in ((viewer, 0), (editor, 1)):
        visit = sessions.visit(who, "one")
        visit.begin(Choices(dataset=dataset, task="chat", model="starter-chat"))
        run_drafts.start_empty(visit)
        assert len(run_drafts.drafts(visit)) == drafts


def test_an_error_repeats_the_beginning_of_any_large_value() -> None:
    for given in ("a" * 10_000, ["a"] * 10_000, {"a": "b" * 10_000}):
        assert len(StudioError("bad-setting", "Wrong.", given=given).message) < LONGEST_GIVEN + 50
    assert StudioError("bad-setting", "Wrong.", given=[1, 2]).given == [1, 2]


# --- downloads ---


class Demo:
    """Finds the Studio of the only visitor."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def studio_of(self, headers: Headers) -> Studio:
        return self.studio

    async def run(self, headers: Headers, function):  # type: ignore[no-untyped-def]
        return await to_thread.run_sync(function, self.studio)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_slow_downloads_of_a_visitor_are_few_and_each_frees_its_place(studio: Studio, kind: str) -> None:
    limited(studio, jobs_at_once=1)
    dataset = studio.datasets.add_text(PAIRS).id
    app = FastAPI()
    app.include_router(routes(Demo(studio)))
    with TestClient(app) as page:
        for _ in range(WAITING_JOBS + 3):
            assert page.get(f"/studio/data/{dataset}.{kind}").status_code == 200
            assert page.get(f"/studio/data/data-0000000000.{kind}").status_code == 400
        slow = [studio.library.reserve_download() for _ in range(WAITING_JOBS + 1)]
        refused = page.get(f"/studio/data/{dataset}.{kind}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "limit-reached")
        assert page.get(f"/studio/labels/{dataset}.csv").status_code == 429
        slow[0]()
        assert page.get(f"/studio/data/{dataset}.{kind}").status_code == 200


# --- time ---


def test_labels_of_many_names_take_no_time_for_each_of_the_names() -> None:
    facts = [
        Fact(id=number, version=1, what="given", row=1 + number % 1_000, value="refund", labeller=f"labeler {number}")
        for number in range(1, 10_001)
    ]
    state, began = LabelingState(1_000), time.process_time()
    state.apply(facts)
    assert time.process_time() - began < 2
    assert [fact.id for fact in state.given(1)] == list(range(1_000, 10_001, 1_000))
    state.apply([Fact(id=20_000, version=1, what="rename", value='["refund", "money back"]')])
    assert {fact.value for fact in state.given(1)} == {"money back"} and state.values[1] == "money back"


# --- numbers of things ---


def test_a_visitor_has_a_bounded_number_of_versions_and_copies(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "MOST_VERSIONS", 3)
    first = studio.datasets.add_text(PAIRS)
    studio.editing.edit(first.id, 1, {"answer": "Under the tree."})
    with pytest.raises(StudioError, match="as many versions of datasets"):
        studio.library.duplicate(first.id)
    studio.datasets.add_text(ROWS)
    with pytest.raises(StudioError, match="as many versions of datasets"):
        studio.datasets.add_text(ROWS)
    with pytest.raises(StudioError, match="as many versions of datasets"):
        studio.editing.edit(first.id, 2, {"answer": "Under the tree."})
    studio.datasets.delete(first.id)
    studio.library.duplicate(studio.datasets.add_text(ROWS).id)


def test_a_visitor_has_a_bounded_number_of_runs(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "MOST_RUNS", 1)
    store = studio.context.workspace.runs
    config = TrainingConfig(task="chat", model="starter-chat", name="first")
    dataset = studio.datasets.add_text(PAIRS)
    data = DatasetSpec(task="chat", roles={"question": "prompt", "answer": "reply"})
    spec = RunSpec(config=config, dataset=dataset.id, dataset_version=1, data=data, splits=SplitSpec())
    run = store.create(spec)
    with pytest.raises(StudioError, match="as many runs"):
        studio.runs.submit(spec)
    store.delete(run.id)
    Quota(studio.context.workspace).require_few(runs=1)


def test_the_owner_may_have_any_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "MOST_VERSIONS", 0)
    with Studio(tmp_path) as studio:
        assert studio.datasets.add_text(ROWS).rows == 12


def test_no_database_is_opened_in_the_event_loop_for_a_chat(studio: Studio) -> None:
    class InThreads(Demo):
        def studio_of(self, headers: Headers) -> Studio:
            raise AssertionError("a database is opened in the event loop")

    app = FastAPI()
    app.include_router(routes(InThreads(studio)))
    with TestClient(app) as page:
        ask = {"messages": [{"role": "user", "content": "Where?"}]}
        assert page.post("/studio/run/20260101-00000000/chat", json=ask).status_code == 404
        assert page.post("/studio/run/20260101-00000000/warm").status_code == 404


def test_new_and_old_visitors_of_one_address_do_not_close_the_workspaces_of_others(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, demo=True)
    sessions.workspaces.most_open = 6

    def visitor(address: str, writes: bool = True) -> dict[str, str]:
        headers = {HEADER: sessions.new_secret({}), ADDRESS: address}
        if writes:
            sessions.visit(headers, "page", {}).choose(task="chat")
        sessions.studio_of(headers)
        return headers

    others = [visitor(f"192.0.2.{number}") for number in (1, 2)]
    opened = [sessions.studio_of(each) for each in others]
    for _ in range(20):
        visitor("198.51.100.1", writes=False)
    for _ in range(20):
        visitor("198.51.100.1")
    assert [sessions.studio_of(each) for each in others] == opened
    assert len(sessions.workspaces._open) == 6

"""The routes that the page's scripts ask, on a real store: who is answered, with what, and what is refused."""

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from anyio import to_thread
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from studio.api import Studio
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.events import EvaluationEvent, StepEvent
from studio.schema.report import ExportResult, Metric, Report
from studio.schema.runs import RunRecord, RunSpec
from studio.services.runs.service import Runs
from studio.ui.http.poll import Tickets, filename, routes

T = TypeVar("T")


def a_config(**values: object) -> TrainingConfig:
    return TrainingConfig(**{"task": "chat", "model": "starter-chat", "name": "support-tone", **values})  # type: ignore[arg-type]


class Two:
    """A studio with two visitors, known by a header."""

    def __init__(self, home: Path) -> None:
        root = Studio(home)
        self.studios = {name: root.visitor(name) for name in ("anna", "ben")}

    def studio_of(self, headers: Headers) -> Studio:
        name = headers.get("x-studio-workspace", "")
        if name not in self.studios:
            raise StudioError("not-allowed", "This page has lost its workspace.")
        return self.studios[name]

    async def run(self, headers: Headers, function: Callable[[Studio], T]) -> T:
        return await to_thread.run_sync(function, self.studio_of(headers))

    def made_run(self, who: str, steps: int = 3, **values: object) -> RunRecord:
        """A finished run of a visitor's, with a curve."""
        space = self.studios[who].context.workspace
        spec = RunSpec(
            config=a_config(**values),
            dataset="d1",
            dataset_version=1,
            data=DatasetSpec(task="chat", roles={"q": "prompt", "a": "reply"}),
            splits=SplitSpec(),
        )
        run = space.runs.create(spec)
        for number in range(1, steps + 1):
            space.events.append(run.id, a_step(number))
        space.runs.set_status(run.id, "finished")
        return run


def a_step(number: int) -> StepEvent:
    return StepEvent(
        step=number, loss=3 / number, learning_rate=1e-4, grad_norm=1.0, rows_per_second=5.0, memory_bytes=10**9
    )


@pytest.fixture
def two(tmp_path: Path) -> Two:
    return Two(tmp_path / "home")


@pytest.fixture
def page(two: Two) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(routes(two))
    with TestClient(app, headers={"X-Studio-Workspace": "anna"}) as client:
        yield client


def test_the_first_answer_has_everything_and_the_next_only_what_is_new(two: Two, page: TestClient) -> None:
    run = two.made_run("anna")
    first = page.get(f"/studio/run/{run.id}").json()
    assert [row[0] for row in first["steps"]] == [1, 2, 3]
    assert first["about"]["prompts"] == []
    assert first["run"]["name"] == "support-tone"
    again = page.get(f"/studio/run/{run.id}", params={"after": first["to"]}).json()
    assert "steps" not in again and "about" not in again
    assert again["to"] == first["to"]
    two.studios["anna"].context.workspace.events.append(run.id, EvaluationEvent(step=3, eval_loss=1.0, best=True))
    new = page.get(f"/studio/run/{run.id}", params={"after": first["to"]}).json()
    assert new["checks"] == [[3, 1.0, 1, {}]]
    assert new["to"] > first["to"]


def test_a_crowd_that_opens_one_run_is_answered_alike_and_nobody_else_by_its_answer(
    two: Two, page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, read = two.made_run("anna", steps=1000), []
    events = Runs.sampled_events
    monkeypatch.setattr(Runs, "sampled_events", lambda *asked: read.append(1) or events(*asked))
    told = [page.get(f"/studio/run/{run.id}", params={"page": f"p{number}"}).json() for number in range(40)]
    assert len(read) < 20
    assert all(len(each["steps"]) == 1000 and each["about"] and each["run"]["id"] == run.id for each in told)
    other = page.get(f"/studio/run/{run.id}", headers={"X-Studio-Workspace": "ben"})
    assert other.status_code == 404


def test_a_cursor_that_is_no_cursor_is_refused_in_a_sentence(two: Two, page: TestClient) -> None:
    run = two.made_run("anna")
    answer = page.get(f"/studio/run/{run.id}", params={"after": "x"})
    assert answer.status_code == 422
    assert "after" in answer.json()["error"]["message"]
    assert page.get(f"/studio/run/{run.id}", params={"after": 10**30}).json()["run"]["id"] == run.id


@pytest.mark.parametrize("path", ["", "/log", "/report.json"])
def test_another_visitors_run_is_not_there(two: Two, page: TestClient, path: str) -> None:
    run = two.made_run("ben")
    answer = page.get(f"/studio/run/{run.id}{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "no-such-run"
    assert "support-tone" not in answer.text


def test_who_sends_no_secret_is_told_nothing(two: Two, page: TestClient) -> None:
    run = two.made_run("anna")
    for path in ("/studio/bar", f"/studio/run/{run.id}", f"/studio/run/{run.id}/log"):
        assert page.get(path, headers={"X-Studio-Workspace": "x"}).status_code == 403
    refused = {"X-Studio-Workspace": "x"}
    assert page.post("/studio/ticket", json={"run": run.id, "format": "adapter"}, headers=refused).status_code == 403
    assert page.post(f"/studio/run/{run.id}/chat", json={"messages": []}, headers=refused).status_code == 403


def test_the_bar_shows_the_run_at_work_before_the_one_that_is_looked_at(two: Two, page: TestClient) -> None:
    assert page.get("/studio/bar").json() == {"bar": None}
    done = two.made_run("anna")
    newer = two.made_run("anna", name="second")
    assert page.get("/studio/bar", params={"run": done.id}).json()["bar"]["id"] == done.id
    assert page.get("/studio/bar").json()["bar"]["id"] == newer.id
    two.studios["anna"].context.workspace.runs.set_status(done.id, "queued")
    assert page.get("/studio/bar", params={"run": newer.id}).json()["bar"]["id"] == done.id
    assert page.get(f"/studio/run/{newer.id}").json()["bar"]["id"] == done.id


def test_the_bar_reads_as_few_runs_of_many_as_of_two(
    two: Two, page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        two.made_run("anna")
    run, read = two.made_run("anna").id, list[str]()
    model = RunRecord.__init__
    monkeypatch.setattr(
        RunRecord, "__init__", lambda self, **values: (read.append(values["id"]), model(self, **values))[1]
    )

    def reads() -> int:
        read.clear()
        assert page.get("/studio/bar", params={"run": run}).json()["bar"]["id"] == run
        return len(read)

    few = reads()
    for _ in range(30):
        two.made_run("anna")
    assert 0 < reads() == few


@pytest.mark.parametrize("run", ["..", "../../etc/passwd", "%2e%2e%2fqueue.db", "last; DROP TABLE runs"])
def test_a_path_or_a_spell_in_place_of_a_run_finds_nothing(page: TestClient, run: str) -> None:
    for path in (f"/studio/run/{run}", f"/studio/run/{run}/log"):
        assert page.get(path).status_code == 404


def with_result(two: Two, run: RunRecord) -> Path:
    """A run with an adapter and an export made of it; the export's zip."""
    space = two.studios["anna"].context.workspace
    folder = space.runs.folder(run.id)
    folder.adapter.mkdir()
    (folder.adapter / "adapter_config.json").write_text("{}")
    space.runs.update(run.id, has_result=True)
    made = folder.exports / "adapter"
    made.mkdir(parents=True)
    (made / "README.md").write_text("card")
    packed = folder.exports / "adapter.zip"
    packed.write_bytes(b"PK zip")
    result = ExportResult(format="adapter", path=str(made), bytes=6, tested="Loaded again.", zip_path=str(packed))
    (folder.exports / "adapter.json").write_text(result.model_dump_json())
    return packed


def test_an_export_is_fetched_once_by_a_ticket_without_a_header(two: Two, page: TestClient) -> None:
    run = two.made_run("anna", name="Süße <Antworten>/../x")
    with_result(two, run)
    link = page.post("/studio/ticket", json={"run": run.id, "format": "adapter"}).json()["link"]
    stranger = {"X-Studio-Workspace": ""}
    fetched = page.get(link, headers=stranger)
    assert fetched.content == b"PK zip"
    assert "x-adapter.zip" in fetched.headers["content-disposition"]
    assert "/.." not in fetched.headers["content-disposition"]
    again = page.get(link, headers=stranger)
    assert again.status_code == 403
    assert "Press Download again" in again.json()["error"]["message"]


def test_a_run_is_fetched_without_its_rows_unless_they_are_asked_for(two: Two, page: TestClient) -> None:
    anna = two.studios["anna"]
    data = anna.datasets.add_text("question,answer\n" + "".join(f"How is {n}?,It is {n}.\n" for n in range(12))).id
    run = two.made_run("anna")
    runs = anna.context.workspace.runs
    runs.set_status(run.id, "finished")
    runs.replace_spec(run.id, runs.spec(run.id).model_copy(update={"dataset": data, "dataset_version": 1}))
    for form, parts in (("run", 0), ("run-with-rows", 2)):
        link = page.post("/studio/ticket", json={"run": run.id, "format": form}).json()["link"]
        fetched = page.get(link, headers={"X-Studio-Workspace": ""})
        assert f"-{form}.zip" in fetched.headers["content-disposition"]
        with zipfile.ZipFile(io.BytesIO(fetched.content)) as archive:
            assert len([name for name in archive.namelist() if name.startswith("rows/")]) == parts


@pytest.mark.parametrize("form", ["merged", "nonsense", "../adapter", ""])
def test_a_ticket_for_what_was_not_made_is_refused(two: Two, page: TestClient, form: str) -> None:
    run = two.made_run("anna")
    with_result(two, run)
    answer = page.post("/studio/ticket", json={"run": run.id, "format": form})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_a_ticket_for_anothers_run_is_refused(two: Two, page: TestClient) -> None:
    run = two.made_run("anna")
    with_result(two, run)
    answer = page.post(
        "/studio/ticket", json={"run": run.id, "format": "adapter"}, headers={"X-Studio-Workspace": "ben"}
    )
    assert answer.status_code == 404


def test_an_old_ticket_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.ui.http.poll.TICKET_SECONDS", -1)
    tickets = Tickets()
    key = tickets.give(tmp_path, "x")
    with pytest.raises(StudioError, match="too old"):
        tickets.take(key)


def test_a_ticket_whose_file_was_removed_meanwhile_says_so(two: Two, page: TestClient) -> None:
    run = two.made_run("anna")
    packed = with_result(two, run)
    link = page.post("/studio/ticket", json={"run": run.id, "format": "adapter"}).json()["link"]
    packed.unlink()
    answer = page.get(link)
    assert answer.status_code == 403
    assert "removed since" in answer.json()["error"]["message"]


def test_the_report_is_given_as_json_and_as_a_page_with_its_texts_escaped(two: Two, page: TestClient) -> None:
    run = two.made_run("anna", name="<script>alert(1)</script>")
    answer = page.get(f"/studio/run/{run.id}/report.json")
    assert answer.status_code == 400
    report = Report(
        rows=9, split="validation", verdict="<img src=x> better", metrics={"accuracy": Metric(base=0.5, tuned=0.9)}
    )
    two.studios["anna"].context.workspace.runs.folder(run.id).report.write_text(report.model_dump_json())
    assert page.get(f"/studio/run/{run.id}/report.json").json()["verdict"] == "<img src=x> better"
    whole = page.get(f"/studio/run/{run.id}/report.html").text
    assert "&lt;img src=x&gt; better" in whole
    assert "<script>" not in whole and "<img" not in whole
    assert "they chose the checkpoint" in whole
    assert page.get(f"/studio/run/{run.id}/report.exe").status_code == 400


def test_a_chat_without_a_tuned_model_is_refused_as_the_last_line(two: Two, page: TestClient) -> None:
    run = two.made_run("anna")
    answer = page.post(f"/studio/run/{run.id}/chat", json={"messages": [{"role": "user", "content": "Hi"}]})
    assert "has no fine-tuned model yet" in answer.json()["error"]["message"]


@pytest.mark.parametrize("settings", [{"temperature": 9}, {"seed": "abc"}, {"top_p": 0}, {"max_new_tokens": 10**9}])
def test_settings_out_of_range_are_named(two: Two, page: TestClient, settings: dict[str, object]) -> None:
    run = two.made_run("anna")
    answer = page.post(
        f"/studio/run/{run.id}/chat", json={"messages": [{"role": "user", "content": "Hi"}], "settings": settings}
    )
    assert answer.status_code == 422
    assert next(iter(settings)) in answer.json()["error"]["message"]


def test_the_log_comes_as_plain_text(two: Two, page: TestClient) -> None:
    run = two.made_run("anna")
    two.studios["anna"].context.workspace.runs.folder(run.id).log.write_text("<b>Traceback</b>")
    answer = page.get(f"/studio/run/{run.id}/log")
    assert answer.text == "<b>Traceback</b>"
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("name", "made"), [("Support tone 2", "Support-tone-2"), ("../../x", "x"), ("", "run"), ("…", "run")]
)
def test_a_file_is_named_after_the_run_without_signs_that_a_disk_dislikes(name: str, made: str) -> None:
    assert filename(name) == made

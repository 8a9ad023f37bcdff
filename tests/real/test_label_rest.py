"""The rows without a label are labeled by a trained model: suggestions to review, never labels by themselves."""

import csv
import io
import json
import random
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from studio.api import RunRequest, Studio
from studio.cli.main import run as main
from studio.schema.errors import StudioError
from studio.schema.limits import DEMO
from studio.schema.runs import RunRecord
from studio.store import Home
from tests.support_messages import FORMS

THINGS = ("kettle", "lamp", "blender", "chair", "radio", "mirror", "clock")
TRUTH = {form.format(thing): label for thing in THINGS for label, forms in FORMS.items() for form in forms}
TEXTS = random.Random(5).sample(sorted(TRUTH), len(TRUTH))
LABELED = 40


pytestmark = pytest.mark.usefixtures("tiny_starters")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    made = Studio(tmp_path_factory.mktemp("rest") / "home")
    yield made
    made.close()


@pytest.fixture(scope="module")
def run(studio: Studio) -> RunRecord:
    """A run on the first forty labels of 84 rows."""
    data = studio.datasets.add_text("message\n" + "".join(f'"{text}"\n' for text in TEXTS), "messages.csv").id
    studio.labels.set_names(data, list(FORMS))
    for row in range(1, LABELED + 1):
        studio.labels.give(data, row, TRUTH[TEXTS[row - 1]], "Ann")
    studio.labels.apply(data)
    learns = {
        "epochs": 12,
        "learning_rate": 3e-3,
        "batch_size": 8,
        "precision": "float32",
        "early_stopping_patience": 0,
    }
    request = RunRequest(
        dataset=data, model="starter-classify", task="classification", name="tickets", method="full", settings=learns
    )
    started = studio.runs.start(request)
    for _ in studio.runs.watch(started.id):
        pass
    finished = studio.runs.get(started.id)
    assert finished.status == "finished", finished.reason
    return finished


def lines_of(studio: Studio, run: str, id: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(studio.predictions.lines(run, id)))))


def test_the_rest_is_labeled_reviewed_and_downloaded_and_only_what_a_person_accepts_is_a_label(
    studio: Studio, run: RunRecord
) -> None:
    assert studio.predictions.remaining(run.id) == len(TEXTS) - LABELED
    told: list[tuple[int, int]] = []
    saved = studio.predictions.label_rest(run.id, progress=lambda done, total, words: told.append((done, total)))
    assert (saved.done, saved.total, saved.complete) == (44, 44, True)
    assert told[0] == (0, 44) and told[-1] == (44, 44)

    state = studio.labels.state(run.dataset)
    assert state.done == LABELED, "a prediction is no label"
    assert (state.suggesting.run, state.suggesting.rows) == (run.id, 44) and state.order == "least-sure"
    predicted = studio.labels._last[run.dataset].suggested
    assert set(predicted) == set(range(LABELED + 1, len(TEXTS) + 1))
    right = sum(each.best == TRUTH[TEXTS[row - 1]] for row, each in predicted.items())
    assert right / 44 > 0.55, "chance would be a third"
    least = min(predicted, key=lambda row: (predicted[row].sure, row))
    assert state.row == least and state.suggestion == predicted[least], "the least certain row comes first"

    accepted = studio.labels.give(run.dataset, least, predicted[least].best, "Ann")
    corrected = accepted.row
    other = next(name for name in FORMS if name != predicted[corrected].best)
    studio.labels.give(run.dataset, corrected, other, "Ann")
    undone = studio.labels.give(run.dataset, studio.labels.state(run.dataset, "Ann").row, other, "Ann")
    assert undone.done == LABELED + 3
    assert studio.labels.undo(run.dataset, "Ann").done == LABELED + 2

    rows = lines_of(studio, run.id, saved.id)
    assert list(rows[0]) == ["message", "label", "prediction", "confidence", "predicted_by", "labeled_by", "review"]
    by_hand, one, two = rows[0], rows[least - 1], rows[corrected - 1]
    assert (by_hand["labeled_by"], by_hand["prediction"], by_hand["review"]) == ("Ann", "", "")
    assert (one["review"], one["label"], one["predicted_by"]) == ("accepted", predicted[least].best, "tickets")
    assert (two["review"], two["label"], two["prediction"]) == ("corrected", other, predicted[corrected].best)
    unseen = [row for row in rows if row["review"] == "not reviewed"]
    assert len(unseen) == 42 and all(row["prediction"] and not row["label"] for row in unseen)
    assert float(one["confidence"]) == pytest.approx(predicted[least].sure, abs=1e-5)
    jsonl = "".join(studio.predictions.lines(run.id, saved.id, "jsonl")).splitlines()
    assert json.loads(jsonl[least - 1])["review"] == "accepted" and len(jsonl) == len(TEXTS)

    record = studio.labels.apply(run.dataset)
    assert "1 of them were suggested by the model tickets." in record.note
    assert studio.checks.check(run.dataset).usable == LABELED + 2, "unreviewed rows are not trained or tested on"
    counts = studio.datasets.splits(run.dataset)
    assert counts.train + counts.validation + counts.test == LABELED + 2
    again = studio.labels.state(run.dataset)
    assert again.suggesting.rows == 42, "the rows have not moved, so the suggestions stay in the next version"
    assert lines_of(studio, run.id, saved.id)[least - 1]["label"] == predicted[least].best


def test_a_canceled_prediction_keeps_what_it_has_and_the_next_start_predicts_the_rest(
    studio: Studio, run: RunRecord
) -> None:
    text = "message\n" + "".join(f'"{text} {number}"\n' for number in range(20) for text in TEXTS)
    data = studio.datasets.add_text(text, "more.csv")
    cancel = Event()

    def progress(done: int, total: int, words: str) -> None:
        if done >= 80:
            cancel.set()

    part = studio.predictions.predict(run.id, data.id, progress, cancel)
    assert 0 < part.done < part.total == data.rows and not part.complete
    rows = lines_of(studio, run.id, part.id)
    assert sum(bool(row["prediction"]) for row in rows) == part.done

    other = Studio(studio.home.root)  # another process would find the same
    seen: list[int] = []
    whole = other.predictions.predict(run.id, data.id, lambda done, total, words: seen.append(done))
    other.close()
    assert whole.id == part.id and whole.complete and seen[0] == part.done, "saved rows are not predicted again"
    assert all(row["prediction"] for row in lines_of(studio, run.id, whole.id))
    studio.predictions.delete(run.id, whole.id)
    with pytest.raises(StudioError, match="do not exist"):
        studio.predictions.lines(run.id, whole.id)


def test_a_file_without_the_models_column_is_refused_with_the_column_that_is_missing(
    studio: Studio, run: RunRecord
) -> None:
    data = studio.datasets.add_text("id,price\n" + "".join(f"{n},{n}.50\n" for n in range(20)))
    with pytest.raises(StudioError) as refusal:
        studio.predictions.predict(run.id, data.id)
    assert "message (text)" in refusal.value.message and "id, price" in refusal.value.message


def test_a_cell_that_a_spreadsheet_would_compute_is_text_in_the_csv_and_unchanged_in_the_jsonl(
    studio: Studio, run: RunRecord
) -> None:
    data = studio.datasets.add_text("message\n" + "=1+1 is not my parcel\nMy lamp broke\n" * 5)
    saved = studio.predictions.predict(run.id, data.id)
    assert lines_of(studio, run.id, saved.id)[0]["message"].startswith("'=1+1")
    first = "".join(studio.predictions.lines(run.id, saved.id, "jsonl")).splitlines()[0]
    assert json.loads(first)["message"].startswith("=1+1")


def test_a_dataset_that_is_deleted_meanwhile_ends_the_work_with_a_sentence(studio: Studio, run: RunRecord) -> None:
    data = studio.datasets.add_text("message\n" + "".join(f'"{text} again"\n' for text in TEXTS))

    def progress(done: int, total: int, words: str) -> None:
        if done and words == "Predicting" and data.id in {each.id for each in studio.datasets.all()}:
            studio.datasets.delete(data.id)

    with pytest.raises(StudioError, match="dataset"):
        studio.predictions.predict(run.id, data.id, progress)


def test_predictions_that_are_deleted_while_rows_are_predicted_do_not_come_back_in_part(
    studio: Studio, run: RunRecord
) -> None:
    data = studio.datasets.add_text("message\n" + "".join(f'"{text} later"\n' for text in TEXTS))

    def progress(done: int, total: int, words: str) -> None:
        if done and words == "Predicting":
            for each in studio.predictions.all(run.id):
                studio.predictions.delete(run.id, each.id)

    with pytest.raises(StudioError, match="may have been deleted"):
        studio.predictions.predict(run.id, data.id, progress)
    assert data.id not in {each.dataset for each in studio.predictions.all(run.id)}
    whole = studio.predictions.predict(run.id, data.id)
    assert whole.complete and all(row["prediction"] for row in lines_of(studio, run.id, whole.id))


def test_the_command_line_predicts_the_rest_and_writes_the_file(
    studio: Studio, run: RunRecord, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "labels.csv"
    command = ["label", "predict", run.id, "--out", str(out), "--home", str(studio.home.root), "--json"]
    assert main(command) == 0
    said = json.loads(capfd.readouterr().out)
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert said["done"] == said["total"] == sum(bool(row["prediction"]) for row in rows)
    assert said["left"] == sum(row["review"] == "not reviewed" for row in rows) > 0


def test_a_visitors_model_writes_replies_to_many_rows_within_the_limits_of_the_demo(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path_factory.mktemp("demo") / "home")
    home.keep_demo_limits(DEMO.model_copy(update={"chat_tokens": 4}))
    with Studio(home, home.visitor_workspace(home.new_secret()) or "", demo=True) as studio:
        rows = "".join(f"Where is order {n}?,It left on day {n}.\n" for n in range(20))
        data = studio.datasets.add_text("question,answer\n" + rows, "orders.csv")
        request = RunRequest(dataset=data.id, model="starter-chat", task="chat", settings={"max_steps": 2})
        run = studio.runs.start(request)
        for _ in studio.runs.watch(run.id):
            pass
        assert "does not predict one label" in studio.predictions.unavailable_reason(run.id)
        assert studio.predictions.remaining(run.id) == 0
        monkeypatch.setattr("studio.services.predictions.service.JOB_MINUTES", 1e-6)
        monkeypatch.setattr("studio.services.predictions.service.PIECE_SECONDS", 0)
        part = studio.predictions.predict(run.id, data.id)
        assert (part.done, part.complete) == (16, False) and "at a time in this demo" in part.note
        monkeypatch.undo()
        whole = studio.predictions.predict(run.id, data.id)
        assert whole.complete and not whole.note
        lines = [json.loads(line) for line in "".join(studio.predictions.lines(run.id, whole.id, "jsonl")).splitlines()]
        assert list(lines[0]) == ["question", "answer", "prediction", "predicted_by"], "a reply has no confidence"
        assert all(line["prediction"] for line in lines)
        assert all(len(line["prediction"].split()) <= 4 for line in lines), "a reply has at most four tokens"
        with pytest.raises(StudioError, match="not available in a public demo"):
            studio.predictions.export_file(run.id, whole.id, "out.csv")
        home.keep_demo_limits(DEMO.model_copy(update={"workspace_mb": 1}))
        more = studio.datasets.add_text("question\nWhere is it?\nWhy is it late?\n")
        with pytest.raises(StudioError, match="disk space"):
            Studio(home, studio.context.workspace.name, demo=True).predictions.predict(run.id, more.id)

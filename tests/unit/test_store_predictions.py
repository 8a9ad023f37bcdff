"""Predictions on the disk: added piece by piece, whole after a power failure, found again by another process."""

from pathlib import Path

import pytest

from studio.schema.errors import StudioError
from studio.schema.predictions import PredictedRow, PredictionSet
from studio.store.predictions import PredictionStore

SAVED = PredictionSet(
    id="data-1-v1-all", run="r", dataset="data-1", version=1, name="a.csv", total=4, created="2026-11-30T18:00:00+00:00"
)


def row(number: int, label: str = "good") -> PredictedRow:
    return PredictedRow(row=number, prediction=label, confidence=0.75, labels=((label, 0.75), ("bad", 0.25)))


def texts(store: PredictionStore) -> dict[int, str]:
    """Row → its prediction."""
    with store.reader(SAVED.id) as read:
        return {number: read(place).prediction for number, place, _ in store.scan(SAVED.id)}


def test_pieces_are_added_and_another_store_reads_them(tmp_path: Path) -> None:
    store = PredictionStore(tmp_path / "predictions")
    assert store.all() == [] and texts(store) == {}
    store.keep(SAVED)
    store.append(SAVED.id, [row(1), row(2)])
    store.append(SAVED.id, [row(3, "so\u2028so"), PredictedRow(row=4, prediction="")])
    other = PredictionStore(tmp_path / "predictions")
    assert other.get(SAVED.id) == SAVED
    assert texts(other) == {1: "good", 2: "good", 3: "so\u2028so", 4: ""}
    suggestions = other.suggestions(SAVED.id)
    assert set(suggestions) == {1, 2, 3}, "a row without input has no suggestion"
    assert (suggestions[1].best, suggestions[1].sure) == ("good", 0.75)
    assert other.suggestions(SAVED.id) is suggestions, "it is read once"


def test_a_line_that_was_not_written_completely_is_left_out_and_removed_by_the_next_piece(tmp_path: Path) -> None:
    store = PredictionStore(tmp_path)
    store.keep(SAVED)
    store.append(SAVED.id, [row(1)])
    with (tmp_path / f"{SAVED.id}.jsonl").open("ab") as file:
        file.write(b'{"row":2,"predic' + b"x" * 200_000)
    assert set(texts(store)) == {1}
    store.append(SAVED.id, [row(2)])
    assert set(texts(store)) == {1, 2}


def test_deleted_predictions_are_gone_and_an_id_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    store = PredictionStore(tmp_path / "predictions")
    store.keep(SAVED)
    store.append(SAVED.id, [row(1)])
    with pytest.raises(StudioError, match="do not exist"):
        store.get("../secret")
    store.delete(SAVED.id)
    assert store.all() == [] and texts(store) == {}


def test_a_second_writer_waits_and_can_give_up(tmp_path: Path) -> None:
    store, waits = PredictionStore(tmp_path), []

    def wait() -> None:
        waits.append(1)
        if len(waits) == 2:
            raise TimeoutError

    with store.writing(wait):
        assert not waits
        with pytest.raises(TimeoutError), PredictionStore(tmp_path).writing(wait):
            raise AssertionError("two write at once")
    with store.writing(wait):
        assert len(waits) == 2


def test_a_description_that_is_damaged_or_of_another_version_is_left_out(tmp_path: Path) -> None:
    store = PredictionStore(tmp_path)
    store.keep(SAVED)
    (tmp_path / "other.json").write_text('{"id": "other", "unknown": 1}')
    (tmp_path / "half.json").write_text('{"id": ')
    assert [each.id for each in store.all()] == [SAVED.id]

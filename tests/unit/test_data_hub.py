"""Datasets of the Hub, against a small local server: parts, a limit of rows, only what is needed, and no code ever."""

import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.data.hub import HubFile, splits_of_conversion, splits_of_repository
from studio.schema.errors import StudioError
from tests.hubserver import HubServer
from tests.visitors import new_visitor

ROWS = [{"text": f"This is text number {n}.", "label": n % 2} for n in range(300)]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with HubServer() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        yield server


def parquet(rows: list[dict[str, Any]], names: dict[str, list[str]] | None = None, group: int = 100) -> bytes:
    """Parquet as the library of the Hub writes it, class names in its metadata."""
    import pyarrow
    import pyarrow.parquet

    features = {column: {"names": each, "_type": "ClassLabel"} for column, each in (names or {}).items()}
    table = pyarrow.Table.from_pylist(rows)
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out, row_group_size=group)
    return out.getvalue()


def csv_of(rows: list[dict[str, Any]]) -> bytes:
    return ("text,label\n" + "".join(f'"{row["text"]}",{row["label"]}\n' for row in rows)).encode()


def refused(do: Callable[[], Any]) -> StudioError:
    with pytest.raises(StudioError) as caught:
        do()
    return caught.value


# --- which parts there are ---


def files(*paths: str) -> list[HubFile]:
    return [HubFile(path, 10) for path in paths]


def names(parts: Any) -> dict[str, dict[str, list[str]]]:
    return {c: {s: [file.path for file in each] for s, each in splits.items()} for c, splits in parts.items()}


def test_the_hubs_own_copy_says_configs_and_splits_by_its_folders() -> None:
    found = splits_of_conversion(
        files(
            "en/train/0001.parquet",
            "en/train/0000.parquet",
            "en/partial-test/0000.parquet",
            "de/train/0000.parquet",
            "README.md",
        )
    )
    assert names(found) == {
        "de": {"train": ["de/train/0000.parquet"]},
        "en": {"test": ["en/partial-test/0000.parquet"], "train": ["en/train/0000.parquet", "en/train/0001.parquet"]},
    }


def test_a_card_says_which_files_are_which() -> None:
    card = {
        "configs": [
            {
                "config_name": "plain",
                "data_files": [{"split": "train", "path": "a/*.csv"}, {"split": "held", "path": ["b.csv"]}],
            },
            {"config_name": "other", "data_files": "c/**"},
            {"config_name": "none", "data_files": "z/*"},
        ]
    }
    found = splits_of_repository(files("a/1.csv", "a/2.csv", "b.csv", "c/x/test.jsonl", "loader.py"), card)
    assert names(found) == {
        "plain": {"train": ["a/1.csv", "a/2.csv"], "held": ["b.csv"]},
        "other": {"test": ["c/x/test.jsonl"]},
    }


def test_without_a_card_the_names_of_files_and_folders_tell() -> None:
    found = splits_of_repository(
        files(
            "data/train-00000-of-00002.csv",
            "data/train-00001-of-00002.csv",
            "test/part.csv",
            "README.md",
            "dataset_infos.json",
            "weights.bin",
            "load.py",
            ".hidden",
        ),
        {},
    )
    assert names(found) == {
        "default": {
            "train": ["data/train-00000-of-00002.csv", "data/train-00001-of-00002.csv"],
            "test": ["test/part.csv"],
        }
    }
    assert splits_of_repository(files("model.pkl", "rows.py", "picture.png"), {}) == {}


# --- through the studio ---


def test_a_dataset_is_looked_at_before_a_row_is_fetched(hub: HubServer, studio: Studio) -> None:
    told = {"config_name": "default", "splits": [{"name": "train", "num_examples": 300}]}
    copy = {"default/train/0000.parquet": parquet(ROWS)}
    hub.add_dataset("someone/moods", converted=copy, card={"dataset_info": told})
    found = studio.datasets.hub_info("someone/moods")
    assert found.licence == "apache-2.0" and list(found.configs) == ["default"]
    assert [(split.name, split.rows) for split in found.configs["default"]] == [("train", 300)]
    assert found.configs["default"][0].bytes > 1000 and not hub.asked("/resolve/")


def test_rows_come_with_their_splits_and_the_names_of_their_classes(hub: HubServer, studio: Studio) -> None:
    classes = {"label": ["bad", "good"]}
    hub.add_dataset(
        "someone/moods",
        converted={
            "default/train/0000.parquet": parquet(ROWS[:200], classes),
            "default/test/0000.parquet": parquet(ROWS[200:], classes),
        },
    )
    record = studio.datasets.add_hub("someone/moods")
    assert (record.rows, record.source, record.split_column) == (300, "hf:someone/moods", "split")
    assert "someone/moods at 0123456" in record.note
    report = studio.checks.check(record.id)
    assert report.task == "classification" and report.labels == {"bad": 150, "good": 150}
    assert studio.datasets.splits(record.id).test == 100


@pytest.mark.slow
def test_a_limit_fetches_no_more_than_it_needs(hub: HubServer, studio: Studio) -> None:
    import random

    chance = random.Random(0)
    rows = [{"text": "".join(chance.choices("abcdefgh ", k=3000)), "label": n % 2} for n in range(4000)]
    whole = parquet(rows)
    hub.add_dataset("someone/long", converted={f"default/train/000{n}.parquet": whole for n in range(2)})
    record = studio.datasets.add_hub("someone/long", row_limit=150)
    assert record.rows == 150 and "Only the first 150 rows of train were imported." in record.note
    sent = 0
    for headers in hub.asked("/resolve/"):
        start, end = (int(each) for each in headers["Range"].removeprefix("bytes=").split("-"))
        sent += end - start + 1
    assert sent < len(whole) / 2 and not hub.asked("0001.parquet")
    more = studio.datasets.reread(record.id, row_limit=300)
    assert more.version == 2 and more.rows == 300 and more.asked.row_limit == 300


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.jsonl", "rows.json", "lines.json", "rows.tsv"])
def test_files_of_other_kinds_are_read_where_the_hub_has_no_copy(hub: HubServer, studio: Studio, name: str) -> None:
    lines = "\n".join(json.dumps(row) for row in ROWS).encode()
    content = {
        "rows.csv": csv_of(ROWS),
        "rows.csv.gz": gzip.compress(csv_of(ROWS)),
        "rows.jsonl": lines,
        "rows.json": json.dumps(ROWS).encode(),
        "lines.json": lines,
        "rows.tsv": csv_of(ROWS).replace(b",", b"\t"),
    }[name]
    hub.add_dataset("someone/moods", {name: content, "load.py": b"raise SystemExit('never run')", "x.pkl": b"\x80"})
    record = studio.datasets.add_hub("someone/moods", row_limit=120)
    assert record.rows == 120 and "Only the first 120" in record.note
    assert studio.datasets.rows(record.id, 120).rows[0][1]["text"] == ROWS[119]["text"]
    assert not hub.asked("load.py") and not hub.asked("x.pkl")


def test_bad_lines_of_a_file_of_the_hub_are_named(hub: HubServer, studio: Studio) -> None:
    lines = [json.dumps(row) for row in ROWS[:20]]
    lines[4] = "{broken"
    hub.add_dataset("someone/moods", {"train.jsonl": "\n".join(lines).encode()})
    record = studio.datasets.add_hub("someone/moods")
    assert [(each.line, each.row) for each in record.bad_lines] == [(5, 5)] and "train.jsonl" in record.bad_lines[0].why


def test_pictures_and_sound_are_left_and_said(hub: HubServer, studio: Studio) -> None:
    rows = [{**row, "image": {"bytes": b"\x89PNG", "path": "a.png"}} for row in ROWS[:20]]
    hub.add_dataset("someone/pictures", converted={"default/train/0000.parquet": parquet(rows)})
    record = studio.datasets.add_hub("someone/pictures")
    assert record.columns == ("text", "label") and "images, audio or bytes were skipped: image" in record.note


def test_a_config_and_a_split_are_chosen_by_flag_or_in_the_name_and_asked_for(
    hub: HubServer, call: Callable[..., Any]
) -> None:
    copies = {
        f"{config}/{split}/0000.parquet": parquet(ROWS[:count])
        for config, split, count in (("en", "train", 40), ("en", "test", 20), ("de", "train", 30))
    }
    hub.add_dataset("someone/many", converted=copies)
    status, _, said = call("check", "hf:someone/many")
    assert status == 2 and "several configs" in said and "de, en" in said and "--hub-config" in said
    assert call("check", "hf:someone/many", "--hub-config", "en")[1]["rows"] == 60
    assert call("check", "hf:someone/many:en:test")[1]["rows"] == 20
    status, _, said = call("check", "hf:someone/many:en:trian")
    assert status == 2 and "Did you mean train?" in said
    assert call("check", "hf:someone/many:de", "--row-limit", "25")[1]["rows"] == 25
    assert call("data", "list")[1][0]["source"] == "hf:someone/many"


# --- what goes wrong ---


def test_a_dataset_that_is_not_there_or_has_no_rows_is_refused(hub: HubServer, studio: Studio) -> None:
    hub.add_dataset("someone/code", {"load.py": b"x", "model.pkl": b"x"})
    assert refused(lambda: studio.datasets.add_hub("someone/nothing")).code == "no-such-dataset"
    assert refused(lambda: studio.datasets.add_hub("../etc/passwd")).code == "no-such-dataset"
    error = refused(lambda: studio.datasets.add_hub("someone/code"))
    assert error.code == "unreadable-file" and "never run" in str(error.valid)


def test_terms_tokens_and_errors_of_the_hub_are_said(hub: HubServer, studio: Studio) -> None:
    hub.add_dataset("someone/gated", converted={"default/train/0000.parquet": parquet(ROWS)}, gated=True)
    error = refused(lambda: studio.datasets.add_hub("someone/gated"))
    assert error.code == "gated-dataset" and "huggingface.co/datasets/someone/gated" in error.hint
    hub.token = "hf_right"
    studio.models.set_hub_token("hf_right")
    assert studio.datasets.add_hub("someone/gated").rows == 300
    hub.busy = True
    error = refused(lambda: studio.datasets.add_hub("someone/gated"))
    assert error.code == "no-network" and "503" in error.what


def test_without_a_network_it_is_said_with_status_1(monkeypatch: pytest.MonkeyPatch, call: Callable[..., Any]) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    status, _, said = call("check", "hf:someone/moods")
    assert status == 1 and "can't be reached" in said and "a file, pasted rows" in said
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    status, _, said = call("check", "hf:someone/moods")
    assert status == 1 and "HF_HUB_OFFLINE" in said


def test_a_damaged_file_of_the_hub_is_refused_in_words(hub: HubServer, studio: Studio) -> None:
    hub.add_dataset("someone/broken", converted={"default/train/0000.parquet": parquet(ROWS)[:-40] + b"x" * 40})
    assert refused(lambda: studio.datasets.add_hub("someone/broken")).code == "unreadable-file"
    assert studio.datasets.all() == []


def test_a_line_that_breaks_is_taken_up_again(hub: HubServer, studio: Studio) -> None:
    hub.add_dataset("someone/moods", {"train.csv": csv_of(ROWS * 4)})
    hub.cut_after = 5_000
    assert studio.datasets.add_hub("someone/moods").rows == 1200
    assert len(hub.asked("/resolve/")) == 2


def test_a_packed_file_that_breaks_off_is_refused(hub: HubServer, studio: Studio) -> None:
    hub.add_dataset("someone/moods", {"train.csv.gz": gzip.compress(csv_of(ROWS))[:-300]})
    error = refused(lambda: studio.datasets.add_hub("someone/moods"))
    assert error.code == "unreadable-file" and "damaged" in error.what


def test_a_demo_asks_no_hub(hub: HubServer, tmp_path: Path) -> None:
    studio = Studio(tmp_path / "home", demo=True)
    guest = studio.visitor(new_visitor(studio.home).name)
    for do in (
        lambda: guest.datasets.add_hub("a/b"),
        lambda: guest.datasets.hub_info("a/b"),
        lambda: guest.datasets.open("hf:a/b"),
    ):
        assert refused(do).code == "not-allowed"
    assert not hub.seen
    studio.close()

"""Rows as tokens are kept by their content: the same rows are read once, and anything else than the same anew."""

import csv
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from studio.api import Studio
from studio.data.checks import usable_rows
from studio.data.samples import SAMPLES, sample_path
from studio.inference.base_and_tuned import encoding_of
from studio.inference.load import load_tokenizer, training_template
from studio.models import find_model
from studio.schema.config import TrainingConfig
from studio.tasks import Encoding, Example, task_named
from studio.training.batching import token_cache
from studio.training.batching.token_cache import cache_key, cached_examples
from studio.training.loop.loading import encode_rows

INFO = find_model("starter-chat")
TASK = task_named("chat")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with sample_path("support-tone").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))[:40]


@pytest.fixture(scope="module")
def encoding() -> Encoding:
    tokenizer = load_tokenizer(INFO)
    roles = {"question": "prompt", "answer": "reply"}
    return Encoding(tokenizer, roles, 64, (), "", training_template(tokenizer))


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_cache, "MIN_ROWS", 10)


def test_what_was_read_once_comes_back_the_same(tmp_path: Path, rows: list[dict[str, str]], encoding: Encoding) -> None:
    read: list[int] = []

    def encode() -> list[Example]:
        return encode_rows(TASK, rows, encoding, read.append)

    def again() -> list[Example]:
        return cached_examples(tmp_path, lambda: cache_key(rows, encoding, INFO, "chat"), len(rows), encode)

    first = again()
    assert read and again() == first == encode()
    read.clear()
    assert again() == first and not read
    (kept,) = tmp_path.glob("*.jsonl")
    whole = kept.read_text()
    for cut in (whole[:-40], "".join(whole.splitlines(keepends=True)[:-1]), whole.split("\n", 1)[1], ""):
        kept.write_text(cut)
        read.clear()
        assert again() == first and read, "what is not whole is read anew"
        assert kept.read_text() == whole


def test_what_is_kept_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order, sync, replace_ = [], os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("sync"), sync(handle))[1])
    monkeypatch.setattr(Path, "replace", lambda self, to: (order.append("rename"), replace_(self, to))[1])
    cached_examples(tmp_path, lambda: "x", 20, lambda: [Example([1], 1, 1)] * 20)
    assert order == ["sync", "rename"]


def test_pairs_and_answers_in_a_text_come_back_the_same(tmp_path: Path) -> None:
    other = Example([1, 2], [-100, 2], 2, [False, True])
    pair = Example([1, 3], [-100, 3], 2, [False, True], other=other, liked=False, row=7)
    span = Example([5], [0, 3], 1, text="whole", accepted=("a", "b"), types=[0], offsets=[None], parts=(1,))
    made = [pair, span] * 10
    cached_examples(tmp_path, lambda: "x", 20, lambda: made)
    assert cached_examples(tmp_path, lambda: "x", 20, list) == made


def test_other_rows_settings_or_roles_are_something_else(rows: list[dict[str, str]], encoding: Encoding) -> None:
    key = cache_key(rows, encoding, INFO, "chat")
    assert key == cache_key(list(rows), encoding, INFO, "chat")
    assert key != cache_key(rows[1:], encoding, INFO, "chat")
    assert key != cache_key(rows, replace(encoding, max_length=65), INFO, "chat")
    assert key != cache_key(rows, replace(encoding, system_prompt="Be kind."), INFO, "chat")


def test_other_files_of_sentencepiece_make_another_key(
    tmp_path: Path, rows: list[dict[str, str]], encoding: Encoding
) -> None:
    info, keys = INFO.model_copy(update={"path": str(tmp_path)}), set()
    for name in ("spiece.model", "source.spm"):
        for content in ("one", "other"):
            (tmp_path / name).write_text(content)
            keys.add(cache_key(rows, encoding, info, "chat"))
    assert len(keys) == 4


def test_another_version_of_the_encoding_or_of_a_library_makes_another_key(
    rows: list[dict[str, str]], encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {cache_key(rows, encoding, INFO, "chat")}
    monkeypatch.setattr(token_cache, "ENCODING_VERSION", token_cache.ENCODING_VERSION + 1)
    keys.add(cache_key(rows, encoding, INFO, "chat"))
    for library in token_cache.LIBRARIES:
        newer = [f"{name} {'99.0' if name == library else '1.0'}" for name in token_cache.LIBRARIES]
        monkeypatch.setattr(token_cache, "library_versions", lambda newer=newer: newer)
        keys.add(cache_key(rows, encoding, INFO, "chat"))
    assert len(keys) == 2 + len(token_cache.LIBRARIES)


def test_tokens_of_all_samples_are_those_of_the_encoding_version(tmp_path: Path) -> None:
    """When this fails, a change made other tokens of the same rows: raise ENCODING_VERSION and write the new digest."""
    studio, digest = Studio(tmp_path), hashlib.sha256()
    for name, sample in sorted(SAMPLES.items()):
        info = find_model("starter-classify" if sample.task == "classification" else "starter-chat")
        data = studio.datasets.add_sample(name)
        spec = studio.datasets.spec(data.id, sample.task)
        task, config = task_named(sample.task), TrainingConfig(task=sample.task, model=info.name, max_length=256)
        taken = [row for _, row in usable_rows(studio.datasets.table(data.id), task, spec.roles)][:60]
        for each in encode_rows(task, taken, encoding_of(info, load_tokenizer(info), spec, config), lambda _: None):
            digest.update(json.dumps([each.input_ids, each.labels, each.types, each.liked]).encode())
    studio.close()
    assert (token_cache.ENCODING_VERSION, digest.hexdigest()[:16]) == (1, "b129bf93cf329e2e")


def test_what_was_not_used_for_longest_goes_when_there_is_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_cache, "MOST_BYTES", 3000)
    for name in "abc":
        cached_examples(tmp_path, lambda name=name: name, 20, lambda: [Example([1] * 20, 1, 20)] * 20)  # type: ignore[misc]
    assert 0 < len(list(tmp_path.glob("*.jsonl"))) < 3 and (tmp_path / "c.jsonl").exists()


def test_few_rows_or_no_place_to_keep_them_are_read_each_time(tmp_path: Path) -> None:
    for folder, count in ((tmp_path, 5), (None, 50)):
        assert cached_examples(folder, lambda: "x", count, list) == []
    assert not list(tmp_path.iterdir())

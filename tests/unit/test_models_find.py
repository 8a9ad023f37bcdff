"""Models are found by name: starters, folders, the Hub."""

import json
import time
from pathlib import Path

import pytest

from studio.models import STARTERS, cached_models, check_starters, find_model
from studio.models.catalog import CATALOG
from studio.models.downloads.hub_cache import ResponseCache
from studio.models.starters import origin_of, starter_folder
from studio.schema.errors import StudioError
from tests.hubserver import tiny_folder


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def put_starter(folder: Path, origin: dict[str, object] | None) -> None:
    tiny_folder(folder, ())
    if origin:
        (folder / "origin.json").write_text(json.dumps(origin))


def test_a_starter_that_is_not_here_is_declared_and_the_doctor_says_what_to_do(empty_cache: Path) -> None:
    info = find_model("starter-chat")
    assert not info.here and info.path is None and "make setup" in info.note
    assert info.parameters == 134_515_008
    assert [(check.name, check.ok) for check in check_starters()] == [
        ("starter-chat", False),
        ("starter-classify", False),
    ]


def test_a_starter_that_is_here_says_where_it_is_from(empty_cache: Path) -> None:
    put_starter(starter_folder("starter-chat"), {"source": "package", "says": "a package", "revision": None})
    info = find_model("starter-chat")
    assert info.here and info.source == "starter" and info.path == str(empty_cache / "starters" / "starter-chat")
    assert info.origin == "a package" and info.revision is None
    assert info.hub_id == STARTERS["starter-chat"].hub_id
    assert "whole model" in info.note
    assert check_starters()[0].ok


def test_a_starter_from_the_hub_has_no_word_of_warning(empty_cache: Path) -> None:
    put_starter(starter_folder("starter-chat"), {"source": "hub", "says": "the Hub", "revision": "abc"})
    info = find_model("starter-chat")
    assert info.note == "" and info.revision == "abc"


def test_a_starter_that_was_half_made_is_not_here(empty_cache: Path) -> None:
    put_starter(starter_folder("starter-chat"), None)
    assert origin_of("starter-chat") is None
    assert not find_model("starter-chat").here


def test_a_folder_is_found_by_its_path(tmp_path: Path) -> None:
    put_starter(tmp_path / "mine", None)
    info = find_model(f" {tmp_path / 'mine'} ")
    assert info.source == "folder" and info.name == str(tmp_path / "mine")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("starter-chta", "no-such-model", "Did you mean starter-chat"),
        ("", "no-such-model", "starter-classify"),
        ("/nowhere/at/all", "no-such-model", "folder does not exist"),
        ("../nowhere", "no-such-model", "folder does not exist"),
        ("owner/name", "no-network", "HF_HUB_OFFLINE"),
        ("a/b/c", "no-such-model", "owner/name"),
        ("owner/na me", "no-such-model", "owner/name"),
        ("owner/../name", "no-such-model", "owner/name"),
        ("\0", "no-such-model", "owner/name"),
        ("x" * 5000, "no-such-model", "owner/name"),
    ],
)
def test_a_name_that_means_nothing_is_refused_in_plain_words(name: str, code: str, words: str) -> None:
    with pytest.raises(StudioError) as refused:
        find_model(name)
    assert refused.value.code == code and words in refused.value.message


@pytest.mark.usefixtures("offline")
def test_a_well_known_model_is_described_without_a_network() -> None:
    info = find_model("Qwen/Qwen3-0.6B")
    assert not info.here and info.parameters == 596_049_920


@pytest.mark.usefixtures("offline")
def test_an_empty_hub_cache_holds_no_model() -> None:
    assert cached_models() == []


def test_the_catalogue_is_whole_without_a_network() -> None:
    assert len({entry.name for entry in CATALOG}) == len(CATALOG) >= 5
    for entry in CATALOG:
        info = entry.info
        assert info.kind in ("causal", "encoder") and info.licence and info.context and not info.here
        assert info.bytes > info.parameters > 50_000_000
        assert info.layers and info.hidden and info.intermediate and info.vocabulary
        assert set(entry.sentences) == {"sentence", "good_for", "not_for"}
    assert any(entry.info.gated for entry in CATALOG)


def test_an_answer_is_kept_for_a_while_and_a_refusal_for_a_moment() -> None:
    asked: list[str] = []

    def ask(what: str) -> str:
        asked.append(what)
        if what == "nothing":
            raise StudioError("no-network", "Nobody answers.")
        return what.upper()

    answers = ResponseCache(seconds=0.3, error_seconds=0.05)
    assert [answers.get("a", lambda: ask("a")) for _ in range(3)] == ["A"] * 3 and asked == ["a"]
    for _ in range(2):
        with pytest.raises(StudioError):
            answers.get("b", lambda: ask("nothing"))
    assert asked == ["a", "nothing"]
    time.sleep(0.1)
    assert answers.get("b", lambda: ask("b")) == "B" and answers.get("a", lambda: ask("a")) == "A"
    time.sleep(0.3)
    answers.get("a", lambda: ask("again"))
    assert asked == ["a", "nothing", "b", "again"]

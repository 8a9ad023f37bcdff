"""ModelScope as a source of base models, against a small one on this machine; and a search of several sources."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.models import find_model
from studio.models.downloads.downloaded import RECORD, folder_of
from studio.models.downloads.guarded_client import is_internal
from studio.models.downloads.hub_cache import HUB_CACHE
from studio.models.search import search_sources
from studio.models.sources import SOURCES, Fetching
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.ui.tabs.model import tab as model_tab
from studio.ui.visitors.session import Visit
from tests.hubserver import HubServer, tiny_repo
from tests.modelscope_server import ModelScopeServer

TINY = "modelscope:someone/tiny"


@pytest.fixture(autouse=True)
def scope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelScopeServer]:
    from huggingface_hub import constants

    HUB_CACHE.forget()
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STUDIO_MODEL_SOURCES", "hub,modelscope")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with ModelScopeServer() as server:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", server.url)
        server.add(tiny_repo())
        yield server
    HUB_CACHE.forget()


def fetch(info: ModelInfo, trust: bool = False, should_stop: Callable[[], bool] = lambda: False) -> ModelInfo:
    return SOURCES["modelscope"].fetch(info, Fetching(lambda done, total: None, should_stop, None, trust))


def page(visit: Callable[..., Visit]) -> str:
    parts = model_tab.Components(*("body", "actions"))  # type: ignore[arg-type]
    return "".join(map(str, model_tab._models(visit(), parts).values()))


def test_a_model_is_described_before_it_is_downloaded(scope: ModelScopeServer) -> None:
    info = find_model(TINY)
    weights = len(scope.repos["someone/tiny"].files["model.safetensors"])
    assert (info.source, info.name, info.title, info.kind, info.licence) == (
        "modelscope",
        TINY,
        "tiny",
        "causal",
        "apache-2.0",
    )
    assert info.bytes == weights and info.parameters == weights // 4 and info.layers == 4 and info.context == 512
    assert not info.here and not info.needs_trust and info.has_chat_template and info.hub_id is None


def test_a_download_has_the_files_of_the_hub_rules_and_is_then_used_without_a_request(scope: ModelScopeServer) -> None:
    seen: list[tuple[int, int]] = []
    info = SOURCES["modelscope"].fetch(find_model(TINY), Fetching(lambda done, total: seen.append((done, total))))
    folder = Path(info.path or "")
    assert info.here and info.origin == "someone/tiny on ModelScope" and seen[-1][0] == seen[-1][1]
    assert {each.name for each in folder.iterdir()} == {
        *("config.json", "tokenizer_config.json", "tokenizer.json", "README.md", "model.safetensors", RECORD)
    }
    assert (folder / "model.safetensors").read_bytes() == scope.repos["someone/tiny"].files["model.safetensors"]
    scope.seen.clear()
    assert find_model(TINY).here and [each.name for each in SOURCES["modelscope"].known()] == [TINY]
    assert not scope.seen


def test_a_stopped_download_continues_where_it_stopped(scope: ModelScopeServer) -> None:
    scope.slow = 0.05
    info, stop = find_model(TINY), threading.Event()
    timer = threading.Timer(0.4, stop.set)
    timer.start()
    assert not fetch(info, should_stop=stop.is_set).here
    (part,) = folder_of("modelscope", TINY).glob("*.part")
    received = part.stat().st_size
    assert received and not find_model(TINY).here
    scope.slow = 0
    scope.seen.clear()
    assert fetch(info).here
    ranges = [each.get("range") or each.get("Range") for each in scope.asked("/repo")]
    assert f"bytes={received}-" in ranges


def test_a_line_that_breaks_once_is_resumed(scope: ModelScopeServer) -> None:
    scope.cut_after = 20_000
    assert fetch(find_model(TINY)).here


def test_a_server_whose_answers_are_too_short_is_asked_a_few_times_only(
    scope: ModelScopeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope.bytes_too_many = 1
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(StudioError, match="can't be reached"):
        fetch(find_model(TINY))
    assert len(scope.asked("/repo")) < 20


def test_a_damaged_file_is_deleted_and_named(scope: ModelScopeServer) -> None:
    scope.damage = True
    with pytest.raises(StudioError, match=r"damaged.*model\.safetensors"):
        fetch(find_model(TINY))
    assert not find_model(TINY).here and not list(folder_of("modelscope", TINY).glob("model.safetensors*"))


def test_what_changed_since_a_stopped_download_is_fetched_again(scope: ModelScopeServer) -> None:
    info = find_model(TINY)
    fetch(info)
    folder = folder_of("modelscope", TINY)
    (folder / RECORD).unlink()
    (folder / "tokenizer.json").write_bytes(b"[]")
    (folder / "left_over.py").write_text("1")
    assert fetch(info).here
    assert (folder / "tokenizer.json").read_bytes() == b"{}" and not (folder / "left_over.py").exists()


def test_a_full_disk_is_noticed_before_the_download(scope: ModelScopeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.models.downloads import file_download

    monkeypatch.setattr(file_download, "MIN_FREE_BYTES", 10**18)
    with pytest.raises(StudioError, match="STUDIO_CACHE"):
        fetch(find_model(TINY))
    assert not list(folder_of("modelscope", TINY).iterdir())


def test_code_and_pickles_are_only_downloaded_after_the_owner_trusted_these_files(scope: ModelScopeServer) -> None:
    config = b'{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "auto_map": {"AutoConfig": "own.C"}}'
    scope.add(tiny_repo("someone/own", files={"config.json": config, "own.py": b"class C: pass"}))
    info = find_model("modelscope:someone/own")
    assert "Python code" in info.needs_trust and info.fingerprint
    with pytest.raises(StudioError, match="not loaded"):
        fetch(info)
    assert not folder_of("modelscope", info.name).exists()
    local = fetch(info, trust=True)
    assert (Path(local.path or "") / "own.py").exists() and local.fingerprint == info.fingerprint


def test_code_that_changed_after_it_was_trusted_is_not_downloaded(scope: ModelScopeServer) -> None:
    config = b'{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "auto_map": {"AutoConfig": "own.C"}}'
    repo = scope.add(tiny_repo("someone/own", files={"config.json": config, "own.py": b"class C: pass"}))
    info = find_model("modelscope:someone/own")
    repo.files["own.py"] = b"import os"
    with pytest.raises(StudioError, match="has changed"):
        fetch(info, trust=True)
    assert not (folder_of("modelscope", info.name) / "own.py").exists()


def test_code_without_checksums_can_not_be_trusted(scope: ModelScopeServer) -> None:
    config = b'{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "auto_map": {"AutoConfig": "own.C"}}'
    scope.add(tiny_repo("someone/own", files={"config.json": config, "own.py": b"class C: pass"}))
    scope.without_sums = True
    assert not find_model("modelscope:someone/own").fingerprint


@pytest.mark.parametrize("name", ["modelscope:tiny", "modelscope:../tiny", "modelscope:a/b/c", "modelscope:http://x/y"])
def test_a_name_that_is_no_name_sends_no_request(scope: ModelScopeServer, name: str) -> None:
    with pytest.raises(StudioError, match="modelscope:owner/name"):
        find_model(name)
    assert not scope.seen


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda scope: setattr(scope, "busy", True), "ModelScope responded with error 503"),
        (lambda scope: setattr(scope, "garbage", True), "ModelScope sent an answer that the studio can't read"),
        (lambda scope: setattr(scope, "closed", ("someone/tiny",)), "people who have signed in"),
        (lambda scope: scope.repos.clear(), "ModelScope has no model with this name"),
    ],
)
def test_each_fault_has_a_message(scope: ModelScopeServer, fault: Callable[[Any], None], words: str) -> None:
    fault(scope)
    with pytest.raises(StudioError, match=words):
        find_model(TINY)


def test_offline_nothing_is_requested_and_the_reason_is_said(
    scope: ModelScopeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(StudioError, match="ModelScope is not used, because HF_HUB_OFFLINE is set"):
        find_model(TINY)
    assert not scope.seen


def test_a_redirect_into_an_internal_network_is_not_followed(scope: ModelScopeServer) -> None:
    hosts = ("127.0.0.1", "10.0.0.8", "169.254.169.254", "[::1]", "localhost", "db.internal", "printer.local")
    assert all(is_internal(host) for host in hosts)
    assert not any(is_internal(host) for host in ("modelscope.cn", "8.8.8.8", "cdn.example.com"))
    with HubServer() as inside:
        for address in (f"{inside.url}/secret", inside.url.replace("http://127.0.0.1", "https://localhost")):
            HUB_CACHE.forget()
            scope.leads_to = address
            with pytest.raises(StudioError, match="ModelScope can't be reached"):
                find_model(TINY)
        assert not inside.seen


# --- several sources ---


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        server.stand_in(monkeypatch, tmp_path / "hub")
        server.add(tiny_repo())
        yield server


def test_a_search_finds_models_of_all_sources_each_with_its_source(hub: HubServer, scope: ModelScopeServer) -> None:
    scope.listed = (
        {"id": "someone/tiny-pictures", "tasks": ["text-to-image-synthesis"]},
        {"id": "../evil", "tasks": []},
    )
    found = search_sources("tiny")
    assert [(info.source, info.name) for info in found.models] == [("hub", "someone/tiny"), ("modelscope", TINY)]
    assert not found.failures and all(info.licence == "apache-2.0" and info.bytes for info in found.models)


def test_a_source_that_fails_does_not_hide_the_others(hub: HubServer, scope: ModelScopeServer) -> None:
    scope.busy = True
    found = search_sources("tiny")
    assert [info.source for info in found.models] == ["hub"]
    assert "ModelScope responded with error 503" in found.failures["modelscope"].what
    hub.busy, scope.busy = True, False
    HUB_CACHE.forget()
    found = search_sources("tiny")
    assert [info.source for info in found.models] == ["modelscope"] and list(found.failures) == ["hub"]


def test_a_source_that_hangs_is_given_up_and_not_asked_again_for_a_while(
    hub: HubServer, scope: ModelScopeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from studio.models import search

    monkeypatch.setattr(search, "_PAUSES", search._Pauses())
    asked: list[str] = []

    class Hanging:
        name, title, is_searched = "modelscope", "ModelScope", True

        def search(self, text: str, limit: int, token: str | None = None) -> list[ModelInfo]:
            asked.append(text)
            time.sleep(2)
            return []

    sources: list[Any] = [Hanging(), SOURCES["hub"]]
    began = time.monotonic()
    for text in ("tiny", "tin"):
        found = search_sources(text, sources=sources, seconds=0.5)
        assert [info.source for info in found.models] == ["hub"]
        assert found.failures["modelscope"].what == "ModelScope can't be reached."
    assert time.monotonic() - began < 1.5 and asked == ["tiny"]


def test_the_page_shows_results_with_source_license_size_and_tasks_and_which_source_failed(
    hub: HubServer, scope: ModelScopeServer, visit: Callable[..., Visit]
) -> None:
    visit().choose(task="chat", model="starter-chat")
    model_tab.search_models(visit(value="tiny"))
    drawn = page(visit)
    assert "Search by name: Hub, ModelScope" in drawn and "Search results" in drawn
    row = re.search(rf'data-key="m-{TINY}".*?(?=data-key="m-|$)', drawn, re.DOTALL)
    assert row is not None
    assert all(words in row[0] for words in (TINY, "Apache 2.0", "Chat", "From ModelScope", "KB")), row[0]
    model_tab.pick_model(visit(value=TINY))
    assert "Download " in page(visit) and visit().choices.model == TINY
    scope.busy = True
    model_tab.search_models(visit(value="tin"))
    drawn = page(visit)
    assert "ModelScope responded with error 503." in drawn and 'data-key="m-someone/tiny"' in drawn


def test_the_owner_chooses_which_sources_are_searched(
    hub: HubServer, scope: ModelScopeServer, visit: Callable[..., Visit], monkeypatch: pytest.MonkeyPatch
) -> None:
    visit().choose(task="chat", model="starter-chat")
    monkeypatch.setenv("STUDIO_MODEL_SOURCES", "none")
    assert "Search by name" not in page(visit) and "A folder or GGUF file" in page(visit)
    monkeypatch.setenv("STUDIO_MODEL_SOURCES", "modelscope")
    assert [view.info.source for view in visit().studio.models.search("tiny").models] == ["modelscope"]
    assert not hub.seen


def test_a_name_with_its_source_is_looked_up_there_alone(
    hub: HubServer, scope: ModelScopeServer, visit: Callable[..., Visit]
) -> None:
    models = visit().studio.models
    assert [view.info.name for view in models.search(TINY).models] == [TINY]
    assert "ModelScope has no model with this name" in models.search("modelscope:no/such").failures["modelscope"]
    assert not hub.seen


def test_a_downloaded_model_is_listed_takes_disk_space_and_can_be_deleted(
    scope: ModelScopeServer, visit: Callable[..., Visit]
) -> None:
    studio = visit().studio
    assert studio.models.download(TINY, lambda done, total: None).here
    assert TINY in [view.info.name for view in studio.models.all()]
    assert studio.storage.delete_model(TINY) > 200_000
    assert not find_model(TINY).here


def test_a_visitor_of_a_demo_searches_and_downloads_nothing(scope: ModelScopeServer, tmp_path: Path) -> None:
    guest = Studio(tmp_path / "demo", demo=True)
    for act in (
        lambda: guest.models.search("tiny"),
        lambda: guest.models.get(TINY),
        lambda: guest.models.start_download(TINY),
    ):
        with pytest.raises(StudioError) as refused:
            act()
        assert refused.value.code == "not-allowed"
    assert not scope.seen


def test_the_command_line_lists_results_names_a_source_that_failed_and_downloads(
    hub: HubServer, scope: ModelScopeServer, call: Callable[..., tuple[int, Any, str]]
) -> None:
    status, rows, _ = call("models", "--search", "tiny")
    assert status == 0 and [(row["source"], row["name"]) for row in rows] == [
        ("hub", "someone/tiny"),
        ("modelscope", TINY),
    ]
    hub.busy = True
    HUB_CACHE.forget()
    status, rows, errors = call("models", "--search", "tiny")
    assert status == 0 and [row["source"] for row in rows] == ["modelscope"] and "error 503" in errors
    status, done, _ = call("download", TINY)
    assert status == 0 and (Path(done["path"]) / "model.safetensors").is_file()

"""A model of ModelScope is downloaded, trained and exported under its name, with a small ModelScope on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_runs import add_run, add_sample, log_of, record_of, start_worker

from studio.api import Studio
from studio.models.downloads.hub_cache import HUB_CACHE
from studio.store import Home
from tests.hubserver import Repo
from tests.modelscope_server import ModelScopeServer

NAME = "modelscope:someone/llama"


@pytest.fixture
def scope(llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelScopeServer]:
    from huggingface_hub import constants

    HUB_CACHE.forget()
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    files = {each.name: each.read_bytes() for each in Path(llama).iterdir() if each.is_file()}
    with ModelScopeServer() as server:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", server.url)
        server.add(Repo("someone/llama", files))
        yield server
    HUB_CACHE.forget()


def test_a_downloaded_model_is_trained_without_a_request_and_exported_without_a_path(
    scope: ModelScopeServer, home: Home
) -> None:
    studio = Studio(home.root)
    assert studio.models.download(NAME, lambda done, total: None).here
    scope.seen.clear()
    run = add_run(home, add_sample(home, "support-tone", 12), NAME, epochs=1, max_steps=2, max_length=64)
    assert start_worker(home, run).wait(240) == 0, log_of(home, run)
    assert record_of(home, run).status == "finished" and not scope.seen
    folder = Path(studio.exports.create(run, "adapter").path)
    texts = [each.read_text("utf-8") for each in folder.rglob("*") if each.suffix in (".json", ".md", ".py")]
    assert texts and not any(str(home.root.parent) in text for text in texts)
    assert any("someone/llama on ModelScope" in text for text in texts)

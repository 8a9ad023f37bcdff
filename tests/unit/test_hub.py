"""The Hub, against a small local server that speaks what huggingface_hub calls."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.models.downloads.download import Download
from studio.models.sources.hub import HubSource
from studio.schema.errors import StudioError
from tests.hubserver import HubServer, Repo, tiny_repo


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with HubServer() as server:
        yield server


@pytest.fixture
def source(hub: HubServer, tmp_path: Path) -> HubSource:
    return HubSource(endpoint=hub.url, cache=str(tmp_path / "cache"))


def quiet(done: int, total: int) -> None:
    pass


def test_search_tells_size_licence_kind_and_downloads(hub: HubServer, source: HubSource) -> None:
    hub.add(tiny_repo("someone/tiny-chat", downloads=5))
    hub.add(tiny_repo("another/tiny-chat-two", downloads=70))
    hub.add(tiny_repo("another/else"))
    found = source.search("tiny-chat", 10)
    assert [info.name for info in found] == ["another/tiny-chat-two", "someone/tiny-chat"]
    first = found[0]
    assert first.kind == "causal" and first.licence == "apache-2.0" and first.downloads == 70
    assert first.bytes == 4 * first.parameters > 0
    assert not first.here and not first.gated and not first.needs_trust


def test_search_keeps_to_its_limit(hub: HubServer, source: HubSource) -> None:
    for number in range(5):
        hub.add(tiny_repo(f"someone/tiny-{number}"))
    assert len(source.search("tiny", 3)) == 3


def test_a_model_is_described_before_a_download(hub: HubServer, source: HubSource) -> None:
    repo = hub.add(tiny_repo())
    info = source.find("someone/tiny")
    assert info is not None and not info.here and info.path is None
    assert (info.layers, info.hidden, info.intermediate, info.vocabulary) == (4, 64, 128, 1000)
    assert info.context == 512 and info.has_chat_template
    assert info.bytes == len(repo.files["model.safetensors"])
    assert info.languages == ("en",)


def test_a_download_brings_only_safe_files_and_tells_every_byte(hub: HubServer, source: HubSource) -> None:
    repo = hub.add(tiny_repo())
    info = source.find("someone/tiny")
    assert info is not None
    told: list[tuple[int, int]] = []
    here = Download(info, lambda done, total: told.append((done, total)), source=source).run()
    assert here.here and here.path
    names = {path.name for path in Path(here.path).iterdir()}
    assert names == {"config.json", "tokenizer_config.json", "tokenizer.json", "README.md", "model.safetensors"}
    assert (Path(here.path) / "model.safetensors").read_bytes() == repo.files["model.safetensors"]
    total = sum(len(repo.files[name]) for name in names)
    assert told[-1] == (total, total) and all(each == total for _, each in told)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_what_is_here_is_found_without_a_request(hub: HubServer, source: HubSource) -> None:
    hub.add(tiny_repo())
    info = source.find("someone/tiny")
    assert info is not None
    Download(info, quiet, source=source).run()
    hub.seen.clear()
    again = source.find("someone/tiny")
    assert again is not None and again.here and again.hub_id == "someone/tiny"
    assert again.parameters == 1000 * 64 + 64 + 4 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 128 + 2 * 64)
    assert [each.name for each in source.known()] == ["someone/tiny"]
    assert hub.seen == []


def test_a_stopped_download_goes_on_where_it_was(hub: HubServer, source: HubSource, tmp_path: Path) -> None:
    weights = tiny_repo().files["model.safetensors"]
    hub.add(tiny_repo(files={"model.safetensors": weights, "spm.model": os.urandom(3_000_000)}))
    info = source.find("someone/tiny")
    assert info is not None
    stopped = Download(info, quiet, lambda: bool(list(tmp_path.rglob("*.part"))), source=source).run()
    assert not stopped.here
    part = next(tmp_path.rglob("*.part"))
    size = part.stat().st_size
    assert size > 0
    hub.seen.clear()
    told: list[int] = []
    assert Download(info, lambda done, total: told.append(done), source=source).run().here
    assert f"bytes={size}-" in [headers.get("Range") or headers.get("range") for headers in hub.asked("/resolve/")]
    assert not list(tmp_path.rglob("*.part"))


def test_a_broken_line_is_mended_by_going_on(hub: HubServer, source: HubSource) -> None:
    repo = hub.add(tiny_repo())
    info = source.find("someone/tiny")
    assert info is not None
    hub.cut_after = 100_000
    here = Download(info, quiet, source=source).run()
    assert here.path and (Path(here.path) / "model.safetensors").read_bytes() == repo.files["model.safetensors"]
    ranges = [headers.get("Range") or headers.get("range") for headers in hub.asked("model.safetensors")]
    assert "bytes=100000-" in ranges


def test_a_damaged_file_is_thrown_away(hub: HubServer, source: HubSource, tmp_path: Path) -> None:
    hub.add(tiny_repo())
    info = source.find("someone/tiny")
    assert info is not None
    hub.damage = True
    with pytest.raises(StudioError, match="damaged") as refused:
        Download(info, quiet, source=source).run()
    assert refused.value.code == "broken-model"
    assert not list(tmp_path.rglob("*.part"))
    hub.damage = False
    assert Download(info, quiet, source=source).run().here


def test_a_gated_model_says_what_to_do_and_opens_with_a_token(hub: HubServer, source: HubSource) -> None:
    hub.add(tiny_repo("company/closed", gated=True))
    hub.token = "hf_" + "a" * 30
    info = source.find("company/closed")
    assert info is not None and info.gated
    with pytest.raises(StudioError) as refused:
        Download(info, quiet, source=source).run()
    assert refused.value.code == "gated-model"
    assert "accept the terms" in refused.value.hint
    assert Download(info, quiet, source=source, token=hub.token).run().here


def test_a_wrong_token_is_named_as_the_trouble(hub: HubServer, source: HubSource) -> None:
    hub.add(tiny_repo())
    hub.token = "hf_" + "a" * 30
    for ask in (source.ask, lambda name, token: source.search(name, 5, token)):
        with pytest.raises(StudioError, match="rejects your token") as refused:
            ask("someone/tiny", "hf_" + "b" * 30)
        assert "bbb" not in refused.value.message


def test_no_token_of_this_machine_is_sent(hub: HubServer, source: HubSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "b" * 30)
    hub.add(tiny_repo())
    info = source.find("someone/tiny")
    assert info is not None
    source.search("tiny", 5)
    Download(info, quiet, source=source).run()
    assert not [1 for _, _, headers in hub.seen if "authorization" in {name.lower() for name in headers}]


def test_code_of_its_own_and_pickles_are_named_and_not_fetched(hub: HubServer, source: HubSource) -> None:
    files = tiny_repo().files
    config = json.loads(files["config.json"]) | {"auto_map": {"AutoModelForCausalLM": "modeling_x.X"}}
    coded = tiny_repo("someone/coded", files={"config.json": json.dumps(config).encode(), "modeling_x.py": b"print(1)"})
    hub.add(coded)
    pickled = {name: data for name, data in files.items() if name != "model.safetensors"}
    hub.add(Repo("someone/pickled", pickled, tags=("transformers",)))
    for name, words in (("someone/coded", "Python code"), ("someone/pickled", "pickle")):
        info = source.find(name)
        assert info is not None and words in info.needs_trust
        with pytest.raises(StudioError) as refused:
            Download(info, quiet, source=source).run()
        assert refused.value.code == "unsafe-model"
    assert hub.asked("modeling_x.py") == [] and hub.asked("pytorch_model.bin") == []
    info = source.find("someone/pickled")
    assert info is not None
    assert Download(info, quiet, source=source, trust=True).run().needs_trust


def test_a_name_that_the_hub_does_not_know(hub: HubServer, source: HubSource) -> None:
    with pytest.raises(StudioError) as refused:
        source.find("someone/nothing")
    assert refused.value.code == "no-such-model"


def test_a_repository_without_a_model_says_so_after_the_download(hub: HubServer, source: HubSource) -> None:
    hub.add(Repo("someone/quants", {"README.md": b"# Quants", "model.Q4.gguf": b"x" * 20_000, "config.json": b"{}"}))
    info = source.find("someone/quants")
    assert info is not None
    with pytest.raises(StudioError) as refused:
        Download(info, quiet, source=source, trust=True).run()
    assert refused.value.code == "broken-model"


def test_a_busy_hub_and_no_hub_are_plain_sentences(hub: HubServer, source: HubSource, tmp_path: Path) -> None:
    hub.busy = True
    with pytest.raises(StudioError, match="error 503") as refused:
        source.search("tiny", 5)
    assert refused.value.code == "no-network"
    gone = HubSource(endpoint="http://127.0.0.1:9", cache=str(tmp_path))
    for ask in (lambda: gone.search("tiny", 5), lambda: gone.find("someone/tiny")):
        with pytest.raises(StudioError, match="can't be reached") as refused:
            ask()
        assert refused.value.code == "no-network"


def test_two_downloads_of_one_model_do_not_write_into_each_other(
    hub: HubServer, source: HubSource, tmp_path: Path
) -> None:
    import fcntl

    hub.add(tiny_repo())
    info = source.find("someone/tiny")
    assert info is not None
    Download(info, quiet, lambda: bool(list(tmp_path.rglob("*.part"))), source=source).run()
    with next(tmp_path.rglob("*.part")).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StudioError, match="already") as refused:
            Download(info, quiet, source=source).run()
    assert refused.value.code == "wrong-state"


def test_the_endpoint_of_the_environment_is_asked(tmp_path: Path) -> None:
    program = (
        "import json; from studio.models import Download, find_model, search_sources\n"
        "names = [info.name for info in search_sources('tiny').models]\n"
        "here = Download(find_model('someone/tiny'), lambda done, total: None).run()\n"
        "print(json.dumps([names, here.here, find_model('someone/tiny').here]))"
    )
    with HubServer() as hub:
        hub.add(tiny_repo())
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=60
        )
    assert json.loads(done.stdout) == [["someone/tiny"], True, True]
    assert done.stderr == ""


def test_switched_off_means_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with HubServer() as hub:
        source = HubSource(endpoint=hub.url, cache=str(tmp_path))
        with pytest.raises(StudioError, match="HF_HUB_OFFLINE") as refused:
            source.search("tiny", 5)
        assert refused.value.code == "no-network" and hub.seen == []

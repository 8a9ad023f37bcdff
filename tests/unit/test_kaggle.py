"""Kaggle Models as a source of base models: kagglehub itself, against a small Kaggle on this machine."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save as save_tensors

from studio.models import find_model
from studio.models.downloads.downloaded import RECORD, folder_of
from studio.models.downloads.hub_cache import HUB_CACHE
from studio.models.downloads.kaggle import folder_below
from studio.models.sources import SOURCES, Fetching, kaggle
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.ui.tabs.model import tab as model_tab
from studio.ui.visitors.session import Visit
from tests.hubserver import Repo, tiny_repo
from tests.kaggle_server import KaggleServer, when_free
from tests.keras_files import preset_bytes

TINY = "kaggle:someone/tiny/transformers/tiny"


@pytest.fixture(autouse=True)
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KaggleServer]:
    from huggingface_hub import constants

    pytest.importorskip("kagglehub")
    HUB_CACHE.forget()
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    settings = {
        "HOME": tmp_path / "person",
        "STUDIO_CACHE": tmp_path / "cache",
        "STUDIO_MODEL_SOURCES": "kaggle",
        "KAGGLE_API_ENVIRONMENT": "TEST",
        "KAGGLE_API_TOKEN": "a-secret-token",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with when_free() as running:
        running.add(tiny_repo())
        yield running
    HUB_CACHE.forget()


def fetch(info: ModelInfo, should_stop: Callable[[], bool] = lambda: False) -> ModelInfo:
    return SOURCES["kaggle"].fetch(info, Fetching(lambda done, total: None, should_stop))


@pytest.mark.slow
def test_a_variant_is_described_then_downloaded_and_then_used_without_a_request(server: KaggleServer) -> None:
    info = find_model(TINY)
    weights = len(server.repos["someone/tiny"].files["model.safetensors"])
    assert (info.source, info.kind, info.title, info.revision) == ("kaggle", "causal", "tiny, tiny", "3")
    assert info.bytes == weights and info.parameters == weights // 4 and info.licence == "Apache 2.0"
    assert not info.here and info.layers == 4 and info.has_chat_template
    assert not folder_of("kaggle", TINY).exists(), "a look at a model leaves nothing"
    seen: list[tuple[int, int]] = []
    local = SOURCES["kaggle"].fetch(info, Fetching(lambda done, total: seen.append((done, total))))
    folder = Path(local.path or "")
    assert local.here and "version 3, on Kaggle" in local.origin and seen[-1][0] == seen[-1][1]
    assert {each.name for each in folder.iterdir()} == {
        *("config.json", "tokenizer_config.json", "tokenizer.json", "README.md", "model.safetensors", RECORD)
    }
    assert (folder / "model.safetensors").read_bytes() == server.repos["someone/tiny"].files["model.safetensors"]
    assert set(server.authorizations) == {"Bearer a-secret-token"}
    files = [each for each in folder.parent.rglob("*") if each.is_file()]
    assert not any(b"a-secret-token" in each.read_bytes() for each in files), "the token is Kaggle's own and not saved"
    server.seen.clear()
    assert find_model(TINY).here and not server.seen


@pytest.mark.slow
def test_a_stopped_download_continues_where_it_stopped(server: KaggleServer) -> None:
    weights = save_tensors({"model.embed_tokens.weight": np.zeros((12_000, 64), np.float32)})
    server.add(tiny_repo(files={"model.safetensors": weights}))
    info = find_model(TINY)
    # In its tests' environment kagglehub reads the first answer at once. It streams only what it resumes.
    file = folder_below(folder_of("kaggle", TINY) / kaggle.PARTS, TINY.removeprefix("kaggle:"), 3) / "model.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(weights[:1000])
    server.slow = 0.03
    assert not fetch(info, lambda: file.stat().st_size > 1000).here
    received = file.stat().st_size
    assert 1000 < received < len(weights) and not find_model(TINY).here
    server.slow = 0
    server.seen.clear()
    assert fetch(info).here and (folder_of("kaggle", TINY) / "model.safetensors").read_bytes() == weights
    assert f"bytes={received}-" in [each.get("range") or each.get("Range") for each in server.asked("/file")]


@pytest.mark.slow
def test_a_damaged_file_is_refused(server: KaggleServer) -> None:
    info = find_model(TINY)
    server.damage = True
    with pytest.raises(StudioError, match="damaged"):
        fetch(info)
    assert not find_model(TINY).here


@pytest.mark.parametrize(
    ("fault", "words"),
    [("busy", "Kaggle responded with error 503"), ("garbage", "can't read"), ("needs_login", "accepted its terms")],
)
def test_each_fault_has_a_message(server: KaggleServer, fault: str, words: str) -> None:
    setattr(server, fault, True)
    with pytest.raises(StudioError, match=words) as refused:
        find_model(TINY)
    assert "a-secret-token" not in refused.value.message


def test_what_can_not_be_used_is_refused_by_its_name_without_a_request(server: KaggleServer) -> None:
    for name, words in (
        ("kaggle:google/bert/tensorFlow2/base", "tensorFlow2 variant"),
        ("kaggle:google/bert", "kaggle:owner/model/framework/variation"),
        ("kaggle:../bert/transformers/x", "kaggle:owner/model/framework/variation"),
    ):
        with pytest.raises(StudioError, match=words):
            find_model(name)
    assert not server.seen


def test_a_variant_with_code_of_its_own_is_not_downloaded(server: KaggleServer) -> None:
    config = b'{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "auto_map": {"AutoConfig": "own.C"}}'
    server.add(tiny_repo("someone/own", files={"config.json": config, "own.py": b"class C: pass"}))
    with pytest.raises(StudioError, match="own Python code") as refused:
        find_model("kaggle:someone/own/transformers/tiny")
    assert refused.value.code == "unsafe-model"
    assert not [path for _, path, _ in server.seen if "own.py" in path]
    assert not list(folder_of("kaggle", "kaggle:someone/own/transformers/tiny").rglob("*.py"))


@pytest.mark.slow
def test_the_page_finds_transformers_variants_and_describes_one_that_is_chosen(
    server: KaggleServer, visit: Callable[..., Visit]
) -> None:
    visit().choose(task="chat", model="starter-chat")
    model_tab.search_models(visit(value="tiny"))
    parts = model_tab.Components(*("body", "actions"))  # type: ignore[arg-type]
    drawn = "".join(map(str, model_tab._models(visit(), parts).values()))
    assert f'data-key="m-{TINY}"' in drawn and "From Kaggle" in drawn and "tiny_flax" not in drawn
    assert "Choose it to see its tasks" in drawn
    model_tab.pick_model(visit(value=TINY))
    drawn = "".join(map(str, model_tab._models(visit(), parts).values()))
    assert "LlamaForCausalLM" in drawn and "Download " in drawn


def test_without_kagglehub_the_message_says_what_to_install(
    server: KaggleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kaggle, "find_spec", lambda name: None)
    assert not SOURCES["kaggle"].is_searched
    with pytest.raises(StudioError, match=r"finetune-studio\[kaggle\]"):
        find_model(TINY)


PRESET = "kaggle:someone/preset/keras/tiny"


def test_a_keras_variant_is_described_by_its_settings_and_needs_the_converter_before_it_is_downloaded(
    server: KaggleServer, visit: Callable[..., Visit], call: Callable[..., tuple[int, Any, str]]
) -> None:
    server.add(Repo("someone/preset", preset_bytes()))
    info = find_model(PRESET)
    assert (info.source, info.kind, info.architecture, info.layers) == ("kaggle", "causal", "GPT2LMHeadModel", 2)
    assert (
        info.bytes == 20_000
        and info.parameters == 5_000
        and info.tools == "keras"
        and "compares its logits" in info.note
    )
    server.seen.clear()
    status, _, words = call("download", PRESET)
    assert status and "The Keras converter is not installed yet" in words and "--install-tools" in words
    assert not server.asked("/file")
    visit().choose(task="chat", model=PRESET)
    parts = model_tab.Components(*("body", "actions"))  # type: ignore[arg-type]
    drawn = "".join(map(str, model_tab._models(visit(), parts).values()))
    assert "Install the Keras converter" in drawn and "keras-hub 0.32.0" in drawn and 'data-act="install"' in drawn


def test_a_search_lists_keras_variants_after_those_of_transformers(server: KaggleServer) -> None:
    server.add(Repo("someone/a-tiny-preset", preset_bytes()))
    found = SOURCES["kaggle"].search("tiny", 5)
    assert [info.name for info in found] == [TINY, "kaggle:someone/a-tiny-preset/keras/tiny"]


def test_a_keras_variant_that_can_not_be_converted_is_refused_before_its_weights_are_asked_for(
    server: KaggleServer,
) -> None:
    server.add(Repo("someone/preset", preset_bytes("BertBackbone")))
    with pytest.raises(StudioError, match=r"BertBackbone.*no exporter") as refused:
        find_model(PRESET)
    assert refused.value.code == "wrong-model" and "Llama 3" in refused.value.message
    assert not [each for each in server.asked("/file") if "weights" in str(each)]

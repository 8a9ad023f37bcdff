"""Presets of KerasHub as base models: made by KerasHub itself, converted, compared, and used like any other model."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import TOOLS, installed, silent

from studio.api import Studio
from studio.inference.generate import reply
from studio.machine.run_in_process import ProcessLimits, run_in_process
from studio.models import find_model
from studio.models.conversion.converters import KERAS
from studio.models.conversion.verification import check
from studio.models.sources import SOURCES, Fetching
from studio.models.sources.converted_folder import RECORD
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.schema.report import ChatSettings
from tests.hubserver import Repo
from tests.kaggle_server import KaggleServer, when_free

MAKER = str(Path(__file__).with_name("foreign_models.py"))
KINDS = {
    "gpt2": "GPT2LMHeadModel",
    "gemma": "GemmaForCausalLM",
    "gemma3": "Gemma3ForCausalLM",
    "llama3": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen": "Qwen2ForCausalLM",
}
pytestmark = pytest.mark.timeout(1800)  # the converter is downloaded once


def in_tool(function: str, **arguments: object) -> object:
    installed(KERAS)
    return run_in_process(f"{MAKER}:{function}", arguments, ProcessLimits(python=str(KERAS.python(TOOLS))))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preset") / "tiny-gpt2"
    in_tool("preset", kind="gpt2", folder=str(folder))
    return folder


def fetched(folder: Path | str, should_stop: Callable[[], bool] = lambda: False) -> ModelInfo:
    info = find_model(str(folder))
    return SOURCES[info.source].fetch(info, Fetching(should_stop=should_stop, tools=installed(KERAS)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_preset_of_each_family_becomes_a_model_with_the_same_logits(kind: str, tmp_path: Path) -> None:
    from safetensors import safe_open

    folder = tmp_path / kind
    in_tool("preset", kind=kind, folder=str(folder))
    declared = find_model(str(folder))
    assert (declared.source, declared.kind, declared.here) == ("keras", "causal", False)
    assert declared.architecture == KINDS[kind] and declared.layers == 2 and declared.tools == "keras"
    info = fetched(folder)
    assert info.here and info.architecture == KINDS[kind] and info.vocabulary == declared.vocabulary
    assert abs(info.parameters - declared.parameters) < declared.parameters / 2
    difference = float(info.note.split("logits is ")[1].split(" ")[0])
    assert 0 <= difference < 1e-4, info.note
    assert find_model(str(folder)) == info
    with safe_open(Path(str(info.path)) / "model.safetensors", "pt") as weights:
        assert {str(weights.get_tensor(name).dtype) for name in weights.keys()} == {"torch.float32"}
    assert not list(Path(str(info.path)).parent.glob(".new-*"))
    others = [each for each in Path(str(info.path)).glob("*.json") if each.name != RECORD]
    text = "".join(each.read_text() for each in others)
    assert str(tmp_path) not in text


def test_weights_of_16_bits_keep_their_number_format_and_values(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    in_tool("preset", kind="llama3", folder=str(tmp_path / "half"), dtype="bfloat16")
    info = fetched(tmp_path / "half")
    assert json.loads((Path(str(info.path)) / "config.json").read_text())["dtype"] == "bfloat16"
    assert abs(info.bytes - 2 * info.parameters) < 5000
    model = AutoModelForCausalLM.from_pretrained(info.path)
    assert str(model.dtype) == "torch.bfloat16" and float(info.note.split("logits is ")[1].split(" ")[0]) < 1e-4


def test_a_converted_preset_answers_and_is_found_after_its_folder_is_gone(gpt2: Path, tmp_path: Path) -> None:
    import shutil

    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = shutil.copytree(gpt2, tmp_path / "moved")
    info = fetched(folder)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(info.path), AutoTokenizer.from_pretrained(info.path)
    answer = reply(model.eval(), tokenizer, tokenizer("Hello")["input_ids"], ChatSettings(max_new_tokens=5))
    assert answer.tokens == 5
    shutil.rmtree(folder)
    assert find_model(str(folder)) == info and SOURCES["keras"].known() == [info]


def test_a_preset_that_has_changed_must_be_converted_again(gpt2: Path, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(gpt2, tmp_path / "changing")
    assert fetched(folder).here
    os.utime(folder / "model.weights.h5", (1, 1))
    assert not find_model(str(folder)).here


def test_a_conversion_that_computes_something_else_is_refused(gpt2: Path, tmp_path: Path) -> None:
    """The settings say another number of heads than the weights were trained with: each shape still fits."""
    from safetensors.numpy import load_file, save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    info = fetched(gpt2)
    raw = tmp_path / "raw"
    AutoModelForCausalLM.from_pretrained(info.path).save_pretrained(raw)
    AutoTokenizer.from_pretrained(info.path).save_pretrained(raw)
    reference = tmp_path / "reference.safetensors"
    arguments = {"original": str(gpt2), "raw": str(tmp_path / "other"), "reference": str(reference)}
    limits = ProcessLimits(python=str(KERAS.python(TOOLS)))
    convert = "studio.models.conversion.convert_keras:convert"
    run_in_process(convert, {**arguments, "architecture": "GPT2LMHeadModel"}, limits)
    facts = {"library": "Keras", "title": "t", "licence": "mit", "original": ""}
    place = {"raw": str(raw), "reference": str(reference), "architecture": "GPT2LMHeadModel", "dtype": "float32"}
    assert check(**place, to=str(tmp_path / "good"), **facts)["difference"] < 1e-4
    config = json.loads((raw / "config.json").read_text())
    (raw / "config.json").write_text(json.dumps({**config, "n_head": 2}))
    with pytest.raises(StudioError, match="computes something else than Keras"):
        check(**place, to=str(tmp_path / "bad"), **facts)
    (raw / "config.json").write_text(json.dumps(config))
    tensors = load_file(raw / "model.safetensors")
    del tensors["transformer.h.1.mlp.c_fc.weight"]
    save_file(tensors, raw / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(StudioError, match="lacks weights"):
        check(**place, to=str(tmp_path / "bad"), **facts)
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize(
    "kind",
    ["bomb", "external link", "soft link", "external array", "virtual array", "objects", "shared array", "deep groups"],
)
def test_an_hdf5_file_that_leads_elsewhere_or_declares_more_than_it_holds_is_refused(
    kind: str, gpt2: Path, tmp_path: Path
) -> None:
    import shutil

    folder = shutil.copytree(gpt2, tmp_path / "bad")
    in_tool("hdf5", file=str(folder / "model.weights.h5"), kind=kind)
    with pytest.raises(StudioError, match="does not read this weights file") as refused:
        fetched(folder)
    assert refused.value.code == "broken-model" and not find_model(str(folder)).here


def test_damaged_weights_are_refused_with_the_name_of_the_file(gpt2: Path, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(gpt2, tmp_path / "cut")
    weights = (folder / "model.weights.h5").read_bytes()
    (folder / "model.weights.h5").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(StudioError, match="weights file") as refused:
        fetched(folder)
    assert "damaged" in refused.value.message and refused.value.given == "model.weights.h5"


def test_a_preset_whose_weights_do_not_fit_its_settings_is_refused(tmp_path: Path) -> None:
    """KerasHub 0.32 does not save that the embeddings of Llama are tied, so it can't load this preset itself."""
    in_tool("preset", kind="llama3-tied", folder=str(tmp_path / "tied"))
    with pytest.raises(StudioError, match="Keras model can't be converted") as refused:
        fetched(tmp_path / "tied")
    assert "ReversibleEmbedding" in str(refused.value.given)


def test_a_conversion_that_is_stopped_leaves_nothing(gpt2: Path, cache: Path) -> None:
    began = time.monotonic()
    assert not fetched(gpt2, lambda: time.monotonic() - began > 1).here
    assert not [each for each in (cache / "keras").iterdir()]


def test_a_process_that_is_killed_leaves_a_message(gpt2: Path) -> None:
    import psutil

    def kill() -> None:
        me = psutil.Process()
        while True:
            for each in me.children():
                if "studio.models.conversion.convert_keras:convert" in each.cmdline():
                    each.send_signal(signal.SIGKILL)
                    return
            time.sleep(0.05)

    threading.Thread(target=kill, daemon=True).start()
    with pytest.raises(StudioError) as refused:
        fetched(gpt2)
    assert refused.value.code == "out-of-memory"


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KaggleServer]:
    from huggingface_hub import constants

    settings = {"HOME": tmp_path, "KAGGLE_API_ENVIRONMENT": "TEST", "KAGGLE_API_TOKEN": "a-secret-token"}
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with when_free() as running:
        yield running


def test_a_keras_variant_of_kaggle_is_downloaded_and_converted_and_then_used_offline(
    gpt2: Path, kaggle: KaggleServer, tmp_path: Path
) -> None:
    files = {each.relative_to(gpt2).as_posix(): each.read_bytes() for each in gpt2.rglob("*") if each.is_file()}
    kaggle.add(Repo("someone/tiny", {**files, "notes.txt": b"not needed"}))
    name, told = "kaggle:someone/tiny/keras/tiny", []
    with Studio(tmp_path / "home") as studio:
        with pytest.raises(StudioError, match="Keras converter is not installed yet"):
            studio.models.download(name, silent)
        (tmp_path / "home" / "tools").symlink_to(installed(KERAS))
        assert studio.models.install_tools(name) == [], "it is there already"
        info = studio.models.download(name, lambda done, total: told.append((done, total)))
    assert info.here and "Converted from Keras" in info.note and told[-1][0] == told[-1][1]
    kaggle.seen.clear()
    assert find_model(name) == info and not kaggle.seen
    assert info.source == "kaggle" and info.licence == "Apache 2.0" and info.architecture == "GPT2LMHeadModel"
    assert "version 3, on Kaggle" in info.origin
    names = {each.name for each in Path(str(info.path)).iterdir()}
    assert "model.safetensors" in names and not {"model.weights.h5", "notes.txt", ".parts"} & names


def test_a_preset_trains_and_chats_like_any_other_model(gpt2: Path, tmp_path: Path) -> None:
    from task_runs import train_rows

    info = fetched(gpt2)
    rows = [
        {"question": f"What is {word}?", "answer": f"{word} is a word."} for word in "red green blue big".split() * 8
    ]
    run = train_rows(tmp_path, rows, info, "chat", method="lora", max_steps=4)
    with Studio(tmp_path / "home") as studio:
        question = [{"role": "user", "content": "What is red?"}]
        assert list(studio.chat.stream(run.record.id, question, ChatSettings(max_new_tokens=4)))


def test_what_is_installed_needs_no_network_and_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tools = installed(KERAS)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    KERAS.install(tools, silent, threading.Event())
    assert KERAS.is_ready(tools)

"""Adapters as other tools save them become runs: chat, evaluate, continue. Unsafe or unfit ones are refused."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from made_runs import chat_run, starter, tiny_llama
from safetensors.torch import load_file, save_file

from studio.api import Studio
from studio.cli.main import run
from studio.models.adapters import CONFIG, WEIGHTS, read_adapter
from studio.schema.errors import StudioError
from studio.schema.report import ChatSettings

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
TARGETS: dict[str, Any] = {
    "LLaMA-Factory": ["q_proj", "v_proj", "down_proj", "k_proj", "up_proj", "gate_proj", "o_proj"],
    "Unsloth": r"(?:.*?(?:language|text).*?(?:self_attn|mlp).*?(?:q_proj|v_proj).*?)"
    r"|(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|mlp)\.(?:(?:q_proj|v_proj))\b)",
    "TRL": "all-linear",
}
"""Tool → how it names the layers in adapter_config.json."""


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    made = Studio(tmp_path / "home")
    yield made
    made.close()


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of starter-chat on attention and MLP layers, saved by PEFT, that changes the replies."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    base = AutoModelForCausalLM.from_pretrained(starter("starter-chat").path, dtype=torch.float32)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(base, config)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    folder = tmp_path_factory.mktemp("tools") / "saved"
    model.save_pretrained(str(folder))
    return folder


@pytest.fixture
def copy(adapter: Path, tmp_path: Path) -> Callable[..., Path]:
    """A function that copies the adapter, with other entries in its config."""

    def copied(**entries: Any) -> Path:
        folder = tmp_path / "my-adapter"
        folder.mkdir(exist_ok=True)
        (folder / WEIGHTS).write_bytes((adapter / WEIGHTS).read_bytes())
        config = json.loads((adapter / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps({**config, "base_model_name_or_path": HUB_ID, **entries}))
        return folder

    return copied


@pytest.mark.parametrize("tool", TARGETS)
def test_the_base_model_is_found_by_its_hub_id_and_the_config_is_made_from_the_weights(
    studio: Studio, copy: Callable[..., Path], tool: str
) -> None:
    record = studio.adapters.open(copy(target_modules=TARGETS[tool]))
    assert (record.status, record.model, record.method, record.task) == ("finished", "starter-chat", "lora", "chat")
    assert record.name == "my-adapter" and record.has_result
    saved = json.loads((studio.context.workspace.runs.folder(record.id).adapter / CONFIG).read_text())
    assert saved["target_modules"][0] == "model.layers.0.self_attn.q_proj" and len(saved["target_modules"]) == 60
    assert saved["base_model_name_or_path"] == HUB_ID and saved["r"] == 4


def test_a_folder_of_another_machine_is_not_followed_and_the_layers_tell_the_base(
    studio: Studio, copy: Callable[..., Path], tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    for named in (str(other), "/root/models/llama", "../llama", "C:\\models\\llama"):
        assert studio.adapters.open(copy(base_model_name_or_path=named)).model == "starter-chat"


def test_the_run_chats_and_continues(studio: Studio, tmp_path: Path) -> None:
    base = tiny_llama(tmp_path / "base")
    model = str(base.path)
    record = studio.adapters.open(Path(chat_run(base, tmp_path / "theirs").folder) / "adapter", model, "from elsewhere")
    said = {"base": "", "tuned": ""}
    settings = ChatSettings(max_new_tokens=12)
    for chunk in studio.chat.stream(record.id, [{"role": "user", "content": "Where is my parcel?"}], settings):
        said[chunk.who] = chunk.text
    assert said["base"] and said["tuned"] and said["base"] != said["tuned"]
    rows = tmp_path / "rows.csv"
    rows.write_text("prompt,reply\n" + "".join(f"Question {n}?,Answer {n}.\n" for n in range(12)), encoding="utf-8")
    dataset = studio.datasets.add_file(rows).id
    report = studio.evaluation.evaluate(record.id, dataset)
    assert report.rows == 12 and report.metrics
    from studio.schema.requests import RunRequest

    request = RunRequest(dataset=dataset, model=model, settings={"start_from": record.id, "max_steps": 1})
    started = studio.runs.start(request)
    for _ in studio.runs.watch(started.id):
        pass
    ended = studio.runs.get(started.id)
    assert ended.status == "finished", ended.reason
    assert studio.runs.spec(started.id).config.lora_rank == 4


def test_pickles_are_refused_and_never_read(studio: Studio, copy: Callable[..., Path]) -> None:
    folder = copy()
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")
    with pytest.raises(StudioError, match="pickle") as refused:
        studio.adapters.open(folder)
    assert refused.value.code == "unsafe-model" and "safe_serialization" in refused.value.hint


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"peft_type": "LOHA"}, "kind of adapter"),
        ({"task_type": "SEQ_CLS"}, "generative models"),
        ({"megatron_config": {"a": 1}, "megatron_core": "os"}, "megatron_config"),
        ({"layer_replication": [[0, 4]]}, "layer_replication"),
        ({"alpha_pattern": {"(a+)+$": 3}}, "alpha_pattern"),
        ({"lora_alpha": "8"}, "strength"),
        ({"lora_alpha": float("nan")}, "strength"),
        ({"bias": "all"}, "biases"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights pissa_niter_4"),
        ({"init_lora_weights": "loftq"}, "init_lora_weights loftq"),
        ({"base_model_name_or_path": "owner/absent"}, "owner/absent"),
    ],
)
def test_what_is_not_supported_or_missing_is_named(
    studio: Studio, copy: Callable[..., Path], entries: dict[str, Any], words: str
) -> None:
    with pytest.raises(StudioError) as refused:
        studio.adapters.open(copy(**entries))
    assert words in refused.value.message and not studio.runs.all()


def test_an_absent_base_model_is_named_with_the_local_models_that_fit(
    studio: Studio, copy: Callable[..., Path]
) -> None:
    folder = copy(base_model_name_or_path="unsloth/SmolLM2-135M-Instruct-bnb-4bit")
    with pytest.raises(StudioError) as refused:
        studio.adapters.open(folder)
    assert refused.value.valid == ["starter-chat"] and "studio download unsloth/" in refused.value.hint
    assert studio.adapters.open(folder, "starter-chat").model == "starter-chat"


def test_an_adapter_of_a_model_with_other_layers_does_not_fit(studio: Studio, copy: Callable[..., Path]) -> None:
    folder = copy()
    weights = load_file(folder / WEIGHTS)
    name = next(each for each in weights if each.endswith("layers.3.self_attn.q_proj.lora_A.weight"))
    save_file({**weights, name: torch.zeros(4, 64)}, folder / WEIGHTS)
    with pytest.raises(StudioError, match="does not fit") as refused:
        studio.adapters.open(folder)
    assert "layers.3.self_attn.q_proj" in str(refused.value.given)


def test_an_adapter_with_lora_of_the_embeddings_is_refused_and_not_opened_without_it(
    copy: Callable[..., Path],
) -> None:
    folder = copy()
    weights = load_file(folder / WEIGHTS)
    embeddings = {
        f"base_model.model.model.embed_tokens.lora_embedding_{part}": torch.zeros(8, 8) for part in ("A", "B")
    }
    save_file({**weights, **embeddings}, folder / WEIGHTS)
    with pytest.raises(StudioError, match="besides LoRA"):
        read_adapter(folder)


def test_damaged_and_incomplete_folders_get_a_message(tmp_path: Path, copy: Callable[..., Path]) -> None:
    folder = copy()
    whole = (folder / WEIGHTS).read_bytes()
    for content in (b"", b"\xff" * 100, whole[:-10], whole[:100]):
        (folder / WEIGHTS).write_bytes(content)
        with pytest.raises(StudioError):
            read_adapter(folder)
    (folder / WEIGHTS).write_bytes(whole)
    for text in ("", "[]", "{", "[" * 100_000):
        (folder / CONFIG).write_text(text)
        with pytest.raises(StudioError):
            read_adapter(folder)
    with pytest.raises(StudioError, match="no such folder"):
        read_adapter(tmp_path / "none")


def test_the_command_prints_the_run(
    copy: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    home = ("--home", str(tmp_path / "home"), "--json")
    assert run(["import-adapter", str(copy()), "--name", "theirs", *home]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert (answer["name"], answer["model"]) == ("theirs", "starter-chat")
    assert run(["import-adapter", str(tmp_path), *home]) == 2
    assert CONFIG in capfd.readouterr().err

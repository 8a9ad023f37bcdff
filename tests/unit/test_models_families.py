"""Models of odd families: what they are, what of them can learn, and what is said of what can't. All of them tiny."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from studio.inference.heads import TEXT, Head
from studio.inference.load import load_base
from studio.machine.facts import Gpu, MachineFacts
from studio.models.architectures import ENCODERS, SEQ2SEQ, context_of, kind_of, size_of
from studio.models.inspect import inspect_folder
from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.services.models.service import memory_fit
from studio.tasks import task_named
from studio.training.methods import METHODS
from studio.training.planning.gradient_checkpointing import UNSUPPORTED, supports_checkpointing
from studio.training.planning.memory_fit import fit
from studio.training.planning.presets import PlanFacts, PlanRequest, make_plan
from studio.training.planning.setting_checks import check_settings

GB = 2**30
LAPTOP = MachineFacts(2, 24 * GB, 20 * GB, 50 * GB, (), True)
SIZES = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
STATES = {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_chunk_size": 8}
MADE: dict[str, dict[str, Any]] = {
    "FalconH1ForCausalLM": {**SIZES, **STATES, "num_key_value_heads": 2},
    "MambaForCausalLM": {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},
    "MixtralForCausalLM": {**SIZES, "num_key_value_heads": 2, "num_local_experts": 4},
    "Qwen2MoeForCausalLM": {
        **SIZES,
        "num_key_value_heads": 2,
        "num_experts": 4,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 32,
    },
    "AlbertForMaskedLM": {**SIZES, "embedding_size": 16},
    "MPNetForMaskedLM": SIZES,
    "DistilBertForMaskedLM": {"vocab_size": 300, "dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4},
    "DebertaV2ForMaskedLM": SIZES,
    "ModernBertForMaskedLM": {
        **SIZES,
        "pad_token_id": 0,
        "cls_token_id": 1,
        "sep_token_id": 2,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
    "LongformerForMaskedLM": {**SIZES, "max_position_embeddings": 34, "attention_window": 8},
    "XLNetForQuestionAnsweringSimple": {"vocab_size": 300, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64},
    "T5ForConditionalGeneration": {
        "vocab_size": 300,
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 64,
        "num_layers": 2,
        "num_heads": 4,
        "decoder_start_token_id": 0,
    },
    "LlamaForCausalLM": {**SIZES, "num_key_value_heads": 2},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny model of that class, as it is found in its folder."""
    import transformers as hf

    from studio.models.starters.install import fetch_starter

    starter, root = fetch_starter("starter-chat"), tmp_path_factory.mktemp("families")

    def make(name: str) -> ModelInfo:
        folder = root / name
        if not folder.exists():
            kind = getattr(hf, name)
            kind(kind.config_class(**MADE[name])).save_pretrained(folder)
            for file in ("tokenizer.json", "tokenizer_config.json"):
                shutil.copy(starter / file, folder / file)
        return inspect_folder(folder)

    return make


def settings(method: str = "lora", **values: Any) -> TrainingConfig:
    usual = {"task": "chat", "model": "m", "precision": "float32", "lora_rank": 4, "lora_alpha": 8}
    return TrainingConfig(method=method, **{**usual, **values})


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("targets", ["all-linear", "attention"])
def test_as_much_learns_as_is_told_and_the_way_back_reaches_it(made: Any, name: str, targets: str) -> None:
    import torch

    info = made(name)
    labels = 3 if info.kind == "encoder" else 0
    head = Head("labels", ("a", "b", "c")) if labels else Head("seq2seq") if info.kind == "seq2seq" else TEXT
    config = settings(lora_targets=targets)
    model = METHODS["lora"].wrap(load_base(info, "float32", head), config)
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    told = METHODS["lora"].learned(info, config, labels)
    if not name.startswith(("Albert", "XLNet")):  # a pooler and a summary of their own, which no header tells of
        assert sum(weight.numel() for weight in learning) == told
    ids = torch.tensor([[5, 6, 7, 8]])
    model(input_ids=ids, labels=torch.tensor([1]) if labels else ids).loss.backward()
    assert any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in learning)


def test_a_model_whose_words_see_those_behind_them_is_no_writer() -> None:
    for model_type, architecture in (
        ("xlnet", "XLNetLMHeadModel"),
        ("flaubert", "FlaubertWithLMHeadModel"),
        ("xlm", "XLMWithLMHeadModel"),
        ("bert", "BertLMHeadModel"),
        ("roberta", "RobertaForCausalLM"),
    ):
        assert kind_of({"model_type": model_type, "architectures": [architecture]}) == "encoder", architecture
    assert kind_of({"model_type": "bert", "architectures": ["BertLMHeadModel"], "is_decoder": True}) == "causal"
    assert kind_of({"model_type": "xlm", "architectures": ["XLMWithLMHeadModel"], "causal": True}) == "causal"


def test_half_of_a_model_that_reads_and_writes_is_not_taken_for_all_of_it() -> None:
    assert kind_of({"model_type": "t5", "architectures": ["T5EncoderModel"]}) == "other"
    assert kind_of({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}) == "seq2seq"


def test_sizes_that_stand_in_the_config_of_a_part_are_found() -> None:
    part = {"hidden_size": 64, "num_hidden_layers": 3, "intermediate_size": 128, "max_position_embeddings": 800}
    config = {"model_type": "t5gemma", "vocab_size": 1000, "encoder": part, "decoder": part}
    assert size_of(config) == {"layers": 3, "hidden": 64, "intermediate": 128, "vocabulary": 1000}
    assert context_of(config, {}) == 800


def test_a_text_as_long_as_is_told_can_be_read(made: Any) -> None:
    import torch

    for name in ("LongformerForMaskedLM", "MPNetForMaskedLM"):
        info = made(name)
        model = load_base(info, "float32", Head("labels", ("a", "b")))
        assert model(input_ids=torch.full((1, info.context), 5)).logits.shape == (1, 2)


def test_an_answer_s_head_learns_and_is_saved_whatever_its_class_is_called(made: Any) -> None:
    model = METHODS["lora"].wrap(
        load_base(made("XLNetForQuestionAnsweringSimple"), "float32", Head("spans")), settings()
    )
    assert any("qa_outputs" in name and weight.requires_grad for name, weight in model.named_parameters())


def test_beside_experts_an_adapter_may_be_as_wide_as_beside_other_layers(made: Any) -> None:
    rows = PlanFacts(400, 340, 40, 0, [90] * 9, 0.5, 180)
    for name in ("MixtralForCausalLM", "Qwen2MoeForCausalLM"):
        info = made(name)
        plan = make_plan(PlanRequest(task_named("chat"), info, "thorough", rows, LAPTOP), "lora", {})
        assert plan.config.lora_rank == 16 and any("experts" in line for line in plan.because)
        check_settings(info, LAPTOP, {"task": "chat", "model": info.name, "method": "lora", "lora_rank": 16})


def test_of_layers_that_are_all_one_none_can_be_frozen_or_the_last(made: Any) -> None:
    info = made("AlbertForMaskedLM")
    assert "share their weights" in METHODS["last-layers"].unavailable_reason(
        info, task_named("classification"), LAPTOP
    )
    with pytest.raises(StudioError, match="share their weights"):
        check_settings(info, LAPTOP, {"task": "classification", "model": "m", "method": "full", "frozen_layers": 1})


def test_what_a_model_s_code_can_t_compute_twice_is_refused_and_never_planned(made: Any) -> None:
    info, sort = made("MPNetForMaskedLM"), task_named("classification")
    with pytest.raises(StudioError, match="gradient checkpointing"):
        check_settings(
            info, LAPTOP, {"task": sort.name, "model": "m", "method": "full", "gradient_checkpointing": True}
        )
    full = MachineFacts(2, 4 * GB, GB // 2, 50 * GB, (), True)
    rows = PlanFacts(400, 340, 40, 3, [90] * 9, 0.5, 180)
    assert not make_plan(PlanRequest(sort, info, "balanced", rows, full), "full", {}).config.gradient_checkpointing
    llama = made("LlamaForCausalLM")
    assert make_plan(
        PlanRequest(task_named("chat"), llama, "balanced", rows, full), "lora", {}
    ).config.gradient_checkpointing


def test_the_models_that_can_t_compute_twice_are_those_of_which_transformers_says_so() -> None:
    import transformers as hf
    from transformers.models.auto import modeling_auto as auto

    names = {
        **auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        **auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    }
    for model_type in sorted((ENCODERS | SEQ2SEQ) & set(names)):
        name = names[model_type]
        info = ModelInfo(name="m", title="M", source="folder", kind="encoder", architecture=name)
        assert supports_checkpointing(info) == getattr(hf, name).supports_gradient_checkpointing, name
    assert all(
        not supports_checkpointing(info.model_copy(update={"architecture": f"{each}Model"})) for each in UNSUPPORTED
    )


def test_of_weights_in_few_bits_an_adapter_learns_and_they_themselves_are_refused(tmp_path: Path, made: Any) -> None:
    import torch
    import transformers as hf

    whole, folder = made("LlamaForCausalLM"), tmp_path / "few"
    few = hf.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32)
    hf.AutoModelForCausalLM.from_pretrained(whole.path, quantization_config=few, device_map="cpu").save_pretrained(
        folder
    )
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(str(whole.path)) / file, folder / file)
    info = inspect_folder(folder)
    assert info.quantized == "bitsandbytes" and info.parameters == whole.parameters
    config = settings()
    model = METHODS["lora"].wrap(load_base(info, "float32", TEXT), config)
    learning = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert 0 < METHODS["lora"].learned(info, config, 0) <= 1.5 * learning
    for name in ("full", "last-layers", "qlora"):
        assert "quantized" in METHODS[name].unavailable_reason(info, task_named("chat"), LAPTOP)
    assert not METHODS["lora"].unavailable_reason(info, task_named("chat"), LAPTOP)


def test_weights_that_need_a_library_which_is_not_here_are_refused_in_plain_words(tmp_path: Path, made: Any) -> None:
    import json

    folder = tmp_path / "gptq"
    shutil.copytree(str(made("LlamaForCausalLM").path), folder)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": True}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(StudioError, match="a library is not installed"):
        load_base(inspect_folder(folder), "float32", TEXT)


@pytest.mark.parametrize(
    ("memory", "gpu", "fits"),
    [(64, 0, "fits"), (24, 0, "tight"), (4, 0, "too-large"), (64, 4, "too-large"), (32, 24, "tight")],
)
def test_a_model_is_too_large_only_where_no_setting_makes_it_fit(memory: int, gpu: int, fits: str) -> None:
    llama = ModelInfo(
        name="m",
        title="M",
        source="hub",
        kind="causal",
        architecture="LlamaForCausalLM",
        parameters=8_030_000_000,
        context=8192,
        layers=32,
        hidden=4096,
        intermediate=14_336,
        vocabulary=128_256,
    )
    gpus = (Gpu("G", gpu * GB, gpu * GB),) if gpu else ()
    machine, chat = MachineFacts(8, memory * GB, memory * GB, 500 * GB, gpus, True), task_named("chat")
    assert memory_fit(llama, chat, machine)[1] == fits
    rows = PlanFacts(400, 340, 40, 0, [90] * 9, 0.5, 180)
    if fits != "too-large":
        assert fit(PlanRequest(chat, llama, "balanced", rows, machine), "lora", {})[0] in ("lora", "qlora")


@pytest.mark.parametrize(
    "files",
    [
        {"spm.model": "x"},
        {"source.spm": "x", "target.spm": "x", "vocab.json": "{}"},
        {"tokenizer_config.json": '{"tokenizer_class": "ByT5Tokenizer"}'},
    ],
)
def test_the_tokenizers_of_deberta_marian_and_byt5_are_tokenizers(
    tmp_path: Path, made: Any, files: dict[str, str]
) -> None:
    from studio.models.downloads.hub_files import needed_files

    shutil.copytree(str(made("LlamaForCausalLM").path), tmp_path / "odd")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "odd" / name).unlink()
    for name, text in files.items():
        (tmp_path / "odd" / name).write_text(text)
    assert inspect_folder(tmp_path / "odd").kind == "causal"
    assert needed_files(files) == sorted(files), "and what is fetched of them from the Hub"

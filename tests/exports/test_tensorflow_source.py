"""Folders with TensorFlow weights as base models: made by transformers 4 and TensorFlow, converted and compared."""

from pathlib import Path
from typing import Any

import pytest
from conftest import TOOLS, installed

from studio.machine.run_in_process import ProcessLimits, run_in_process
from studio.models import find_model
from studio.models.conversion.converters import TENSORFLOW
from studio.models.sources import SOURCES, Fetching
from studio.models.starters.install import fetch_starter
from studio.schema.errors import StudioError

MAKER = str(Path(__file__).with_name("foreign_models.py"))
SMALL = {"vocab_size": 31000, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
BERT = {"family": "Bert", **SMALL, "intermediate_size": 64}
KINDS: dict[str, tuple[str, dict[str, Any], str]] = {
    "bert": ("BertForMaskedLM", BERT, "encoder"),
    "bert-pretraining": ("BertForPreTraining", BERT, "encoder"),
    "bert-labels": ("BertForSequenceClassification", {**BERT, "num_labels": 3}, "encoder"),
    "distilbert": (
        "DistilBertForMaskedLM",
        {"family": "DistilBert", "vocab_size": 31000, "dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4},
        "encoder",
    ),
    "roberta": ("RobertaForMaskedLM", {**BERT, "family": "Roberta"}, "encoder"),
    "electra": ("ElectraForPreTraining", {**BERT, "family": "Electra", "embedding_size": 32}, "encoder"),
    "gpt2": (
        "GPT2LMHeadModel",
        {"family": "GPT2", "vocab_size": 31000, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
        "causal",
    ),
    "t5": (
        "T5ForConditionalGeneration",
        {"family": "T5", "vocab_size": 31000, "d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 2, "num_heads": 4},
        "seq2seq",
    ),
    "bart": (
        "BartForConditionalGeneration",
        {
            "family": "Bart",
            "vocab_size": 31000,
            "d_model": 32,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64,
        },
        "seq2seq",
    ),
}
pytestmark = pytest.mark.timeout(3600)  # TensorFlow is downloaded once


def in_tool(function: str, **arguments: object) -> object:
    installed(TENSORFLOW)
    return run_in_process(f"{MAKER}:{function}", arguments, ProcessLimits(python=str(TENSORFLOW.python(TOOLS))))


@pytest.fixture(autouse=True)
def starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a starter, whose tokenizer the tiny models have. The cache is empty after it."""
    folder = fetch_starter("starter-classify")
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "cache"))
    return folder


def made(kind: str, folder: Path, tokenizer: Path, frozen: bool = False) -> Path:
    name, config, _ = KINDS[kind]
    in_tool("tensorflow", folder=str(folder), kind=name, config=config, tokenizer=str(tokenizer), frozen=frozen)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_tensorflow_model_of_each_family_becomes_one_with_the_same_outputs(
    kind: str, starter: Path, tmp_path: Path
) -> None:
    folder = made(kind, tmp_path / kind, starter)
    assert (folder / "tf_model.h5").is_file() and not list(folder.glob("*.safetensors"))
    declared = find_model(str(folder))
    assert (declared.source, declared.kind, declared.here) == ("tensorflow", KINDS[kind][2], False)
    assert declared.architecture == KINDS[kind][0] and declared.tools == "tensorflow"
    info = SOURCES["tensorflow"].fetch(declared, Fetching(tools=installed(TENSORFLOW)))
    assert info.here and info.architecture == KINDS[kind][0] and info.kind == KINDS[kind][2]
    assert 0 <= float(info.note.split("logits is ")[1].split(" ")[0]) < 1e-4, info.note
    assert find_model(str(folder)) == info


def test_a_model_that_computes_something_else_after_the_conversion_is_refused(starter: Path, tmp_path: Path) -> None:
    """transformers 4 does not convert the bias of BART's logits. It is zero in every model but this one."""
    folder = made("bart", tmp_path / "bart", starter, frozen=True)
    with pytest.raises(StudioError, match="computes something else than TensorFlow") as refused:
        SOURCES["tensorflow"].fetch(find_model(str(folder)), Fetching(tools=TOOLS))
    assert "largest output" in str(refused.value.given) and not find_model(str(folder)).here


def test_a_file_without_some_weights_is_refused_with_their_names(starter: Path, tmp_path: Path) -> None:
    folder = made("bert", tmp_path / "bert", starter)
    in_tool("without_layer", file=str(folder / "tf_model.h5"), layer="mlm___cls")
    with pytest.raises(StudioError, match="lacks weights of the model") as refused:
        SOURCES["tensorflow"].fetch(find_model(str(folder)), Fetching(tools=TOOLS))
    assert "mlm" in str(refused.value.given) and not find_model(str(folder)).here


def test_an_architecture_without_tensorflow_code_is_refused_by_its_name(starter: Path, tmp_path: Path) -> None:
    import json

    folder = made("bert", tmp_path / "bert", starter)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["LlamaForCausalLM"]}))
    with pytest.raises(StudioError, match="no TensorFlow code for LlamaForCausalLM"):
        SOURCES["tensorflow"].fetch(find_model(str(folder)), Fetching(tools=TOOLS))

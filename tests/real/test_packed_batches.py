"""Texts that share a row, and rows laid end to end: only where a model keeps them apart."""

from pathlib import Path
from typing import Any

import pytest
import torch
from small_trainings import run, sample_rows
from task_runs import tiny_model
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from studio.models.inspect import inspect_folder
from studio.models.starters.install import fetch_starter
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec
from studio.schema.events import AdviceEvent, ReadEvent
from studio.schema.models import ModelInfo
from studio.training.batching.packed_attention import NAME
from studio.training.batching.packing_check import supports_packing, supports_padding_free
from studio.training.loop.run import TrainingJob

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}
OPT = {**SMALL, "ffn_dim": 64, "word_embed_proj_dim": 32}
LFM2 = {**SMALL, "intermediate_size": 64, "num_key_value_heads": 2, "layer_types": ["conv", "full_attention"]}


def made(kind: str, **settings: Any) -> Any:
    torch.manual_seed(0)
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{"vocab_size": 99, **ends, **settings}))


@pytest.mark.parametrize(
    ("kind", "settings", "shares", "lies"),
    [
        ("llama", {**SMALL, "intermediate_size": 64}, True, True),
        ("opt", OPT, False, True),  # its mask knows of no positions, and ours needs none
        ("lfm2", LFM2, False, False),  # its short convolutions look at whatever stands before
    ],
)
def test_it_is_found_out_whether_a_model_keeps_texts_apart(kind: str, settings: Any, shares: bool, lies: bool) -> None:
    model = made(kind, **settings)
    assert supports_packing(model) == shares
    model.set_attn_implementation(NAME)
    assert supports_padding_free(model) == lies


def text_job(folder: Path, info: ModelInfo) -> TrainingJob:
    return TrainingJob(
        config=TrainingConfig(task="completion", model=info.name, precision="float32", max_length=128, max_steps=1),
        info=info,
        data=DatasetSpec(task="completion", roles={"answer": "text"}),
        train_rows=sample_rows("support-tone")[:12],
        validation_rows=[],
        folder=folder,
        threads=1,
    )


def test_texts_share_no_row_with_a_model_that_would_read_them_as_one(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(fetch_starter("starter-chat"))
    made("opt", **OPT, vocab_size=len(tokenizer)).save_pretrained(tmp_path / "opt")
    tokenizer.save_pretrained(tmp_path / "opt")
    _, said = run(text_job(tmp_path / "a", inspect_folder(tmp_path / "opt", title="Tiny OPT")))
    assert [event.learned for event in said if isinstance(event, ReadEvent)] == [12]
    assert [event.title for event in said if isinstance(event, AdviceEvent)] == ["Packing is not possible"]
    _, said = run(text_job(tmp_path / "b", tiny_model("llama", tmp_path / "llama")))
    assert [event.learned < 12 for event in said if isinstance(event, ReadEvent)] == [True]
    assert not [event for event in said if isinstance(event, AdviceEvent)]

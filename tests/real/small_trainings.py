"""Trainings of a second: random models of a few thousand weights on a few rows, and what they said."""

import csv
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from made_runs import made_once, small_tokenizer, tiny_llama, write_llama

from studio.data.samples import sample_path
from studio.models.inspect import inspect_folder
from studio.models.starters import ORIGIN, STARTERS
from studio.models.starters.install import fetch_starter
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec
from studio.schema.events import AnyEvent, StepEvent
from studio.schema.models import ModelInfo
from studio.schema.runs import StopWish
from studio.training.loop.run import Outcome, TrainingJob, train

LABELS = ("complaint", "praise", "track_order")


def tiny_bert(folder: Path) -> ModelInfo:
    """A random BERT with the starter's tokenizer."""
    made_once("tiny bert", _tiny_bert, folder)
    return inspect_folder(folder, title="Tiny BERT")


def small_bert(folder: Path) -> ModelInfo:
    """A random BERT with large weights: what an adapter changes in it is seen within a few steps."""
    made_once("small bert", lambda place: _tiny_bert(place, hidden_size=64, initializer_range=0.4), folder)
    return inspect_folder(folder, title="Small BERT")


def tiny_starters(cache: Path, names: Sequence[str] = tuple(STARTERS)) -> None:
    """Fill a folder for STUDIO_CACHE, in which tiny models with the tokenizers of the starters have their names. Those
    that are not named are the starters themselves."""
    made: dict[str, Callable[[Path], None]] = {
        "starter-chat": partial(
            write_llama, initializer_range=0.4, max_position_embeddings=STARTERS["starter-chat"].context
        ),
        "starter-classify": partial(_tiny_bert, hidden_size=64, initializer_range=0.4, max_position_embeddings=512),
    }
    for name in STARTERS:
        folder = cache / "starters" / name
        if name not in names:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.symlink_to(fetch_starter(name))
            continue
        made_once(f"tiny {name}", made[name], folder)
        (folder / ORIGIN).write_text('{"source": "hub", "says": "made by a test"}', encoding="utf-8")


def _tiny_bert(folder: Path, hidden_size: int = 32, initializer_range: float = 0.02, **more: Any) -> None:
    from transformers import AutoTokenizer, BertConfig, BertModel

    tokenizer = AutoTokenizer.from_pretrained(fetch_starter("starter-classify"))
    config = BertConfig(
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        initializer_range=initializer_range,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=len(tokenizer),
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **{"max_position_embeddings": 128, **more},
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def small_llama(folder: Path) -> ModelInfo:
    """A random Llama whose layers are wide enough to be held in 4 bits."""
    made_once("small llama", _small_llama, folder)
    return inspect_folder(folder, title="Small Llama")


def _small_llama(folder: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = small_tokenizer()
    config = LlamaConfig(
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
        max_position_embeddings=256,
        tie_word_embeddings=True,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def sample_rows(name: str) -> list[dict[str, str]]:
    """All rows of a sample."""
    with sample_path(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def chat_job(folder: Path, info: ModelInfo, *, rows: int = 20, held: int = 6, **settings: Any) -> TrainingJob:
    """A chat run, on the model in float32 and at a rate at which random weights learn."""
    usual = {"epochs": 2, "learning_rate": 1e-2, "precision": "float32", "max_length": 128, "warmup_share": 0.0}
    every = sample_rows("support-tone")
    return TrainingJob(
        config=TrainingConfig(task="chat", model=info.name, **{**usual, **settings}),
        info=info,
        data=DatasetSpec(task="chat", roles={"question": "prompt", "answer": "reply"}),
        train_rows=every[:rows],
        validation_rows=every[-held:] if held else [],
        folder=folder,
        threads=1,
    )


def label_job(folder: Path, info: ModelInfo, *, rows: int = 48, held: int = 12, **settings: Any) -> TrainingJob:
    """A classification run with three labels."""
    usual = {"epochs": 4, "learning_rate": 5e-3, "precision": "float32", "max_length": 64, "method": "full"}
    every = [row for row in sample_rows("intent-routing") if row["intent"] in LABELS]
    return TrainingJob(
        config=TrainingConfig(task="classification", model=info.name, **{**usual, "batch_size": 8, **settings}),
        info=info,
        data=DatasetSpec(task="classification", roles={"message": "text", "intent": "label"}, label_names=LABELS),
        train_rows=every[:rows],
        validation_rows=every[rows : rows + held],
        folder=folder,
        threads=1,
    )


def run(job: TrainingJob, should_stop: Callable[[], StopWish | None] = lambda: None) -> tuple[Outcome, list[AnyEvent]]:
    """Train, and all that was said. The base model is measured before the first step, however busy the machine is."""
    said: list[AnyEvent] = []
    return train(job, said.append, should_stop, lambda: True), said


def losses(said: Sequence[AnyEvent]) -> list[float]:
    """Training loss by step."""
    return [event.loss for event in said if isinstance(event, StepEvent)]


__all__ = [
    "LABELS",
    "chat_job",
    "label_job",
    "losses",
    "run",
    "sample_rows",
    "small_bert",
    "small_llama",
    "tiny_bert",
    "tiny_llama",
    "tiny_starters",
]

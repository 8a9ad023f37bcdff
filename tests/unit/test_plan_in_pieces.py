"""The rows that a plan reckons with are those that a run would learn: counted beside what the tasks make of rows."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
from transformers import AutoTokenizer

from studio.models.starters.install import fetch_starter
from studio.schema.config import TrainingConfig
from studio.tasks import Encoding, Example, Row, task_named
from studio.training.batching.packing import join_documents, pack_documents, uses_packing
from studio.training.loop.loading import encode_rows
from studio.training.planning.eval_schedule import eval_interval, total_steps
from studio.training.planning.plan_facts import PlanFacts, as_trained

WORDS = "The shop by the old bridge opens at nine on every day but Sunday, said Ada to a friend of hers. ".split()
TEXTS = [{"text": " ".join((WORDS * 30)[:count])} for count in (1, 3, 20, 61, 62, 63, 64, 90, 124, 150, 333)]
QUESTIONS = [
    {"q": " ".join(WORDS[:asked]) + "?", "c": " ".join((WORDS * 30)[:count]), "a": "at nine"}
    for asked in (2, 9, 17)
    for count in (20, 45, 60, 100, 180, 400)
]
ROLES: dict[str, dict[str, str]] = {
    "completion": {"text": "text"},
    "question-answering": {"q": "question", "c": "context", "a": "answer"},
}


@cache
def tokenizer_of(name: str) -> Any:
    return AutoTokenizer.from_pretrained(fetch_starter(name))


def encoding_of(config: TrainingConfig, kind: str) -> Encoding:
    tokenizer = tokenizer_of("starter-classify" if kind == "encoder" else "starter-chat")
    return Encoding(tokenizer, ROLES[config.task], config.max_length, kind=kind, stride=config.stride)


def learned(rows: Sequence[Row], encoding: Encoding, config: TrainingConfig) -> list[Example]:
    """As training/loop/run.py makes them."""
    examples = encode_rows(task_named(config.task), rows, encoding, lambda done: None)
    return (
        [join_documents(each) for each in pack_documents(examples, config.max_length)]
        if uses_packing(config)
        else examples
    )


def facts_of(rows: Sequence[Row], encoding: Encoding, config: TrainingConfig) -> PlanFacts:
    """As they are counted before a plan is made: each row's whole length, and what all of its pieces begin with."""
    task = task_named(config.task)
    first = [task.encode(row, encoding) for row in rows]
    lengths = [each.full_length for each in first]
    heads = [sum(place is None for place in each.offsets) for each in first]
    return PlanFacts(len(rows), len(rows), 0, 0, lengths, 1.0, max(lengths), heads if any(heads) else ())


@pytest.mark.parametrize(
    ("task", "kind", "settings"),
    [
        ("completion", "causal", {}),
        ("completion", "causal", {"packing": False}),
        ("completion", "causal", {"packing": False, "max_length": 17}),
        ("completion", "causal", {"method": "prompt-tuning"}),
        ("completion", "causal", {"method": "prefix-tuning", "max_length": 33}),
        ("question-answering", "encoder", {}),
        ("question-answering", "encoder", {"stride": 8}),
        ("question-answering", "encoder", {"stride": 0, "max_length": 48}),
        ("question-answering", "encoder", {"stride": 16, "max_length": 128}),
        ("question-answering", "causal", {}),
    ],
)
def test_planned_rows_and_steps_are_those_of_a_run(task: str, kind: str, settings: dict[str, Any]) -> None:
    told = {"task": task, "model": "m", "max_length": 64, "batch_size": 3, "gradient_accumulation": 2, "epochs": 2}
    config = TrainingConfig.model_validate(told | settings)
    rows = TEXTS if task == "completion" else QUESTIONS
    if kind == "causal" and task == "question-answering":
        config = config.model_copy(update={"max_length": 1024})  # all of it is read, in one piece
    encoding = encoding_of(config, kind)
    examples, planned = learned(rows, encoding, config), as_trained(facts_of(rows, encoding, config), config)
    assert sorted(planned.token_lengths) == sorted(len(each.input_ids) for each in examples)
    assert planned.train_rows == len(examples)
    assert total_steps(planned.train_rows, config) == total_steps(len(examples), config)
    assert eval_interval(planned.train_rows, 4, config) == eval_interval(len(examples), 4, config)
    if config.max_length < 1024:
        assert len(examples) != len(rows), "the rows are too short to show it"


def test_of_a_sample_the_share_of_pieces_counts_for_all_rows() -> None:
    config = TrainingConfig(task="question-answering", model="m", max_length=64, stride=16)
    sample = PlanFacts(2000, 1600, 200, 0, [30, 50, 64, 110], 0.1, 110, [10, 10, 14, 14])
    planned = as_trained(sample, config)
    assert planned.token_lengths == [30, 50, 64, 64, 64, 42]
    assert (planned.rows, planned.train_rows, planned.validation_rows, planned.longest) == (3000, 2400, 300, 64)
    assert as_trained(planned, config) == planned

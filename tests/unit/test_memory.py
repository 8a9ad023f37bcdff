"""The estimate of memory, term by term: what a head computes, what is held elsewhere, what a longer answer adds."""

import pytest

from studio.machine.facts import MachineFacts
from studio.schema.config import Plan, TrainingConfig
from studio.schema.models import ModelInfo
from studio.training.planning.estimate import estimate
from studio.training.planning.memory_model import estimate_memory, offloaded_memory, process_memory
from studio.training.planning.plan_facts import PlanFacts, memory_of

GB = 2**30
LAPTOP = MachineFacts(2, 24 * GB, 20 * GB, 50 * GB, (), True)
CAUSAL = ModelInfo(
    name="a/b",
    title="Large 1B",
    source="hub",
    kind="causal",
    parameters=10**9,
    context=8192,
    layers=24,
    hidden=2048,
    intermediate=5504,
    vocabulary=32_000,
)
ENCODER = CAUSAL.model_copy(update={"kind": "encoder", "parameters": 10**8, "hidden": 768, "intermediate": 3072})
T5 = CAUSAL.model_copy(update={"kind": "seq2seq", "parameters": 10**8, "hidden": 768, "intermediate": 3072})
WORDS = {"vocabulary": 320_000}


def config(task: str, **values: object) -> TrainingConfig:
    usual = {"batch_size": 8, "max_length": 256, "precision": "float32"}
    return TrainingConfig(task=task, model="m", **{**usual, **values})  # type: ignore[arg-type]


def facts(labels: int = 0, share: float = 0.0) -> PlanFacts:
    return PlanFacts(400, 340, 40, labels, [256] * 100, share, 256)


@pytest.mark.parametrize("task", ["classification", "question-answering"])
@pytest.mark.parametrize("labels", [0, 4])
def test_who_tells_labels_scores_or_places_needs_no_logits_of_a_vocabulary(task: str, labels: int) -> None:
    asked, rows = config(task), facts(labels)
    assert memory_of(asked, ENCODER, rows) == memory_of(asked, ENCODER.model_copy(update=WORDS), rows)


def test_a_score_by_a_model_that_writes_needs_none_either() -> None:
    more = CAUSAL.model_copy(update=WORDS)
    assert memory_of(config("classification"), CAUSAL, facts()) == memory_of(config("classification"), more, facts())
    some = facts(share=0.01)
    assert memory_of(config("chat"), CAUSAL, some) < memory_of(config("chat"), more, some)


@pytest.mark.parametrize("task", ["summarization", "question-answering"])
def test_who_reads_and_writes_needs_more_for_longer_answers_and_for_more_words(task: str) -> None:
    short, long = (memory_of(config(task, answer_length=length), T5, facts()) for length in (64, 256))
    logits = 3 * 4 * 8 * (256 - 64) * T5.vocabulary
    assert long - short > logits, "logits of all that is written at once, and the writer's activations"
    wide = T5.model_copy(update=WORDS)
    assert memory_of(config(task), wide, facts()) - memory_of(config(task), T5, facts()) > 3 * GB


def test_the_longest_answer_counts_for_nothing_where_a_model_goes_on_with_a_text() -> None:
    short, long = (memory_of(config("summarization", answer_length=length), CAUSAL, facts()) for length in (64, 256))
    assert short == long


@pytest.mark.parametrize(("task", "info"), [("summarization", T5), ("classification", ENCODER), ("chat", CAUSAL)])
def test_activations_computed_twice_are_not_kept(task: str, info: ModelInfo) -> None:
    kept, twice = (memory_of(config(task, gradient_checkpointing=on), info, facts()) for on in (False, True))
    assert twice < kept


def test_time_is_reckoned_for_test_prompts_only_where_a_text_is_written() -> None:
    def seconds(task: str, info: ModelInfo, *prompts: str) -> float:
        plan = Plan(config=config(task, test_prompts=prompts), because=())
        return estimate(plan, info, facts(), LAPTOP).seconds

    assert seconds("classification", ENCODER, "one", "two") == seconds("classification", ENCODER), "of a score"
    assert seconds("question-answering", ENCODER, "one", "two") == seconds("question-answering", ENCODER)
    assert seconds("summarization", T5, "one", "two") > seconds("summarization", T5)


def shared(zero: int, offload: str = "none", **values: object) -> TrainingConfig:
    usual = {"method": "full", "batch_size": 1, "processes": 2, "zero": zero, "offload": offload}
    return config("chat", **{**usual, **values})


def test_on_gpus_what_is_offloaded_takes_none_of_their_memory() -> None:
    weights, state = 4 * CAUSAL.parameters, 12 * CAUSAL.parameters
    whole, away = (process_memory(CAUSAL, shared(1, offload), gpu=True) for offload in ("none", "cpu"))
    assert whole - away > state / 2 - GB, "averages and exact copies, of which each of the two holds half"
    parts, away = (process_memory(CAUSAL, shared(3, offload), gpu=True) for offload in ("none", "cpu"))
    assert away < parts - state / 4
    assert process_memory(CAUSAL, shared(3, "nvme"), gpu=True) == away
    assert away > weights, "brought together for a moment at the end"


def test_on_a_processor_the_machine_s_memory_is_where_it_is_anyway() -> None:
    assert estimate_memory(CAUSAL, shared(3, "cpu")) == estimate_memory(CAUSAL, shared(3))


def test_what_is_offloaded_lies_in_the_machine_s_memory_once_whatever_the_number_of_processes() -> None:
    assert offloaded_memory(CAUSAL, shared(3)) == offloaded_memory(CAUSAL, shared(3, "nvme")) == 0
    assert offloaded_memory(CAUSAL, shared(1, "cpu")) == 12 * CAUSAL.parameters
    two, four = (offloaded_memory(CAUSAL, shared(3, "cpu", processes=each)) for each in (2, 4))
    assert two == four == (12 + 4 + 4) * CAUSAL.parameters


def test_without_zero_nothing_is_offloaded() -> None:
    assert process_memory(CAUSAL, shared(0, "cpu"), gpu=True) == process_memory(CAUSAL, shared(0), gpu=True)

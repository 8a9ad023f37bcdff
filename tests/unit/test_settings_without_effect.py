"""What is said to make no difference makes none, and where nothing is said the rows as tokens do differ."""

from functools import cache
from typing import Any

import pytest
from transformers import AutoTokenizer

from studio.inference.base_and_tuned import encoding_of
from studio.machine.facts import Gpu, MachineFacts
from studio.models.starters.install import fetch_starter
from studio.schema.config import TrainingConfig, settings_of
from studio.schema.dataset import DatasetSpec
from studio.schema.fields import about
from studio.schema.models import ModelInfo
from studio.tasks import TASKS, task_named
from studio.training.planning.plan_builder import PlanRequest
from studio.training.planning.plan_facts import PlanFacts
from studio.training.planning.setting_checks import WITHOUT_DROPOUT, settings_without_effect

GB = 2**30
LAPTOP = MachineFacts(2, 24 * GB, 20 * GB, 50 * GB, (), True)
GPU = MachineFacts(16, 64 * GB, 60 * GB, 50 * GB, (Gpu("A100", 80 * GB, 78 * GB),), True)
LONG = "The shop by the old bridge opens at nine, every day but Sunday, and nobody knows why that is so. " * 4
TALK = [
    {"role": "user", "content": "When?"},
    {"role": "assistant", "content": "<think>Nine.</think>At nine."},
    {"role": "user", "content": "And on Sunday?"},
    {"role": "assistant", "content": "Not at all."},
]
ROWS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "chat": ({"m": TALK}, {"m": "messages"}),
    "classification": ({"t": LONG, "l": "open"}, {"t": "text", "l": "label"}),
    "summarization": ({"t": LONG, "s": LONG}, {"t": "text", "s": "summary"}),
    "question-answering": (
        {"q": "When does it open?", "c": LONG, "a": LONG[:140].strip()},
        {"q": "question", "c": "context", "a": "answer"},
    ),
    "completion": ({"t": LONG}, {"t": "text"}),
    "preference": ({"p": "When?", "c": "At nine.", "r": "Never."}, {"p": "prompt", "c": "chosen", "r": "rejected"}),
    "feedback": ({"p": "When?", "r": "At nine.", "t": True}, {"p": "prompt", "r": "reply", "t": "thumb"}),
}
OTHER: dict[str, Any] = {
    "system_prompt": "You mind a shop.",
    "instruction": "In few words:",
    "answer_length": 9,
    "stride": 8,
    "learn_replies": "last",
    "thinking": "drop",
    "packing": False,
    "label_smoothing": 0.2,
    "balance_labels": True,
    "beta": 0.7,
    "preference_loss": "ipo",
    "head_first": 0.3,
}
"""Another value than the usual one of each setting that is for some tasks alone."""
ENCODED = ("system_prompt", "instruction", "answer_length", "stride", "learn_replies", "thinking")
"""Settings by which rows become other tokens."""
KINDS = [
    (task.name, kind)
    for task in TASKS.values()
    for kind in ("causal", "encoder", "seq2seq")
    if not task.unavailable_reason(ModelInfo(name="m", title="M", source="hub", kind=kind))  # type: ignore[arg-type]
]


def info_of(kind: str, architecture: str = "") -> ModelInfo:
    return ModelInfo(name="m", title="M", source="hub", kind=kind, architecture=architecture)  # type: ignore[arg-type]


@cache
def tokenizer_of(name: str) -> Any:
    return AutoTokenizer.from_pretrained(fetch_starter(name))


def tokens(task: str, kind: str, **settings: Any) -> tuple[Any, ...]:
    """A row as it is learned, and as it is asked."""
    known = task_named(task)
    example = dict(zip(known.example_roles, known.example_rows[0], strict=True))
    row, roles = ROWS.get(task, (example, {role: role for role in example}))
    tokenizer = tokenizer_of("starter-classify" if kind == "encoder" else "starter-chat")
    config = TrainingConfig(task=task, model="m", max_length=96, **settings)
    data = DatasetSpec(task=task, roles=roles, label_names=("open", "closed"))
    encoding = encoding_of(info_of(kind), tokenizer, data, config)
    asked = known.prompt_ids(known.prompt_of(row, roles), encoding)
    return known.examples(row, encoding), known.encode(row, encoding), asked


def said(
    task: str, info: ModelInfo, machine: MachineFacts = LAPTOP, labels: int = 0, held: int = 40, **by_hand: Any
) -> list[str]:
    config = TrainingConfig.model_validate({"task": task, "model": "m", **by_hand})
    facts = PlanFacts(400, 340, held, labels, [90] * 9, 0.5, 180)
    request = PlanRequest(task_named(task), info, "balanced", facts, machine)
    return settings_without_effect(request, config, by_hand)


def test_every_setting_for_some_tasks_alone_is_tried_here() -> None:
    assert {name for name in settings_of() if (told := about(TrainingConfig, name)) and told.by_task} == set(OTHER)


@pytest.mark.parametrize(("task", "kind"), KINDS)
def test_a_setting_that_is_not_shown_for_a_task_leaves_its_rows_as_they_are(task: str, kind: str) -> None:
    usual = tokens(task, kind)
    for name, value in OTHER.items():
        told = about(TrainingConfig, name)
        if told and name not in TASKS[task].settings:
            assert tokens(task, kind, **{name: value}) == usual, name
            assert said(task, info_of(kind), **{name: value})[0].startswith(f"{told.label} has no effect"), name


@pytest.mark.parametrize(("task", "kind"), KINDS)
def test_a_row_becomes_other_tokens_exactly_where_nothing_is_said_against_it(task: str, kind: str) -> None:
    usual = tokens(task, kind)
    for name in ENCODED:
        if task in ("preference", "feedback") and name != "system_prompt":
            continue
        differs = tokens(task, kind, **{name: OTHER[name]}) != usual
        assert differs == (not said(task, info_of(kind), **{name: OTHER[name]})), name


@pytest.mark.parametrize(
    ("by_hand", "task", "info", "more", "words"),
    [
        (
            {"dropout": 0.1, "method": "full"},
            "chat",
            info_of("causal", "LlamaForCausalLM"),
            {},
            "Model dropout has no effect: this model has no dropout layers.",
        ),
        ({"stride": 64}, "question-answering", info_of("causal"), {}, "Window overlap has no effect"),
        ({"stride": 64}, "question-answering", info_of("seq2seq"), {}, "Window overlap has no effect"),
        ({"instruction": "Say:"}, "question-answering", info_of("encoder"), {}, "Instruction has no effect"),
        ({"system_prompt": "Say:"}, "question-answering", info_of("encoder"), {}, "System prompt has no effect"),
        ({"system_prompt": "Say:"}, "summarization", info_of("seq2seq"), {}, "System prompt has no effect"),
        (
            {"answer_length": 64},
            "question-answering",
            info_of("encoder"),
            {},
            "Maximum answer length has no effect",
        ),
        (
            {"answer_length": 64},
            "summarization",
            info_of("causal"),
            {},
            "Maximum answer length truncates nothing during training",
        ),
        (
            {"balance_labels": True},
            "classification",
            info_of("encoder"),
            {},
            "More weight on rare labels has no effect",
        ),
        ({"label_smoothing": 0.1}, "classification", info_of("encoder"), {}, "Label smoothing has no effect"),
        ({"eval_steps": 10}, "chat", info_of("causal"), {"held": 0}, "Validation interval causes no validation"),
        ({"eval_rows": 10}, "chat", info_of("causal"), {"held": 0}, "Rows per validation has no effect"),
        ({"keep_best": True}, "chat", info_of("causal"), {"held": 0}, "Keep the best checkpoint has no effect"),
        (
            {"early_stopping_patience": 2},
            "chat",
            info_of("causal"),
            {"held": 0},
            "Early stopping patience has no effect",
        ),
        (
            {"offload": "cpu", "zero": 2, "processes": 2},
            "chat",
            info_of("causal"),
            {},
            "Offloading has no effect: without a GPU",
        ),
        (
            {"packing": True, "method": "prompt-tuning"},
            "completion",
            info_of("causal"),
            {},
            "Packing has no effect",
        ),
        (
            {"head_first": 0.2, "method": "full"},
            "question-answering",
            info_of("causal"),
            {},
            "Head-only training has no effect",
        ),
    ],
)
def test_what_makes_no_difference_is_said(
    by_hand: dict[str, Any], task: str, info: ModelInfo, more: dict[str, Any], words: str
) -> None:
    found = said(task, info, **more, **by_hand)
    assert len(found) == 1 and found[0].startswith(words), found


@pytest.mark.parametrize(
    ("by_hand", "task", "info", "more"),
    [
        ({"dropout": 0.1, "method": "full"}, "chat", info_of("causal", "GPT2LMHeadModel"), {}),
        ({"dropout": 0.1, "method": "full"}, "chat", info_of("causal"), {}),
        ({"stride": 64, "answer_length": 128}, "question-answering", info_of("encoder"), {}),
        ({"instruction": "Say:", "answer_length": 64}, "question-answering", info_of("seq2seq"), {}),
        ({"balance_labels": True, "label_smoothing": 0.1}, "classification", info_of("encoder"), {"labels": 3}),
        ({"balance_labels": False, "label_smoothing": 0.0}, "classification", info_of("encoder"), {}),
        ({"eval_steps": 10, "eval_rows": 10, "keep_best": True}, "chat", info_of("causal"), {}),
        ({"eval_steps": 0, "keep_best": False}, "chat", info_of("causal"), {"held": 0}),
        ({"offload": "cpu", "zero": 2, "processes": 2}, "chat", info_of("causal"), {"machine": GPU}),
        ({"offload": "nvme", "zero": 3, "processes": 2}, "chat", info_of("causal"), {}),
        ({"packing": True}, "completion", info_of("causal"), {}),
        ({"head_first": 0.2, "method": "full"}, "classification", info_of("causal"), {"labels": 3}),
    ],
)
def test_of_what_makes_a_difference_or_is_off_nothing_is_said(
    by_hand: dict[str, Any], task: str, info: ModelInfo, more: dict[str, Any]
) -> None:
    told = [each for each in said(task, info, **more, **by_hand) if "answer" not in each or info.kind != "encoder"]
    assert not told


def layers_of_dropout(name: str) -> list[int]:
    """Layers that training/loop/loading.py would set, in each form of an architecture in which it is trained here."""
    import torch
    import transformers as hf

    short = {"Gemma3": "Gemma3Text", "MarianMTModel": "Marian"}.get(name, name)
    config = getattr(hf, f"{short}Config")()
    for layers in ("num_hidden_layers", "encoder_layers", "decoder_layers", "n_layer", "num_layers"):
        if getattr(config, layers, None):
            setattr(config, layers, 1)
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:1]
    writes = hf.AutoModelForSeq2SeqLM if config.is_encoder_decoder else hf.AutoModelForCausalLM
    forms = [writes] if config.is_encoder_decoder else [writes, hf.AutoModelForSequenceClassification]
    forms = [form for form in forms if type(config) in form._model_mapping]
    with torch.device("meta"):
        made = [form.from_config(config) for form in forms]
    return [sum(isinstance(part, torch.nn.Dropout) for part in model.modules()) for model in made]


def test_models_without_dropout_have_none_and_those_that_the_setting_names_have() -> None:
    assert {name: layers_of_dropout(name) for name in WITHOUT_DROPOUT if any(layers_of_dropout(name))} == {}
    assert all(all(layers_of_dropout(name)) for name in ("GPT2", "T5", "Bert"))

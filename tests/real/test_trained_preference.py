"""Pairs (DPO) and thumbs (KTO): what is learned of a row, the base as the only reference, and what comes of a run."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from made_runs import small_tokenizer
from task_runs import TaskRun, asked_plainly, tiny_model, train_rows
from transformers import AutoModelForCausalLM

from studio.evaluation.evaluate import evaluate
from studio.inference.generate import reply
from studio.inference.rows import read_rows
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec
from studio.schema.report import ChatSettings
from studio.schema.runs import StopWish
from studio.tasks import Encoding, task_named
from studio.training.batching.packed_attention import NAME
from studio.training.loop.run import TrainingJob, train
from studio.training.losses.log_probs import install_log_probs
from studio.training.trainers.preference import PreferenceCollator

GOODS = ("lamp", "kettle", "chair", "rug", "clock", "vase", "desk", "mirror", "bench")
ASKS = ("Where is my {}?", "Can I return the {}?", "Is the {} in stock?", "How long does the {} last?")
PAIRS = [
    {
        "prompt": ask.format(thing),
        "chosen": f"Thank you for asking about the {thing}. We help at once.",
        "rejected": f"No idea about any {thing}, go away now.",
    }
    for thing in GOODS
    for ask in ASKS
]
THUMBS = [
    {"prompt": row["prompt"], "response": row["chosen" if number % 2 else "rejected"], "thumbs_up": bool(number % 2)}
    for number, row in enumerate(PAIRS)
]
ROLES = {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}
PAIR, THUMB = task_named("preference"), task_named("feedback")


def encoding(roles: dict[str, str]) -> Encoding:
    return Encoding(tokenizer=small_tokenizer(), roles=roles, max_length=128)


def test_of_a_pair_both_replies_are_learned_after_the_same_prompt() -> None:
    told = encoding(ROLES)
    better = PAIR.encode(PAIRS[0], told)
    worse = better.other
    assert worse is not None
    asked = told.tokenizer.apply_chat_template(
        [{"role": "user", "content": PAIRS[0]["prompt"]}], add_generation_prompt=True, return_dict=True
    )["input_ids"]
    for example, name in ((better, "chosen"), (worse, "rejected")):
        assert example.input_ids[: len(asked)] == asked and not any(example.learned[: len(asked)])
        said = [token for token, marked in zip(example.input_ids, example.learned, strict=True) if marked]
        assert told.tokenizer.decode(said).strip() == f"{PAIRS[0][name]}<|im_end|>"


def test_only_the_last_reply_of_a_conversation_is_judged() -> None:
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello there"},
        {"role": "user", "content": "Bye"},
    ]
    row = {
        "chosen": [*turns, {"role": "assistant", "content": "Take care"}],
        "rejected": [*turns, {"role": "assistant", "content": "So what"}],
    }
    told = encoding({"chosen": "chosen", "rejected": "rejected"})
    example = PAIR.encode(row, told)
    said = [token for token, marked in zip(example.input_ids, example.learned, strict=True) if marked]
    assert told.tokenizer.decode(said).strip() == "Take care<|im_end|>"
    assert PAIR.text_of(row, told.roles) == "Hi\n\nBye" and PAIR.expected(row, told.roles) == "Take care"


@pytest.mark.parametrize("end_to_end", [True, False])
@pytest.mark.parametrize("learns", ["adapter", "head"])
def test_the_quick_way_gives_the_models_own_log_probabilities_and_gradients(
    tmp_path: Path, end_to_end: bool, learns: str
) -> None:
    info, told = tiny_model("llama", tmp_path), encoding(ROLES)
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(PAIRS[:3]):
        example = PAIR.encode(row, told)
        assert example.other is not None
        rows.append(
            {
                "input_ids": example.input_ids,
                "labels": example.labels,
                "other_ids": example.other.input_ids,
                "other_labels": example.other.labels,
                "number": number,
            }
        )
    batch = PreferenceCollator(0)(rows)
    labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
    weights = torch.randn(len(labels), generator=torch.Generator().manual_seed(1))
    found = []
    for quick in (False, True):
        model = AutoModelForCausalLM.from_pretrained(str(info.path)).eval()
        model.get_input_embeddings().weight.requires_grad_(learns == "head")  # tied to the head
        if quick:
            if end_to_end:
                model.set_attn_implementation(NAME)
            install_log_probs(model, end_to_end)
            given = {name: batch[name] for name in ("input_ids", "attention_mask")}
            by_token = model(**given, labels=labels, fused_lm_head=True).log_probs
        else:
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
            wanted = labels[:, 1:]
            by_token = logits.log_softmax(-1).gather(-1, wanted.clamp(min=0)[..., None]).squeeze(-1)
            by_token = by_token * (wanted != -100)
        sums = by_token.sum(1)
        (sums * weights).sum().backward()
        found.append((sums.detach(), {n: w.grad for n, w in model.named_parameters() if w.grad is not None}))
    torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-4, atol=1e-4)
    assert found[0][1].keys() == found[1][1].keys()
    for name, grad in found[0][1].items():
        torch.testing.assert_close(found[1][1][name], grad, rtol=1e-3, atol=1e-4)


ASK = """
told = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
out = model.generate(**told, max_new_tokens=12, do_sample=False, eos_token_id=told_ends, pad_token_id=2)
answer = out[0, told["input_ids"].shape[1]:].tolist()
""".replace("told_ends", "tokenizer.eos_token_id")


def answers_alike(run: TaskRun) -> None:
    """The saved result replies in a plain process as in the studio, and otherwise than the base."""
    asked = [{"role": "user", "content": "Where is my vase?"}]
    tuned, base = (asked_plainly(run, "AutoModelForCausalLM", asked, ASK, base=base) for base in (False, True))
    assert tuned != base
    pair = run.pair()
    said = reply(
        pair.tuned, pair.tokenizer, pair.task.prompt_ids(asked, pair.encoding()), ChatSettings(max_new_tokens=12)
    )
    assert said.text == pair.tokenizer.decode(tuned, skip_special_tokens=True)


def told_of_every_row(run: TaskRun, *names: str) -> None:
    """What the best check told is what all validation rows say, the few of its last batch as much as any other."""
    best = next(check for check in reversed(run.checks) if check.best)
    assert run.ref.learned_from is not None
    held = json.loads((Path(run.ref.folder) / "splits.json").read_text())["validation"]
    at_once = 2 * run.ref.spec.config.batch_size
    assert len(held) > at_once and len(held) % at_once, "else every batch has as many rows"
    rows = read_rows(run.ref.learned_from.model_copy(update={"numbers": tuple(held)}))
    report = evaluate(run.pair(), rows, "validation", lambda *_: None)
    for name in names:
        assert best.metrics[name] == pytest.approx(report.metrics[name].tuned, rel=2e-5), name


def test_a_run_on_pairs_learns_to_tell_them_apart(tmp_path: Path) -> None:
    run = train_rows(tmp_path, PAIRS, tiny_model("llama", tmp_path / "base"), "preference", epochs=2, batch_size=2)
    assert run.losses[0] == pytest.approx(0.6931, abs=1e-3)  # nothing is preferred yet
    assert run.learned() and run.result.name == "adapter"
    assert run.checks[-1].metrics["reward_accuracy"] > 0.9 and run.checks[-1].metrics["reward_margin"] > 0.1
    assert {path.name for path in run.result.iterdir()} & {"ref"} == set()  # no second copy of the adapter
    answers_alike(run)
    told_of_every_row(run, "reward_accuracy", "reward_margin")
    assert run.ref.learned_from is not None
    report = evaluate(run.pair(), read_rows(run.ref.learned_from)[:10], "file", lambda *_: None)
    assert report.also_in_training == report.rows, "all of them were learned"
    assert report.metrics["reward_margin"].tuned > 0.1 and report.metrics["reward_margin"].base is None
    assert report.metrics["preferred"].base is not None
    assert report.verdict and report.best_rows and report.worst_rows


def test_a_run_on_pairs_that_trains_every_weight_asks_the_base_before_the_first_step(tmp_path: Path) -> None:
    info = tiny_model("qwen", tmp_path / "base")
    run = train_rows(tmp_path, PAIRS[:16], info, "preference", epochs=2, method="full", learning_rate=1e-3)
    assert run.losses[0] == pytest.approx(0.6931, abs=1e-3) and run.learned()
    assert run.result.name == "model"


@pytest.mark.parametrize("wish", ["discard", "keep", "pause"])
def test_a_stop_is_obeyed_while_the_base_model_is_asked_about_all_rows(tmp_path: Path, wish: StopWish) -> None:
    said: list[Any] = []

    def asked() -> StopWish | None:
        return wish if any("Evaluating the base model" in getattr(event, "message", "") for event in said) else None

    info = tiny_model("qwen", tmp_path / "base")
    job = TrainingJob(
        config=TrainingConfig(task="preference", model=info.name, method="full", precision="float32", batch_size=2),
        info=info,
        data=DatasetSpec(task="preference", roles=ROLES),
        train_rows=PAIRS[:16],
        validation_rows=[],
        folder=tmp_path / "run",
        threads=1,
    )
    outcome = train(job, said.append, asked)
    assert (outcome.stopped, outcome.path, outcome.steps) == (wish, None, 0)
    assert sum("Evaluating the base model" in getattr(event, "message", "") for event in said) == 1


def test_a_run_on_thumbs_learns_to_tell_liked_from_disliked(tmp_path: Path) -> None:
    run = train_rows(tmp_path, THUMBS, tiny_model("llama", tmp_path / "base"), "feedback", epochs=3, batch_size=2)
    assert run.losses[0] == pytest.approx(0.5, abs=0.05)  # half, weighed by how many are liked
    assert run.learned() and run.checks[-1].metrics["reward_gap"] > 0.1
    answers_alike(run)
    told_of_every_row(run, "reward_gap")
    assert run.ref.learned_from is not None
    report = evaluate(run.pair(), read_rows(run.ref.learned_from)[:12], "file", lambda *_: None)
    assert report.metrics["reward_gap"].tuned > 0.1
    assert 0 <= report.metrics["thumbs_told_apart"].tuned <= 1 and report.verdict

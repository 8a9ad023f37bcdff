"""What a model's makers wished stands back: written at once and token by token, a reply is one and the same."""

from pathlib import Path
from typing import Any

import pytest
import torch
from made_runs import chat_run, tiny_llama
from task_runs import tiny_model

from studio.evaluation.evaluate import evaluate
from studio.evaluation.evaluators import evaluate_replies
from studio.inference.base_and_tuned import load_pair
from studio.inference.batches import padded
from studio.inference.generate import Reply, replies, suppressed_tokens
from studio.inference.heads import Head
from studio.inference.load import load_base, load_tokenizer
from studio.schema.report import ChatSettings
from studio.tasks import task_named

SHORT = ChatSettings(max_new_tokens=24)


def writer(folder: Path) -> tuple[Any, Any]:
    info = tiny_model("bart", folder)
    return load_base(info, "float32", Head("seq2seq")), load_tokenizer(info)


def alone(model: Any, tokenizer: Any, ids: list[int]) -> str:
    said = Reply(model, tokenizer, ids, SHORT)
    while said.step():
        pass
    return said.text


def test_a_model_made_for_long_summaries_may_write_a_short_one(tmp_path: Path) -> None:
    model, tokenizer = writer(tmp_path)
    ids = tokenizer("The boats came in one by one.")["input_ids"]
    with torch.no_grad():
        model.final_logits_bias[0, tokenizer.eos_token_id] = 100.0  # nothing is what it would say
    wishes = {"min_length": 12, "no_repeat_ngram_size": 3, "num_beams": 4, "repetition_penalty": 1.3}
    for name, value in wishes.items():
        setattr(model.generation_config, name, value)
    assert replies(model, tokenizer, [ids], SHORT) == [alone(model, tokenizer, ids)] == [""]


def test_what_its_makers_forbid_is_said_nowhere(tmp_path: Path) -> None:
    model, tokenizer = writer(tmp_path)
    ids = tokenizer("The boats came in one by one.")["input_ids"]
    (word,) = tokenizer(" water", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        model.final_logits_bias[0, word] = 100.0
    assert "water" in alone(model, tokenizer, ids)
    model.generation_config.bad_words_ids = [[word]]
    assert suppressed_tokens(model) == [word] and "water" not in alone(model, tokenizer, ids)


@pytest.mark.parametrize("wrong", [None, 5])
def test_a_text_among_longer_ones_is_sorted_as_alone_whatever_its_model_says_of_padding(
    tmp_path: Path, wrong: int | None
) -> None:
    from transformers import AutoConfig

    info = tiny_llama(tmp_path / "base")
    config = AutoConfig.from_pretrained(str(info.path))
    config.pad_token_id = wrong
    config.save_pretrained(str(info.path))
    model, tokenizer = load_base(info, "float32", Head("labels", ("a", "b"))), load_tokenizer(info)
    rows = [tokenizer(text)["input_ids"] for text in ("Short.", "A text that is a good deal longer than that.")]
    with torch.no_grad():
        together = model(**padded(rows, tokenizer.pad_token_id, "cpu")).logits[0]
        apart = model(**padded(rows[:1], tokenizer.pad_token_id, "cpu")).logits[0]
    assert together.tolist() == pytest.approx(apart.tolist(), abs=1e-5)


def test_all_pieces_of_a_long_text_are_judged(tmp_path: Path) -> None:
    run = chat_run(tiny_llama(tmp_path / "base"), tmp_path / "run", precision="float32")
    roles = {"text": "text"}
    config = run.spec.config.model_copy(update={"task": "completion", "max_length": 16})
    data = run.spec.data.model_copy(update={"task": "completion", "roles": roles})
    spec = run.spec.model_copy(update={"config": config, "data": data})
    pair = load_pair(run.model_copy(update={"spec": spec}))
    rows = [(n, {"text": f"Boat {n} left the harbour at four and came back with cod. " * n}) for n in range(1, 9)]
    encoding = pair.encoding(learned=True)
    pieces = [each for _, row in rows for each in task_named("completion").examples(row, encoding)]
    assert len(pieces) > 2 * len(rows)
    judged = evaluate_replies(pair, rows, roles, lambda *_: None)
    tokens = sum(len(piece.input_ids) - 1 for piece in pieces)
    assert judged.tuned["tokens"].sum() == tokens and len(judged.tuned["loss"]) == len(rows)
    with torch.no_grad():
        read = [torch.tensor([each.input_ids]) for each in pieces if each.has_targets]
        losses = [float(pair.tuned(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1) for ids in read]
    loss = evaluate(pair, rows, "test", lambda *_: None).metrics["loss"].tuned
    assert loss == pytest.approx(sum(losses) / tokens, rel=1e-4)

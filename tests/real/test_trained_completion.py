"""Going on with plain text: what is learned, how short texts share a row, and that the result loads anywhere."""

from pathlib import Path

import pytest
import torch
from made_runs import small_tokenizer
from task_runs import asked_plainly, tiny_model, train_rows
from transformers import AutoModelForCausalLM

from studio.evaluation.evaluate import evaluate
from studio.inference.generate import reply
from studio.inference.rows import read_rows
from studio.schema.report import ChatSettings
from studio.tasks import Encoding, Example, task_named
from studio.training.batching.collators import Collator, flatten_batch
from studio.training.batching.packed_attention import NAME
from studio.training.batching.packing import join_documents, pack_documents
from studio.training.losses.causal_lm import install_chunked_loss

TEXTS = [
    {"text": f"The {boat} left the harbour at {hour} and came back with {catch}. Nobody had seen it go."}
    for boat in ("Marie", "Petrel", "Old Anna", "Swift")
    for hour in ("four", "five", "six")
    for catch in ("herring", "cod", "nothing at all")
]
TASK = task_named("completion")


def encoding(max_length: int = 64) -> Encoding:
    return Encoding(tokenizer=small_tokenizer(), roles={"text": "text"}, max_length=max_length)


def test_every_token_of_a_document_is_learned_and_its_end_is_marked() -> None:
    told = encoding()
    example = TASK.encode(TEXTS[0], told)
    assert example.input_ids == [*told.tokenizer(TEXTS[0]["text"])["input_ids"], told.tokenizer.eos_token_id]
    assert example.labels == example.input_ids and all(example.learned) and not example.truncated


def test_a_long_document_is_learned_in_pieces_and_none_of_it_is_lost() -> None:
    told = encoding(8)
    pieces = TASK.examples(TEXTS[0], told)
    whole = TASK.examples(TEXTS[0], encoding(1000))[0]
    assert len(pieces) > 2 and all(len(piece.input_ids) <= 8 for piece in pieces)
    assert [token for piece in pieces for token in piece.input_ids] == whole.input_ids
    assert not pieces[0].truncated and pieces[0].full_length == len(whole.input_ids)


def test_documents_share_rows_and_keep_their_bounds() -> None:
    examples = [
        Example([number] * length, [number] * length, length, [True] * length)
        for number, length in enumerate((5, 3, 9, 2, 4, 1), 1)
    ]
    rows = pack_documents(examples, 10)
    assert sorted(len(each.input_ids) for row in rows for each in row) == [1, 2, 3, 4, 5, 9]
    assert all(sum(len(each.input_ids) for each in row) <= 10 for row in rows) and len(rows) == 3
    row = join_documents(examples[:2])
    assert row.parts == (5, 3) and row.input_ids == [1] * 5 + [2] * 3
    assert row.labels == [-100, 1, 1, 1, 1, -100, 2, 2]


@pytest.mark.parametrize("shape", ["llama", "gpt2"])
def test_a_document_in_a_shared_row_is_computed_as_if_it_were_alone(tmp_path: Path, shape: str) -> None:
    told, info = encoding(), tiny_model(shape, tmp_path)
    documents = [TASK.encode(row, told) for row in TEXTS[:3]]
    model = AutoModelForCausalLM.from_pretrained(str(info.path)).eval().requires_grad_(False)
    alone = 0.0
    for each in documents:
        ids = torch.tensor([each.input_ids])
        logits = model(input_ids=ids).logits[0, :-1]
        alone += float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))
    whole = join_documents(documents)
    batch = Collator(0)([{"input_ids": whole.input_ids, "labels": whole.labels, "parts": list(whole.parts)}])
    laid = flatten_batch(batch)
    logits = model(input_ids=laid["input_ids"], position_ids=laid["position_ids"], use_cache=False).logits[0, :-1]
    shared = float(torch.nn.functional.cross_entropy(logits, laid["labels"][0, 1:], reduction="sum"))
    assert shared == pytest.approx(alone, rel=1e-4)
    model.set_attn_implementation(NAME)
    install_chunked_loss(model, True)
    assert float(model(**batch, learned_loss=True)["loss"]) == pytest.approx(alone, rel=1e-4)


ASK = """
ids = tokenizer(asked, return_tensors="pt").input_ids
answer = model.generate(input_ids=ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1]:].tolist()
"""


def test_a_run_on_plain_text_learns_and_its_result_goes_on_alike_without_the_studio(tmp_path: Path) -> None:
    run = train_rows(tmp_path, TEXTS, tiny_model("gpt2", tmp_path / "base"), "completion", epochs=12)
    assert run.learned() and run.spec.roles == {"text": "text"}
    assert all(check.metrics["perplexity"] > 1 for check in run.checks)
    assert run.checks[-1].metrics["perplexity"] < run.checks[0].metrics["perplexity"]
    asked = "The Marie left the"
    tuned, base = (asked_plainly(run, "AutoModelForCausalLM", asked, ASK, base=base) for base in (False, True))
    assert tuned != base
    pair = run.pair()
    ids = pair.task.prompt_ids(asked, pair.encoding())
    said = reply(pair.tuned, pair.tokenizer, ids, ChatSettings(max_new_tokens=12))
    assert said.text == pair.tokenizer.decode(tuned, skip_special_tokens=True)
    assert run.ref.learned_from is not None
    report = evaluate(pair, read_rows(run.ref.learned_from)[:8], "file", lambda *_: None)
    assert report.also_in_training == report.rows, "all of them were learned"
    assert report.metrics["perplexity"].base is not None
    assert report.metrics["perplexity"].tuned < report.metrics["perplexity"].base
    assert report.best_rows[0].expected and report.best_rows[0].tuned != report.best_rows[0].base

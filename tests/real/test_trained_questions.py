"""Questions about passages: pieces of long ones, the search for the likeliest words, and runs that point or write."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from task_runs import asked_plainly, goes_on_alike, tiny_model, train_rows
from transformers import AutoTokenizer

from studio.evaluation.evaluate import evaluate
from studio.inference.classify import classify
from studio.inference.generate import BatchOptions
from studio.inference.predict import predict
from studio.inference.rows import read_rows
from studio.inference.spans import extract_answers, rank_spans
from studio.models.starters.install import fetch_starter
from studio.schema.report import ChatSettings
from studio.tasks import Encoding, task_named
from studio.tasks.question_answering import windows

TASK = task_named("question-answering")
ROLES = {"question": "question", "context": "context", "answers": "answer"}
SHOPS = ("bakery", "library", "museum", "pool", "market", "office")
HOURS = ("seven", "eight", "nine", "ten")


def row(shop: str, hour: str, holds: bool = True) -> dict[str, Any]:
    context = f"In our town the {shop} is near the old bridge. It opens at {hour} every day. Dogs stay outside."
    question = f"When does the {shop} open?" if holds else f"Who owns the {shop}?"
    found = {"text": [hour], "answer_start": [context.index(hour)]} if holds else {"text": [], "answer_start": []}
    return {"question": question, "context": context, "answers": found}


ROWS = [row(shop, hour, holds=number % 4 != 3) for shop in SHOPS for number, hour in enumerate(HOURS * 2)]


def encoding(max_length: int = 64, stride: int = 16) -> Encoding:
    tokenizer = AutoTokenizer.from_pretrained(fetch_starter("starter-classify"))
    return Encoding(tokenizer=tokenizer, roles=ROLES, max_length=max_length, stride=stride, kind="encoder")


def test_the_tokens_of_the_answer_are_what_is_learned() -> None:
    told = encoding()
    example = TASK.encode(ROWS[0], told)
    begin, end = example.labels
    assert told.tokenizer.decode(example.input_ids[begin : end + 1]) == "seven"
    assert [place for place, marked in enumerate(example.learned) if marked] == list(range(begin, end + 1))
    assert example.label == "seven"
    nothing = TASK.encode(row("bakery", "seven", holds=False), told)
    assert nothing.labels == (0, 0) and nothing.label == "no answer" and not any(nothing.learned)


def test_a_long_passage_is_read_in_pieces_that_overlap_and_the_answer_is_whole_in_one() -> None:
    told = encoding(40, 12)
    context = "It rained all day and nothing happened at all. " * 12 + "The bakery opens at half past seven."
    long = {
        **ROWS[0],
        "context": context,
        "answers": {"text": ["half past seven"], "answer_start": [context.index("half")]},
    }
    pieces = TASK.examples(long, told)
    assert len(pieces) > 3 and all(len(piece.input_ids) <= 40 for piece in pieces)
    holding = [piece for piece in pieces if any(piece.learned)]
    assert holding and all(piece.labels == (0, 0) for piece in pieces if not any(piece.learned))
    for piece in holding:
        begin, end = piece.labels
        assert told.tokenizer.decode(piece.input_ids[begin : end + 1]) == "half past seven"
    covered = {place for piece in pieces for place in piece.offsets if place}
    assert max(end for _, end in covered) == len(context)


def test_an_answer_that_does_not_stand_in_the_passage_teaches_a_pointing_model_nothing() -> None:
    assert TASK.examples({**ROWS[0], "answers": "noon"}, encoding()) == []


def test_the_likeliest_words_win_and_nothing_wins_where_the_first_token_is_likelier() -> None:
    told = encoding()
    context = "It opens at nine every day."
    piece = windows("When?", context, told)[0]
    nine = next(n for n, place in enumerate(piece.offsets) if place and context[slice(*place)] == "nine")
    start = end = np.zeros(len(piece.input_ids))
    start, end = start.copy(), end.copy()
    start[nine] = end[nine] = 5.0
    assert rank_spans([piece], [start], [end], context)[0].text == "nine"
    start[0] = end[0] = 9.0
    found = rank_spans([piece], [start], [end], context)
    assert found[0].text == "" and found[1].text == "nine" and found[0].share > found[1].share
    assert sum(span.share for span in found) == pytest.approx(1)


ASK = """
inputs = tokenizer(*asked, return_tensors="pt")
if hasattr(model, "peft_config"):
    model = model.merge_and_unload()  # peft's own forward for such models drops token_type_ids
out = model(**inputs)
answer = [out.start_logits[0].softmax(-1).tolist(), out.end_logits[0].softmax(-1).tolist()]
"""


@pytest.mark.parametrize(("shape", "method"), [("bert", "full"), ("roberta", "lora")])
def test_a_run_on_questions_learns_to_point_and_its_result_points_alike_without_the_studio(
    tmp_path: Path, shape: str, method: str
) -> None:
    info = tiny_model(shape, tmp_path / "base")
    run = train_rows(
        tmp_path,
        ROWS,
        info,
        "question-answering",
        method=method,
        epochs=20,
        learning_rate=5e-3,
        batch_size=8,
        max_length=64,
    )
    assert run.learned() and {"exact_match", "f1"} <= set(run.checks[-1].metrics)
    if shape == "bert":
        assert run.checks[-1].metrics["f1"] > 0.5
    pair = run.pair()
    asked = (ROWS[0]["question"], ROWS[0]["context"])
    begin, end = asked_plainly(run, "AutoModelForQuestionAnswering", list(asked), ASK)
    piece = windows(*asked, pair.encoding())[0]
    plain = rank_spans([piece], [np.log(begin)], [np.log(end)], asked[1])[0]
    ours = extract_answers(pair, [asked], "tuned")[0][0]
    assert ours.text == plain.text and ours.share == pytest.approx(plain.share, abs=1e-3)
    base, tuned = classify(pair, "\n\n".join(asked))
    assert tuned.labels[0].label == (ours.text or "no answer") and "most similar" in base.how
    assert base.labels[0].label != tuned.labels[0].label  # the base guesses a whole sentence
    said = predict(pair, ROWS[:3], run.spec.roles, False, BatchOptions(ChatSettings(), lambda *_: None))
    assert said[0][0] == ours.text and said[0][1] == pytest.approx(ours.share, abs=1e-4)
    assert run.ref.learned_from is not None
    report = evaluate(pair, read_rows(run.ref.learned_from)[:16], "file", lambda *_: None)
    assert report.also_in_training == report.rows, "all of them were learned"
    assert report.metrics["f1"].base is None and report.baselines[0].name == "sentence"
    assert report.metrics["exact_match"].tuned <= report.metrics["f1"].tuned


def test_a_model_that_writes_learns_to_say_the_answer(tmp_path: Path) -> None:
    rows = [
        {"question": each["question"], "passage": each["context"], "answer": (each["answers"]["text"] or [""])[0]}
        for each in ROWS
        if each["answers"]["text"]
    ]
    run = train_rows(tmp_path, rows, tiny_model("qwen", tmp_path / "base"), "question-answering", epochs=3)
    assert run.learned() and goes_on_alike(run, f"{rows[0]['question']}\n\n{rows[0]['passage']}")
    report = evaluate(run.pair(), read_rows(run.ref.learned_from)[:6], "file", lambda *_: None)  # type: ignore[arg-type]
    assert {"exact_match", "f1"} == set(report.metrics)

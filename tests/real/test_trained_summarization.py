"""Text to text: what a reading and writing model (T5, BART) and one that goes on (Llama) get of a row, and learn."""

from dataclasses import replace
from pathlib import Path

import pytest
from task_runs import TaskRun, asked_plainly, goes_on_alike, tiny_model, train_rows
from transformers import AutoTokenizer

from studio.evaluation.evaluate import evaluate
from studio.inference.generate import Reply, replies
from studio.inference.rows import read_rows
from studio.models.starters.install import fetch_starter
from studio.schema.report import ChatSettings
from studio.tasks import Encoding, task_named

TASK = task_named("summarization")
NOTES = [
    {
        "dialogue": f"Spoke with {who} about the {thing}. It is {state}, and {who} will call again on {day}.",
        "summary": f"{thing} {state}, {who} calls {day}.",
    }
    for who in ("Ada", "Ben", "Cleo")
    for thing in ("lamp", "chair", "kettle")
    for state, day in (("late", "Monday"), ("broken", "Friday"), ("lost", "Sunday"), ("fine", "Tuesday"))
]
ROLES = {"dialogue": "text", "summary": "summary"}


def encoding(kind: str, **more: object) -> Encoding:
    tokenizer = AutoTokenizer.from_pretrained(fetch_starter("starter-chat"))
    return Encoding(tokenizer=tokenizer, roles=ROLES, max_length=64, kind=kind, **more)  # type: ignore[arg-type]


def test_a_reader_gets_the_text_and_a_writer_the_summary_with_its_end() -> None:
    told = encoding("seq2seq", architecture="T5ForConditionalGeneration", answer_length=20)
    example = TASK.encode(NOTES[0], told)
    assert told.tokenizer.decode(example.input_ids) == f"summarize: {NOTES[0]['dialogue']}"
    assert (
        example.labels
        == example.target
        == [
            *told.tokenizer(NOTES[0]["summary"])["input_ids"],
            told.tokenizer.eos_token_id,
        ]
    )
    assert not any(example.learned) and example.has_targets
    bart = encoding("seq2seq", architecture="BartForConditionalGeneration", instruction="In short:")
    assert bart.tokenizer.decode(TASK.encode(NOTES[0], bart).input_ids) == f"In short: {NOTES[0]['dialogue']}"
    assert len(TASK.encode({**NOTES[0], "summary": "word " * 50}, told).labels) == 20


def test_a_model_that_goes_on_gets_both_as_a_conversation_and_learns_the_summary() -> None:
    told = replace(encoding("causal"), max_length=128)
    example = TASK.encode(NOTES[0], told)
    said = [token for token, marked in zip(example.input_ids, example.learned, strict=True) if marked]
    assert told.tokenizer.decode(said).strip() == f"{NOTES[0]['summary']}<|im_end|>"
    assert "Summarize this text." in told.tokenizer.decode(example.input_ids)


def test_a_translation_is_judged_otherwise_than_a_summary() -> None:
    assert TASK.variant("seq2seq", ROLES).metrics == ("rouge1", "rouge2", "rougeL")
    assert TASK.variant("seq2seq", {"de": "text", "en": "translation"}).metrics == ("bleu", "chrf")


ASK = """
inputs = tokenizer(asked, return_tensors="pt")
out = model.generate(**inputs, max_new_tokens=24, num_beams=1, do_sample=False)
answer = out[0, 1:].tolist()
"""


@pytest.mark.parametrize(
    ("shape", "method", "column", "metrics"),
    [("t5", "lora", "summary", ("rouge1", "rouge2", "rougeL")), ("bart", "full", "translation", ("bleu", "chrf"))],
)
def test_a_model_that_reads_and_writes_learns_and_its_result_writes_alike_without_the_studio(
    tmp_path: Path, shape: str, method: str, column: str, metrics: tuple[str, ...]
) -> None:
    info = tiny_model(shape, tmp_path / "base")
    assert info.kind == "seq2seq"
    rows = [{"dialogue": note["dialogue"], column: note["summary"]} for note in NOTES]
    run = train_rows(
        tmp_path, rows, info, "summarization", method=method, epochs=20, learning_rate=1e-2, answer_length=24
    )
    assert run.learned() and run.checks[-1].eval_loss < run.checks[0].eval_loss
    assert set(run.checks[-1].metrics) == set(metrics)
    writes_alike(run)
    assert run.ref.learned_from is not None
    report = evaluate(run.pair(), read_rows(run.ref.learned_from)[:8], "file", lambda *_: None)
    assert report.also_in_training == report.rows, "all of them were learned"
    assert report.metrics[metrics[-1]].tuned > (report.metrics[metrics[-1]].base or 0)
    assert report.best_rows[0].tuned != report.best_rows[0].base and report.verdict


def writes_alike(run: TaskRun) -> None:
    pair = run.pair()
    asked = pair.task.model_input(NOTES[5]["dialogue"], pair.encoding())
    tuned, base = (asked_plainly(run, "AutoModelForSeq2SeqLM", asked, ASK, base=base) for base in (False, True))
    assert tuned != base
    ids, settings = pair.task.prompt_ids(NOTES[5]["dialogue"], pair.encoding()), ChatSettings(max_new_tokens=24)
    whole = Reply(pair.tuned, pair.tokenizer, ids, settings)
    while whole.step():
        pass
    plain = pair.tokenizer.decode(tuned, skip_special_tokens=True)
    assert whole.text == plain
    assert replies(pair.tuned, pair.tokenizer, [ids, ids[:-3]], settings)[0] == plain


def test_a_model_that_goes_on_learns_to_summarize_after_a_prompt(tmp_path: Path) -> None:
    run = train_rows(tmp_path, NOTES, tiny_model("llama", tmp_path / "base"), "summarization", epochs=4)
    assert run.learned() and goes_on_alike(run, NOTES[0]["dialogue"])
    report = evaluate(run.pair(), read_rows(run.ref.learned_from)[:6], "file", lambda *_: None)  # type: ignore[arg-type]
    assert set(report.metrics) == {"rouge1", "rouge2", "rougeL"}

"""The answers that exports are compared with, and how an export confirms them in one pass each."""

from pathlib import Path
from typing import Any

import pytest
from made_runs import chat_run, random_run, tiny_llama
from task_runs import tiny_model
from transformers import GenerationMixin

from studio.export import ExportJob, agreement_check, export_named, reload_check
from studio.export.agreement_check import GENERATED, TOKENS, reference_answers
from studio.inference.generate import Reply
from studio.inference.model_cache import ModelCache
from studio.schema.dataset import DatasetSpec
from studio.schema.host import CardFacts, RunRef
from studio.schema.report import ChatSettings

FACTS = CardFacts(run="r", name="tone", dataset="rows.csv", rows=100)
TEXTS = DatasetSpec(task="summarization", roles={"text": "text", "summary": "summary"})
pytestmark = pytest.mark.usefixtures("few_prompts")


def made_run(kind: str, folder: Path) -> RunRef:
    """A run whose model was changed at random."""
    if kind == "llama":
        return chat_run(tiny_llama(folder / "base"), folder / "run", precision="float32")
    return random_run(tiny_model(kind, folder / "base"), folder / "run", TEXTS, "lora", max_length=64)


@pytest.mark.parametrize("kind", ["llama", "t5", "bart"])
def test_the_reference_replies_are_those_that_the_chat_gives_token_by_token(kind: str, tmp_path: Path) -> None:
    run, model_cache = made_run(kind, tmp_path), ModelCache()
    reference, pair = reference_answers(model_cache, run), model_cache.pair(run)
    for ids, answer in zip(reference.prompt_ids, reference.answers, strict=True):
        chat = Reply(pair.tuned, pair.tokenizer, ids, ChatSettings(max_new_tokens=TOKENS))
        while chat.step():
            pass
        assert chat.ids == answer


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_an_export_generates_the_replies_that_one_pass_does_not_confirm(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, asked = made_run(kind, tmp_path), []

    def call(function: str, task: dict[str, Any]) -> Any:
        asked.append(task)
        return reload_check.answer({**task, "threads": 1})

    monkeypatch.setattr(agreement_check, "call_in_process", call)
    monkeypatch.setattr(GenerationMixin, "generate", counted := Counted(GenerationMixin.generate))
    job = ExportJob(run, FACTS, ModelCache(), zip=False)
    export_named("adapter").export(job, tmp_path / "out", lambda *_: None)
    task, counted.calls = asked[0], 0
    task["folder"] = str(tmp_path / "out")
    true = reload_check.answer({**task, "threads": 1})
    assert true == task["replies"] and counted.calls == GENERATED
    other = [[token + 1 for token in reply] for reply in true]
    longer, shorter = [[*reply, 5] for reply in true], [reply[:-1] for reply in true]
    for wrong in (other, longer, shorter):
        given = [*true[:GENERATED], *wrong[GENERATED:]]
        counted.calls = 0
        assert reload_check.answer({**task, "threads": 1, "replies": given}) == true
        assert counted.calls == len(true)


class Counted:
    """A function that counts its calls."""

    def __init__(self, function: Any) -> None:
        self.function, self.calls = function, 0

    def __get__(self, model: Any, kind: type | None = None) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            self.calls += 1
            return self.function(model, *arguments, **named)

        return call

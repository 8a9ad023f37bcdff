"""Exports of base models with generation settings or a chat template of their own still reply as the Chat tab does."""

import json
from pathlib import Path

import pytest
from made_runs import chat_run, label_run, tiny_llama
from small_trainings import chat_job
from small_trainings import run as train
from test_export import FACTS, TOKENS, printed_by
from test_sentencepiece import deberta

from studio.export import ExportJob, export_named
from studio.export.snippets import PROMPT
from studio.inference.generate import reply
from studio.inference.model_cache import ModelCache
from studio.models.inspect import inspect_folder
from studio.schema.host import RunRef
from studio.schema.models import ModelInfo
from studio.schema.report import ChatSettings, ExportResult

SETTINGS = {"temperature": 0.6, "top_p": 0.9, "repetition_penalty": 1.8, "length_penalty": 2.0, "eos_token_id": 1}
"""As models on the Hub have them: a temperature without sampling, a penalty, and one end token of two."""
REFUSES_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
"""The beginning of a chat template without a system role."""
pytestmark = pytest.mark.usefixtures("few_prompts")


def silent(*_: object) -> None: ...


def exported(run: RunRef, form: str, to: Path) -> tuple[ExportResult, str]:
    """An export, and the reply of the Chat tab to the prompt in its code."""
    cache = ModelCache()
    done = export_named(form).export(ExportJob(run, FACTS, cache, zip=False), to, silent)
    pair = cache.pair(run)
    prompt = pair.task.prompt_ids(PROMPT, pair.encoding())
    return done, reply(pair.tuned, pair.tokenizer, prompt, ChatSettings(max_new_tokens=TOKENS)).text


def with_settings(folder: Path) -> ModelInfo:
    info = tiny_llama(folder)
    (folder / "generation_config.json").write_text(json.dumps(SETTINGS))
    return info


@pytest.mark.parametrize("form", ["merged", "adapter"])
def test_penalties_and_end_tokens_of_the_base_model_do_not_change_the_replies_of_an_export(
    form: str, tmp_path: Path
) -> None:
    run = chat_run(with_settings(tmp_path / "base"), tmp_path / "run", precision="float32")
    done, expected = exported(run, form, tmp_path / form)
    assert printed_by(done, run).strip() == expected.strip() != ""
    settings = json.loads((tmp_path / form / "generation_config.json").read_text())
    assert settings["eos_token_id"] == [0, 1, 2], "base model, end of turn and end of text"
    assert settings["repetition_penalty"] == 1.0 and "temperature" not in settings


def test_a_base_model_with_a_temperature_but_no_sampling_can_be_fully_fine_tuned(tmp_path: Path) -> None:
    """The trainer changes its end tokens, and then transformers would refuse to save its temperature."""
    train(chat_job(tmp_path / "run", with_settings(tmp_path / "base"), rows=4, held=2, max_steps=1, method="full"))
    settings = json.loads((tmp_path / "run" / "model" / "generation_config.json").read_text())
    assert settings["repetition_penalty"] == 1.8 and "temperature" not in settings


@pytest.mark.parametrize("form", ["merged", "adapter"])
def test_a_template_without_a_system_role_gets_the_system_prompt_of_the_run(form: str, tmp_path: Path) -> None:
    base = tmp_path / "base"
    tiny_llama(base)
    template = (base / "chat_template.jinja").read_text()
    (base / "chat_template.jinja").write_text(REFUSES_SYSTEM + template)
    run = chat_run(
        inspect_folder(base, title="Tiny"), tmp_path / "run", precision="float32", system_prompt="Say it in\ntwo lines."
    )
    done, expected = exported(run, form, tmp_path / form)
    assert printed_by(done, run).strip() == expected.strip() != ""
    without = chat_run(inspect_folder(base, title="Tiny"), tmp_path / "other", precision="float32")
    exported(without, form, tmp_path / "without")
    assert (tmp_path / "without" / "chat_template.jinja").read_text() == REFUSES_SYSTEM + template


def test_a_tokenizer_that_is_a_sentencepiece_file_alone_is_exported(tmp_path: Path) -> None:
    words = deberta(tmp_path / "base") / "spm.model"
    place = str(words.parent).encode()  # where its words were learned: here on this machine, which no export may tell
    words.write_bytes(words.read_bytes().replace(place, b"x" * len(place)))
    run = label_run(inspect_folder(words.parent, title="Tiny DeBERTa"), tmp_path / "run")
    done = export_named("merged").export(ExportJob(run, FACTS, ModelCache()), tmp_path / "out", silent)
    assert "texts get the same labels as in the Chat tab" in done.tested
    assert (tmp_path / "out" / "spm.model").read_bytes() == words.read_bytes()

"""The Python code beside an export: it has the user's own input and says what to install."""

import ast
import shlex
from collections.abc import Callable

import pytest

from studio.export import export_named, snippets
from studio.export.card import model_card
from studio.schema.host import RunRef
from tests.unit.test_card import FACTS, run_of

OWN = "Is the “blue” lamp in stock?\nIt's for a gift."


def strings(code: str) -> list[str]:
    """All strings of some code, which must be valid Python."""
    return [each.value for each in ast.walk(ast.parse(code)) if isinstance(each, ast.Constant) and each.value]


def own(run: RunRef, *prompts: str) -> RunRef:
    config = run.spec.config.model_copy(update={"test_prompts": prompts})
    return run.model_copy(update={"spec": run.spec.model_copy(update={"config": config})})


@pytest.mark.parametrize("task", ["chat", "classification", "completion"])
@pytest.mark.parametrize("make", [snippets.merged, snippets.adapter])
def test_the_code_has_the_first_test_prompt_of_the_run(task: str, make: object) -> None:
    run = own(run_of(task), " ", OWN, "another one")
    assert callable(make)
    assert OWN in strings(make(run, "folder"))


def test_the_code_says_what_to_install() -> None:
    assert snippets.merged(run_of(), "folder").startswith("# First install: pip install torch transformers\n")
    assert snippets.adapter(run_of(), "folder").startswith("# First install: pip install torch transformers peft\n")


def test_without_test_prompts_the_code_has_a_general_input() -> None:
    assert snippets.PROMPT in strings(snippets.merged(run_of(), "folder"))


def test_the_model_card_has_no_test_prompt_because_it_may_be_published() -> None:
    card = model_card(export_named("merged"), own(run_of(), OWN), FACTS)
    assert "lamp" not in card and "First install: pip install torch transformers" in card


def summaries(kind: str, architecture: str) -> RunRef:
    run = run_of("summarization", system_prompt="Be brief.")
    data = run.spec.data.model_copy(update={"roles": {"letter": "text", "short": "summary"}})
    info = run.info.model_copy(update={"kind": kind, "architecture": architecture})
    return run.model_copy(update={"info": info, "spec": run.spec.model_copy(update={"data": data})})


@pytest.mark.parametrize("make", [snippets.merged, snippets.adapter])
def test_the_code_formats_a_text_as_the_task_does(make: Callable[[RunRef, str], str]) -> None:
    run = own(summaries("causal", "LlamaForCausalLM"), OWN)
    assert {f"Summarize this text.\n\n{OWN}", "Be brief."} <= set(strings(make(run, "folder")))
    assert f"summarize: {OWN}" in strings(make(own(summaries("seq2seq", "T5ForConditionalGeneration"), OWN), "folder"))


def test_the_commands_for_a_gguf_file_format_a_text_as_the_task_does() -> None:
    usages = export_named("ollama").usages(summaries("causal", "LlamaForCausalLM"), "folder", {"precision": "q8_0"})
    codes = {each.title: each.code for each in usages}
    for title in ("Ollama", "llama.cpp"):
        assert f"Summarize this text.\n\n{snippets.TEXT}" in shlex.split(codes[title], comments=True)
    assert f"Summarize this text.\n\n{snippets.TEXT}" in strings(codes["Python"])


def test_the_code_truncates_a_text_as_the_run_does() -> None:
    assert "truncation=True, max_length=96" in snippets.merged(run_of("classification", max_length=96), "folder")


@pytest.mark.parametrize("name", ["script", "notebook", "space"])
def test_a_folder_with_a_space_in_its_name_is_one_word_in_the_commands(name: str) -> None:
    usages = export_named(name).usages(run_of(), "/home/My Folder/run", {})
    first = [shlex.split(each.code.splitlines()[0]) for each in usages if each.language == "sh"]
    assert first == [["cd", "/home/My Folder/run"]]

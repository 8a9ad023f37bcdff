"""Exports in a fresh process, with transformers and peft alone: the same replies, and nothing of this machine."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_runs import LABELS, chat_run, label_run, random_run, starter, tiny_llama
from task_runs import tiny_model

from studio.export import ExportJob, export_named
from studio.export.agreement_check import ReferenceAnswers, compare, reference_answers
from studio.export.base import Phase
from studio.inference.generate import reply
from studio.inference.model_cache import ModelCache
from studio.schema.dataset import DatasetSpec
from studio.schema.errors import StudioError
from studio.schema.host import CardFacts, RunRef
from studio.schema.report import ChatSettings, ExportResult

FOLDERS = ("adapter", "merged")
"""Formats that transformers and peft load. Others have tests of their own."""
FACTS = CardFacts(run="r", name="tone", dataset="rows.csv", rows=100)
QUESTIONS = ("Where is my parcel?", "Hello, can you help me?", "What is a refund?")
FORMATS = ("adapter", "merged")
"""The formats that transformers and peft load. tests/exports and other files have the others."""
TOKENS = 24
STRANGER = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, base, questions, tokens = json.loads(sys.argv[1])
assert not any(name.startswith("studio") for name in sys.modules)
tokenizer = AutoTokenizer.from_pretrained(folder)
if base:
    from peft import PeftModel
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    model = PeftModel.from_pretrained(model, folder)
else:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
said = []
for question in questions:
    turns = [{"role": "user", "content": question}]
    inputs = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    out = model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
    said.append(tokenizer.decode(out[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))
print(json.dumps({"dtype": str(model.dtype), "said": said}))
"""
Exported = tuple[RunRef, dict[str, ExportResult], list[str]]


def silent(*_: Any) -> None: ...


def stranger(folder: str, base: str | None, questions: tuple[str, ...] = QUESTIONS) -> dict[str, Any]:
    """Another person's program: it knows the exported folder, and for an adapter the base's."""
    asked = json.dumps([folder, base, questions, TOKENS])
    done = subprocess.run([sys.executable, "-c", STRANGER, asked], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("talk")
    run, model_cache = chat_run(starter("starter-chat"), folder / "run"), ModelCache()
    results = {
        name: export_named(name).export(ExportJob(run, FACTS, model_cache), folder / name, silent) for name in FOLDERS
    }
    pair, settings = model_cache.pair(run), ChatSettings(max_new_tokens=TOKENS)
    prompts = [pair.task.prompt_ids(question, pair.encoding()) for question in QUESTIONS]
    said = [reply(pair.tuned, pair.tokenizer, prompt, settings).text for prompt in prompts]
    base = [reply(pair.base, pair.tokenizer, prompt, settings).text for prompt in prompts]
    assert all(ours != others for ours, others in zip(said, base, strict=True)), "the adapter must change the replies"
    return run, results, said


def test_the_merged_model_gives_all_the_chats_replies(talk: Exported) -> None:
    _, results, said = talk
    found = stranger(results["merged"].path, None)
    assert found == {"dtype": "torch.bfloat16", "said": said}
    assert results["merged"].tested == "Tested without the studio: 20 of 20 replies are the same as in the Chat tab."


def test_the_adapter_gives_their_first_words_on_the_same_base(talk: Exported) -> None:
    run, results, said = talk
    found = stranger(results["adapter"].path, run.info.path)
    begun = sum(ours.split()[:3] == theirs.split()[:3] for ours, theirs in zip(said, found["said"], strict=True))
    assert begun >= 2, (said, found["said"])


@pytest.mark.parametrize("name", FOLDERS)
def test_nothing_of_this_machine_is_in_an_export(talk: Exported, name: str) -> None:
    run, results, _ = talk
    folder = Path(results[name].path)
    private = (str(Path.home()), run.folder, str(run.info.path), str(folder.parent))
    for file in folder.iterdir():
        assert file.suffix in (".safetensors", ".json", ".jinja", ".md", ".txt"), file.name
        content = file.read_bytes()
        assert not any(path.encode() in content for path in private), file.name


@pytest.mark.parametrize("name", FOLDERS)
def test_the_zip_holds_the_same_files_in_one_folder(talk: Exported, name: str) -> None:
    _, results, _ = talk
    folder = Path(results[name].path)
    with zipfile.ZipFile(str(results[name].zip_path)) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == sorted(f"{name}/{file.name}" for file in folder.iterdir())
    assert results[name].bytes == sum(file.stat().st_size for file in folder.iterdir())


def test_the_adapter_names_its_base_by_its_hub_id(talk: Exported) -> None:
    run, results, _ = talk
    config = json.loads((Path(results["adapter"].path) / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == run.info.hub_id == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert config["revision"] == run.info.revision


@pytest.mark.parametrize("name", FOLDERS)
def test_the_cards_own_code_runs(talk: Exported, name: str) -> None:
    run, results, _ = talk
    code = results[name].how_to_use.replace(repr(name), repr(results[name].path))
    code = code.replace(repr(run.info.hub_id), repr(run.info.path))  # no network in tests
    card = (Path(results[name].path) / "README.md").read_text()
    assert results[name].how_to_use.replace(repr(name), "'path/to/this/folder'").strip() in card
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) > 3


@pytest.mark.parametrize("make", [label_run], ids=["classifier"])
@pytest.mark.parametrize("name", FOLDERS)
def test_a_classifier_keeps_its_labels(make: Callable[..., RunRef], name: str, tmp_path: Path) -> None:
    run = make(starter("starter-classify"), tmp_path / "run")
    done = export_named(name).export(ExportJob(run, FACTS, ModelCache(), zip=False), tmp_path / "out", silent)
    assert done.zip_path is None and "20 of 20 texts" in done.tested
    code = done.how_to_use.replace(repr("out"), repr(done.path)).replace(repr(run.info.hub_id), repr(run.info.path))
    code = code.replace(repr(run.info.revision), "None")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert all(repr(label) in said.stdout for label in LABELS)


LABELLED = ("broken", "late")
FORMS: dict[str, tuple[str, dict[str, str], tuple[str, ...], str, str, str]] = {
    "summaries": ("summarization", {"text": "text", "summary": "summary"}, (), "t5", "lora", "adapter"),
    "translations": ("summarization", {"de": "text", "en": "translation"}, (), "bart", "full", "merged"),
    "answers": (
        "question-answering",
        {"q": "question", "c": "context", "a": "answer"},
        (),
        "bert",
        "lora",
        "merged",
    ),
    "several labels": ("classification", {"text": "text", "tags": "labels"}, LABELLED, "bert", "lora", "adapter"),
    "scores of two texts": (
        "classification",
        {"a": "text", "b": "second", "score": "score"},
        (),
        "roberta",
        "full",
        "merged",
    ),
    "texts": ("completion", {"text": "text"}, (), "gpt2", "lora", "adapter"),
}
"""What is trained → task, roles, labels, shape, method, form."""
IN_TURN = """
import contextlib, io, json, sys
said = {}
for name, code in json.load(sys.stdin).items():
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {"__name__": "snippet"})
    said[name] = out.getvalue()
assert not any(name.split(".")[0] == "studio" for name in sys.modules)
print(json.dumps(said))
"""


def test_what_each_task_leaves_can_be_taken_away_and_the_code_beside_it_runs(tmp_path: Path) -> None:
    codes = {}
    for name, (task, roles, labels, shape, method, form) in FORMS.items():
        place = tmp_path / name
        data = DatasetSpec(task=task, roles=roles, label_names=labels)
        prompts = ("When do you open?\n\nWe open at nine, every day.",) if task == "question-answering" else ()
        info = tiny_model(shape, place / "base")
        run = random_run(info, place / "run", data, method, max_length=64, test_prompts=prompts)
        done = export_named(form).export(ExportJob(run, FACTS, ModelCache(), zip=False), place / "out", silent)
        count = 20 + len(prompts)
        words = "texts get the same labels as" if shape in ("bert", "roberta") else "replies are the same as"
        assert f"{count} of {count} {words} in the Chat tab" in done.tested, (name, done.tested)
        code = done.how_to_use.replace(repr("out"), repr(done.path)).replace(repr(info.title), repr(info.path))
        codes[name] = code
    done = subprocess.run(
        [sys.executable, "-I", "-c", IN_TURN], input=json.dumps(codes), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert set(said) == set(FORMS)
    assert all(label in said["several labels"] for label in LABELLED)
    assert "0" in said["scores of two texts"] and said["texts"].startswith("Hello, can you help me?")


def test_a_full_run_is_exported_whole_in_the_precision_of_the_chat_and_offers_no_adapter(tmp_path: Path) -> None:
    run = chat_run(tiny_llama(tmp_path / "base"), tmp_path / "run", "full", "bfloat16")
    done = export_named("merged").export(ExportJob(run, FACTS, ModelCache()), tmp_path / "out", silent)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["dtype"] == "bfloat16" and "20 of 20 replies are the same as in the Chat tab" in done.tested
    assert "Saved in bfloat16" in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(StudioError) as refused:
        export_named("adapter").export(ExportJob(run, FACTS, ModelCache()), tmp_path / "adapter", silent)
    assert refused.value.code == "format-unavailable" and "own weights" in refused.value.message
    assert not (tmp_path / "adapter").exists()


def test_a_base_without_a_chat_template_gets_the_one_that_it_was_tuned_with(tmp_path: Path) -> None:
    info = tiny_llama(tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").unlink()
    info = info.model_copy(update={"has_chat_template": False})
    run = chat_run(info, tmp_path / "run", precision="float32")
    done = export_named("merged").export(ExportJob(run, FACTS, ModelCache(), zip=False), tmp_path / "out", silent)
    assert "20 of 20 replies are the same as in the Chat tab" in done.tested
    template = (tmp_path / "out" / "chat_template.jinja").read_text()
    assert "### Prompt:" in template and "generation %}" not in template and "begin_text" not in template


def test_an_export_that_is_cancelled_leaves_nothing_behind(tmp_path: Path) -> None:
    run = chat_run(tiny_llama(tmp_path / "base"), tmp_path / "run", precision="float32")

    def progress(done: int, total: int, message: str) -> None:
        if done == Phase.TESTING:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        export_named("merged").export(ExportJob(run, FACTS, ModelCache()), tmp_path / "out", progress)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "run"]


def test_a_run_that_changed_nothing_is_not_exported(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    run = chat_run(tiny_llama(tmp_path / "base"), tmp_path / "run", precision="float32")
    weights = tmp_path / "run" / "adapter" / "adapter_model.safetensors"
    save_file({name: weight * 0 for name, weight in load_file(weights).items()}, weights, metadata={"format": "pt"})
    with pytest.raises(StudioError, match="exactly the outputs of its base model") as refused:
        export_named("merged").export(ExportJob(run, FACTS, ModelCache()), tmp_path / "out", silent)
    assert refused.value.code == "format-unavailable" and "more steps" in refused.value.hint
    assert not (tmp_path / "out").exists()


def test_all_exports_of_a_result_are_compared_with_answers_that_were_given_once(tmp_path: Path) -> None:
    run, model_cache = chat_run(tiny_llama(tmp_path / "base"), tmp_path / "run"), ModelCache()
    once = reference_answers(model_cache, run)
    assert reference_answers(model_cache, run) is once
    weights = tmp_path / "run" / "adapter" / "adapter_model.safetensors"
    os.utime(weights, ns=(1, 1))  # trained further
    assert reference_answers(model_cache, run) is not once


def test_an_export_that_replies_like_the_base_is_not_offered() -> None:
    reference = ReferenceAnswers(["a", "b"], [[1, 2, 3, 4, 5], [6, 7, 8, 9]], (), [2], 2)
    assert "2 of 2 replies are the same as in the Chat tab" in compare(reference, [[1, 2, 3, 4, 5], [6, 7, 8, 9]], True)
    assert "2 of 2 replies begin as in the Chat tab, and 1 are the same" in compare(
        reference, [[1, 2, 3, 4, 9], [6, 7, 8, 9]], False
    )
    for exact in (True, False):
        with pytest.raises(StudioError) as refused:
            compare(reference, [[5, 5, 5, 5], [5, 5, 5, 5]], exact)
        assert refused.value.code == "format-unavailable"


def test_a_classifier_whose_probabilities_moved_is_not_offered() -> None:
    reference = ReferenceAnswers(["a"], [[0.9, 0.1]], ("x", "y"), [], 0)
    assert "1 of 1 texts get the same labels" in compare(reference, [[0.905, 0.095]], True)
    with pytest.raises(StudioError, match="probabilities"):
        compare(reference, [[0.6, 0.4]], True)

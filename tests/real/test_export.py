"""Exports in a process without the studio, with transformers and peft alone: the same replies, and nothing of this
machine."""

import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from made_runs import LABELS, chat_run, label_run, random_run, starter, tiny_llama
from plain_libraries import stranger
from task_runs import tiny_model

from studio.export import ExportJob, agreement_check, export_named
from studio.export.agreement_check import ReferenceAnswers, compare, reference_answers
from studio.export.base import Phase
from studio.export.snippets import NEW_TOKENS, PROMPT
from studio.inference.generate import reply
from studio.inference.model_cache import ModelCache
from studio.models.inspect import inspect_folder
from studio.schema.dataset import DatasetSpec
from studio.schema.errors import StudioError
from studio.schema.host import CardFacts, RunRef
from studio.schema.report import ChatSettings, ExportResult

FOLDERS = ("adapter", "merged")
"""The formats that transformers and peft load. tests/exports and other files have the others."""
FACTS = CardFacts(run="r", name="tone", dataset="rows.csv", rows=100)
PROMPTS, GENERATED = 6, 3
"""How many prompts exports are compared on, and how many of them another program answers token by token."""
TOKENS = 12
"""How long replies are here at most. Users' exports are compared on 24."""
REPLIES = """
load = transformers.AutoModelForCausalLM.from_pretrained
tokenizer = transformers.AutoTokenizer.from_pretrained(told["folder"])
if told["base"]:
    model = peft.PeftModel.from_pretrained(load(told["base"], dtype=torch.bfloat16), told["folder"])
else:
    model = load(told["folder"], dtype="auto")
said = []
for question in told["questions"]:
    turns = [{"role": "user", "content": question}]
    inputs = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    out = model.generate(**inputs, max_new_tokens=told["tokens"], do_sample=False)
    said.append(tokenizer.decode(out[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))
answer = {"dtype": str(model.dtype), "said": said}
"""
RUN_CODE = """
import contextlib, io
printed = io.StringIO()
with contextlib.redirect_stdout(printed):
    exec(told, {"__name__": "snippet"})
answer = printed.getvalue()
"""


@dataclass(frozen=True)
class Exported:
    """A run, and its exports by format."""

    run: RunRef
    results: dict[str, ExportResult]
    reference: ReferenceAnswers
    """What the exports were compared with."""


pytestmark = pytest.mark.usefixtures("few_prompts")


@pytest.fixture(scope="module")
def few_prompts(few_prompts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The few prompts of this folder, with short replies, of which an export generates `GENERATED` token by token."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agreement_check, "TOKENS", TOKENS)
        patch.setattr(agreement_check, "GENERATED", GENERATED)
        yield few_prompts


def silent(*_: Any) -> None: ...


def replies_of(questions: tuple[str, ...], folder: str, base: str | None) -> dict[str, Any]:
    """What another person's program gets: it knows the exported folder, and for an adapter the base's."""
    told = {"folder": folder, "base": base, "questions": questions, "tokens": TOKENS}
    found: dict[str, Any] = stranger().answers(REPLIES, told)
    return found


def printed_by(result: ExportResult, run: RunRef) -> str:
    """What the code of a card prints in a process without the studio. Replies are no longer than `TOKENS`."""
    code = result.how_to_use.replace(repr(Path(result.path).name), repr(result.path))
    code = code.replace(repr(run.info.hub_id or run.info.title), repr(run.info.path))  # no network in tests
    code = code.replace(f", revision={run.info.revision!r}", "")
    code = code.replace(f"max_new_tokens={NEW_TOKENS}", f"max_new_tokens={TOKENS}")
    printed: str = stranger().answers(RUN_CODE, code)
    return printed


def exported(run: RunRef, folder: Path, **options: Any) -> Exported:
    """Both exports of a run, from one copy of its models."""
    cache = ModelCache()
    results = {
        name: export_named(name).export(ExportJob(run, FACTS, cache, **options), folder / name, silent)
        for name in FOLDERS
    }
    return Exported(run, results, reference_answers(cache, run))


@pytest.fixture(scope="module", params=["tiny", pytest.param("starter", marks=pytest.mark.matrix)])
def talk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, few_prompts: tuple[str, ...]
) -> Exported:
    """A run on a tiny model that the Hub would have under the name of the starter, or on the starter itself."""
    folder = tmp_path_factory.mktemp("talk")
    info = starter("starter-chat")
    if request.param == "tiny":
        known = {"hub_id": info.hub_id, "revision": info.revision}
        info = tiny_llama(folder / "base").model_copy(update=known)
    made = exported(chat_run(info, folder / "run"), folder)
    assert made.reference.differing_prompts == PROMPTS, "the adapter must change the replies"
    return made


@pytest.fixture(scope="module")
def said(talk: Exported, few_prompts: tuple[str, ...]) -> dict[str, str]:
    """Question → the reply of the chat, token by token."""
    pair, settings = ModelCache().pair(talk.run), ChatSettings(max_new_tokens=TOKENS)
    encoding = pair.encoding()
    return {
        question: reply(pair.tuned, pair.tokenizer, pair.task.prompt_ids(question, encoding), settings).text
        for question in few_prompts[:GENERATED]
    }


def test_an_export_is_compared_with_the_replies_that_the_chat_gives_token_by_token(
    talk: Exported, said: dict[str, str]
) -> None:
    assert talk.reference.texts[:GENERATED] == list(said.values()) and len(talk.reference.texts) == PROMPTS


def test_the_merged_model_gives_all_the_chats_replies(talk: Exported, said: dict[str, str]) -> None:
    found = replies_of(tuple(said), talk.results["merged"].path, None)
    assert found == {"dtype": "torch.bfloat16", "said": list(said.values())}
    tested = f"Tested without the studio: {PROMPTS} of {PROMPTS} replies are the same as in the Chat tab."
    assert talk.results["merged"].tested == tested


def test_the_adapter_gives_their_first_words_on_the_same_base(talk: Exported, said: dict[str, str]) -> None:
    found = replies_of(tuple(said), talk.results["adapter"].path, str(talk.run.info.path))["said"]
    begun = sum(ours.split()[:3] == theirs.split()[:3] for ours, theirs in zip(said.values(), found, strict=True))
    assert begun >= 2, (said, found)


@pytest.mark.parametrize("name", FOLDERS)
def test_nothing_of_this_machine_is_in_an_export(talk: Exported, name: str) -> None:
    folder = Path(talk.results[name].path)
    private = (str(Path.home()), talk.run.folder, str(talk.run.info.path), str(folder.parent))
    for file in folder.iterdir():
        assert file.suffix in (".safetensors", ".json", ".jinja", ".md", ".txt"), file.name
        content = file.read_bytes()
        assert not any(path.encode() in content for path in private), file.name


@pytest.mark.parametrize("name", FOLDERS)
def test_the_zip_holds_the_same_files_in_one_folder(talk: Exported, name: str) -> None:
    result = talk.results[name]
    folder = Path(result.path)
    with zipfile.ZipFile(str(result.zip_path)) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == sorted(f"{name}/{file.name}" for file in folder.iterdir())
    assert result.bytes == sum(file.stat().st_size for file in folder.iterdir())


def test_the_adapter_names_its_base_by_its_hub_id(talk: Exported) -> None:
    config = json.loads((Path(talk.results["adapter"].path) / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == talk.run.info.hub_id == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert config["revision"] == talk.run.info.revision


@pytest.mark.parametrize("name", FOLDERS)
def test_the_cards_own_code_runs(talk: Exported, said: dict[str, str], name: str) -> None:
    result = talk.results[name]
    card = (Path(result.path) / "README.md").read_text()
    assert result.how_to_use.replace(repr(name), "'path/to/this/folder'").strip() in card
    words, expected = printed_by(result, talk.run).split(), said[PROMPT].split()
    assert words[:3] == expected[:3] and (name == "adapter" or words == expected)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory, few_prompts: tuple[str, ...]) -> Exported:
    folder = tmp_path_factory.mktemp("labels")
    return exported(label_run(starter("starter-classify"), folder / "run"), folder, zip=False)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_classifier_keeps_its_labels(labels: Exported, name: str) -> None:
    result = labels.results[name]
    assert result.zip_path is None and f"{PROMPTS} of {PROMPTS} texts" in result.tested
    printed = printed_by(result, labels.run)
    assert all(repr(label) in printed for label in LABELS)


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


def test_what_each_task_leaves_can_be_taken_away_and_the_code_beside_it_runs(tmp_path: Path) -> None:
    printed = {}
    for name, (task, roles, labels, shape, method, form) in FORMS.items():
        place = tmp_path / name
        data = DatasetSpec(task=task, roles=roles, label_names=labels)
        prompts = ("When do you open?\n\nWe open at nine, every day.",) if task == "question-answering" else ()
        info = tiny_model(shape, place / "base")
        run = random_run(info, place / "run", data, method, max_length=64, test_prompts=prompts)
        done = export_named(form).export(ExportJob(run, FACTS, ModelCache(), zip=False), place / "out", silent)
        count = PROMPTS + len(prompts)
        words = "texts get the same labels as" if shape in ("bert", "roberta") else "replies are the same as"
        assert f"{count} of {count} {words} in the Chat tab" in done.tested, (name, done.tested)
        printed[name] = printed_by(done, run)
    assert all(label in printed["several labels"] for label in LABELLED)
    assert "0" in printed["scores of two texts"] and printed["texts"].startswith("Hello, can you help me?")


def test_a_full_run_is_exported_whole_in_the_precision_of_the_chat_and_offers_no_adapter(tmp_path: Path) -> None:
    run = chat_run(tiny_llama(tmp_path / "base"), tmp_path / "run", "full", "bfloat16")
    done = export_named("merged").export(ExportJob(run, FACTS, ModelCache()), tmp_path / "out", silent)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (
        config["dtype"] == "bfloat16"
        and f"{PROMPTS} of {PROMPTS} replies are the same as in the Chat tab" in done.tested
    )
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
    assert f"{PROMPTS} of {PROMPTS} replies are the same as in the Chat tab" in done.tested
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


@pytest.mark.parametrize(
    ("task", "kind", "roles", "labels"),
    [
        ("classification", "AutoModelForSequenceClassification", {"text": "text", "label": "label"}, LABELS),
        (
            "question-answering",
            "AutoModelForQuestionAnswering",
            {"q": "question", "c": "context", "a": "answer"},
            (),
        ),
    ],
)
def test_a_run_that_left_the_head_of_its_base_model_as_it_was_is_not_exported(
    task: str, kind: str, roles: dict[str, str], labels: tuple[str, ...], tmp_path: Path
) -> None:
    import shutil

    import transformers

    base = Path(str(tiny_model("bert", tmp_path / "base").path))
    options = {"num_labels": len(labels), "id2label": dict(enumerate(labels))} if labels else {}
    getattr(transformers, kind).from_pretrained(base, **options).save_pretrained(base)
    data = DatasetSpec(task=task, roles=roles, label_names=labels)
    prompts = ("When do you open?\n\nWe open at nine, every day.",)
    run = random_run(inspect_folder(base), tmp_path / "run", data, "full", max_length=64, test_prompts=prompts)
    assert len(reference_answers(ModelCache(), run).answers) == PROMPTS + 1
    shutil.copy(base / "model.safetensors", tmp_path / "run" / "model")
    with pytest.raises(StudioError, match="exactly the outputs of its base model") as refused:
        export_named("merged").export(ExportJob(run, FACTS, ModelCache()), tmp_path / "out", silent)
    assert refused.value.given == f"equal outputs for {PROMPTS + 1} of {PROMPTS + 1} prompts"
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

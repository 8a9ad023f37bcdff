"""The Space of a model: its page runs in a process of its own, with the exported model as a folder, and is asked."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_runs import LABELS, chat_run, label_run, random_run, starter, tiny_llama
from task_runs import tiny_model

from studio.export import ExportJob, export_named
from studio.inference.generate import reply
from studio.inference.model_cache import ModelCache
from studio.machine.environment import child_environment
from studio.schema.dataset import DatasetSpec
from studio.schema.host import CardFacts, RunRef
from studio.schema.report import ChatSettings
from tests.browser.served import free_port

EVIL = 'tone"\nsdk: docker\n---\n<script>alert(1)</script> {{ x }} ${HOME} \'\'\' """'
FACTS = CardFacts(run="r", name=EVIL, dataset="rows.csv", rows=100)
QUESTION = "Where is my parcel?"
TOKENS = 24
SPACES = "spaces==0.51.3"
pytestmark = pytest.mark.usefixtures("few_prompts")


def silent(*_: Any) -> None: ...


def exported(run: RunRef, to: Path, hardware: str, cache: ModelCache | None = None) -> tuple[Path, str]:
    """The folder of the Space, and what was tested."""
    job = ExportJob(run, FACTS, cache or ModelCache(), zip=False, options={"hardware": hardware})
    done = export_named("space").export(job, to, silent)
    return Path(done.path), done.tested


@pytest.fixture(scope="module")
def spaces_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package that ZeroGPU has, in a folder of its own: Gradio imports it wherever it is installed."""
    folder = tmp_path_factory.mktemp("spaces")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), SPACES]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"The package index can't be reached: {done.stderr[-200:]}")
    return folder


@contextmanager
def started(folder: Path, base: str | None = None, package: Path | None = None) -> Iterator[Any]:
    """A client of the Space's page, which runs as on a Space, but without a network.

    With the package of ZeroGPU it is started afresh: the package must be imported before torch.
    """
    from gradio_client import Client

    port = free_port()
    environment = child_environment(visitors=True) | {"BASE_MODEL": base or ""}
    command = [sys.executable, "-m", "tests.run_file", str(folder / "app.py"), str(port)]
    if package:
        environment |= {"PYTHONPATH": str(package), "GRADIO_SERVER_PORT": str(port)}
        command = [sys.executable, "app.py"]
    log = folder.parent / f"{folder.name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out)
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            try:
                client = Client(f"http://127.0.0.1:{port}", verbose=False)
                break
            except Exception:
                time.sleep(0.3)
        else:
            raise AssertionError(log.read_text())
        yield client
    finally:
        process.terminate()
        process.wait(20)


def studio_replies(run: RunRef) -> tuple[str, str]:
    """The replies of the chat: of the fine-tuned model and of its base."""
    pair, settings = ModelCache().pair(run), ChatSettings(max_new_tokens=TOKENS)
    prompt = pair.task.prompt_ids(QUESTION, pair.encoding())
    return tuple(reply(model, pair.tokenizer, prompt, settings).text for model in (pair.tuned, pair.base))


@pytest.mark.parametrize(
    ("model", "hardware"),
    [
        ("tiny", "cpu"),
        pytest.param("starter", "cpu", marks=pytest.mark.matrix),
        pytest.param("starter", "zerogpu", marks=pytest.mark.matrix),
    ],
)
def test_the_page_of_a_chat_answers_as_the_studio_does_beside_the_base_model(
    model: str, hardware: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    package = request.getfixturevalue("spaces_package") if hardware == "zerogpu" else None
    info = starter("starter-chat") if model == "starter" else tiny_llama(tmp_path / "base")
    if model == "tiny":  # settings of a base model that the studio does not use
        (tmp_path / "base" / "generation_config.json").write_text('{"repetition_penalty": 1.8, "temperature": 0.6}')
    run = chat_run(info, tmp_path / "run", system_prompt="Be brief.")
    folder, tested = exported(run, tmp_path / "space", hardware)
    assert "6 of 6 replies" in tested and (folder / "model" / "model.safetensors").exists()
    with started(folder, run.info.path, package) as client:
        tuned, base = client.predict(QUESTION, TOKENS, api_name="/chat")
    assert (tuned, base) == studio_replies(run)
    assert tuned != base


@pytest.mark.parametrize("hardware", [pytest.param("cpu", marks=pytest.mark.matrix), "zerogpu"])
def test_an_adapter_is_loaded_on_its_base_and_both_answer(
    hardware: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    package = request.getfixturevalue("spaces_package") if hardware == "zerogpu" else None
    info = tiny_llama(tmp_path / "base").model_copy(update={"hub_id": "someone/tiny"})
    run = chat_run(info, tmp_path / "run", precision="float32")
    folder, _ = exported(run, tmp_path / "space", hardware)
    assert (folder / "model" / "adapter_model.safetensors").exists() and not (folder / "model" / "config.json").exists()
    assert any(line.startswith("peft==") for line in (folder / "requirements.txt").read_text().splitlines())
    with started(folder, info.path, package) as client:
        tuned, base = client.predict(QUESTION, TOKENS, api_name="/chat")
    assert (tuned, base) == studio_replies(run)


@dataclass(frozen=True)
class Classifier:
    """Spaces of a classifier, one for each hardware. That for ZeroGPU took the place of one for a CPU."""

    run: RunRef
    folders: dict[str, Path]
    tested: dict[str, str]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory, few_prompts: tuple[str, ...]) -> Classifier:
    folder = tmp_path_factory.mktemp("classifier")
    run, cache, tested = label_run(starter("starter-classify"), folder / "run"), ModelCache(), {}
    folders = {hardware: folder / hardware / "space" for hardware in ("cpu", "zerogpu")}
    _, tested["cpu"] = exported(run, folders["cpu"], "cpu", cache)
    shutil.copytree(folders["cpu"], folders["zerogpu"])
    _, tested["zerogpu"] = exported(run, folders["zerogpu"], "zerogpu", cache)
    return Classifier(run, folders, tested)


@pytest.mark.parametrize("hardware", ["cpu", pytest.param("zerogpu", marks=pytest.mark.matrix)])
def test_the_page_of_a_classifier_gives_the_probabilities(
    hardware: str, classifier: Classifier, request: pytest.FixtureRequest
) -> None:
    package = request.getfixturevalue("spaces_package") if hardware == "zerogpu" else None
    assert "6 of 6 texts" in classifier.tested[hardware]
    with started(classifier.folders[hardware], classifier.run.info.path, package) as client:
        given = client.predict("The lid cracked on day two.", api_name="/predict")
    shares = {each["label"]: each["confidence"] for each in given["confidences"]}
    assert set(shares) == set(LABELS) and abs(sum(shares.values()) - 1) < 0.01
    assert given["label"] == max(shares, key=lambda label: shares[label])


FORMS: dict[str, tuple[str, dict[str, str], tuple[str, ...], str, tuple[str, ...]]] = {
    "summaries": ("summarization", {"text": "text", "summary": "summary"}, (), "t5", ("A text.", TOKENS)),
    "answers": (
        "question-answering",
        {"q": "question", "c": "context", "a": "answer"},
        (),
        "bert",
        ("When do you open?", "We open at nine, every day."),
    ),
    "several labels": (
        "classification",
        {"text": "text", "tags": "labels"},
        ("broken", "late"),
        "bert",
        ("It is late.",),
    ),
    "scores of two texts": (
        "classification",
        {"a": "text", "b": "second", "score": "score"},
        (),
        "roberta",
        ("One text.", "Another text."),
    ),
    "texts": ("completion", {"text": "text"}, (), "gpt2", ("Once upon", TOKENS)),
}
"""What is trained → task, roles, labels, shape, what is asked."""


@pytest.mark.parametrize(
    "name", ["summaries", "answers", *(pytest.param(name, marks=pytest.mark.matrix) for name in list(FORMS)[2:])]
)
def test_the_page_of_each_other_task_answers(name: str, tmp_path: Path) -> None:
    task, roles, labels, shape, asked = FORMS[name]
    data = DatasetSpec(task=task, roles=roles, label_names=labels)
    prompts = ("When do you open?\n\nWe open at nine, every day.",) if task == "question-answering" else ()
    info = tiny_model(shape, tmp_path / "base")
    run = random_run(info, tmp_path / "run", data, "lora", max_length=64, test_prompts=prompts)
    folder, _ = exported(run, tmp_path / "space", "cpu")
    chats = task in ("summarization", "completion")
    with started(folder) as client:
        given = client.predict(*asked, api_name="/chat" if chats else "/predict")
    if name == "several labels":
        assert {each["label"] for each in given["confidences"]} == {"broken", "late"}
    elif name == "scores of two texts":
        float(given)
    else:
        assert isinstance(given[0] if chats else given, str)


@pytest.mark.parametrize("hardware", ["cpu", "zerogpu"])
def test_the_metadata_is_that_of_a_space_whatever_the_run_is_called_and_nothing_of_this_machine_is_in_it(
    hardware: str, classifier: Classifier
) -> None:
    run, folder = classifier.run, classifier.folders[hardware]
    text = (folder / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n", 2)[1])
    assert front["sdk"] == "gradio" and front["app_file"] == "app.py" and front["title"] == " ".join(EVIL.split())[:80]
    assert front["suggested_hardware"] == {"cpu": "cpu-basic", "zerogpu": "zero-a10g"}[hardware]
    assert front["models"] == [run.info.hub_id] and len(front["short_description"]) <= 60
    assert "<script>" not in text.split("---\n", 2)[2]
    needs = (folder / "requirements.txt").read_text().splitlines()
    torch = next(line for line in needs if line.startswith("torch"))
    assert ("spaces" in needs) == (hardware == "zerogpu") and torch.startswith(
        "torch" + (">=2.8" if hardware == "zerogpu" else "==")
    )
    assert not any(line.startswith("gradio") for line in needs)
    assert json.loads((folder / "space.json").read_text())["title"] == EVIL
    private = (str(Path.home()), str(folder.parents[1]), str(run.info.path), "hf_")
    for file in folder.rglob("*"):
        assert file.suffix not in (".bin", ".pt", ".pkl") and not file.is_symlink()
        if file.is_file() and file.suffix != ".safetensors" and file.name not in ("vocab.txt", "tokenizer.json"):
            assert not any(part in file.read_text(encoding="utf-8") for part in private), file.name


def test_an_export_takes_the_place_of_an_earlier_one(classifier: Classifier) -> None:
    readme = (classifier.folders["zerogpu"] / "README.md").read_text()
    assert "zero-a10g" in readme and "cpu-basic" not in readme

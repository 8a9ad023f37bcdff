"""S1: a visitor of a demo uses a model of the machine, or the owner's Hub token."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from studio.models.starters.install import fetch_starter
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.runs import RunSpec
from studio.store import Home
from tests.hubserver import HubServer, tiny_repo
from tests.security.attack import Outcome, attack, blocked, outcome, succeeded
from tests.security.stage import MARK, TOKEN, Stage, Visitor, time_call

SETTABLE_BY_NO_PAGE = [
    ("model", "/etc"),
    ("model", "{private}"),
    ("model", "../../../etc"),
    ("model", "file:///etc"),
    ("model", "someone/tiny"),
    ("model", "https://huggingface.co/someone/tiny"),
    ("model", "~"),
    ("model", "."),
    ("task", "classification"),
    ("start_from", "/etc"),
    ("start_from", "../default"),
    ("replay_from", "/etc/passwd"),
    ("replay_from", "hf:someone/rows"),
    ("replay_from", "{private}"),
    ("test_prompts", ["x"] * 5_000),
    ("mirror", "wandb"),
    ("mirror", "tensorboard"),
    ("mirror", "trackio"),
    ("mirror", "mlflow"),
    ("processes", "64"),
    ("threads", "4096"),
    ("trust_remote_code", "true"),
    ("output_dir", "/tmp/out"),
    ("token", TOKEN),
    ("__class__", "x"),
    ("model_fields", "x"),
]
"""Settings that decide what is read, where it is sent, or how much of the machine is used."""


def private(stage: Stage) -> Path:
    """A model of the owner's in a folder that no visitor may read."""
    folder = stage.folder / "private-model"
    if not folder.exists():
        shutil.copytree(fetch_starter("starter-chat"), folder)
    return folder


def chat_visitor(stage: Stage) -> Visitor:
    who = stage.visitor()
    who.sample()
    return who


def models_of_runs(who: Visitor) -> list[str]:
    return [who.space.runs.spec(run.id).config.model for run in who.runs()]


@attack("S1", "A demo visitor trains a private folder through the setting `model`", quick=True)
def trains_a_private_folder(stage: Stage) -> Outcome:
    who, folder = chat_visitor(stage), str(private(stage))
    who.start(model=folder, max_steps="1")
    used = models_of_runs(who)
    who.stop_runs()
    return outcome(folder in used, f"models of the visitor's runs: {used}")


@attack(
    "S1",
    "A demo visitor sets {0} by hand and starts a run",
    [(f"{name} = {str(value)[:40]}", name, value) for name, value in SETTABLE_BY_NO_PAGE],
)
def sets_what_no_page_offers(stage: Stage, payload: tuple[str, str, object]) -> Outcome:
    _, name, value = payload
    if value == "{private}":
        value = str(private(stage))
    who = chat_visitor(stage)
    more = {"replay": "0.3"} if name == "replay_from" else {}
    shown = who.start(**{name: value, **more, "max_steps": "1"})
    configs = [who.space.runs.spec(run.id).config for run in who.runs()]
    kept = [str(getattr(config, name, ""))[:80] for config in configs]
    who.stop_runs()
    before = {"task": "chat", "name": "support-tone", "model": "starter-chat"}
    harmful = [
        each
        for each in configs
        if getattr(each, name, None) in (value, _as_typed(value)) and before.get(name) != getattr(each, name, None)
    ]
    return outcome(bool(harmful), f"{name} of the runs: {kept}; {shown.count('role=') and shown[:150]}")


def _as_typed(value: object) -> object:
    text = str(value)
    return (
        int(text) if text.isdigit() else True if text == "true" else tuple(value) if isinstance(value, list) else text
    )


@attack("S1", "A demo visitor measures a private folder (Run a few steps) through the setting `model`")
def probes_a_private_folder(stage: Stage) -> Outcome:
    who, folder = chat_visitor(stage), str(private(stage))
    who.acted("method-body", "set", name="model", value=folder)
    who.patience = 20  # measuring takes longer; what was measured is seen in the settings
    shown = "".join(str(time_call(lambda act=act: who.acted("method-body", act))[1]) for act in ("estimate", "probe"))
    settings = str(draft_of(who).get("settings"))
    return outcome(folder in shown or folder in settings, f"settings kept: {settings[:200]}; shown: {folder in shown}")


@attack("S1", "A demo visitor learns which folders exist from the answers about `model`")
def probes_for_folders(stage: Stage) -> Outcome:
    who = chat_visitor(stage)
    answers = []
    for folder in ("/etc", "/no-such-folder-here"):
        who.acted("method-body", "defaults")
        who.acted("method-body", "set", name="model", value=folder)
        shown = who.acted("method-body", "start") + who.acted("method-body", "estimate")
        answers.append(shown.replace(folder, "FOLDER"))
    kinds = [
        [word for word in ("no model", "not a model", "config.json", "does not exist", "There is no") if word in each]
        for each in answers
    ]
    runs = models_of_runs(who)
    who.stop_runs()
    return outcome(kinds[0] != kinds[1] or bool(set(runs) & {"/etc", "/no-such-folder-here"}), f"{kinds}; runs: {runs}")


@attack("S1", "A Hub name in the setting `model` sends the owner's token to the Hub")
def sends_the_token(stage: Stage) -> Outcome:
    with HubServer() as hub:
        hub.add(tiny_repo("someone/tiny"))
        served = stage.serve("--demo", environment={"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"})
        who = stage.visitor(served)
        who.sample()
        who.start(model="someone/tiny", max_steps="1")
        who.acted("method-body", "estimate")
        for _ in range(100):
            if not who.active() or any(TOKEN in str(headers) for _, _, headers in hub.seen):
                break
            time.sleep(0.1)
        who.stop_runs()
        carried = [path for _, path, headers in hub.seen if TOKEN in str(headers)]
    return outcome(bool(carried), f"requests with the owner's token: {carried[:3]}; to the Hub in all: {len(hub.seen)}")


@attack("S1", "A run that a visitor's database names with a private model is trained by the worker", quick=True)
def the_worker_is_asked_itself(stage: Stage) -> Outcome:
    """Past every check of the page: what the worker itself enforces."""
    who, folder = chat_visitor(stage), str(private(stage))
    record = who.datasets()[0]
    data = DatasetSpec(task="chat", roles=dict(zip(record.columns[:2], ("prompt", "reply"), strict=False)))
    spec = RunSpec(
        config=TrainingConfig(task="chat", model=folder, max_steps=1, max_length=64, watch_share=0),
        dataset=record.id,
        dataset_version=1,
        data=data,
        splits=SplitSpec(),
    )
    run = who.space.runs.create(spec).id
    Home(who.served.home).queue.enqueue(who.space.name, run)
    command = [
        sys.executable,
        "-m",
        "studio.worker",
        "--home",
        str(who.served.home),
        "--workspace",
        who.space.name,
        run,
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env={**who.served.environment, MARK: str(stage.folder)},
    )
    status = who.space.runs.get(run).status
    return outcome(status == "finished", f"the run is {status}; {done.stdout[-200:]}{done.stderr[-200:]}")


ELSEWHERE = [
    "/etc",
    "../starter-chat",
    "HuggingFaceTB/SmolLM2-135M",
    "file:///etc/passwd",
    "\\\\host\\share",
    "~root",
    "starter-chat/../../etc",
    "starter-chat\x00/etc",
    "",
    "gpt2",
]


@attack("S1", "A demo visitor chooses the model {0} on the model page", ELSEWHERE)
def chooses_another_model(stage: Stage, name: str) -> Outcome:
    who = chat_visitor(stage)
    shown = who.acted("model-body", "model", value=name)
    draft = draft_of(who)
    return outcome(bool(name) and draft.get("model") == name, f"model kept: {draft.get('model')!r}; {shown[:100]}")


@attack(
    "S1", "A demo visitor uses the owner's act {0}", ["folder", "trust", "token", "forget-token", "download", "cancel"]
)
def acts_of_the_owner(stage: Stage, act: str) -> Outcome:
    who = chat_visitor(stage)
    given = {"value": str(private(stage)), "token": TOKEN, "name": "someone/tiny"}
    shown = who.acted("model-body", act, **given)
    draft = draft_of(who)
    root = who.served.home
    changed = (root / "hub-token").exists() or (root / "trusted-models.json").exists()
    used = draft.get("model") == str(private(stage))
    return outcome(changed or used or "not available in a public demo" not in shown, shown[:200])


def draft_of(who: Visitor) -> dict[str, object]:
    """What the studio keeps of a visitor's choices."""
    return dict(who.space.drafts.get("page") or {})


@attack("S1", "A demo visitor reruns a run with the model changed")
def reruns_with_another_model(stage: Stage) -> Outcome:
    who, run = stage.trained
    folder = str(private(stage))
    who.acted("runs-body", "more", run=run)
    who.acted("runs-body", "again-set", name="again-model", value=folder)
    who.acted("runs-body", "again-start", run=run)
    used = models_of_runs(who)
    who.stop_runs()
    return outcome(folder in used, f"models: {used}")


@attack("S1", "A demo visitor searches settings over a private model", quick=False)
def searches_with_another_model(stage: Stage) -> Outcome:
    who, folder = chat_visitor(stage), str(private(stage))
    who.acted("method-body", "set", name="model", value=folder)
    who.acted("method-body", "search-trials", value="2")
    who.acted("method-body", "search-start")
    used = models_of_runs(who)
    who.acted("method-body", "search-stop")
    who.stop_runs()
    return outcome(folder in used, f"models: {used}")


@attack(
    "S1",
    "A setting of a demo visitor is taken from {0}",
    ["text", "bring rows of /etc/passwd by path", "a Hub dataset"],
)
def rows_of_the_owner(stage: Stage, way: str) -> Outcome:
    who = chat_visitor(stage)
    before = len(who.datasets())
    match way:
        case "text":
            shown = who.acted("data-body", "paste", pasted="/etc/passwd")
        case "a Hub dataset":
            shown = who.acted("data-body", "hub-look", value="someone/rows", hub="someone/rows")
            shown += who.acted("data-body", "hub-fetch", value="someone/rows", hub="someone/rows")
        case _:
            shown = who.acted("data-body", "reopen", dataset="/etc/passwd")
    if "root:x:" in shown:
        return succeeded("the file's text was shown")
    return (
        outcome(len(who.datasets()) > before and way != "text", shown[:150]) if way != "text" else blocked(shown[:80])
    )

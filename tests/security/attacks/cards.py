"""Markup and formulas in what a model, a project or a prediction brings along: cards, licenses, names, replies."""

import csv
import io
import json
import shutil
from pathlib import Path

from studio.models.starters.install import fetch_starter
from studio.schema.predictions import PredictedRow, PredictionSet
from studio.store.predictions import PredictionStore
from tests.security.attack import Outcome, attack, outcome
from tests.security.attacks.injection import FORMULAS, SCRIPTS, live
from tests.security.stage import Stage, Visitor

MARKUP = [text for text in SCRIPTS if "/" not in text or text.startswith("<script")][:5]
CARDS = [
    "the license of its card",
    "the text of its card",
    "its architecture",
    "its chat template",
    "its folder's name",
]


def model_with(stage: Stage, place: str, text: str) -> Path:
    """The starter model with markup in one place."""
    number = CARDS.index(place) * 100 + MARKUP.index(text)
    name = f"card-{number} {text}".replace("/", "_") if place == "its folder's name" else f"card-{number}"
    folder = stage.folder / name
    shutil.copytree(fetch_starter("starter-chat"), folder, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    match place:
        case "the license of its card":
            (folder / "README.md").write_text(
                f"---\nlicense: {json.dumps(text)}\nbase_model: {json.dumps(text)}\n---\n"
            )
        case "the text of its card":
            (folder / "README.md").write_text(f"---\nlicense: mit\n---\n# {text}\n\n{text}\n")
        case "its architecture":
            (folder / "config.json").write_text(json.dumps({**config, "architectures": [text], "model_type": text}))
        case "its chat template":
            (folder / "chat_template.jinja").write_text(text + "{{ messages[0].content }}")
    return folder


@attack(
    "injection",
    "{0}",
    [
        (f"A model with {text} in {place} brings markup onto the page", place, text)
        for place in CARDS
        for text in MARKUP
    ],
    quick=1,
)
def model_cards(stage: Stage, payload: tuple[str, str, str]) -> Outcome:
    _, place, text = payload
    owner = stage.owner()
    shown = owner.acted("model-body", "task", value="chat")
    shown += owner.acted("model-body", "folder", value=str(model_with(stage, place, text)))
    owner.sample()
    shown += "".join(owner.acted(region, "draw") for region in ("model-body", "data-body", "method-body"))
    shown += owner.acted("data-body", "view", value="tokens")
    found = live(shown)
    return outcome(bool(found) or "Something went wrong" in shown, str(found[:2]) or shown[:100])


@attack("injection", "A project is named {0} and brings markup onto the page", SCRIPTS)
def project_names(stage: Stage, text: str) -> Outcome:
    owner = stage.owner()
    shown = owner.acted("projects", "project-new", value=text, new_title=text) + owner.acted("projects", "draw")
    known = [each for each in _projects(owner) if each.title == text]
    for each in known:
        shown += owner.acted("projects", "project-rename", project=each.id)
        shown += owner.acted("projects", "project-delete", project=each.id) + owner.acted("projects", "draw")
    shown += owner.get("/").text
    found = live(shown)
    return outcome(bool(found) or "Something went wrong" in shown, f"{len(known)} made; {found[:2]}")


def _projects(owner: Visitor) -> list[object]:
    from studio.store import Home
    from studio.store.projects import ProjectStore

    return list(ProjectStore(Home(owner.served.home)).all())


def predicted(who: Visitor, run: str, text: str, name: str = "rows.csv") -> str:
    """Saved predictions with a text, as the model could write it. Their id."""
    record = who.space.runs.get(run)
    store = PredictionStore(who.space.runs.folder(run).predictions)
    saved = PredictionSet(
        id=f"{record.dataset}-v{record.dataset_version}-all",
        run=run,
        dataset=record.dataset,
        version=record.dataset_version,
        name=name,
        total=20,
        done=1,
        step=record.best_step,
        created="2026-11-30T18:00:00+00:00",
        note=text if text in SCRIPTS else "",
    )
    store.delete(saved.id)
    store.keep(saved)
    store.append(saved.id, [PredictedRow(row=1, prediction=text)])
    return saved.id


@attack("injection", "Predictions for a file named {0}, with it as a reply, bring markup onto the page", SCRIPTS)
def predictions(stage: Stage, text: str) -> Outcome:
    who, run = stage.trained
    predicted(who, run, text, f"{text}.csv")
    shown = who.acted("runs-body", "open", run=run)
    shown += who.acted("evaluate-body", "draw", run=run) + who.acted("evaluate-body", "predict-data", value=text)
    found = live(shown)
    return outcome(bool(found) or "Something went wrong" in shown, f"{shown.count('9731')} times; {found[:2]}")


@attack("injection", "A model replies {0}, which a spreadsheet computes in the file with predictions", FORMULAS)
def replies(stage: Stage, text: str) -> Outcome:
    who, run = stage.trained
    id = predicted(who, run, text)
    answer = who.get(f"/studio/predictions/{run}/{id}.csv")
    cells = [cell for line in csv.reader(io.StringIO(answer.text)) for cell in line] if answer.status == 200 else []
    bad = [
        cell for cell in cells if cell.lstrip(" ")[:1] in ("=", "+", "-", "@", "\t", "\r", "\uff1d") and len(cell) > 1
    ]
    return outcome(bool(bad) or not any(text.strip() in cell for cell in cells), f"{answer.status}: {bad or cells[:6]}")

"""S10: paths of the machine in what a visitor can see or take away."""

import io
import sys
import zipfile
from pathlib import Path

from tests.security.attack import Outcome, attack, outcome
from tests.security.stage import Stage, Visitor, wait_for


def places(stage: Stage) -> list[str]:
    """How a path of this machine can be recognized."""
    import studio

    package = Path(next(iter(studio.__path__))).resolve().parent
    return [str(stage.folder), str(Path.home()) + "/", sys.prefix, str(package), "/.cache/"]


def found_in(stage: Stage, text: str) -> list[str]:
    return [text[max(0, text.index(place) - 60) : text.index(place) + 90] for place in places(stage) if place in text]


def members(content: bytes) -> dict[str, str]:
    """Names and texts of the members of a zip, and of zips within it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name).decode("latin-1") for name in archive.namelist()}


def archive_of(who: Visitor, run: str, form: str) -> bytes:
    link = who.post("/studio/ticket", {"run": run, "format": form}).json["link"]
    return who.get(link).body


@attack("S10", "The archive of a run ({0}) holds paths of the machine", ["run", "run-with-rows"], quick=1)
def archive(stage: Stage, form: str) -> Outcome:
    who, run = stage.trained
    content = archive_of(who, run, form)
    bad = {name: found_in(stage, text)[:1] for name, text in members(content).items() if found_in(stage, text)}
    return outcome(bool(bad), str(bad)[:500])


@attack("S10", "The log of a run tells paths of the machine", quick=True)
def log(stage: Stage) -> Outcome:
    who, run = stage.trained
    text = who.get(f"/studio/run/{run}/log").text
    return outcome(bool(found_in(stage, text)), str(found_in(stage, text)[:2]))


@attack("S10", "The log of a run that failed tells paths of the machine")
def log_of_a_failure(stage: Stage) -> Outcome:
    who = stage.visitor()
    who.sample()
    who.start(max_steps="3000", learning_rate="1000000", max_length="64")
    wait_for(lambda: not who.active(), 10)
    run = who.runs()[0].id if who.runs() else "last"
    text = who.get(f"/studio/run/{run}/log").text
    who.stop_runs()
    return outcome(bool(found_in(stage, text)), str(found_in(stage, text)[:2]))


@attack("S10", "An export ({0}) holds paths of the machine", ["adapter", "merged"])
def export(stage: Stage, form: str) -> Outcome:
    who, run = stage.trained
    who.acted("runs-body", "open", run=run)
    who.acted("export-actions", "export", format=form)
    made = wait_for(lambda: who.post("/studio/ticket", {"run": run, "format": form}).status == 200, 60)
    if not made:
        return outcome(False, "it can't be made here")
    bad = {
        name: found_in(stage, text)[:1]
        for name, text in members(archive_of(who, run, form)).items()
        if found_in(stage, text)
    }
    return outcome(bool(bad), str(bad)[:500])


SHOWN = [
    "model-body",
    "data-body",
    "method-body",
    "runs-body",
    "evaluate-body",
    "export-body",
    "train-actions",
    "chat-view",
]


@attack("S10", "The region {0} of the page tells paths of the machine", SHOWN)
def regions(stage: Stage, region: str) -> Outcome:
    who, run = stage.trained
    who.acted("runs-body", "open", run=run)
    text = who.acted(region, "draw") + who.acted(region, "look")
    return outcome(bool(found_in(stage, text)), str(found_in(stage, text)[:2]))


ROUTES = [
    "/",
    "/studio/bar",
    "/studio/run/{run}?after=0",
    "/studio/run/{run}/curve.csv",
    "/studio/run/{run}/report.json",
]


@attack("S10", "{0} tells paths of the machine", ROUTES)
def routes(stage: Stage, path: str) -> Outcome:
    who, run = stage.trained
    text = who.get(path.format(run=run)).body.decode(errors="replace")
    return outcome(bool(found_in(stage, text)), str(found_in(stage, text)[:2]))


ERRORS = [
    ("data-body", "reopen", {"dataset": "nothing"}),
    ("runs-body", "open", {"run": "nothing"}),
    ("model-body", "model", {"value": "nothing"}),
    ("data-body", "file", {"ticket": "nothing"}),
    ("data-body", "paste", {"pasted": "\x00"}),
    ("method-body", "method", {"value": "nothing"}),
    ("runs-body", "file", {"tickets": "nothing"}),
    ("export-actions", "export", {"format": "nothing"}),
]


@attack(
    "S10",
    "The refusal of {0} tells paths of the machine",
    [(f"{region} {act}", region, act, more) for region, act, more in ERRORS],
)
def refusals(stage: Stage, payload: tuple[str, str, str, dict[str, str]]) -> Outcome:
    _, region, act, more = payload
    who = stage.visitor()
    text = who.acted(region, act, **more)
    return outcome(bool(found_in(stage, text)), str(found_in(stage, text)[:2]))

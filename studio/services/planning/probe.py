"""A short probe of a planned run: a few real steps in a process of its own, never beside a run at work."""

import json
import subprocess
import sys

from studio.machine.environment import child_environment
from studio.machine.limits import oom_kills
from studio.machine.paths import without_places
from studio.schema.errors import CODES, StudioError
from studio.schema.models import Measured
from studio.schema.runs import RunSpec
from studio.services.context import Context
from studio.store.demo_rules import require_allowed

MOST_SECONDS = 300


def probe(context: Context, spec: RunSpec) -> Measured:
    """What a few steps took; a refusal when they can't be made now."""
    if context.home.queue.run_at_work():
        raise StudioError(
            "wrong-state",
            "A run is at work on this machine, and a probe beside it would measure neither.",
            hint="Wait for its end, or take the estimate as it is.",
        )
    require_allowed(context.workspace, spec)
    kills = oom_kills()
    command = [sys.executable, "-m", "studio.worker.probe"]
    command += ["--home", str(context.home.root), "--workspace", context.workspace.name]
    try:
        done = subprocess.run(
            command,
            input=spec.model_dump_json(),
            capture_output=True,
            text=True,
            check=False,
            timeout=MOST_SECONDS,
            env=child_environment(context.workspace.is_visitors),
        )
    except subprocess.TimeoutExpired as error:
        raise StudioError(
            "training-failed",
            f"The probe was not done within {MOST_SECONDS // 60} minutes, and was ended.",
            hint="A run with these settings would take very long: choose fewer rows at once, or a smaller model.",
        ) from error
    last = (done.stdout.strip().splitlines() or ["{}"])[-1]
    if done.returncode == 0:
        return Measured.model_validate_json(last)
    said = json.loads(last) if last.startswith("{") else {}
    if said.get("code") in CODES:
        raise StudioError(said["code"], f"The probe could not be done. {said['what']}")
    if oom_kills() > kills:
        raise StudioError(
            "out-of-memory",
            "The system ended the probe, since there was no memory left.",
            hint="Make it fit finds settings that need less.",
        )
    raise StudioError(
        "training-failed",
        "The probe was killed." if done.returncode < 0 else "The probe could not be done.",
        hint=_last_line(done.stderr, context.demo),
    )


def _last_line(text: str, demo: bool) -> str:
    """What a process printed last; for a visitor without the folders of this machine."""
    line = (text.strip().splitlines() or [""])[-1]
    return without_places(line) if demo else line

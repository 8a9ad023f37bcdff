"""Rows that are too long for a model, left out: of a plan, of a run, and as a version; counted by its own tokenizer."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from made_runs import tiny_llama

from studio.api import Studio
from studio.schema.requests import RunRequest
from studio.services.datasets.check_options import CheckOptions
from studio.services.planning import lengths

LONG = (6, 17, 30)
ROWS = [{"question": f"What is {n}?", "answer": f"It is {n}. " * (40 if n in LONG else 1)} for n in range(1, 61)]
LIMIT = 64


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_llama(tmp_path_factory.mktemp("model")).path


def test_rows_that_are_too_long_are_left_out_of_check_plan_run_and_version(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = Studio(tmp_path)
    data = studio.datasets.add_text("\n".join(map(json.dumps, ROWS))).id
    limited = CheckOptions(model=model, max_length=LIMIT)
    told = studio.checks.check(data, None, limited).problems[0]
    assert (told.kind, told.rows) == ("too-long", LONG)
    assert studio.checks.check(data, None, replace(limited, leave_out=["too-long"])).usable == 57
    settings = {"max_length": LIMIT, "max_steps": 1}
    plan = studio.planning.plan(RunRequest(dataset=data, model=model, settings=settings, leave_out=["too-long"]))
    assert plan.usable == 57 and plan.splits.train + plan.splits.validation == 57
    assert studio.planning.plan(RunRequest(dataset=data, model=model, settings=settings)).usable == 60
    run = studio.runs.start(RunRequest(dataset=data, model=model, settings=settings, leave_out=["too-long"]))
    assert studio.runs.spec(run.id).data.rows_left_out == tuple((row, row) for row in LONG)
    kept = studio.checks.fix(data, "too-long", limited)
    assert (kept.version, kept.rows, kept.note) == (2, 57, f"3 rows removed: longer than {LIMIT} tokens.")
    studio.versions.restore(data, 1)
    monkeypatch.setattr(lengths, "MOST_ROWS", 12)
    assert "In a sample of 12 rows, 1 row is" in studio.checks.check(data, None, limited).problems[0].message
    assert studio.checks.check(data, None, replace(limited, whole=True)).problems[0].count == 3
    assert studio.checks.fix(data, "too-long", limited).rows == 57, "all rows are counted for a fix"
    studio.runs.stop(run.id, "discard")
    studio.close()

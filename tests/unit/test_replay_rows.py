"""General rows that are mixed into a run's own: they say in the run's columns what they said in theirs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.schema.config import TrainingConfig
from studio.schema.dataset import SplitSpec
from studio.schema.errors import StudioError
from studio.schema.runs import RunSpec
from studio.services.datasets.service import Datasets
from studio.services.planning.replay_mixing import replay_of
from studio.tasks import task_named
from studio.worker.rows import rows_of_run


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    made = Studio(tmp_path / "home")
    yield made
    made.close()


def brought(studio: Studio, rows: list[dict[str, Any]]) -> str:
    return studio.datasets.add_text("\n".join(map(json.dumps, rows))).id


def talk(*said: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[place % 2], "content": each} for place, each in enumerate(said)]


def test_general_rows_of_a_prompt_and_a_reply_stand_among_conversations_as_conversations(studio: Studio) -> None:
    own = brought(studio, [{"messages": talk(f"own {n}?", f"own {n}.")} for n in range(40)])
    general = brought(studio, [{"prompt": f"general {n}?", "completion": f"general {n}."} for n in range(40)])
    data = Datasets(studio.context)
    spec = data.spec(own)
    replay = replay_of(data, {"replay": 0.2, "replay_from": general}, spec)
    config = TrainingConfig(model="any", task="chat", method="lora", replay=0.2, replay_from=general)
    run = RunSpec(dataset=own, dataset_version=1, data=spec, splits=SplitSpec(), config=config, replay=replay)
    rows = rows_of_run(data.store, run)
    said = [task_named("chat").expected(row, spec.roles) for row in rows.train]
    assert not [row for row in rows.train if task_named("chat").missing(row, spec.roles)]
    assert sum(each.startswith("general") for each in said) == rows.splits["replay"]["rows"] > 5


def test_general_rows_that_share_no_way_of_being_read_are_refused(studio: Studio) -> None:
    own = brought(studio, [{"messages": talk(f"own {n}?", f"own {n}."), "thumb": n % 2} for n in range(40)])
    general = brought(studio, [{"prompt": f"q {n}?", "reply": f"a {n}.", "thumb": n % 2} for n in range(40)])
    data = Datasets(studio.context)
    with pytest.raises(StudioError, match="lack a column that your rows have"):
        replay_of(data, {"replay": 0.2, "replay_from": general}, data.spec(own, "feedback"))

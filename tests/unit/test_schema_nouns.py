"""Events and the other nouns survive a round trip, and refuse what they do not know."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from studio.schema.dataset import CheckReport
from studio.schema.events import EVENT, AnyEvent, StoredEvent
from studio.schema.host import Message
from studio.schema.report import Answer, ChatSettings
from studio.schema.runs import ACTIVE, PHASE_WORDS, RunStatus

JS = Path(__file__).parents[2] / "studio" / "ui" / "js"
EVENTS: list[dict[str, Any]] = [
    {"kind": "step", "step": 1, "loss": 2.5, "learning_rate": 1e-4, "rows_per_second": 5.5, "memory_bytes": 2**31},
    {"kind": "evaluation", "step": 0, "eval_loss": 2.5, "metrics": {"accuracy": 0.5}},
    {"kind": "phase", "phase": "loading", "done": 1, "total": 2, "unit": "files"},
    {"kind": "read", "trainer": "sft", "learned": 34, "held": 6, "cut": 3, "tokens": 900, "cut_tokens": 40},
    {"kind": "held", "step": 4, "rows": ({"row": 2, "loss": 0.7, "said": "bug", "share": 0.6, "right": "praise"},)},
    {"kind": "reply", "step": 0, "prompt": "<b>Grüße</b>", "text": "世界", "who": "base"},
    {"kind": "checkpoint", "step": 4, "name": "checkpoint-4"},
    {"kind": "advice", "step": 4, "title": "It learns", "message": "Both losses fall."},
    {"kind": "state", "status": "finished"},
    {"kind": "error", "code": "out-of-memory", "message": "There was too little memory."},
]


def test_the_examples_are_all_kinds_of_events() -> None:
    union = get_args(AnyEvent)[0]
    assert {each["kind"] for each in EVENTS} == {
        get_args(each.model_fields["kind"].annotation)[0] for each in get_args(union)
    }


@pytest.mark.parametrize("values", EVENTS, ids=[each["kind"] for each in EVENTS])
def test_an_event_comes_back_as_it_went(values: dict[str, Any]) -> None:
    event = EVENT.validate_python(values)
    assert EVENT.validate_json(EVENT.dump_json(event)) == event
    flat = StoredEvent(id=7, time="2026-01-01T00:00:00.000Z", event=event).flat()
    assert flat["id"] == 7
    assert EVENT.validate_python({**values, **{key: flat[key] for key in values}}) == event


def test_an_event_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValidationError):
        EVENT.validate_python({"kind": "party"})


def test_a_loss_that_is_no_number_survives_the_store() -> None:
    event = EVENT.validate_python({**EVENTS[0], "loss": float("nan")})
    again = EVENT.validate_json(event.model_dump_json())
    assert again.loss != again.loss  # type: ignore[union-attr]


def test_the_page_names_the_phases_as_the_command_line_does() -> None:
    script = (JS / "train-words.js").read_text(encoding="utf-8")
    [phases] = re.findall(r"const PHASES = (\[.*\]);", script)
    assert json.loads(phases) == [list(each) for each in PHASE_WORDS.items()]


def test_active_states_are_states() -> None:
    assert ACTIVE < set(get_args(RunStatus))


def test_a_noun_refuses_a_key_that_it_does_not_know() -> None:
    with pytest.raises(ValidationError):
        CheckReport(task="chat", rows=1, usable=1, columns={}, banana=1)  # type: ignore[call-arg]


def test_two_answers_without_labels_do_not_share_a_default() -> None:
    assert Answer().labels == ()
    assert Answer(text="a") != Answer(text="b")


@pytest.mark.parametrize("values", [{"temperature": 3}, {"top_p": 0}, {"max_new_tokens": 0}, {"seed": -1}])
def test_settings_of_a_chat_have_limits(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ChatSettings(**values)


def test_each_model_goes_on_from_what_it_said_itself() -> None:
    turn = Message(role="assistant", content="On its way.", base="I am an AI.")
    assert turn.as_said_by("base") == {"role": "assistant", "content": "I am an AI."}
    assert turn.as_said_by("tuned") == {"role": "assistant", "content": "On its way."}
    assert Message(role="user", content="Hi").as_said_by("base") == {"role": "user", "content": "Hi"}

"""A plan says when the rows are in a language that the model was not trained on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from studio.api import Shared, Studio
from studio.data.languages import usual_language
from studio.models import find_model
from studio.models.starters.install import fetch_starter
from studio.schema.host import RowsRef
from studio.schema.requests import RunRequest
from studio.services.planning.lengths import LengthCache, Measured
from studio.services.planning.row_language import language_note
from studio.store import Home
from studio.ui.components.plan import plan_panel

GERMAN = "Guten Tag, Ihre Bestellung ist seit gestern unterwegs und kommt in {} Werktagen bei Ihnen an."
ENGLISH = "Hello, your order has been on its way since yesterday and will arrive in {} working days."


def add(studio: Studio, prompt: str, reply: str) -> str:
    """A dataset of 40 rows."""
    rows = "\n".join(f'"{prompt.format(number)}","{reply.format(number)}"' for number in range(40))
    return studio.datasets.add_text(f"prompt,reply\n{rows}\n", "rows.csv").id


@pytest.mark.parametrize(
    ("prompt", "reply", "languages", "language"),
    [
        (GERMAN, GERMAN, ("en",), "German"),
        (GERMAN, GERMAN, ("en", "de"), ""),
        (GERMAN, GERMAN, ("multilingual",), ""),
        (GERMAN, GERMAN, (), ""),
        (ENGLISH, ENGLISH, ("en",), ""),
        (ENGLISH, GERMAN, ("en",), ""),
        ("Hi {}", "Ja {}", ("en",), ""),
    ],
    ids=str,
)
def test_rows_in_a_language_that_the_model_does_not_know_are_named(
    tmp_path: Path, prompt: str, reply: str, languages: Sequence[str], language: str
) -> None:
    fetch_starter("starter-chat")
    info = find_model("starter-chat").model_copy(update={"languages": tuple(languages)})
    with Studio(tmp_path / "home") as studio:
        dataset = add(studio, prompt, reply)
        note = language_note(studio.datasets, dataset, info, studio.datasets.spec(dataset, "chat"))
    assert note.startswith(f"Most of your rows are in {language}. ") if language else note == ""


def test_the_plan_of_a_run_has_the_sentence(tmp_path: Path) -> None:
    fetch_starter("starter-chat")
    with Studio(tmp_path / "home") as studio:
        request = RunRequest(dataset=add(studio, GERMAN, GERMAN), model="starter-chat", task="chat")
        sentence = (
            "Most of your rows are in German. SmolLM2 135M was trained on English, so expect more mistakes. "
            "A model for German or for many languages does better."
        )
        plan = studio.planning.plan(request)
        assert plan.language == sentence
        shown = plan_panel(plan, 2)
        assert 'class="note warn"' in shown and f"<p>{sentence}</p>" in shown
        assert studio.planning.language_note(request.dataset or "", "starter-chat", "chat") == sentence


class Keys(LengthCache):
    """Under which keys lengths are kept. Nothing is counted."""

    asked: tuple[Any, ...] = ()

    def get(self, key: tuple, rows: RowsRef, **request: Any) -> Measured:
        self.asked = (*self.asked, key)
        return Measured([1], [12], 0.5)


def test_rows_of_two_projects_with_the_same_id_are_not_mixed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was exported with its rows is imported into another project, and its rows are changed there."""
    fetch_starter("starter-chat")
    info = find_model("starter-chat").model_copy(update={"languages": ("en",)})
    shared = Shared.of(Home(tmp_path / "home"))
    lengths = Keys(shared.host)
    with Studio(tmp_path / "home", shared=replace(shared, lengths=lengths)) as one:
        other = one.visitor(one.projects.create("Other").id)
        dataset = add(one, GERMAN, GERMAN)
        monkeypatch.setattr(other.datasets.store, "new_id", lambda: dataset)
        assert add(other, ENGLISH, ENGLISH) == dataset
        notes = []
        for studio in (one, other):
            spec = studio.datasets.spec(dataset, "chat")
            notes.append(language_note(studio.datasets, dataset, info, spec))
            studio.planning.planner.lengths.of(dataset, info, spec)
    assert notes[0].startswith("Most of your rows are in German. ") and notes[1] == ""
    assert len(set(lengths.asked)) == 2


def test_texts_of_several_languages_have_no_usual_one() -> None:
    texts = [text.format(number) for number in range(12) for text in (GERMAN, ENGLISH)]
    assert usual_language(texts) == ""
    assert usual_language([GERMAN.format(number) for number in range(20)]) == "de"
    assert usual_language([GERMAN.format(1)] * 19) == "", "too few to be sure"

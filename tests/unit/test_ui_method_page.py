"""The Method tab, drawn for a visit: what Start would begin is made ready while a person looks, also at the rows."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from studio.schema.errors import StudioError
from studio.schema.runs import RunSpec
from studio.services.runners.worker_processes import WorkerProcesses
from studio.ui.tabs.data import import_data, rows
from studio.ui.tabs.data import tab as data_tab
from studio.ui.tabs.data.stale_guard import of_this_dataset
from studio.ui.tabs.method import prompts
from studio.ui.tabs.method import tab as method_tab
from studio.ui.tabs.method.plan import prepare_early
from studio.ui.visitors.session import Visit

Visiting = Callable[..., Visit]
ROWS = "question,answer\n" + "".join(f"Where is number {n}?,Under the blue stone {n}.\n" for n in range(30))
LABELED = "text,label\n" + "".join(f"A message with number {n},{'ab'[n % 2]}\n" for n in range(60))


class Notes(WorkerProcesses):
    """A runner that only remembers what it was asked to make ready."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.asked: list[RunSpec] = []

    def prepare(self) -> None:
        pass

    def prepare_run(self, workspace: str, spec: RunSpec, run: str) -> None:
        self.asked.append(spec)

    def start(self, workspace: str, run: str, log: Path) -> None:
        pytest.fail("nothing was to be started")


@pytest.fixture
def notes(visit: Visiting, monkeypatch: pytest.MonkeyPatch) -> Notes:
    studio = visit().studio
    made = Notes(studio.home.root)
    monkeypatch.setattr(studio.runs, "processes", made)
    monkeypatch.setattr(studio, "shared", replace(studio.shared, processes=made))
    visit().choose(task="chat", model="starter-chat")
    import_data.open_dataset(visit(), visit().studio.datasets.add_text(ROWS))
    return made


@pytest.mark.slow
def test_what_start_would_begin_is_made_ready_once_the_plan_is_there_with_the_prompts_of_the_page(
    visit: Visiting, notes: Notes
) -> None:
    method_tab.drawn(visit())
    assert notes.asked == [], "the rows are still being counted"
    method_tab.compute_plan(visit())
    method_tab.drawn(visit())
    (asked,) = notes.asked
    assert asked.config.test_prompts == ("Where is number 0?", "Where is number 1?", "Where is number 2?")
    method_tab.set_value(visit(name="learning_rate", value="0.001"))
    method_tab.drawn(visit())
    assert notes.asked[-1].config.learning_rate == 0.001


def test_while_rows_are_looked_at_the_run_is_made_ready_and_step_3_has_nothing_to_work_out(
    visit: Visiting, notes: Notes
) -> None:
    assert 'data-act="measure"' in str(rows.drawn(visit())[0]), "tokens are counted first"
    data_tab.measure(visit())
    assert re.search(r'data-poll="3000" data-act="foresee"', str(rows.drawn(visit())[0]))
    prepare_early(visit())
    assert [asked.config.test_prompts[0] for asked in notes.asked] == ["Where is number 0?"]
    assert "data-poll" not in str(rows.drawn(visit())[0])
    assert 'data-act="estimate"' not in str(method_tab.drawn(visit())[0])
    assert len({each.model_dump_json() for each in notes.asked}) == 1, "so that it is made ready once"


def test_rows_that_can_not_be_trained_on_are_not_made_ready(visit: Visiting, notes: Notes) -> None:
    import_data.open_dataset(visit(), visit().studio.datasets.add_text("question,answer\nWhere?,Here.\n"))
    data_tab.measure(visit())
    assert "foresee" not in str(rows.drawn(visit())[0])


def test_rows_that_another_tab_has_deleted_lead_to_the_data_tab(visit: Visiting, notes: Notes) -> None:
    visit().studio.datasets.delete(visit().choices.dataset)
    body, bar = method_tab.drawn(visit())
    assert "First add data in the Data tab." in body and 'data-goto="data"' in bar and not notes.asked


def test_start_is_refused_where_the_page_shows_other_rows_than_those_that_are_chosen_by_now(
    visit: Visiting, notes: Notes, tmp_path: Path
) -> None:
    method_tab.compute_plan(visit())
    about = re.search('data-about="([^"]*)"', method_tab.drawn(visit())[1])
    assert about and about[1].startswith(visit().choices.dataset)
    import_data.open_dataset(visit(), visit().studio.datasets.add_text(ROWS.replace("stone", "tree")))
    with pytest.raises(StudioError, match="Another dataset was opened after this page was drawn"):
        of_this_dataset(method_tab.start)(visit(about=about[1]))
    assert not visit().studio.runs.all()


def test_what_can_not_be_started_is_not_made_ready(visit: Visiting, notes: Notes) -> None:
    method_tab.compute_plan(visit())
    method_tab.set_value(visit(name="learning_rate", value="much"))
    method_tab.drawn(visit())
    method_tab.reset(visit(name="learning_rate"))
    visit().choose(settings={"gradient_checkpointing": True}, method="prefix-tuning")
    method_tab.drawn(visit())
    assert notes.asked == []


def test_what_a_plan_refuses_stands_at_the_fields_that_were_set_by_hand(visit: Visiting, notes: Notes) -> None:
    visit().choose(settings={"max_length": 100_000, "batch_size": 5000})
    method_tab.compute_plan(visit())
    body, _ = method_tab.drawn(visit())
    for name, words in {"max_length": "exceeds the model", "batch_size": "5"}.items():
        at_field = re.search(rf'id="e-{name}"[^>]*>(.*?)<', str(body))
        assert at_field and words in at_field[1], name
    assert "to correct" in str(body)


@pytest.mark.parametrize("name", ["model", "task", "method", "name", "preset", "test_prompts", "nonsense", ""])
def test_only_settings_for_people_can_be_set_and_the_model_is_none(visit: Visiting, notes: Notes, name: str) -> None:
    with pytest.raises(StudioError) as refused:
        method_tab.set_value(visit(name=name, value="/etc"))
    assert refused.value.code == "unknown-setting" and visit().choices.settings == {}
    method_tab.set_value(visit(name="epochs", value="2"))
    assert visit().choices.settings == {"epochs": 2.0}


@pytest.mark.parametrize(
    ("task", "model", "suggested"), [("chat", "starter-chat", "lora"), ("classification", "starter-classify", "full")]
)
def test_the_method_of_the_presets_is_the_one_that_is_suggested_and_no_card_says_to_choose_another_first(
    visit: Visiting, notes: Notes, task: str, model: str, suggested: str
) -> None:
    visit().choose(task=task, model=model, method="")
    if task == "classification":
        import_data.open_dataset(visit(), visit().studio.datasets.add_text(LABELED))
    method_tab.compute_plan(visit())
    page = str(method_tab.drawn(visit())[0])
    cards = re.findall(r'<label class="card.*?</label>', page, re.DOTALL)
    methods = {found[1]: card for card in cards if (found := re.search(r'name="method" value="([\w-]+)"', card))}
    assert [name for name, card in methods.items() if "Suggested for this model" in card] == [suggested]
    assert "checked" in methods[suggested]
    assert not any("first, " in card or "it first" in card for card in methods.values())


def test_the_test_prompts_differ_from_each_other(visit: Visiting, notes: Notes) -> None:
    unlike = "Can I pay by card?,Yes.\nWhich colors does the chair have?,Red.\n"
    import_data.open_dataset(visit(), visit().studio.datasets.add_text(ROWS + unlike))
    asked = prompts.of(visit())
    assert asked == ("Where is number 0?", "Can I pay by card?", "Which colors does the chair have?")


@pytest.mark.parametrize(
    ("task", "model", "table", "method"),
    [("classification", "starter-classify", LABELED, "full"), ("chat", "starter-chat", ROWS, "lora")],
)
def test_the_suggested_method_is_chosen_before_the_plan_is_there(
    visit: Visiting, task: str, model: str, table: str, method: str
) -> None:
    visit().choose(task=task, model=model)
    import_data.open_dataset(visit(), visit().studio.datasets.add_text(table))
    drawn = str(method_tab.drawn(visit()))
    assert "Counting tokens" in drawn, "there is no plan yet"
    checked = re.findall(r'<input[^>]*name="method"[^>]*checked[^>]*>', drawn)
    assert len(checked) == 1 and f'value="{method}"' in checked[0]

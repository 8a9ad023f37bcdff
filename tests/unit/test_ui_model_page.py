"""The Model tab, drawn for a visit: tasks that are greyed, models of the Hub, and what is kept without a network."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from studio.models.downloads.hub_cache import HUB_CACHE
from studio.schema.errors import StudioError
from studio.ui.tabs.data import import_data
from studio.ui.tabs.model import onboarding
from studio.ui.tabs.model import tab as model_tab
from studio.ui.visitors.session import Visit
from tests.hubserver import HubServer, tiny_repo

Visiting = Callable[..., Visit]
ASKED = "prompt,reply\n" + "".join(f"Where is number {n}?,Under the blue stone {n}.\n" for n in range(20))
SORTED = "text,label\n" + "".join(f"This is text number {n}.,{'ab'[n % 2]}\n" for n in range(20))


@pytest.fixture(autouse=True)
def nothing_said_before() -> None:
    HUB_CACHE.forget()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with HubServer() as server:
        server.stand_in(monkeypatch, tmp_path / "cache")
        yield server


def page(visit: Visiting) -> str:
    parts = model_tab.Components(*("body", "actions"))  # type: ignore[arg-type]
    return "".join(map(str, model_tab._models(visit(), parts).values()))


def greyed(visit: Visiting) -> dict[str, str]:
    return {task.name: task.unavailable_reason for task in import_data.tasks_here(visit()) if task.unavailable_reason}


def test_the_models_limit_and_the_length_behind_the_memory_of_the_list_are_told_apart(visit: Visiting) -> None:
    visit().choose(task="classification", model="starter-classify")
    drawn = page(visit)
    assert "<small>LoRA, rows of 512 tokens</small>" in drawn
    assert "512 tokens are the model’s limit (context length)." in drawn
    assert "The memory in the list is for rows of 512 tokens." in drawn and "what your longest row needs" in drawn


# --- tasks ---


def test_tasks_that_the_rows_can_not_serve_are_greyed_with_the_reason(visit: Visiting) -> None:
    visit().choose(task="chat", model="starter-chat")
    import_data.open_dataset(visit(), visit().studio.datasets.add_text(ASKED))
    off = greyed(visit)
    assert set(off) == {"question-answering", "preference", "feedback"}
    assert "passage" in off["question-answering"] and "prompt and reply" in off["question-answering"]
    drawn = page(visit)
    assert 'value="feedback" data-act="task" disabled' in drawn and off["feedback"] in drawn.replace("&#39;", "'")
    with pytest.raises(StudioError) as refused:
        model_tab.pick_task(visit(value="feedback"))
    assert refused.value.code == "wrong-model" and visit().choices.task == "chat"


def test_what_can_be_labelled_or_mapped_by_hand_is_not_greyed(visit: Visiting) -> None:
    visit().choose(task="chat", model="starter-chat")
    for text, free in (
        (
            "text\n" + "".join(f"This is text number {n}.\n" for n in range(20)),
            {"chat", "classification", "completion"},
        ),
        (SORTED, {"classification", "completion", "chat"}),
        ("a,b,c\n" + "".join(f"One {n},two {n},three {n}\n" for n in range(20)), {"preference", "question-answering"}),
    ):
        import_data.open_dataset(visit(), visit().studio.datasets.add_text(text))
        assert not free & set(greyed(visit)), greyed(visit)


def test_before_rows_are_there_a_starter_greys_no_task_and_gives_way(visit: Visiting) -> None:
    visit().choose(task="chat", model="starter-chat")
    assert not greyed(visit)
    model_tab.pick_task(visit(value="classification"))
    assert visit().choices.model == "starter-classify"


def test_a_model_that_a_person_brought_stays_and_greys_what_it_can_not_do(hub: HubServer, visit: Visiting) -> None:
    hub.add(tiny_repo())
    config = b'{"architectures": ["BertModel"], "model_type": "bert"}'
    hub.add(tiny_repo("someone/reader", files={"config.json": config}, pipeline="fill-mask"))
    visit().choose(task="chat", model="starter-chat")
    model_tab.pick_model(visit(value="someone/tiny"))
    model_tab.pick_task(visit(value="classification"))
    assert (visit().choices.task, visit().choices.model) == ("classification", "someone/tiny")
    model_tab.pick_model(visit(value="someone/reader"))
    assert {"chat", "completion"} <= set(greyed(visit))
    for act in (
        lambda: model_tab.pick_task(visit(value="chat")),
        lambda: import_data.choose_task(visit(), "chat"),
        lambda: onboarding.use_sample(visit(name="support-tone")),
    ):
        with pytest.raises(StudioError, match="reads a text"):
            act()
    assert (visit().choices.task, visit().choices.model) == ("classification", "someone/reader")
    assert not visit().studio.datasets.all(), "refused before anything was done"


# --- the Hub ---


def test_a_page_that_is_drawn_again_asks_the_hub_once(hub: HubServer, visit: Visiting) -> None:
    hub.add(tiny_repo())
    visit().choose(task="chat", model="starter-chat")
    model_tab.search_models(visit(value="tiny"))
    model_tab.pick_model(visit(value="someone/tiny"))
    model_tab.search_models(visit(value="elsewhere"))
    for _ in range(5):
        assert "someone/tiny" in page(visit)
    assert len(hub.asked("/api/models/someone/tiny")) == 1
    assert len([path for _, path, _ in hub.seen if path == "/api/models"]) == 1


def test_a_name_that_the_hub_does_not_know_is_asked_for_once(hub: HubServer, visit: Visiting) -> None:
    visit().choose(task="chat", model="starter-chat")
    model_tab.search_models(visit(value="someone/no-such-model"))
    for _ in range(3):
        assert "No other model has" in page(visit)
    assert len(hub.asked("/api/models/someone/no-such-model")) == 1


def test_a_private_model_is_found_by_its_whole_name(hub: HubServer, visit: Visiting) -> None:
    hub.add(tiny_repo("company/closed-one"))
    visit().choose(task="chat", model="starter-chat")
    model_tab.search_models(visit(value="company/closed-one"))
    hub.hidden = True
    assert 'value="company/closed-one"' in page(visit)


def test_a_chosen_model_of_the_hub_is_kept_while_there_is_no_network(hub: HubServer, visit: Visiting) -> None:
    hub.add(tiny_repo())
    visit().choose(task="chat", model="starter-chat")
    model_tab.pick_model(visit(value="someone/tiny"))
    HUB_CACHE.forget()
    hub.busy = True
    drawn = page(visit)
    assert visit().choices.model == "someone/tiny"
    assert "responded with error 503" in drawn and "someone/tiny stays selected" in drawn
    asked = len(hub.seen)
    began = time.monotonic()
    page(visit)
    assert len(hub.seen) == asked and time.monotonic() - began < 2, "no answer is remembered for a moment too"
    hub.busy = False
    HUB_CACHE.forget()
    assert "Size to download" in page(visit)


def test_a_model_that_is_gone_is_dropped_and_it_is_said(hub: HubServer, visit: Visiting) -> None:
    visit().choose(task="chat", model="someone/gone")
    assert "The Hub has no model with this name" in page(visit) and visit().choices.model == ""


def test_a_wrong_token_can_be_taken_back_where_it_hurts(hub: HubServer, visit: Visiting) -> None:
    hub.add(tiny_repo())
    hub.token = "hf_" + "a" * 30
    visit().studio.models.set_hub_token("hf_" + "b" * 30)
    visit().choose(task="chat", model="someone/tiny")
    drawn = page(visit)
    assert "rejects your token" in drawn and 'data-act="forget-token"' in drawn and visit().choices.model
    model_tab.forget_token(visit())
    assert "Size to download" in page(visit)


def test_what_is_searched_for_here_does_not_meddle_with_the_datasets_of_the_hub(
    hub: HubServer, visit: Visiting
) -> None:
    from studio.ui.tabs.data import import_options

    visit().choose(task="chat", model="starter-chat")
    visit().remember(hub={"name": "someone/moods"})
    model_tab.search_models(visit(value="tiny"))
    assert page(visit) and import_options.hub_choices(visit()) == {"name": "someone/moods"}


def test_a_model_is_shown_with_what_it_can_do_before_it_is_here(hub: HubServer, visit: Visiting) -> None:
    hub.add(tiny_repo(downloads=4321))
    visit().choose(task="chat", model="starter-chat")
    model_tab.pick_model(visit(value="someone/tiny"))
    drawn = page(visit)
    for words in ("Chat template", "Included", "Can do", "Classify text", "512 tokens", "Apache 2.0", "4,321 a month"):
        assert words in drawn, words

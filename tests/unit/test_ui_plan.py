"""What the Method tab says of a plan, a fit and a search; whatever is shown of a person's words is escaped."""

from collections.abc import Callable

from studio.api import Studio
from studio.schema.config import Plan, TrainingConfig
from studio.schema.dataset import SplitCounts
from studio.schema.models import Estimate
from studio.schema.search import SearchSpec, SearchView, Trial
from studio.schema.views import PlanView
from studio.ui.components.plan import fitted_panel, plan_panel
from studio.ui.components.settings import SettingsView, choices_of, settings_panel
from studio.ui.tabs.method import search
from studio.ui.visitors.session import Visit


def view(**changes: object) -> PlanView:
    values = {
        "fits": True,
        "memory_bytes": 2**30,
        "available_bytes": 2**32,
        "seconds": 90.0,
        "steps": 40,
        "epochs": 3,
        "effective_batch_size": 4,
        "trainable_parameters": 100,
        "total_parameters": 10_000,
        **changes,
    }
    return PlanView(
        plan=Plan(config=TrainingConfig(task="chat", model="m"), because=()),
        estimate=Estimate(**values),  # type: ignore[arg-type]
        splits=SplitCounts(train=85, validation=15, test=0),
        usable=100,
    )


def test_an_estimate_can_be_measured_and_then_says_that_it_was() -> None:
    assert 'data-act="probe"' in plan_panel(view(), 2)
    measured = plan_panel(view(probed=True), 2)
    assert "measured with a few real steps" in measured and 'data-act="probe"' not in measured


def test_the_memory_of_a_run_says_for_which_length_it_is() -> None:
    shown = plan_panel(view(), 2)
    assert "<dt>Maximum length</dt><dd>512 tokens</dd>" in shown
    assert "For rows of up to 512 tokens, the maximum length of this run." in shown


def test_what_was_changed_to_fit_is_told_and_nothing_when_nothing_was() -> None:
    assert fitted_panel([]) == ""
    told = fitted_panel(["Batch size 2 instead of 4", "<script>"])
    assert "Changed to fit the memory" in told and "Batch size 2 instead" in told and "<script>" not in told


def test_the_table_of_trials_marks_the_preset_and_the_best() -> None:
    spec = SearchSpec(id="s", name="n", dataset="d", model="m", first={"learning_rate": 1e-4, "lora_rank": 8})
    trials = (
        Trial(number=0, state="finished", value=2.0, settings={"learning_rate": 1e-4, "lora_rank": 8}),
        Trial(number=1, state="finished", value=1.5, settings={"learning_rate": 3e-4, "lora_rank": 16}),
        Trial(number=2, state="pruned", settings={"learning_rate": 9e-2, "lora_rank": 4}),
    )
    shown = search._table(SearchView(spec=spec, status="finished", trials=trials, best=1))
    rows = shown.split("<tr")[2:]
    assert "preset" in rows[0] and "best so far" in rows[1] and "1.5000" in rows[1]
    assert "stopped early" in rows[2]
    assert "0.0003" in rows[1] and "lora rank" in shown


def test_a_search_that_has_ended_is_shown_with_its_own_rows_task_and_model_only(visit: Callable[..., Visit]) -> None:
    store = visit().studio.search.store
    assert not store.trials_file("s").exists()
    store.add(SearchSpec(id="s", name="n", dataset="d", task="chat", model="m", first={"learning_rate": 1e-4}))
    store.stop("s")
    visit().remember(search="s")
    for other in ({"dataset": "e"}, {"task": "completion"}, {"model": "n"}, {}):
        visit().choose(**{"dataset": "d", "task": "chat", "model": "m", **other})
        assert ('aria-label="Trials"' in search.panel(visit())) is not bool(other), other


def test_each_optimizer_says_when_to_pick_it_where_it_is_chosen(studio: Studio) -> None:
    said = studio.catalog.value_help()["optimizer"]
    assert list(said) == list(choices_of("optimizer")) and all("Choose it " in words for words in said.values())
    made = settings_panel(
        SettingsView(TrainingConfig(task="chat", model="m"), value_help={"optimizer": {"sgd": "Slow & <plain>."}})
    )
    assert '<option value="sgd">sgd · Slow &amp; &lt;plain&gt;.</option>' in made
    assert '<option value="lion">lion</option>' in made


def test_a_value_that_is_not_on_offer_here_is_greyed_and_says_why() -> None:
    config = TrainingConfig(task="chat", model="m")
    made = settings_panel(SettingsView(config, off={"optimizer": {"paged-adamw": "There is <no> GPU."}}))
    assert '<option value="paged-adamw" disabled>' in made and '<option value="lion">' in made
    assert "<span>Not available here:</span> <span>There is &lt;no&gt; GPU.</span>" in made
    assert "Not available" not in settings_panel(SettingsView(config))
    off = {"zero": dict.fromkeys("123", "It is not installed."), "offload": {"nvme": "Install libaio-dev."}}
    made = settings_panel(SettingsView(config, off=off))
    assert made.count("It is not installed.") == 1, "a reason that several have is told once"
    assert '<option value="nvme" disabled>' in made and "<span>Install libaio-dev.</span>" in made


def test_each_value_that_is_off_is_one_of_the_setting_and_says_why(studio: Studio) -> None:
    for name, off in studio.catalog.unavailable_values().items():
        assert set(off) <= set(choices_of(name) or ("True",)) and all(off.values()), "a box can be ticked or not"


def test_many_reasons_why_values_are_unavailable_are_folded_and_two_are_not() -> None:
    config = TrainingConfig(task="chat", model="m")
    reasons = {f"value-{n}": f"Reason {n}." for n in range(3)}
    made = settings_panel(SettingsView(config, off={"optimizer": reasons}))
    folded = made[made.index('data-key="off-optimizer"') :].partition("</details>")[0]
    assert "3 values are not available here" in folded and all(each in folded for each in reasons.values())
    two = dict(list(reasons.items())[:2])
    assert "off-optimizer" not in settings_panel(SettingsView(config, off={"optimizer": two}))

"""The coach on a run that really overfits, and what is shown while it learns: table, hardest rows, chart, title."""

import csv
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from studio.api import Studio
from studio.data.samples import sample_path
from studio.schema.events import Action, AdviceEvent, HeldEvent, HeldRow, PhaseEvent, ReadEvent, ReplyEvent
from studio.schema.requests import RunRequest
from tests.browser.axe_faults import axe_faults_of_both_schemes
from tests.browser.conftest import opened_pages, settled
from tests.browser.made import PROMPTS, STEPS, Made
from tests.browser.served import Served
from tests.real.made_runs import tiny_llama

OVERFIT = {
    "epochs": 1000,
    "eval_steps": 20,
    "learning_rate": 1e-2,
    "early_stopping_patience": 0,
    "batch_size": 2,
    "max_length": 64,
    "scheduler": "constant",
    "watch_share": 0.05,
    "precision": "float32",
}
"""Of a tiny model that is trained whole: its validation loss is lowest at step 20, and the run is far from its end."""


def picture(chart: Locator) -> str:
    """A chart as it is drawn, without the marker."""
    return str(chart.locator("canvas").evaluate("canvas => canvas.toDataURL()"))


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One studio for all of these."""
    served = Served(tmp_path_factory.mktemp("coach") / "home")
    yield served
    served.stop()


@pytest.fixture
def look(browser: Browser, studio: Served) -> Iterator[Any]:
    """Opens a run's page."""
    with opened_pages(browser, studio) as open_page:

        def at(run: str, tab: str = "4 Train", **options: Any) -> Page:
            page = open_page(f"/?run={run}", **options)
            page.get_by_role("tab", name=tab, exact=True).click()
            return page

        yield at


@pytest.fixture
def mine(studio: Served) -> Iterator[Studio]:
    """The same home as the page's, and nothing at work in it afterwards."""
    opened = Studio(studio.home)
    yield opened
    for run in opened.runs.all():
        if run.status in ("queued", "starting", "training"):
            opened.runs.stop(run.id, "discard")
    opened.close()


def csv_of(first: int, count: int) -> str:
    rows = list(csv.reader(io.StringIO(sample_path("support-tone").read_text(encoding="utf-8"))))
    out = io.StringIO()
    csv.writer(out).writerows([rows[0], *rows[first : first + count]])
    return out.getvalue()


@pytest.mark.timeout(600)
def test_a_run_that_really_overfits_is_told_so_and_the_buttons_do_what_they_say(
    mine: Studio, look: Any, tmp_path: Path
) -> None:
    data, held = mine.datasets.add_text(csv_of(1, 8), "few.csv"), mine.datasets.add_text(csv_of(200, 6), "held.csv")
    request = RunRequest(
        dataset=data.id,
        model=str(tiny_llama(tmp_path / "tiny").path),
        method="full",
        settings=OVERFIT,
        validation=held.id,
        prompts=["Where is my parcel?"],
    )
    run = mine.runs.start(request)
    page = look(run.id)
    coach = page.locator("[data-part=side]")
    expect(coach).to_contain_text("Overfitting", timeout=240_000)
    expect(coach).to_contain_text("Validation loss has risen since step")
    expect(coach).to_contain_text("memorizes the training rows")
    expect(page.locator("[data-part=marks]")).to_contain_text("coach")
    told = mine.coach.advice(run.id)
    assert [each.rule for each in told] == ["overfitting"]
    coach.get_by_role("button", name="Stop and keep step").click()
    expect(page.get_by_role("button", name="Chat with both")).to_be_visible(timeout=120_000)
    ended = mine.runs.get(run.id)
    assert ended.status == "stopped" and ended.has_result
    assert ended.best_step is not None and ended.best_step < told[0].step
    expect(coach.get_by_role("button", name="Stop and keep")).to_have_count(0)
    replies = page.locator("[data-part=replies]")
    page.get_by_text("Table", exact=True).click()
    assert replies.locator("tbody tr").count() >= 2, "the base, and at least one check"
    coach.get_by_role("button", name="Run again with").click()
    expect(page.get_by_role("heading", name="few 2")).to_be_visible()
    again = mine.runs.get("last")
    passes = mine.runs.spec(again.id).config.epochs
    assert again.id != run.id and passes < OVERFIT["epochs"]
    assert passes == told[0].actions[1].changes["epochs"]
    mine.runs.stop(again.id, "discard")


def test_what_the_coach_takes_back_is_gone_and_a_lost_run_keeps_its_advice(look: Any, studio: Served) -> None:
    run = Made(studio.home, "coached", at=100)
    rate = Action(kind="repeat", label="Run again at half the rate (0.0001)", changes={"learning_rate": 1e-4})
    run.say(
        AdviceEvent(step=60, title="Learning by heart", message="It rose.", rule="overfitting"),
        AdviceEvent(
            step=90,
            title="The learning rate is too high <b>",
            message="It jumped.",
            actions=(rate,),
            why="Each overshoots.",
            action="Go slower.",
            rule="rate-too-high",
            severity="error",
        ),
    )
    page = look(run.id)
    coach = page.locator("[data-part=side]")
    expect(coach.locator(".state.error")).to_have_text("The learning rate is too high <b>")
    expect(coach).to_contain_text("Each overshoots. Go slower.")
    other = coach.locator("details[data-rule=overfitting]")
    other.locator("summary").click()
    run.go_to(103)
    page.wait_for_timeout(2500)
    expect(other.get_by_text("It rose.")).to_be_visible()
    run.say(AdviceEvent(step=100, title="Validation loss falls again", message="", rule="overfitting", severity="ok"))
    expect(other).to_have_count(0)
    expect(coach).to_contain_text("Validation loss falls again")
    run.space.runs.set_status(run.id, "failed", reason="The loss stopped being a number.")
    expect(coach.get_by_role("button", name="Run again at half the rate")).to_be_visible()
    expect(coach).to_contain_text("What you can do")


def test_the_summary_is_gone_while_the_run_trains_again_and_its_step_once_it_is_done(look: Any, studio: Served) -> None:
    run = Made(studio.home, "summed up", at=100)
    evaluate = Action(kind="open", label="Evaluate", tab="evaluate")
    text = {"title": "Training has ended", "message": "It fell.", "action": "Next: evaluate it."}
    run.say(AdviceEvent(step=100, rule="summary", severity="info", actions=(evaluate,), **text))
    run.space.runs.set_status(run.id, "stopped")
    page = look(run.id)
    coach = page.locator("[data-part=side]")
    run.space.runs.update(run.id, phase="loading")
    run.space.runs.set_status(run.id, "starting")
    expect(coach).to_contain_text("Training continues after step 100")
    expect(coach).not_to_contain_text("Training has ended")
    run.finish()  # with a report
    expect(coach).to_contain_text("Training has ended")
    expect(coach).not_to_contain_text("Next: evaluate it.")
    expect(coach.get_by_role("button", name="Evaluate")).to_have_count(0)
    run.space.runs.folder(run.id).report.unlink()
    page.reload()
    expect(coach.get_by_role("button", name="Evaluate")).to_be_visible()


def test_answers_stand_in_a_table_over_steps(look: Any, studio: Served) -> None:
    run = Made(studio.home, "watched", at=90)
    for at, text in ((30, "Thanks."), (60, "Thanks."), (90, "Thanks for asking. <b>It left</b>")):
        run.say(*(ReplyEvent(step=at, prompt=each, text=text, who="tuned", tokens=3) for each in PROMPTS))
    page = look(run.id)
    replies = page.locator("[data-part=replies]")
    expect(replies).to_contain_text("Step 90")
    expect(page.locator("[data-part=answered]")).to_contain_text("replies at steps 0, 30, 60, 90")
    page.get_by_text("Table", exact=True).click()
    rows = replies.locator("tbody tr")
    assert rows.locator("th").all_text_contents() == ["Before training", "Step 30", "Step 60", "Step 90 · best"]
    expect(rows.nth(2)).to_contain_text("unchanged")
    expect(rows.nth(3)).to_contain_text("<b>It left</b>")
    run.finish()


def test_a_classifiers_hardest_rows_are_shown_with_their_course(look: Any, studio: Served) -> None:
    run = Made(studio.home, "labels", at=60, task="classification")
    texts = [f"Row {number} <i>is here</i>" for number in range(1, 9)]

    def held(at: int, share: float) -> HeldEvent:
        rows = [
            HeldRow(
                row=n,
                loss=n * (1 - share),
                said="praise" if n > 6 else "bug",
                share=0.7,
                right="bug" if not at else "",
                right_share=share,
                text=texts[n - 1] if not at else "",
            )
            for n in range(1, 9)
        ]
        return HeldEvent(step=at, rows=tuple(rows))

    run.say(held(0, 0.3), held(30, 0.5), held(60, 0.8))
    page = look(run.id)
    table = page.locator("[data-part=hardrows]")
    expect(table.locator("tbody tr")).to_have_count(5)
    first = table.locator("tbody tr").first
    expect(first).to_contain_text("Row 8 <i>is here</i>")
    expect(first).to_contain_text("praise")
    heads = table.locator("thead th").all_text_contents()
    assert heads == ["Row", "True label", "Predicted now", "before", "step 30", "step 60", "Loss now"]
    assert first.locator("td").all_text_contents()[1:4] == ["bug", "✕ praisewrong", "30%"]
    expect(table.locator("tbody tr").nth(4).locator("td.wrong")).to_have_count(0)  # row 4: its label is right
    run.finish()


def test_the_chart_is_read_by_time_smoothed_and_taken_away(look: Any, studio: Served) -> None:
    run = Made(studio.home, "charted", at=100)
    time.sleep(0.4)  # a worker was lost, and another one went on
    run.say(PhaseEvent(phase="training", steps=STEPS))
    time.sleep(0.4)
    run.go_to(210)
    run.say(ReadEvent(trainer="sft", learned=416, held=40))
    run.say(AdviceEvent(step=150, title="Learning by heart", message="It rose.", rule="overfitting"))
    run.finish()
    page = look(run.id)
    page.wait_for_function("studio.live.data && studio.live.data.steps.length === 210")
    chart, tip = page.locator("[data-part=loss] .chart"), page.locator("[data-part=loss] .tipbox")
    marks = page.locator("[data-part=marks]")
    for words in ("best step", "end of an epoch", "checkpoint (7)", "coach", "resumed"):
        expect(marks).to_contain_text(words)
    kinds = chart.evaluate("box => box.chart.data.marks.map((mark) => mark.kind)")
    assert kinds.count("epoch") == 2
    assert kinds.count("resume") == 1
    chart.focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    expect(tip).to_contain_text("coach: Learning by heart")
    page.keyboard.press("Escape")
    smooth = picture(chart)
    page.get_by_label("Smoothing").fill("90")
    page.wait_for_timeout(150)
    assert picture(chart) != smooth
    page.get_by_label("By time").check()
    page.wait_for_timeout(150)
    assert chart.evaluate("box => box.chart.texts[0]") == "0 s"
    with page.expect_download() as taken:
        page.get_by_role("button", name="PNG", exact=True).click()
    assert Path(taken.value.path()).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert Path(taken.value.path()).stat().st_size > 5000
    with page.expect_download() as taken:
        page.get_by_role("button", name="CSV", exact=True).click()
    rows = list(csv.DictReader(io.StringIO(Path(taken.value.path()).read_text())))
    assert len(rows) == 211 and rows[120]["validation_loss"] and rows[150]["coach"] == "Learning by heart"
    page.locator("[data-part=fold] summary").click()
    for words in ("Tokens per second", "CPU, share of all cores", "Gradient norm"):
        expect(page.locator("[data-part=more]").get_by_text(words)).to_be_visible()


def test_the_title_says_that_a_run_has_ended_until_the_person_is_back(look: Any, studio: Served) -> None:
    run = Made(studio.home, "soon over", at=50)
    page = look(run.id, permissions=["notifications"])
    page.evaluate("""() => {
        window.came = [];
        const Real = window.Notification;
        window.Notification = class extends Real {
            constructor(title, more) { super(title, more); window.came.push(title); }
        };
    }""")
    button = page.locator("[data-part=notify]")
    expect(button).to_have_text("Notify me when it ends")
    button.click()
    expect(button).to_have_text("You will be notified")
    expect(button).to_have_attribute("aria-pressed", "true")
    assert page.title() == "Train · Fine-tune Studio"
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => window.away ?? true, configurable: true })")
    run.finish()
    page.wait_for_function("document.title.startsWith('✓ soon over is finished')", timeout=30_000)
    assert page.evaluate("window.came") == ["soon over is finished"]
    page.evaluate("window.away = false")
    page.mouse.click(600, 20)
    page.wait_for_function("document.title === 'Train · Fine-tune Studio'")


def test_the_coach_leads_to_the_rows_of_its_run_also_after_new_run(look: Any, studio: Served, mine: Studio) -> None:
    run, rows = Made(studio.home, "coached", at=60), mine.datasets.add_text(csv_of(0, 9), "rows of the run.csv")
    spec = run.space.runs.spec(run.id)
    own = {"dataset": rows.id, "data": mine.datasets.spec(rows.id)}
    run.space.runs.replace_spec(run.id, spec.model_copy(update=own))
    look_at = Action(kind="open", label="Look at the rows", tab="data")
    run.say(AdviceEvent(rule="too-good", severity="warn", step=60, title="Too good", message="", actions=(look_at,)))
    run.finish()
    page = look(run.id)
    page.get_by_role("button", name="New run", exact=True).click()
    page.get_by_role("tab", name="2 Data", exact=True).click()
    expect(page.get_by_text("Drop files here")).to_be_visible()
    page.get_by_role("tab", name="4 Train", exact=True).click()
    page.get_by_role("button", name="Look at the rows").click()
    expect(page.get_by_text("Dataset of the run “coached”, version 1")).to_be_visible()


def test_a_notification_leads_to_the_run_that_has_ended(look: Any, studio: Served) -> None:
    run, other = Made(studio.home, "in the header", at=50), Made(studio.home, "open here", at=20)
    other.finish()
    page = look(other.id, permissions=["notifications"])
    expect(page.locator(".runbar")).to_contain_text("in the header")
    page.evaluate("""() => {
        localStorage.setItem("studio-notify", "yes");
        const Real = window.Notification;
        window.Notification = class extends Real {
            constructor(title, more) { super(title, more); window.came = this; }
        };
        Object.defineProperty(document, 'hidden', { get: () => window.away ?? true, configurable: true });
    }""")
    run.finish()
    page.wait_for_function("window.came", timeout=30_000)
    page.evaluate("window.away = false; window.came.onclick()")
    expect(page.locator("[data-part=name]")).to_have_text("in the header")


def test_blocked_notifications_say_how_to_allow_them_in_this_browser(look: Any, studio: Served) -> None:
    run = Made(studio.home, "blocked", at=50)
    page = look(run.id)
    page.evaluate("() => { Object.defineProperty(Notification, 'permission', { get: () => 'denied' }); }")
    run.go_to(60)
    button = page.locator("[data-part=notify]")
    expect(button).to_have_text("Notifications are blocked. How to allow them")
    button.click()
    steps = page.get_by_role("status").filter(has_text="Notifications are blocked.")
    expect(steps).to_contain_text("In Chrome, click the icon left of the address.")
    expect(steps).to_contain_text("reload the page")
    run.finish()


def test_several_runs_stand_on_one_chart_with_what_they_differ_in(look: Any, studio: Served) -> None:
    one, other = Made(studio.home, "first one", at=90), Made(studio.home, "second <b>", at=120)
    one.finish()
    other.finish()
    page = look(one.id, tab="Runs")
    page.locator("details[data-key=compare] summary").click()
    for name in ("first one", "second <b>"):
        page.get_by_label(f"Select {name}", exact=True).check()
    chart = page.get_by_role("img", name="Runs compared")
    expect(chart.locator("canvas")).to_be_visible()
    page.wait_for_timeout(300)
    assert chart.evaluate("box => box.chart.data.series.length") == 2
    before = picture(chart)
    page.get_by_label("Curve", exact=True).select_option("train")
    page.wait_for_timeout(300)
    assert picture(chart) != before
    table = page.get_by_role("region", name="Differences")
    expect(table).to_contain_text("Best loss")
    expect(table).to_contain_text("second <b>")


def test_axe_finds_nothing_in_light_and_dark_and_a_phone_scrolls_nothing_sideways(look: Any, studio: Served) -> None:
    run = Made(studio.home, "all of it", at=210)
    rate = Action(kind="repeat", label="Run again at half the rate (0.0001)", changes={"learning_rate": 1e-4})
    run.say(
        AdviceEvent(
            step=90,
            title="The learning rate is too high",
            message="It jumped.",
            why="Each overshoots.",
            action="Go slower.",
            rule="rate-too-high",
            severity="error",
            actions=(rate,),
        ),
        AdviceEvent(step=120, title="Learning by heart", message="It rose.", rule="overfitting"),
    )
    rows = tuple(
        HeldRow(row=n, loss=n / 9, said="bug", share=0.7, right="praise", right_share=0.3, text="It is " * 30)
        for n in range(1, 9)
    )
    run.say(HeldEvent(step=0, rows=rows), *(HeldEvent(step=at, rows=rows) for at in (30, 60, 90)))
    run.finish()
    page = look(run.id)
    page.get_by_text("Table", exact=True).click()
    page.locator("[data-part=fold] summary").click()
    settled(page)
    assert not axe_faults_of_both_schemes(page, without=())
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(400)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

"""Nothing is clipped, overlaps or is out of reach on any tab, from a phone to a wide screen, with long real content."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from studio.api import Studio
from studio.schema.dataset import DatasetSpec
from studio.schema.events import HeldEvent, HeldRow, PhaseEvent, ReplyEvent
from studio.schema.report import Baseline, BaselineMetric, JudgedRow
from studio.schema.runs import RunSpec
from tests.browser.conftest import opened_pages
from tests.browser.layout_faults import FAULTS, layout_faults
from tests.browser.made import REPORT, Made
from tests.browser.served import Served

TABS = ("1 Model", "2 Data", "3 Method", "4 Train", "5 Evaluate", "6 Chat", "7 Export", "Runs")
VIEWS = {"Label": "Labels so far", "Data augmentation": "Synthetic rows", "Versions": "Versions"}
"""Views of the Data tab that need no model, with a heading of each."""
SEVEN = (
    "delivery",
    "billing and invoices",
    "technical_support_request",
    "cancellation of a subscription",
    "feedback",
    "Lebensversicherungsgesellschaftsangestellte",
    "other",
)
MANY = (
    "why_was_my_transfer_declined_although_the_balance_was_sufficient",
    *(f"{('card', 'transfer', 'top_up')[number % 3]}_not_arriving_{number}" for number in range(76)),
)
LONG = (
    "Please summarize the following conversation between a customer and an agent of the support team. Keep every name, "
    "number and date, and mention what was promised. https://example.org/a/very/long/address/without/any/spaces/"
    "that/cannot/be/broken/0123456789abcdef0123456789abcdef "
)
ROLES = {"text": "text", "label": "label"}
PARTS = ("[data-part=base-pane]", "[data-part=tuned-pane]")


def _labeled(name: str, home: Path, labels: tuple[str, ...]) -> Made:
    """A finished run on a dataset with these labels, with a report and answers."""
    rows = "\n".join(f'"{LONG if n % 9 == 0 else "A short text"} {n}",{labels[n % len(labels)]}' for n in range(154))
    with Studio(home) as studio:
        dataset = studio.datasets.add_text(f"text,label\n{rows}\n", f"{name}.csv").id
    run = Made(home, name, task="classification")
    for step in (0, 30, 60):
        told = {"right": labels[0], "right_share": 0.2, "text": LONG} if not step else {"right_share": 0.3}
        held = (HeldRow(row=n + 1, loss=2.0 - n / 10, said=labels[n], share=0.4, **told) for n in range(5))
        run.say(HeldEvent(step=step, rows=tuple(held)))
    run.go_to(120)
    spec, data = run.space.runs.spec(run.id), DatasetSpec(task="classification", roles=ROLES, label_names=labels)
    own = {"dataset": dataset, "dataset_version": 1, "data": data.model_dump()}
    run.space.runs.replace_spec(run.id, RunSpec.model_validate({**spec.model_dump(), **own}))
    run.finish()
    run.space.runs.describe(run.id, {"model": {"name": "starter-classify"}})
    judged = tuple(
        JudgedRow(row=n, text=LONG, expected=labels[n], base=labels[-1], tuned=labels[n + 1], score=0.5)
        for n in range(5)
    )
    value = BaselineMetric(value=0.8, low=0.7, high=0.9, gain_low=-0.01, gain_high=0.1)
    baselines = (
        Baseline(name="majority", title="Majority class", detail="", answer=labels[0], metrics={"accuracy": value}),
        Baseline(name="neighbors", title="Nearest neighbors", detail="Of others.", metrics={"accuracy": value}),
    )
    confusion = {
        one: {
            other: 9 if one == other else (at + n) % 4
            for n, other in enumerate(labels)
            if (at + n) % 5 < 2 or one == other
        }
        for at, one in enumerate(labels)
    }
    update = {
        "confusion": confusion,
        "per_label": {label: {"precision": 0.9, "recall": 0.8, "f1": 0.85, "rows": 13} for label in labels},
        "best_rows": judged,
        "worst_rows": judged,
        "confused_rows": judged,
        "baselines": baselines,
        "outcome": "unclear",
        "rows_needed": 60,
        "also_in_training": 24,
        "chose_checkpoint": True,
    }
    run.space.runs.folder(run.id).report.write_text(REPORT.model_copy(update=update).model_dump_json())
    return run


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("screens") / "home"


@pytest.fixture(scope="module")
def runs(home: Path) -> dict[str, Made]:
    """Runs with 7 and 77 labels, and a chat with long prompts and replies."""
    made = {
        "seven": _labeled("mood of the comments in the survey of last autumn, second try", home, SEVEN),
        "many": _labeled("banking", home, MANY),
        "chat": Made(home, "support-tone-with-a-rather-long-name-that-never-ends-2026-11-30", at=150),
    }
    for who, step in (("base", 0), ("tuned", 120)):
        for prompt in (LONG * 2, "Short."):
            made["chat"].say(ReplyEvent(step=step, prompt=prompt, text=LONG * 3, who=who, tokens=400))
    made["chat"].finish()
    return made


@pytest.fixture(scope="module")
def studio(home: Path, runs: dict[str, Made]) -> Iterator[Served]:
    served = Served(home)
    yield served
    served.stop()


@pytest.fixture
def look(browser: Browser, studio: Served) -> Iterator[Callable[..., Page]]:
    """Opens the page for a run."""
    with opened_pages(browser, studio) as open_page:
        yield lambda run, width=1280: open_page(f"/?run={run.id}", viewport={"width": width, "height": 900})


def tab(page: Page, name: str) -> None:
    """Open a tab, and wait until nothing is asked of the server any more."""
    page.locator("#steps .tab-container:not(.visually-hidden) button[role=tab]").nth(TABS.index(name)).click()
    page.wait_for_timeout(150)
    page.wait_for_function("!document.querySelector('[data-busy]')")


@pytest.mark.parametrize("kind", ["seven", "many", "chat"])
def test_nothing_is_clipped_or_overlaps_on_any_tab(look: Callable[..., Page], runs: dict[str, Made], kind: str) -> None:
    page, found = look(runs[kind]), []
    for name in TABS:
        tab(page, name)
        expect(page.locator("h1:visible").first).to_be_visible()
        if name == "3 Method":
            page.evaluate("for (const each of document.querySelectorAll('details.fold')) each.open = true")
        found += layout_faults(page, name)
    assert not found, "\n".join(found)


def test_nothing_is_clipped_or_overlaps_in_the_views_of_the_data_and_in_a_new_run(
    look: Callable[..., Page], runs: dict[str, Made]
) -> None:
    page, found = look(runs["many"]), []
    tab(page, "2 Data")
    for name, heading in VIEWS.items():
        page.get_by_text(name, exact=True).locator("visible=true").first.click()
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
        found += layout_faults(page, name)
    page.get_by_role("button", name="All datasets").first.click()
    expect(page.locator(".library")).to_be_visible()
    found += layout_faults(page, "All datasets")
    page.get_by_role("button", name="New run").first.click()
    expect(page.get_by_role("heading", name="What should your model do?")).to_be_visible()
    found += layout_faults(page, "1 Model of a new run")
    tab(page, "2 Data")
    needs = page.get_by_role("region", name="What a model needs")
    for words in ("Chat", "Where is my refund?", "Classify text", "negative"):
        expect(needs.get_by_text(words, exact=True)).to_be_visible()
    found += layout_faults(page, "2 Data of a new run")
    assert not found, "\n".join(found)


def test_nothing_is_clipped_or_overlaps_while_a_run_trains_and_is_saved(look: Callable[..., Page], home: Path) -> None:
    """The header has its state, its name and the time that is left; the phases say what the run does."""
    run = Made(home, "support-tone-with-a-rather-long-name-that-never-ends-2026-12-01", at=47)
    try:
        page, found = look(run), []
        for phase in ("training", "saving"):
            message = "Answering your test prompts with the fine-tuned model, 1 of 3 (token 21 of 64)"
            run.space.runs.update(run.id, phase=phase)
            run.say(PhaseEvent(phase=phase, message=message, done=1, total=3, unit="prompts"))
            tab(page, "4 Train")
            expect(page.locator("[data-part=phases], [data-part=left]").get_by_text(message).first).to_be_visible()
            expect(page.locator(".runbar .state")).to_have_text("Training")
            found += layout_faults(page, phase)
        tab(page, "1 Model")
        found += layout_faults(page, "1 Model")
        assert not found, "\n".join(found)
    finally:
        run.space.runs.set_status(run.id, "stopped")


def test_tabs_keep_their_names_and_numbers_and_a_tick_means_done(
    look: Callable[..., Page], runs: dict[str, Made]
) -> None:
    page = look(runs["seven"], 390)
    tabs = page.locator("#steps .tab-container:not(.visually-hidden) button[role=tab]")
    for name in TABS:
        tab(page, name)
    for each, name in zip(tabs.all(), TABS, strict=True):
        box, size = each.bounding_box(), each.evaluate("e => parseFloat(getComputedStyle(e).fontSize)")
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390 and size >= 11, (name, box, size)
        assert each.inner_text().split() == name.split()
        number = each.locator("i.n")
        if number.count():
            assert number.evaluate("e => getComputedStyle(e).color !== 'rgba(0, 0, 0, 0)' && !e.style.mask")
    done = page.get_by_role("tab", name="5 Evaluate", exact=True)
    expect(done).to_have_attribute("title", "Done")
    expect(done).to_have_accessible_description("Done")
    expect(done.locator("i.tick")).to_be_visible()
    for name in ("6 Chat", "7 Export", "Runs"):  # opened, and nothing was done there
        expect(page.get_by_role("tab", name=name, exact=True).locator("i.tick")).to_be_hidden()


def test_a_run_has_its_state_its_score_and_open_on_a_phone(look: Callable[..., Page], runs: dict[str, Made]) -> None:
    page = look(runs["seven"], 390)
    tab(page, "Runs")
    table = page.get_by_role("region", name="Runs, scrolls sideways")
    assert table.evaluate("e => e.scrollWidth === e.clientWidth")
    shown = [*page.get_by_role("button", name="Open ").all(), *table.get_by_text("Finished").all()]
    for each in [*shown, *table.locator("td:nth-child(6)").all()]:
        box = each.bounding_box()
        assert box and box["x"] >= 16 and box["x"] + box["width"] <= 374, box
    page.get_by_role("button", name="Open banking").click()
    expect(page.get_by_role("tab", name="4 Train", exact=True)).to_have_attribute("aria-selected", "true")


def test_both_panes_of_the_chat_are_on_a_phone_s_screen(look: Callable[..., Page], runs: dict[str, Made]) -> None:
    page = look(runs["chat"], 390)
    tab(page, "6 Chat")
    page.locator(PARTS[-1]).wait_for()
    base, tuned = (page.locator(f"{part}").bounding_box() for part in PARTS)
    assert base and tuned and base["y"] + base["height"] <= tuned["y"]
    for box in (base, tuned):
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390


class Slow:
    """Answers of the chat's route as this test wants them: a stream that is open until it is let go."""

    script = r"""() => {
      const ask = window.fetch, text = new TextEncoder();
      window.asked = [];
      const answer = (options) => {
        let stream;
        const body = new ReadableStream({ start(controller) { stream = controller; } });
        const end = (error) => { try { if (error) stream.error(error); else stream.close(); } catch { /* closed */ } };
        options.signal.addEventListener("abort", () => end(new DOMException("stopped", "AbortError")));
        const prompt = JSON.parse(options.body).messages.at(-1).content;
        window.asked.push({ prompt, end, say: (piece) => stream.enqueue(text.encode(`${JSON.stringify(piece)}\n`)) });
        return new Response(body);
      };
      window.fetch = async (address, options) => {
        if (String(address).endsWith("/warm")) return new Response("{}");
        return String(address).endsWith("/chat") ? answer(options) : ask(address, options);
      };
    }"""

    def __init__(self, page: Page) -> None:
        self.page = page
        page.evaluate(self.script)

    def say(self, **piece: Any) -> None:
        self.page.evaluate("piece => asked.at(-1).say(piece)", piece)

    def end(self) -> None:
        self.page.evaluate("asked.at(-1).end()")

    @property
    def prompts(self) -> list[str]:
        return self.page.evaluate("asked.map((each) => each.prompt)")


def test_a_slow_pane_does_not_block_the_other(look: Callable[..., Page], runs: dict[str, Made]) -> None:
    page = look(runs["chat"])
    tab(page, "6 Chat")
    slow, box, why = Slow(page), page.get_by_role("textbox", name="Your prompt"), page.locator("[data-part=why]")
    stop, send = page.get_by_role("button", name="Stop", exact=True), page.locator("[data-part=send]")
    base, tuned = (page.locator(part) for part in PARTS)
    for prompt in ("first", "second", "third"):
        box.fill(prompt)
        box.press("Enter")
        if prompt == "first":
            slow.say(
                who="tuned",
                text="A fast reply",
                done=True,
                answer={"text": "A fast reply", "tokens": 3, "seconds": 0.5},
            )
            slow.say(who="base", text="A slow", done=False)
            expect(tuned).to_contain_text("3 tokens · 0.5 s")
            expect(why).to_have_text("The base model is still writing.")
            expect(tuned).to_have_attribute("aria-busy", "false")
            expect(base).to_have_attribute("aria-busy", "true")
            expect(stop).to_be_in_viewport()
    assert slow.prompts == ["first"]
    expect(why).to_contain_text("One prompt is waiting already")
    expect(box).to_have_value("third")
    expect(tuned.locator(".waits")).to_contain_text("second")
    slow.say(who="base", text="A slow reply", done=True, answer={"text": "A slow reply", "tokens": 3, "seconds": 9})
    slow.end()
    expect(tuned.locator(".msg.u").last).to_have_text("second")
    assert slow.prompts == ["first", "second"]
    expect(page.get_by_role("tab", name="6 Chat", exact=True).locator("i.tick")).to_be_visible()
    expect(send).to_have_text("Send next")
    box.press("Enter")
    expect(box).to_have_value("")
    stop.click()
    expect(stop).to_be_hidden()
    expect(box).to_have_value("third")
    assert slow.prompts == ["first", "second"]
    expect(tuned.locator(".msg.a").last).to_contain_text("stopped")


@pytest.mark.parametrize("width", [390, 1280])
def test_a_classifier_is_tried_on_a_text_and_lists_all_labels(
    look: Callable[..., Page], runs: dict[str, Made], width: int
) -> None:
    page = look(runs["many"], width)
    tab(page, "4 Train")
    page.get_by_role("button", name="Try it on a text").click()
    expect(page.get_by_role("heading", name="Try it on a text", level=1)).to_be_visible()
    slow, box = Slow(page), page.get_by_role("textbox", name="Your text")
    box.fill("Where is my card?")
    page.get_by_role("button", name="Try it", exact=True).click()
    answer = {"text": MANY[0], "labels": [{"label": label, "probability": 1 / 77} for label in MANY]}
    for who in ("base", "tuned"):
        slow.say(who=who, text=MANY[0], done=True, answer=answer)
    slow.end()
    for part in PARTS:
        bars = page.locator(f"{part} .probability")
        expect(bars).to_have_count(77)
        expect(bars.first).to_be_in_viewport()
        left = bars.locator(".track").evaluate_all(
            "all => all.map((each) => Math.round(each.getBoundingClientRect().left))"
        )
        assert len(set(left)) == 1
    assert not (faults := page.evaluate(FAULTS)), faults


def test_the_footer_ends_with_a_link(look: Callable[..., Page], runs: dict[str, Made]) -> None:
    page = look(runs["chat"])
    expect(page.locator("footer")).to_contain_text("API")
    assert not page.locator("footer").inner_text().strip().endswith("·")

"""Nothing is clipped, overlaps or is out of reach on any tab, from a phone to a wide screen, with long real content."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from studio.api import Studio
from studio.schema.dataset import DatasetSpec
from studio.schema.events import ReplyEvent
from studio.schema.report import JudgedRow
from studio.schema.runs import RunSpec
from tests.browser.conftest import opened_pages
from tests.browser.made import REPORT, Made
from tests.browser.served import Served

WIDTHS = (390, 768, 1280, 1366, 1920)
TABS = ("1 Model", "2 Data", "3 Method", "4 Train", "5 Evaluate", "6 Chat", "7 Export", "Runs")
VISITED = {"seven": TABS, "many": ("2 Data", "5 Evaluate", "6 Chat"), "chat": ("4 Train", "5 Evaluate", "6 Chat")}
"""Tabs that look different for these runs."""
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

FAULTS = r"""async () => {
  for (const _ of [1, 2, 3]) await new Promise(requestAnimationFrame);
  const faults = new Set(), width = document.documentElement.clientWidth;
  const name = (e) => `${e.tagName.toLowerCase()}.${(e.getAttribute("class") || "").trim().replaceAll(" ", ".")}`;
  const place = (e) => [e.parentElement?.parentElement, e.parentElement, e].filter(Boolean).map(name).join(" > ");
  const shown = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true })
    && !e.closest(".sr, .visually-hidden, footer, [aria-hidden=true].hidden, select, option, .u-hz, .tipbox");
  const clips = (style, axis) => ["hidden", "clip"].includes(style[`overflow${axis}`]);
  /** The edges that the ancestors leave of an element, without those that can be scrolled. */
  const cut = (e, box) => {
    let left = false, top = false;
    for (let up = e; up && up !== document.body; up = up.parentElement) {
      const style = getComputedStyle(up), edge = up.getBoundingClientRect();
      if (/(auto|scroll)/.test(style.overflowX)) left = true;
      if (/(auto|scroll)/.test(style.overflowY)) top = true;
      if (style.textOverflow === "ellipsis" && up !== e.closest("svg")) return "";
      const across = box.left < edge.left - 1 || box.right > edge.right + 1;
      const down = box.top < edge.top - 1 || box.bottom > edge.bottom + 1;
      if ((!left && clips(style, "X") && across) || (!top && clips(style, "Y") && down)) return `cut by ${name(up)}`;
      if (style.position === "fixed") return "";
    }
    return !left && (box.left < -1 || box.right > width + 1) ? "off the screen" : "";
  };
  /** What is left of a box where its ancestors scroll or clip it, or nothing. */
  const within = (e, { left, top, right, bottom }) => {
    for (let up = e; up && up !== document.body; up = up.parentElement) {
      const style = getComputedStyle(up), edge = up.getBoundingClientRect();
      if (style.overflowX !== "visible") { left = Math.max(left, edge.left); right = Math.min(right, edge.right); }
      if (style.overflowY !== "visible") { top = Math.max(top, edge.top); bottom = Math.min(bottom, edge.bottom); }
    }
    return right - left > 1 && bottom - top > 1 ? { left, top, right, bottom } : null;
  };
  const over = document.documentElement.scrollWidth - width;
  if (over > 0) faults.add(`${over} px too wide`);
  for (const icon of document.querySelectorAll("svg.i")) {
    if (!shown(icon)) continue;
    const box = icon.getBoundingClientRect(), why = box.width < 12 || box.height < 12 ? "squeezed" : cut(icon, box);
    if (why) faults.add(`icon ${why}: ${place(icon)}`);
  }
  const texts = [], range = document.createRange();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, e = node.parentElement;
    if (!node.data.trim() || e.closest("script, style") || !shown(e)) continue;
    range.selectNodeContents(node);
    const boxes = [...range.getClientRects()].filter((box) => box.width > 1 && box.height > 1);
    for (const box of boxes) {
      const why = cut(e, box);
      if (why) { faults.add(`text ${why}: ${place(e)} "${node.data.trim().slice(0, 40)}"`); break; }
    }
    const button = e.closest("button, .btn, .tag, .seg label"), edge = button?.getBoundingClientRect();
    const shortened = [e, button || e].some((each) => getComputedStyle(each).textOverflow === "ellipsis");
    const leaves = (box) => box.left < edge.left - 1 || box.right > edge.right + 1
      || box.top < edge.top - 2 || box.bottom > edge.bottom + 2;
    const words = node.data.trim().slice(0, 40);
    if (button && !shortened && boxes.some(leaves)) faults.add(`text leaves its button: ${place(e)} "${words}"`);
    for (const box of boxes) {
      const seen = within(e, box);
      if (seen) texts.push({ box: seen, e, words });
    }
  }
  /* Texts on texts, except where one of them is scrolled under something that stays. */
  const stays = (e) => {
    const style = e && getComputedStyle(e);
    return !e || ["sticky", "fixed"].includes(style.position) ? e : stays(e.parentElement);
  };
  const visible = ({ e, box }) => {
    const at = document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
    return !at || at === e || e.contains(at) || at.contains(e);
  };
  for (const text of texts) text.stays = stays(text.e);
  texts.sort((one, other) => one.box.top - other.box.top);
  texts.forEach((one, at) => {
    for (let next = at + 1; next < texts.length && texts[next].box.top < one.box.bottom - 3; next += 1) {
      const other = texts[next];
      if (one.stays !== other.stays || one.e === other.e) continue;
      const across = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
      const down = Math.min(one.box.bottom, other.box.bottom) - other.box.top;
      if (across <= 3 || down <= 4 || !(visible(one) || visible(other))) continue;
      faults.add(`text on text: ${place(one.e)} "${one.words}" and ${place(other.e)} "${other.words}"`);
    }
  });
  /* Words on lines of a drawing, except on the grid. */
  for (const text of document.querySelectorAll("svg text, .chart-box span, .lengths span")) {
    if (!shown(text)) continue;
    const box = text.getBoundingClientRect(), drawing = text.closest("figure, .chart-box, .lengths, svg");
    for (const line of drawing.querySelectorAll("svg line:not(.grid), svg .lim, .limit")) {
      const edge = line.getBoundingClientRect();
      if (line.contains(text) || !shown(line)) continue;
      const across = edge.left < box.right - 2 && edge.right > box.left + 2;
      const down = edge.top < box.bottom - 2 && edge.bottom > box.top + 2;
      if (across && down) faults.add(`label on a line: ${place(text)} "${text.textContent.slice(0, 30)}"`);
    }
  }
  for (const table of document.querySelectorAll(".scroll-x, .wide-chart")) {
    const scrolls = table.checkVisibility() && table.scrollWidth > table.clientWidth + 1;
    const shaded = getComputedStyle(table).backgroundImage !== "none";
    if (scrolls && !shaded) faults.add(`no sign that it scrolls: ${place(table)}`);
  }
  return [...faults];
}"""
"""What is clipped, squeezed, on top of something else or out of reach on the page as it is shown."""


def _labeled(name: str, home: Path, labels: tuple[str, ...]) -> Made:
    """A finished run on a dataset with these labels, with a report and answers."""
    rows = "\n".join(f'"{LONG if n % 9 == 0 else "A short text"} {n}",{labels[n % len(labels)]}' for n in range(154))
    with Studio(home) as studio:
        dataset = studio.datasets.add_text(f"text,label\n{rows}\n", f"{name}.csv").id
    run = Made(home, name, at=120, task="classification")
    spec, data = run.space.runs.spec(run.id), DatasetSpec(task="classification", roles=ROLES, label_names=labels)
    own = {"dataset": dataset, "dataset_version": 1, "data": data.model_dump()}
    run.space.runs.replace_spec(run.id, RunSpec.model_validate({**spec.model_dump(), **own}))
    run.finish()
    run.space.runs.describe(run.id, {"model": {"name": "starter-classify"}})
    judged = tuple(
        JudgedRow(row=n, text=LONG, expected=labels[n], base=labels[-1], tuned=labels[n + 1], score=0.5)
        for n in range(5)
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
    page, found = look(runs[kind]), {}
    for name in VISITED[kind]:
        tab(page, name)
        expect(page.locator("h1:visible").first).to_be_visible()
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            if faults := page.evaluate(FAULTS):
                found[f"{name}, {width} px"] = faults
    assert not found, "\n".join(f"{place}\n  " + "\n  ".join(faults) for place, faults in found.items())


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


def test_open_stays_in_reach_beside_a_table_that_scrolls(look: Callable[..., Page], runs: dict[str, Made]) -> None:
    page = look(runs["seven"], 390)
    tab(page, "Runs")
    table = page.get_by_role("region", name="Runs, scrolls sideways")
    assert table.evaluate("e => e.scrollWidth > e.clientWidth")
    for scrolled in (0, 10_000):
        table.evaluate("(e, to) => { e.scrollLeft = to; }", scrolled)
        for each in page.get_by_role("button", name="Open ").all():
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

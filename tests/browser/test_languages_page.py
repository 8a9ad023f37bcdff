"""The page in other languages: every text is translated, content of the user is not, and right to left works.

The languages en-XA (each translated text is inside ⟦⟧) and ar-XB (right to left) are made for tests.
"""

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from studio.schema.report import JudgedRow
from studio.ui.languages import languages
from tests.browser.axe_faults import axe_faults
from tests.browser.conftest import opened_pages, ready
from tests.browser.made import REPORT, Made
from tests.browser.served import Served

TABS = ("model", "data", "method", "train", "evaluate", "chat", "export", "runs")
VIEWS = ("rows", "tokens", "label", "more", "versions")
"""Views of the Data tab."""
DATASET, RUN, TEXT, LABEL = "Danish", "Polish", "Kazakh", "Swedish"
"""Names that are words of the catalog, and that the page shows nowhere else."""
LABELS = ("Finnish", "Czech", "Greek")
CELLS = ("Model", "Data", "Yes", "negative", "3 rows", "12,000", "Latin")
TEXT_OF_RUN = "Croatian"

TRANSLATED = {
    "Cancel": "⟦Cancel⟧",
    "  · Cancel ,": "  · ⟦Cancel⟧ ,",
    "Delete Model": "⟦Delete Model⟧",
    "3 rows": "⟦3 rows⟧",
    "learning rate 0.0002": "⟦Learning rate⟧ 0.0002",
    "12,000": "12,000",
    "1.4 GB": "⟦1.4 GB⟧",
    "No such text": "No such text",
    "Most frequent label · majority class:": "⟦Most frequent label · majority class⟧:",
    "DoRA, LoRA with embeddings, Last layers, IA³": "DoRA, ⟦LoRA with embeddings⟧, ⟦Last layers⟧, IA³",
    "Chat · nothing to download": "⟦Chat⟧ · ⟦nothing to download⟧",
    "Chat · nothing to see": "⟦Chat⟧ · nothing to see",
    "20 rows · 15 min ago": "⟦20 rows⟧ · ⟦15 min ago⟧",
    "today 14:53, took 1 min 36 s (estimated 1–3 min)": "⟦today 14:53, ⟦took ⟦1 min 36 s⟧ (estimated ⟦1–3 min⟧)⟧⟧",
    "Macro F1 1.00": "⟦Macro F1⟧ 1.00",
    "at most 1,024.": "⟦at most 1,024⟧.",
    "It needs: text and summary. None of your columns (a) fits.": (
        "⟦It needs: ⟦⟦Text⟧ and ⟦summary⟧⟧. None of your columns (a) fits.⟧"
    ),
    "It needs: a model and a file. It fits.": "It needs: a model and a file. It fits.",
    "Most similar label": "Most similar label",
    "The model moves its weights and the rows": "The model moves its weights and the rows",
    "The checkpoint with the lowest value becomes the result. The next validation is at step 90.": (
        "⟦The checkpoint with the lowest value becomes the result.⟧ ⟦The next validation is at step 90.⟧"
    ),
    "This machine: 2 cores · no GPU. Small models train well here. Your rows stay on this machine.": (
        "⟦This machine: ⟦2 cores⟧ · ⟦no GPU⟧. Small models train well here. ⟦Your rows stay on this machine.⟧⟧"
    ),
    "Kundenmails and the rows": "Kundenmails and the rows",
}
"""Texts, and what the script makes of them: a name of the user stays, and so does what is in no catalog.

A sentence of which a part has no translation stays English as a whole.
"""
SAME = "GGUF ONNX OpenVINO LoRA QLoRA DoRA rsLoRA IA³ PNG CSV JSON utf-8 float32"
"""Names that are the same in every language."""

UNTRANSLATED = r"""(same) => {
  const found = new Set(), letters = /\p{L}{2}/u, names = new RegExp(same.split(" ").join("|"), "g");
  const ATTRIBUTES = ["title", "aria-label", "placeholder"];
  const bare = (text) => {
    for (let before = ""; before !== text; ) { before = text; text = text.replace(/⟦[^⟦⟧]*⟧/g, ""); }
    return text.replace(names, "");
  };
  const note = (element, what, text) => {
    if (letters.test(bare(text))) found.add(`${element.outerHTML.slice(0, 60)} ${what}: ${text.trim().slice(0, 140)}`);
  };
  const hidden = (element) => !element.checkVisibility() || element.closest(".visually-hidden, footer");
  const content = (element) => element.matches("script, style, code, pre, textarea")
    || (element.translate === false && !element.querySelector("[translate=yes]"));
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, (node) => {
    return node.nodeType === 1 && content(node) ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT;
  });
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.nodeType === 3 ? node.parentElement : node;
    if (element.translate === false || hidden(element)) continue;
    if (node.nodeType === 3) note(element, "text", node.data);
    else for (const name of ATTRIBUTES) note(element, name, element.getAttribute(name) || "");
  }
  return [...found];
}"""
"""Visible texts that are neither translated nor marked as content."""
CHANGED = r"""(words) => words.flatMap((word) => {
  const html = document.documentElement.outerHTML, at = html.indexOf(`⟦${word}⟧`);
  return at < 0 ? [] : [html.slice(at - 80, at + 40)];
})"""
SIDEWAYS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def studio(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A studio with labeled rows, and a run that has finished, all named by words of the catalog."""
    folder = tmp_path_factory.mktemp("languages")
    run = Made(folder / "home", RUN, at=120, task="classification")
    run.finish()
    run.space.runs.describe(run.id, {"model": {"name": "starter-classify"}})
    one, other, _ = LABELS
    row = JudgedRow(row=7, text=TEXT_OF_RUN, expected=one, base=other, tuned=one, score=0.5)
    confusion = {expected: {predicted: 3 for predicted in LABELS} for expected in LABELS}
    scores = {label: {"precision": 0.9, "recall": 0.8, "f1": 0.85, "rows": 13} for label in LABELS}
    update = {
        "verdict": "",
        "note": "",
        "best_rows": (row,),
        "worst_rows": (row,),
        "confusion": confusion,
        "per_label": scores,
    }
    run.space.runs.folder(run.id).report.write_text(REPORT.model_copy(update=update).model_dump_json())
    texts = [*CELLS, *(f"This is text number {n}." for n in range(40))]
    lines = [f'"{text}",{LABELS[n % 3] if n < 30 else ""}' for n, text in enumerate(texts)]
    path = folder / f"{DATASET}.csv"
    path.write_text(f"{TEXT},{LABEL}\n" + "\n".join(lines), encoding="utf-8")
    served = Served(folder / "home", environment={"STUDIO_PSEUDO_LANGUAGES": "1"})
    try:
        with opened_pages(browser, served) as open_page:
            page = open_page()
            page.get_by_role("radio", name="Classify text").first.check()
            page.get_by_role("button", name="Next: data").click()
            page.get_by_label("Choose a file").set_input_files(path)
            page.get_by_role("radio", name="Label", exact=True).check()
            expect(page.locator(".labelcard")).to_be_visible()
        yield served
    finally:
        served.stop()


@pytest.fixture
def look(browser: Browser, studio: Served) -> Iterator[Callable[..., Page]]:
    """Opens the page in a language."""
    with opened_pages(browser, studio) as open_page:

        def at(language: str = "", width: int = 1280, **options: Any) -> Page:
            chosen = f"localStorage.setItem('studio-language', {json.dumps(language)})"
            script = f"if (location.protocol === 'http:') {chosen}" if language else ""
            return open_page(script=script, viewport={"width": width, "height": 900}, **options)

        yield at


def tab(page: Page, name: str) -> None:
    """Open a tab, with all its folds."""
    page.locator("#steps .tab-container:not(.visually-hidden) button[role=tab]").nth(TABS.index(name)).click()
    settled(page)
    unfold(page)


def unfold(page: Page) -> None:
    """Open all folds."""
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")


def settled(page: Page) -> None:
    """Until nothing is asked of the server any more."""
    page.wait_for_timeout(300)
    page.wait_for_function("!document.querySelector('[data-busy]')")


def view(page: Page, name: str) -> None:
    """Open a view of the Data tab, with all that can be opened in it."""
    page.locator(f"input[name=view][value={name}]").check()
    settled(page)
    if name == "rows":
        for act in ("open-cells", "shares"):
            page.locator(f"[data-act={act}]").first.click()
            settled(page)
    if name == "tokens":
        expect(page.locator(".tok").first).to_be_visible(timeout=60_000)
    unfold(page)


def places(page: Page) -> Iterator[str]:
    """The name of each place of the page, when it is open."""
    for name in TABS:
        tab(page, name)
        if name == "method":
            expect(page.locator(".runcard .figs")).to_be_visible(timeout=60_000)
        if name == "train":
            page.locator("[data-do=panel][data-name=settings]").click()
        if name == "runs":
            page.locator("[data-act=more]").first.click()
            page.locator("[data-act=storage]").first.click()
            settled(page)
        for each in VIEWS if name == "data" else ():
            view(page, each)
            yield f"data, {each}"
            if each == "label":
                page.locator("input[name=label-view][value=list]").check()
                settled(page)
                yield "data, many labels"
        yield name


def test_every_text_is_translated_and_content_of_the_user_stays_as_it_is(look: Callable[..., Page]) -> None:
    page = look("en-XA")
    names = [DATASET, f"{DATASET}.csv", RUN, TEXT, LABEL, *LABELS, TEXT_OF_RUN, "Latin"]
    shown = [page.evaluate("(text) => studio.translate(text)", text) for text in TRANSLATED]
    assert shown == list(TRANSLATED.values())
    found = {}
    for place in places(page):
        if place == "data, rows":
            cells = page.locator("td[translate=no]").evaluate_all("all => all.map((each) => each.lastChild?.data)")
            assert tuple(cells[: 2 * len(CELLS) : 2]) == CELLS
        if texts := page.evaluate(UNTRANSLATED, SAME) + page.evaluate(CHANGED, names):
            found[place] = texts
    assert not found, "\n".join(f"{place}\n  " + "\n  ".join(texts) for place, texts in found.items())


def test_from_right_to_left_the_tabs_are_reversed_and_nothing_scrolls_sideways(look: Callable[..., Page]) -> None:
    for width in (1280, 390):
        page = look("ar-XB", width)
        assert page.evaluate("document.documentElement.dir") == "rtl"
        tabs = page.locator("#steps .tab-container:not(.visually-hidden) button[role=tab]")
        expect(tabs).to_have_count(len(TABS))
        boxes = [box["x"] for box in (each.bounding_box() for each in tabs.all()) if box]
        assert len(boxes) == len(TABS) and boxes == sorted(boxes, reverse=True), boxes
        wide = {}
        for name in TABS:
            tab(page, name)
            if over := page.evaluate(SIDEWAYS):
                wide[name] = over
        assert not wide, (width, wide)


def test_the_menu_changes_the_language_until_another_is_chosen(look: Callable[..., Page]) -> None:
    page = look(width=390)
    menu = page.get_by_role("combobox", name="Language")
    expect(menu).to_have_value("en")
    places = (page.locator(each).bounding_box() for each in (".brand", "select.language", "a.help"))
    edges = [(box["x"], box["x"] + box["width"]) for box in places if box]
    assert len(edges) == 3 and edges[-1][1] <= 390, edges
    assert all(one[1] <= other[0] for one, other in pairwise(edges)), edges
    assert not axe_faults(page)
    menu.focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowUp")
    with page.expect_navigation():
        menu.select_option("en-XA")
    ready(page)
    expect(page.locator("html")).to_have_attribute("lang", "en-XA")
    assert page.title().startswith("⟦"), page.title()
    page.reload()
    ready(page)
    expect(page.locator("html")).to_have_attribute("lang", "en-XA")
    menu = page.locator("select.language")
    expect(menu).to_have_value("en-XA")
    with page.expect_navigation():
        menu.select_option("en")
    ready(page)
    assert "⟦" not in page.locator("body").inner_text()


def test_without_a_choice_the_language_of_the_browser_counts(look: Callable[..., Page]) -> None:
    page = look()
    devtools, agent = page.context.new_cdp_session(page), page.evaluate("navigator.userAgent")

    def of_the_browser(language: str) -> str:
        """Open the page again in a browser of this language."""
        devtools.send("Emulation.setUserAgentOverride", {"userAgent": agent, "acceptLanguage": language})
        page.reload()
        ready(page)
        return str(page.evaluate("navigator.languages[0]"))

    for language in [*languages(), "en-XA"][1:]:
        asked = f"{language}-XX" if len(language) == 2 else language
        assert of_the_browser(asked) == asked
        expect(page.locator("html")).to_have_attribute("lang", language)
        names = page.locator("#steps .tab-container:not(.visually-hidden) button[role=tab]").all_inner_texts()
        assert names[1].strip() != "2 Data", (language, names)
    of_the_browser("is-IS")
    expect(page.locator("html")).to_have_attribute("lang", "en")

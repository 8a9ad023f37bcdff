"""Bad input on the page: HTML and scripts stay text wherever they come from, and every refusal is a plain sentence."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from studio.schema.report import JudgedRow, Metric, Report
from studio.store.home import Home
from tests.browser.conftest import opened_pages, ready
from tests.browser.made import Made
from tests.browser.served import Served
from tests.unit.test_bad_input import FILES, GOOD, Bad

SLOW = 25_000
NUMBERS = itertools.count()
OWNED = "document.title='owned'"
EVIL = f'<img src=x onerror="{OWNED}"><script>{OWNED}</script>'
LABELS = (f"<img src=x onerror={OWNED}>", '"><svg onload=' + OWNED + ">")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One studio for all tests here."""
    served = Served(tmp_path_factory.mktemp("bad") / "home")
    yield served
    served.stop()


@pytest.fixture
def page(browser: Browser, studio: Served) -> Iterator[Page]:
    """A page of it; any act of the evil text fails the test."""
    with opened_pages(browser, studio) as open_page:
        opened = open_page()
        yield opened
        harmless(opened)


@pytest.fixture(scope="module")
def open_page(browser: Browser, studio: Served) -> Iterator[Page]:
    """A page that stays open: each bad file is chosen where the last one was refused."""
    with opened_pages(browser, studio) as open_one:
        yield open_one(own_context=True)


def harmless(page: Page) -> None:
    """Nothing of what was shown became part of the page, and nobody is shown a traceback."""
    page.wait_for_timeout(300)
    assert "owned" not in page.title()
    made = "[...document.querySelectorAll('.slot *, [data-part] *, dialog *, .live *')]"
    active = "e.matches('script,iframe,object,embed,img') || [...e.attributes].some((a) => a.name.startsWith('on'))"
    assert page.evaluate(f"{made}.filter((e) => {active}).map((e) => e.outerHTML.slice(0, 200))") == []
    assert "Traceback" not in page.inner_text("body")


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def bring(page: Page, path: Path) -> None:
    """Choose a file in step 2, whatever was there before."""
    show_rows(page)
    chooser = page.get_by_label("Choose a file").or_(page.get_by_label("Replace file"))
    chooser.first.set_input_files(path)


def show_rows(page: Page) -> None:
    """Step 2, in the view of the rows where there are some."""
    tab(page, "2 Data")
    rows = page.get_by_role("radio", name="Rows", exact=True)
    expect(page.get_by_label("Choose a file").or_(rows).first).to_be_attached(timeout=SLOW)
    if rows.count():
        rows.check()
        expect(page.get_by_label("Replace file")).to_be_attached(timeout=SLOW)


def pick(page: Page, task: str) -> None:
    tab(page, "1 Model")
    page.get_by_role("radio", name=task, exact=True).or_(page.get_by_role("radio", name=task)).first.check()
    expect(page.get_by_role("heading", name="Choose a model to start from")).to_be_visible()


def refusal(page: Page) -> Locator:
    return page.locator("#notice-data .note.error, #data-body [role=alert], #data-body .doctor, #data-body .note.warn")


@pytest.mark.parametrize(
    "bad", [each for each in FILES.values() if each.words], ids=[k for k in FILES if FILES[k].words]
)
def test_a_bad_file_is_refused_with_the_same_words_as_on_the_command_line(
    open_page: Page, tmp_path: Path, bad: Bad
) -> None:
    page = open_page
    pick(page, "Classify text" if "label" in str(bad.content)[:40] else "Chat")
    number = next(NUMBERS)
    good = tmp_path / f"good {number}.csv"
    good.write_text(f"{GOOD}Which file is this?,It is file {number}.\n")  # equal rows would lead to the earlier file
    bring(page, good)
    expect(page.get_by_text(f"{good.name} ·").first).to_be_visible(timeout=SLOW)
    words = re.compile("|".join(map(re.escape, (*bad.words, "have the same label"))))
    expect(refusal(page).filter(has_text=words)).to_have_count(0)
    bring(page, bad.write(tmp_path))
    expect(refusal(page).filter(has_text=words).first).to_be_visible(timeout=SLOW)
    if not page.get_by_text(f"{good.name} ·").first.is_visible():
        expect(page.get_by_role("button", name="Next: method", exact=True)).to_be_disabled()
        tab(page, "3 Method")
        expect(page.get_by_role("button", name="Start", exact=True)).to_be_disabled(timeout=SLOW)
    harmless(page)


def test_html_in_rows_labels_columns_and_the_files_name_is_shown_as_text(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "<img src=x onerror=alert(1)>.csv"
    rows = "".join(
        f'"{EVIL.replace(chr(34), chr(34) * 2)} {n}","{LABELS[n % 2].replace(chr(34), chr(34) * 2)}"\n'
        for n in range(40)
    )
    path.write_text(f'"text <b onclick={OWNED}>","label"\n{rows}')
    pick(page, "Classify text")
    bring(page, path)
    expect(page.get_by_text("40 of 40 rows can be used")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text(f"{EVIL} 0", exact=True).first).to_be_visible()
    expect(page.get_by_text(LABELS[0], exact=True).first).to_be_visible()
    harmless(page)
    page.get_by_role("radio", name="What the model sees").check()
    expect(page.locator(".toks").first).to_be_visible(timeout=SLOW)
    harmless(page)
    page.get_by_role("radio", name="Label", exact=True).check()
    expect(page.locator("#data-body").get_by_text(LABELS[0], exact=True).first).to_be_visible(timeout=SLOW)
    harmless(page)
    tab(page, "3 Method")
    expect(page.get_by_label("Prompt 1")).to_have_value(f"{EVIL} 0", timeout=SLOW)
    harmless(page)
    tab(page, "2 Data")
    page.get_by_role("radio", name="Rows", exact=True).click()  # a drawing under way may undo it until the next one
    page.get_by_role("button", name="Paste rows").click()
    expect(
        page.get_by_text(path.name.replace("|", ""), exact=False).or_(page.get_by_text("img src=x")).first
    ).to_be_visible()


def test_html_in_a_runs_name_prompts_replies_log_and_report_is_shown_as_text(page: Page, studio: Served) -> None:
    made = Made(studio.home, name=f"run {EVIL}", at=60)
    folder = made.space.runs.folder(made.id)
    folder.log.write_text(f"12:00:00  {EVIL}\n")
    made.finish()
    judged = [JudgedRow(row=n, text=EVIL, expected=EVIL, base=EVIL, tuned=EVIL, score=0.5) for n in range(1, 4)]
    report = Report(
        rows=3,
        split="test",
        metrics={EVIL: Metric(base=3, tuned=1, low=0.9, high=1.1)},
        verdict=EVIL,
        note=EVIL,
        best_rows=tuple(judged),
        worst_rows=tuple(judged),
    )
    folder.report.write_text(report.model_dump_json())
    page.goto(f"{studio.url}/?run={made.id}")
    ready(page)
    for name in ("4 Train", "5 Evaluate", "6 Chat", "7 Export", "Runs"):
        tab(page, name)
        expect(page.get_by_text("onerror").filter(visible=True).first).to_be_visible(timeout=SLOW)
        harmless(page)
    tab(page, "4 Train")
    page.get_by_text("Log", exact=True).first.click()
    harmless(page)
    told = page.evaluate(f"fetch('studio/run/{made.id}/report.html').then((a) => a.text())")
    assert "&lt;script&gt;" in told and "<script" not in told and "<img" not in told


def test_html_in_a_labellers_label_is_shown_as_text(page: Page, studio: Served, tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text("text\n" + "".join(f"Opinion number {n}\n" for n in range(12)))
    pick(page, "Classify text")
    bring(page, path)
    page.get_by_role("radio", name="Label", exact=True).check(timeout=SLOW)
    page.get_by_label("Labels, one per line").fill("\n".join(LABELS))
    page.get_by_role("button", name="Start labeling").click()
    expect(page.locator(".labelcard")).to_be_focused()
    page.keyboard.press("1")
    expect(page.get_by_text("Row 2 of 12")).to_be_visible()
    expect(page.locator(".labelcard").get_by_text(LABELS[0])).to_be_visible()
    kept = Home(studio.home).workspace().datasets.all()[0]
    facts = Home(studio.home).workspace().labels.after(kept.id)
    assert [(fact.row, fact.value) for fact in facts if fact.what == "given"] == [(1, LABELS[0])]


def test_a_length_beyond_the_models_is_said_before_start_can_be_pressed(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "good.csv"
    path.write_text(GOOD)
    pick(page, "Chat")
    bring(page, path)
    tab(page, "3 Method")
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled(timeout=SLOW)
    page.locator("summary").filter(has_text="Data").first.click()
    field = page.get_by_label("Maximum length, tokens")
    field.fill("100000")
    field.press("Tab")
    expect(field).to_have_attribute("aria-invalid", "true", timeout=SLOW)
    expect(page.locator("#e-max_length")).to_contain_text("exceeds the model's context length")
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_disabled()
    field.fill("128")
    field.press("Tab")
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled(timeout=SLOW)
    expect(page.locator("#e-max_length")).to_have_count(0)


def test_pasted_text_that_is_no_table_and_text_beyond_measure_are_refused_in_words(page: Page) -> None:
    pick(page, "Chat")
    show_rows(page)
    page.locator("summary").filter(has_text="Paste rows").or_(
        page.get_by_role("button", name="Paste rows")
    ).first.click()
    area = page.get_by_label("Rows, with the column names in the first line")
    use = page.get_by_role("button", name="Use these rows")
    for text in ("", "no table"):
        area.fill(text)
        use.click()
        expect(page.locator("#notice-data .note.error")).to_be_visible(timeout=SLOW)
    area.evaluate("(e) => { e.value = 'question,answer\\n' + 'Where?,There it is.\\n'.repeat(250000); }")
    use.click()
    expect(page.get_by_role("alert").filter(has_text="too long to send at once")).to_be_visible(timeout=SLOW)

"""The whole way in a real browser, with real trainings of the starters and of a tiny model: nothing is skipped."""

import csv
import random
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from studio.api import Studio
from studio.store.home import Home
from tests.browser.conftest import emptied, ready
from tests.browser.served import Served
from tests.real.made_runs import tiny_llama

MINUTE = 60_000
STEPS = 300
"""Of a run on a tiny model: enough that it is still at work when the server is killed and started again."""
THINGS = ("kettle", "lamp", "blender", "chair", "parcel", "scarf", "radio", "mirror", "pillow", "clock")
ASKS = ("Where is my {}?", "Can I send the {} back?", "The {} is broken.", "Is the {} in stock?")
REPLIES = (
    "Thanks for asking. Your {} left us on Monday and is with you by Friday. Ella",
    "Of course. Put the {} into its box and use the label in the lid. Ella",
    "I am sorry about the {}. Send me one photo and a new one leaves today. Ella",
    "Yes, the {} is on the shelf and leaves us the same day. Ella",
)


@pytest.fixture
def served(shared_server: Served) -> Served:
    """One studio for all tests here, empty for each."""
    return emptied(shared_server)


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def use_folder(page: Page, model: str | Path) -> None:
    """A folder of this machine as the model."""
    field = page.get_by_label("A folder or GGUF file on this machine")
    field.fill(str(model))
    field.press("Enter")
    models = page.get_by_role("radiogroup", name="Models")
    expect(models.get_by_role("radio", checked=True)).to_have_attribute("value", str(model), timeout=MINUTE)


def set_steps(page: Page, steps: int) -> None:
    """Few steps, by the setting that anybody could use."""
    change(page, "Learning", {"Maximum steps": steps})


def set_little_work(page: Page, steps: int) -> None:
    """Few steps with few rows, one validation in their middle, and replies only before and after them."""
    change(page, "Learning", {"Maximum steps": steps, "Batch size, rows": 2})
    checks = {"Validation interval": steps // 2, "Rows per validation": 4, "Time for test prompts": 0}
    change(page, "Checkpoints", checks)


def change(page: Page, group: str, values: Mapping[str, int]) -> None:
    """Change settings of a group."""
    expect(page.get_by_role("heading", name="How should the model learn?")).to_be_visible()
    summary = page.locator("summary").filter(has_text=group).first
    summary.click()
    for number, (name, value) in enumerate(values.items(), 1):
        field = page.get_by_label(name)
        field.fill(str(value))
        field.press("Tab")
        expect(summary).to_contain_text(f"{number} changed by you", timeout=MINUTE)


def start(page: Page) -> None:
    press = button(page, "Start")
    expect(press).to_be_enabled(timeout=MINUTE)
    press.click()
    expect(page.get_by_role("tab", name="4 Train", exact=True)).to_have_attribute(
        "aria-selected", "true", timeout=MINUTE
    )


def until(page: Page, condition: str, minutes: float = 2) -> None:
    there = "!!window.studio?.live"  # after a reload the script is loaded again
    page.wait_for_function(f"{there} && ({condition})", timeout=minutes * MINUTE, polling=200)


def ends_well(page: Page) -> None:
    leads = button(page, "Chat with both").or_(button(page, "Try it on a text"))
    expect(leads).to_be_visible(timeout=4 * MINUTE)


def setting(page: Page, name: str) -> Locator:
    """A field of the chat's settings for both."""
    return page.locator(f'[data-setting="{name}"]')


def answer_briefly(page: Page) -> None:
    """Replies of a few words, by the setting that anybody could use."""
    setting(page, "max_new_tokens").fill("24")


def pane(page: Page, who: str) -> Locator:
    """The replies of a model. Beside a classifier, `base` is the baseline that the base model can't be."""
    names = {"base": "Replies of the base model|Answers of the baseline", "tuned": "Replies of the fine-tuned model"}
    return page.get_by_role("log", name=re.compile(names[who]))


def support_rows(folder: Path) -> Path:
    """Questions and answers in one house style, as a shop's spreadsheet would hold them, under names of its own."""
    path = folder / "shop answers.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["ticket", "from them", "from us"])
        pairs = [
            (ask.format(thing), reply.format(thing))
            for thing in THINGS
            for ask, reply in zip(ASKS, REPLIES, strict=True)
        ]
        for number, (ask, reply) in enumerate(pairs, 1001):
            rows.writerow([number, ask, reply])
    return path


def download_model(page: Page, folder: Path) -> Path:
    """Export the whole model and download it. Returns the file."""
    tab(page, "7 Export")
    button(page, "Export whole model").click()
    download = page.get_by_role("button", name="Download")
    expect(download).to_be_visible(timeout=3 * MINUTE)
    with page.expect_download() as coming:
        download.click()
    file = folder / coming.value.suggested_filename
    coming.value.save_as(file)
    return file


def test_from_a_file_to_two_replies(page: Page, tmp_path: Path) -> None:
    page.get_by_role("radio", name="Chat").first.check()
    use_folder(page, tiny_llama(tmp_path / "tiny").path)
    button(page, "Next: data").click()
    page.locator("input[type=file][data-file]").first.set_input_files(support_rows(tmp_path))
    table = page.get_by_role("region", name="Rows").first
    expect(table).to_contain_text("Where is my kettle?", timeout=20_000)
    expect(page.get_by_text("40 rows").first).to_be_visible()
    expect(button(page, "Next: method")).to_be_disabled()
    for column, role in (("from them", "prompt"), ("from us", "reply")):
        page.get_by_label(f"Role of the column {column}").select_option(role)
        expect(page.get_by_label(f"Role of the column {column}")).to_have_value(role)
    expect(button(page, "Next: method")).to_be_enabled()
    page.get_by_text("What the model sees", exact=True).first.click()
    expect(page.locator(".tok.l").first).to_be_visible(timeout=MINUTE)
    learned = "".join(page.locator(".tok.l").all_inner_texts()).replace("·", " ")
    assert "Thanks" in learned and "Where" not in learned
    button(page, "Next: method").click()
    set_little_work(page, 60)  # long enough for the page to see it train
    rate = page.get_by_label("Learning rate", exact=True)
    rate.fill("0.01")
    rate.press("Tab")
    expect(page.get_by_text("3 changed by you").first).to_be_visible()
    start(page)

    until(page, "studio.live.data?.steps.length > 3 && studio.live.data.checks.length > 0")
    expect(page.locator("[data-part=phases]")).to_contain_text("Training, step")
    earlier = page.evaluate("[studio.live.data.steps.length, studio.live.data.checks.length]")
    page.reload()
    until(page, f"studio.live.data?.steps.length > {min(earlier[0], 59)}")
    assert page.evaluate("studio.live.data.steps.every((row, at) => row[0] === at + 1)"), "the curve has a hole"
    ends_well(page)
    until(page, "studio.live.data?.steps.length >= 60")
    losses = page.evaluate("studio.live.data.steps.map((row) => row[1])")
    checks = page.evaluate("studio.live.data.checks.map((row) => row[1])")
    assert len(losses) == 60
    assert min(checks) < checks[0]

    button(page, "Chat with both").click()
    expect(pane(page, "tuned").locator(".msg.u")).to_have_count(3)
    answer_briefly(page)
    page.get_by_role("textbox", name="Your prompt", exact=True).fill("Where is my toaster?")
    page.keyboard.press("Enter")
    for who in ("base", "tuned"):
        reply = pane(page, who).locator(".msg.a").nth(3)
        expect(reply).to_contain_text("tokens ·", timeout=2 * MINUTE)
        assert len(reply.locator(".text").inner_text()) > 5
    said = [pane(page, who).locator(".msg.a .text").nth(3).inner_text() for who in ("base", "tuned")]
    assert said[0] != said[1], "tuning changed nothing"


def test_from_sample_data_to_two_replies_in_at_most_six_clicks(page: Page, served: Served) -> None:
    clicks = 0

    def click(what: Locator) -> None:
        nonlocal clicks
        expect(what).to_be_enabled(timeout=2 * MINUTE)
        what.click()
        clicks += 1

    click(button(page, "Use this sample: support-tone"))
    set_little_work(page, 4)  # what a person would not do: this is only here so that the test is short
    for number in (3, 2):
        page.get_by_label(f"Prompt {number}").fill("")
        page.get_by_label(f"Prompt {number}").press("Tab")
    click(button(page, "Start"))
    click_when_there = button(page, "Chat with both")
    expect(click_when_there).to_be_visible(timeout=4 * MINUTE)
    click(click_when_there)
    for who in ("base", "tuned"):
        expect(pane(page, who).locator(".msg.a").first).to_contain_text("reply from training")
    assert clicks <= 6
    said = [pane(page, who).locator(".msg.a .text").all_inner_texts() for who in ("base", "tuned")]
    assert said[0] != said[1]
    _a_reply_can_be_stopped(page)


def _a_reply_can_be_stopped(page: Page) -> None:
    prompt = page.get_by_role("textbox", name="Your prompt", exact=True)
    prompt.fill("Tell me a very long story about a kettle and a lamp.")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('[data-part=base-pane] .msg:last-child .text').innerText.length > 20")
    button(page, "Stop").click()
    expect(pane(page, "base").locator(".msg.a").last).to_contain_text("stopped")
    expect(button(page, "Stop")).to_be_hidden()
    answer_briefly(page)
    prompt.fill("Where is my toaster?")
    page.keyboard.press("Enter")
    expect(pane(page, "tuned").locator(".msg.a").last).to_contain_text("tokens ·", timeout=MINUTE)
    page.reload()
    expect(pane(page, "tuned")).to_contain_text("Where is my toaster?")
    button(page, "Clear").click()
    expect(pane(page, "tuned").locator(".msg")).to_have_count(0)


def test_from_twenty_rows_labelled_by_keyboard_to_a_model_in_her_hands(
    page: Page, served: Served, tmp_path: Path
) -> None:
    good = ("works well", "is lovely", "is a joy", "does what it should", "arrived early")
    bad = ("broke at once", "is a disappointment", "smells bad", "never arrived", "is too loud")
    texts = [
        (f"The {thing} {words}.", label)
        for thing in THINGS[:4]
        for label, kind in ((1, good), (2, bad))
        for words in kind
    ]
    random.Random(3).shuffle(texts)
    path = tmp_path / "opinions.csv"
    path.write_text("review\n" + "\n".join(text for text, _ in texts[:24]) + "\n", encoding="utf-8")

    page.get_by_role("radio", name="Classify text").first.check()
    button(page, "Next: data").click()
    page.locator("input[type=file][data-file]").first.set_input_files(path)
    page.get_by_text("Label", exact=True).first.click()
    page.get_by_label("Labels, one per line").fill("good\nbad")
    button(page, "Start labeling").click()
    card = page.get_by_label("Row to label")
    expect(card).to_be_visible()
    card.focus()
    expected = dict(texts)
    for _ in range(20):
        quote = card.locator("blockquote").inner_text().strip()
        page.keyboard.press(str(expected[quote]))
        expect(card.locator("blockquote")).not_to_have_text(quote)
    space = Home(str(served.home)).workspace()
    assert len(space.datasets.all()) == 1
    expect(page.get_by_text("20 labels")).to_be_visible()

    button(page, "Use these labels").click()
    button(page, "Next: method").click()
    set_steps(page, 10)
    start(page)
    ends_well(page)
    run = space.runs.get("last")
    assert run.task == "classification" and run.has_result
    assert set(space.runs.spec(run.id).data.label_names) == {"good", "bad"}
    button(page, "Try it on a text").click()
    page.get_by_role("textbox", name="Your text", exact=True).fill("The oven is lovely.")
    page.keyboard.press("Enter")
    for who in ("base", "tuned"):
        answer = pane(page, who).locator(".label-answer").last
        expect(answer).to_contain_text("good", timeout=2 * MINUTE)
        expect(answer).to_contain_text("%")
    tab(page, "5 Evaluate")
    button(page, "Evaluate").click()
    expect(page.get_by_role("heading", name="Scorecard")).to_be_visible(timeout=2 * MINUTE)
    expect(page.get_by_role("heading", name="Mixed-up labels")).to_be_visible()
    with page.expect_download() as coming:
        button(page, "Save report").click()
    assert "<!doctype html>" in Path(coming.value.path()).read_text(encoding="utf-8")

    saved = download_model(page, tmp_path)
    assert saved.name == "opinions-merged.zip"
    names = zipfile.ZipFile(saved).namelist()
    assert any(name.endswith("/model.safetensors") for name in names)
    assert any(name.endswith("README.md") for name in names)
    assert str(served.home).encode() not in saved.read_bytes()


def test_a_server_killed_in_the_middle_loses_nothing(
    page: Page, served: Served, browser: Browser, tmp_path: Path
) -> None:
    studio = Studio(served.home)
    settings = {
        "max_steps": STEPS,
        "epochs": 40,
        "batch_size": 1,
        "max_length": 64,
        "eval_steps": 100,
        "eval_rows": 4,
        "early_stopping_patience": 0,
        "precision": "float32",
        "watch_share": 0,
    }
    model, data = tiny_llama(tmp_path / "tiny").path, studio.datasets.add_sample("support-tone")
    studio.drafts.put("page", {"task": "chat", "model": str(model), "dataset": data.id, "settings": settings})
    page.reload()
    tab(page, "3 Method")
    start(page)
    until(page, "studio.live.data?.steps.length > 4")
    (run,) = studio.runs.all()
    served.kill()
    known = step = studio.runs.get(run.id).step
    for _ in range(200):
        page.wait_for_timeout(50)
        if (step := studio.runs.get(run.id).step) > known + 5:
            break
    assert known + 5 < step < STEPS, "it goes on where no server is"
    served.start()
    other = browser.new_page()
    other.goto(served.url)
    ready(other)
    tab(other, "4 Train")
    ends_well(other)
    until(other, f"studio.live.data?.steps.length >= {STEPS}")  # the page asks for them after the button is there
    steps = other.evaluate("studio.live.data.steps.map((row) => row[0])")
    assert steps == list(range(1, STEPS + 1)), "the curve has a hole"
    times = [each.time for each in studio.runs.events(run.id)]
    assert times == sorted(times)
    other.close()
    studio.close()

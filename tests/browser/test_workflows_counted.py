"""The three workflows of a first-time user with counted actions, in a real browser with real trainings of starters.

A house-style chat of 120 rows, labels for 150 texts, and a classifier of 500 tickets. Each begins with a file and an
empty studio. Not counted is what only the test needs: fewer training steps and shorter replies, a look at the tokens,
and a reload.
"""

import csv
import io
import json
import random
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from studio.store.home import Home
from tests.browser.conftest import ready
from tests.browser.person import Person
from tests.browser.served import Served
from tests.browser.test_whole_way import MINUTE, answer_briefly, button, pane, set_steps, until
from tests.support_messages import FORMS

pytestmark = pytest.mark.usefixtures("prepared_runs")
ASKS = ("Where is my {}?", "Can I send the {} back?", "The {} is broken.", "Is the {} in stock?")
REPLIES = (
    "Thanks for asking. Your {} left us on Monday and is with you by Friday. Ella",
    "Of course. Put the {} into its box and use the label in the lid. Ella",
    "I am sorry about the {}. Send me one photo and a new one leaves today. Ella",
    "Yes, the {} is on the shelf and leaves us the same day. Ella",
)
LABELS = tuple(FORMS)
KINDS = ("kettle", "lamp", "blender", "chair", "radio", "mirror", "clock")
COLORS = ("red", "blue", "green", "white", "black", "yellow")
THINGS = (*KINDS, *(f"{color} {kind}" for color in COLORS for kind in KINDS))
"""49 things that messages are about."""
TRUTH = {form.format(thing): label for thing in THINGS for label, forms in FORMS.items() for form in forms}


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write a CSV file, as a spreadsheet would save it."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(rows)
    return path


def card(page: Page) -> Locator:
    """The row to label."""
    return page.locator(".labelcard")


def label_rows(person: Person, count: int) -> None:
    """Give the next rows their true label, each by one key."""
    shown = card(person.page)
    for _ in range(count):
        row, text = shown.get_attribute("data-shown"), shown.locator("blockquote").inner_text().strip()
        person.give_label(str(LABELS.index(TRUTH[text]) + 1))
        expect(shown).not_to_have_attribute("data-shown", row or "")


def saved(person: Person, label: str) -> str:
    """Download a file by a button, and return its text."""
    with person.page.expect_download() as coming:
        person.click(label)
    return Path(coming.value.path()).read_text(encoding="utf-8")


# --- a house-style chat ---


def house_style(folder: Path) -> Path:
    """120 questions and answers in one style, under column names that the studio can't know."""
    pairs = [
        (ask.format(thing), reply.format(thing))
        for thing in THINGS[:30]
        for ask, reply in zip(ASKS, REPLIES, strict=True)
    ]
    rows = [(number, *pair) for number, pair in enumerate(pairs, 1001)]
    return write_table(folder / "shop answers.csv", ("ticket", "from them", "from us"), rows)


def test_a_house_style_chat_from_upload_to_a_reply_takes_at_most_9_actions(
    page: Page, served: Served, tmp_path: Path
) -> None:
    person = Person(page)
    person.open_tab("2 Data")
    person.choose_file("Choose a file", house_style(tmp_path))
    person.click(page.get_by_role("radio", name="Chat"))
    expect(page.get_by_text("120 rows").first).to_be_visible()
    expect(page.get_by_role("heading", name="No labels yet")).to_have_count(0)
    expect(button(page, "Next: method")).to_be_disabled()
    person.choose("Role of the column from them", "prompt")
    expect(page.get_by_label("Role of the column from us")).to_have_value("reply")
    only_replies_are_learned(page)
    person.click("Next: method")
    set_steps(page, 12)
    person.click("Start")
    the_curve_stays_whole_after_a_reload(person)
    person.click("Chat with both")
    expect(pane(page, "tuned").locator(".msg.u")).to_have_count(3)
    answer_briefly(page)
    person.type(page.get_by_role("textbox", name="Your prompt", exact=True), "Where is my toaster?")
    person.press("Enter")
    replies = [pane(page, who).locator(".msg.a").nth(3) for who in ("base", "tuned")]
    for reply in replies:
        person.wait(reply.get_by_text("tokens ·"))
    assert len(person.actions) <= 9, person.actions

    base, tuned = (reply.locator(".text").inner_text() for reply in replies)
    assert len(base) > 5 and len(tuned) > 5 and base != tuned, "tuning changed nothing"
    an_adapter_can_be_downloaded(person, served, tmp_path)


def only_replies_are_learned(page: Page) -> None:
    """The tokens that training learns are those of the replies."""
    page.get_by_text("What the model sees", exact=True).first.click()
    expect(page.locator(".tok.l").first).to_be_visible(timeout=MINUTE)
    learned = "".join(page.locator(".tok.l").all_inner_texts()).replace("·", " ")
    assert "Thanks" in learned and "Where" not in learned


def the_curve_stays_whole_after_a_reload(person: Person) -> None:
    """The page is loaded again in the middle of training. At the end the curve has each step, and training helped."""
    page = person.page
    until(page, "studio.live.data?.steps.length > 3 && studio.live.data.checks.length > 1", minutes=6)
    expect(page.locator("[data-part=phases]")).to_contain_text("Training, step")
    earlier = page.evaluate("studio.live.data.steps.length")
    page.reload()
    until(page, f"studio.live.data?.steps.length > {earlier}", minutes=6)
    assert page.evaluate("studio.live.data.steps.every((row, at) => row[0] === at + 1)"), "the curve has a hole"
    person.wait(button(page, "Chat with both"))
    checks = page.evaluate("studio.live.data.checks.map((row) => row[1])")
    assert page.evaluate("studio.live.data.steps.length") == 12
    assert min(checks) < checks[0]


def an_adapter_can_be_downloaded(person: Person, served: Served, folder: Path) -> None:
    """The export has the adapter and a model card, and no path of this machine."""
    person.open_tab("7 Export")
    person.click("Export adapter")
    path = folder / "adapter.zip"
    assert download(person, path) == "shop-answers-adapter.zip"
    names = zipfile.ZipFile(path).namelist()
    assert any(name.endswith("adapter_model.safetensors") for name in names)
    assert any(name.endswith("README.md") for name in names)
    assert str(served.home).encode() not in path.read_bytes()


def download(person: Person, path: Path) -> str:
    """Download a finished export, and return the name that it comes with."""
    press = person.page.locator("#export-actions [data-primary][data-download]")
    person.wait(press, enabled=True)
    with person.page.expect_download() as coming:
        person.click(press)
    coming.value.save_as(path)
    return str(coming.value.suggested_filename)


# --- labels for texts without a label ---


def test_labels_for_150_texts_take_at_most_12_actions_and_one_key_for_each_label(
    page: Page, served: Served, tmp_path: Path
) -> None:
    texts = random.Random(5).sample(sorted(TRUTH), 150)
    person = Person(page)
    person.open_tab("2 Data")
    person.choose_file("Choose a file", write_table(tmp_path / "messages.csv", ["message"], ([text] for text in texts)))
    person.wait(page.get_by_role("heading", name="No labels yet"))
    expect(page.get_by_text("Label 40 rows here (about 3 minutes), or choose another task.")).to_be_visible()
    expect(page.locator(".note.error")).to_have_count(0)
    person.click("Label rows")
    person.type(page.get_by_label("Labels, one per line"), "\n".join(LABELS))
    person.click("Start labeling")
    expect(card(page)).to_be_focused(timeout=MINUTE)
    label_rows(person, 40)
    side = page.locator("section", has=page.get_by_role("heading", name="What a test can show", exact=True))
    expect(side).to_contain_text("6 of 40 labeled rows are held out")
    expect(side).to_contain_text("label about 400 rows")
    person.click("Use these labels")
    expect(page.get_by_text("40 of 150 rows can be used")).to_be_visible(timeout=MINUTE)
    expect(page.get_by_role("heading", name="What a test can show")).to_be_visible()
    person.click("Next: method")
    person.click("Start")
    person.wait(button(page, "Try it on a text"))
    assert any("Training, step" in words for words in person.words), "the page says which step training is at"
    person.open_tab("5 Evaluate")
    person.click("Label the remaining 110 rows with this model")
    person.wait(page.get_by_text("110 predicted labels are not reviewed yet."))
    rows = list(csv.DictReader(io.StringIO(saved(person, "Save the predictions for messages.csv as CSV"))))
    assert [row["message"] for row in rows] == texts
    assert all(row["label"] or row["prediction"] in LABELS for row in rows), "each row has a label or a prediction"
    assert sum(bool(row["label"]) for row in rows) == 40
    person.click("Review the predicted labels")
    assert len(person.actions) <= 12, person.actions
    assert person.labels == 40

    space = Home(str(served.home)).workspace()
    (dataset,), run = space.datasets.all(), space.runs.get("last")
    assert run.task == "classification" and run.dataset == dataset.id
    assert set(space.runs.spec(run.id).data.label_names) == set(LABELS)
    page.reload()
    ready(page)
    review(person, served)
    after_a_restart_a_file_is_predicted(person, served)


def review(person: Person, served: Served) -> None:
    """Accept the least certain prediction, correct the next one and undo that; then save the file."""
    page = person.page
    expect(page.get_by_text("110 of 110 predicted labels are not reviewed yet.")).to_be_visible(timeout=MINUTE)
    card(page).focus()
    least = card(page).locator(".lbl.sug b").inner_text()
    row, first = card(page).get_attribute("data-shown"), card(page).locator("blockquote").inner_text().strip()
    page.keyboard.press("Enter")
    expect(card(page)).not_to_have_attribute("data-shown", row or "")
    label_rows(person, 1)
    page.keyboard.press("Backspace")
    expect(page.get_by_text("109 of 110 predicted labels are not reviewed yet.")).to_be_visible()
    space = Home(str(served.home)).workspace()
    given = [fact for fact in space.labels.after(space.datasets.all()[-1].id) if fact.what == "given"]
    assert len(given) == 42, "each key press is saved, and an undo is another fact"
    rows = list(csv.DictReader(io.StringIO(saved(person, "Save the predictions for messages.csv as CSV"))))
    assert len(rows) == 150 and sum(bool(row["prediction"]) for row in rows) == 110
    (accepted,) = [row for row in rows if row["review"] == "accepted"]
    assert (accepted["message"], accepted["label"], accepted["prediction"]) == (first, least, least)
    assert all(row["label"] for row in rows if not row["prediction"])
    assert not any(row["label"] for row in rows if row["review"] == "not reviewed")


def after_a_restart_a_file_is_predicted(person: Person, served: Served) -> None:
    """The server is killed. After its restart the predictions are there, and those for another file can be made."""
    page = person.page
    served.kill()
    served.start()
    page.goto(served.url)
    ready(page)
    person.open_tab("5 Evaluate")
    expect(page.get_by_text("109 predicted labels are not reviewed yet.")).to_be_visible(timeout=MINUTE)
    content = b"message\nWhere is my parcel?\n=1+1 was broken\n"
    file = {"name": "new.csv", "mimeType": "text/csv", "buffer": content}
    page.get_by_label("Choose a file to predict").set_input_files([file])  # type: ignore[list-item]
    many = page.get_by_label("Saved predictions")
    person.wait(many.get_by_text("new.csv"))
    expect(many).to_contain_text("2 rows", timeout=MINUTE)
    lines = saved(person, "Save the predictions for new.csv as JSONL").splitlines()
    assert [json.loads(line)["prediction"] in LABELS for line in lines] == [True, True]
    assert "'=1+1" in saved(person, "Save the predictions for new.csv as CSV")


# --- a ticket classifier ---


def tickets(folder: Path) -> Path:
    """500 tickets with the team that each one is for."""
    texts = sorted(TRUTH)
    random.Random(7).shuffle(texts)
    rows = [(number, texts[number], TRUTH[texts[number]]) for number in range(500)]
    return write_table(folder / "tickets.csv", ("ticket", "message", "team"), rows)


def test_a_ticket_classifier_from_upload_to_evaluation_and_export_takes_at_most_12_actions(
    page: Page, served: Served, tmp_path: Path
) -> None:
    person = Person(page)
    person.open_tab("2 Data")
    person.choose_file("Choose a file", tickets(tmp_path))
    person.click("Next: method")
    set_steps(page, 12)
    person.click("Start")
    person.click(page.locator("#train-actions").get_by_role("button", name="Evaluate", exact=True))
    person.click(page.locator("#evaluate-actions").get_by_role("button", name="Evaluate", exact=True))
    person.wait(page.get_by_role("heading", name="Scorecard"))
    expect(page.get_by_role("heading", name="Mixed-up labels")).to_be_visible()
    assert "<!doctype html>" in saved(person, "Save report")
    person.open_tab("7 Export")
    person.click(page.locator("#export-actions [data-primary][data-act=export]"))
    path = tmp_path / "model.zip"
    download(person, path)
    assert any(name.endswith(".safetensors") for name in zipfile.ZipFile(path).namelist())
    assert len(person.actions) <= 12, person.actions

    space = Home(str(served.home)).workspace()
    run = space.runs.get("last")
    assert run.task == "classification" and run.has_result
    person.open_tab("6 Chat")
    person.type(page.get_by_role("textbox", name="Your text", exact=True), "Where is the parcel with my oven?")
    person.press("Enter")
    for who in ("base", "tuned"):
        answer = pane(page, who).locator(".msg.u:has-text('my oven') + .label-answer")
        person.wait(answer)
        expect(answer).to_contain_text("delivery")
        expect(answer).to_contain_text("%")

"""From a file with texts alone to a file with predicted labels, in a real browser with the real starter."""

import csv
import io
import json
import random
from pathlib import Path

from playwright.sync_api import Download, Locator, Page, expect

from studio.store.home import Home
from tests.browser.conftest import ready
from tests.browser.served import Served
from tests.browser.test_whole_way import set_steps
from tests.support_messages import FORMS

MINUTE = 60_000
LABELS = tuple(FORMS)
THINGS = ("kettle", "lamp", "blender", "chair", "radio", "mirror", "clock")
TRUTH = {form.format(thing): label for thing in THINGS for label, forms in FORMS.items() for form in forms}
TEXTS = random.Random(5).sample(sorted(TRUTH), len(TRUTH))


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def card(page: Page) -> Locator:
    return page.locator(".labelcard")


def press(page: Page, key: str) -> None:
    row = card(page).get_attribute("data-shown")
    page.keyboard.press(key)
    expect(card(page)).not_to_have_attribute("data-shown", row or "")


def label_right(page: Page, count: int) -> None:
    for _ in range(count):
        text = card(page).locator("blockquote").inner_text().strip()
        press(page, str(LABELS.index(TRUTH[text]) + 1))


def saved(page: Page, label: str) -> str:
    with page.expect_download() as taken:
        page.get_by_role("button", name=label, exact=True).first.click()
    download: Download = taken.value
    return Path(download.path()).read_text(encoding="utf-8")


def test_texts_alone_lead_to_labels_a_model_and_a_file_with_predicted_labels(
    page: Page, served: Served, tmp_path: Path
) -> None:
    begin_labeling(page, tmp_path)
    label_right(page, 40)
    side = page.locator("section", has=page.get_by_role("heading", name="What a test can show", exact=True))
    expect(side).to_contain_text("6 of 40 labeled rows are held out")
    expect(side).to_contain_text("label about 400 rows")
    train(page)
    page.get_by_role("tab", name="5 Evaluate", exact=True).click()
    button(page, "Label the remaining 44 rows with this model").click()
    expect(page.get_by_text("44 predicted labels are not reviewed yet.")).to_be_visible(timeout=3 * MINUTE)
    page.reload()
    ready(page)
    review(page, served)

    served.kill()
    served.start()
    page.goto(served.url)
    ready(page)
    page.get_by_role("tab", name="5 Evaluate", exact=True).click()
    expect(page.get_by_text("43 predicted labels are not reviewed yet.")).to_be_visible(timeout=MINUTE)
    predict_a_file(page)


def begin_labeling(page: Page, folder: Path) -> None:
    """Import the texts. The page leads to the view Label."""
    path = folder / "messages.csv"
    path.write_text("message\n" + "".join(f'"{text}"\n' for text in TEXTS), encoding="utf-8")
    page.get_by_role("tab", name="2 Data", exact=True).click()
    page.get_by_label("Choose a file").set_input_files(path)
    expect(page.get_by_role("heading", name="No labels yet")).to_be_visible(timeout=MINUTE)
    expect(page.get_by_text("Label 40 rows here (about 3 minutes), or choose another task.")).to_be_visible()
    expect(page.locator(".note.error")).to_have_count(0)
    button(page, "Label rows").first.click()
    page.get_by_label("Labels, one per line").fill("\n".join(LABELS))
    button(page, "Start labeling").click()
    expect(card(page)).to_be_focused(timeout=MINUTE)


def train(page: Page) -> None:
    button(page, "Use these labels").click()
    expect(page.get_by_text("40 of 84 rows can be used")).to_be_visible(timeout=MINUTE)
    expect(page.get_by_role("heading", name="What a test can show")).to_be_visible()
    button(page, "Next: method").click()
    set_steps(page, 10)
    expect(button(page, "Start")).to_be_enabled(timeout=2 * MINUTE)
    button(page, "Start").click()
    expect(button(page, "Try it on a text")).to_be_visible(timeout=6 * MINUTE)


def review(page: Page, served: Served) -> None:
    """Accept the least certain prediction, correct the next one and undo that; then save the file."""
    button(page, "Review the predicted labels").click()
    expect(page.get_by_text("44 of 44 predicted labels are not reviewed yet.")).to_be_visible(timeout=MINUTE)
    card(page).focus()
    least = card(page).locator(".lbl.sug b").inner_text()
    first = card(page).locator("blockquote").inner_text().strip()
    press(page, "Enter")
    label_right(page, 1)
    page.keyboard.press("Backspace")
    expect(page.get_by_text("43 of 44 predicted labels are not reviewed yet.")).to_be_visible()
    space = Home(str(served.home)).workspace()
    given = [fact for fact in space.labels.after(space.datasets.all()[-1].id) if fact.what == "given"]
    assert len(given) == 42, "each key press is saved, and an undo is another fact"
    rows = list(csv.DictReader(io.StringIO(saved(page, "Save the predictions for messages.csv as CSV"))))
    assert len(rows) == 84 and sum(bool(row["prediction"]) for row in rows) == 44
    (accepted,) = [row for row in rows if row["review"] == "accepted"]
    assert (accepted["message"], accepted["label"], accepted["prediction"]) == (first, least, least)
    assert all(row["label"] for row in rows if not row["prediction"])
    assert not any(row["label"] for row in rows if row["review"] == "not reviewed")


def predict_a_file(page: Page) -> None:
    content = b"message\nWhere is my parcel?\n=1+1 was broken\n"
    file = {"name": "new.csv", "mimeType": "text/csv", "buffer": content}
    page.get_by_label("Choose a file to predict").set_input_files([file])  # type: ignore[list-item]
    many = page.get_by_label("Saved predictions")
    expect(many).to_contain_text("new.csv", timeout=3 * MINUTE)
    expect(many).to_contain_text("2 rows", timeout=MINUTE)
    lines = saved(page, "Save the predictions for new.csv as JSONL").splitlines()
    assert [json.loads(line)["prediction"] in LABELS for line in lines] == [True, True]
    assert "'=1+1" in saved(page, "Save the predictions for new.csv as CSV")

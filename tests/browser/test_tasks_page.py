"""Tasks other than chat and labels, from a file to an answer, in a real browser with the starters."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.store.home import Home
from tests.browser.served import Served
from tests.browser.test_whole_way import MINUTE, button, ends_well, pane, set_steps, start, tab, until, use_folder
from tests.real.made_runs import tiny_llama

pytestmark = pytest.mark.usefixtures("prepared_runs")
THINGS = ("kettle", "lamp", "chair", "parcel", "scarf", "radio")
ASKS = ("Where is my {}?", "Can I send the {} back?", "Is the {} in stock?", "The {} is broken.")


def bring(page: Page, task: str, path: Path) -> None:
    """Choose a task and bring a file for it."""
    page.get_by_role("radio", name=task).first.check()
    button(page, "Next: data").click()
    page.locator("input[type=file][data-file]").first.set_input_files(path)


def test_a_run_on_pairs_shows_rewards_and_says_which_reply_is_likelier(
    page: Page, served: Served, tmp_path: Path
) -> None:
    path = tmp_path / "pairs.jsonl"
    rows = [
        {
            "prompt": ask.format(thing),
            "chosen": f"Thank you for asking. The {thing} is on its way. Ella",
            "rejected": f"No idea about any {thing}.",
        }
        for thing in THINGS
        for ask in ASKS[:2]
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    page.get_by_role("radio", name="Prefer better answers").first.check()
    use_folder(page, tiny_llama(tmp_path / "tiny").path)
    bring(page, "Prefer better answers", path)
    expect(page.get_by_role("region", name="Rows").first).to_contain_text("Where is my kettle?")
    page.get_by_text("What the model sees", exact=True).first.click()
    expect(page.locator(".turn b").filter(has_text="Worse reply")).to_be_visible(timeout=MINUTE)
    button(page, "Next: method").click()
    set_steps(page, 4)
    start(page)
    ends_well(page)
    page.get_by_text("More curves").click()
    expect(page.locator("figure[data-told=reward_margin]")).to_be_visible()
    until(page, "studio.live.data?.steps.length >= 4")
    steps = page.evaluate("studio.live.data.steps.map((row) => row[6])")
    assert len(steps) == 4 and all({"reward_margin", "reward_accuracy"} <= set(each) for each in steps)
    tab(page, "5 Evaluate")
    button(page, "Evaluate").click()
    expect(page.get_by_role("heading", name="Scorecard")).to_be_visible(timeout=3 * MINUTE)
    expect(page.get_by_text("Preference accuracy").first).to_be_visible()


def test_a_run_on_questions_points_at_answers_in_a_passage(page: Page, served: Served, tmp_path: Path) -> None:
    data = []
    for number, (thing, hour) in enumerate((thing, hour) for thing in THINGS for hour in ("eight", "nine", "ten")):
        context = f"The {thing} shop is by the bridge. It opens at {hour} every day but Sunday."
        answer = {"text": hour, "answer_start": context.index(hour)}
        data.append(
            {
                "title": thing,
                "paragraphs": [
                    {
                        "context": context,
                        "qas": [
                            {"id": str(number), "question": f"When does the {thing} shop open?", "answers": [answer]}
                        ],
                    }
                ],
            }
        )
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"version": "1.1", "data": data}), encoding="utf-8")
    bring(page, "Answer questions", path)
    expect(page.get_by_role("region", name="Rows").first).to_contain_text("When does the kettle shop open?")
    button(page, "Next: method").click()
    set_steps(page, 10)
    start(page)
    until(page, "studio.live.data?.checks.length > 0")
    ends_well(page)
    assert page.evaluate("'f1' in studio.live.data.checks.at(-1)[3]")
    run = Home(str(served.home)).workspace().runs.get("last")
    assert (run.task, run.model, run.has_result) == ("question-answering", "starter-classify", True)
    button(page, "Try it on a text").click()
    prompt = page.get_by_role("textbox", name="Your text", exact=True)
    prompt.fill("When does the oven shop open?\n\nThe oven shop is by the bridge. It opens at seven every day.")
    page.keyboard.press("Enter")
    for who in ("base", "tuned"):
        expect(pane(page, who).locator(".label-answer").last).to_contain_text("%", timeout=2 * MINUTE)
    expect(pane(page, "base")).to_contain_text("most similar to the question")

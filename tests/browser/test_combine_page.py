"""Two adapters of one base become one on the Runs tab, and the combined run can be chatted with."""

import os
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, expect

from studio.store import Home
from tests.browser.conftest import ready
from tests.browser.served import Served
from tests.browser.test_steps_1_to_3 import SLOW, button, tab
from tests.real.made_runs import tiny_llama


def trained(served: Served, model: str, name: str) -> str:
    """A run of two steps."""
    command = ["train", "sample:support-tone", "--model", model, "--name", name, "--max-steps", "2"]
    few = ["--max-length", "64", "--eval-rows", "4", "--home", str(served.home)]
    done = subprocess.run(
        [sys.executable, "-m", "studio", *command, *few],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()[-1]


def test_adapters_of_two_runs_are_combined_by_weight_and_the_result_can_be_chatted_with(
    page: Page, served: Served, tmp_path: Path
) -> None:
    model = str(tiny_llama(tmp_path / "tiny").path)
    first, second = (trained(served, model, name) for name in ("kind", "brief"))
    page.reload()
    ready(page)
    tab(page, "Runs").click()
    page.get_by_text("Combine adapters").click()
    expect(button(page, "Combine")).to_be_disabled()
    for name, weight in (("kind", "0.7"), ("brief", "0,3")):
        page.get_by_label(f"Weight of {name}").fill(weight)
        page.get_by_label(f"Weight of {name}").press("Tab")
    button(page, "Combine").click()
    expect(page.get_by_text("combined", exact=True).first).to_be_visible(timeout=3 * SLOW)
    runs = Home(served.home).workspace().runs
    made = next(record.id for record in runs.all() if record.id not in (first, second))
    for _ in range(60):
        if runs.get(made).status == "finished":
            break
        page.wait_for_timeout(1000)
    made = runs.get(made)
    assert made.status == "finished" and made.has_result
    assert "0.7 × kind" in made.reason and "0.3 × brief" in made.reason
    tab(page, "6 Chat").click()
    page.get_by_role("textbox", name="Your prompt", exact=True).fill("Where is my parcel?")
    page.keyboard.press("Enter")
    reply = page.get_by_role("region", name="Fine-tuned model").locator(".msg.a").last
    expect(reply).to_contain_text("tokens ·", timeout=3 * SLOW)

"""The Chat tab, with a tiny model that was really trained."""

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import ready
from tests.browser.served import Served
from tests.browser.test_combine_page import trained
from tests.browser.test_steps_1_to_3 import tab
from tests.browser.test_whole_way import MINUTE, pane, setting
from tests.real.made_runs import tiny_llama

SETTINGS = {"system": "You answer in verse.", "temperature": "1.5", "top_p": "0.95", "max_new_tokens": "16"}


def answers(page: Page, seed: str) -> list[str]:
    """The replies of both models to one prompt. What is sent to the server names all settings."""
    setting(page, "seed").fill(seed)
    page.get_by_role("textbox", name="Your prompt", exact=True).fill("Tell me a story.")
    with page.expect_request("**/chat") as asked:
        page.keyboard.press("Enter")
    sent = asked.value.post_data_json["settings"]
    assert sent == {
        "system": "You answer in verse.",
        "temperature": 1.5,
        "top_p": 0.95,
        "max_new_tokens": 16,
        "seed": int(seed),
    }
    replies = []
    for who in ("base", "tuned"):
        reply = pane(page, who).locator(".msg.a").last
        expect(reply).to_contain_text("tokens ·", timeout=MINUTE)
        assert int(reply.locator(".small").first.inner_text().split(" token")[0].split()[-1]) <= 16
        replies.append(reply.locator(".text").inner_text())
    return replies


def test_both_models_answer_by_the_settings_beside_them(page: Page, served: Served, tmp_path: Path) -> None:
    trained(served, str(tiny_llama(tmp_path / "tiny").path), "kind")
    page.reload()
    ready(page)
    tab(page, "6 Chat").click()
    for name, value in SETTINGS.items():
        setting(page, name).fill(value)
    first, again, other = (answers(page, seed) for seed in ("7", "7", "8"))
    assert first == again and first[0] != other[0]
    page.reload()
    for name, value in {**SETTINGS, "seed": "8"}.items():
        expect(setting(page, name)).to_have_value(value)

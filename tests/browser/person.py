"""A person in front of the page. Each thing that is done is counted, and no wait may be without a word."""

import re
import time
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser.test_whole_way import button

WORDS_OF_A_WAIT = ", ".join(
    (
        "[role=status]",
        "[data-sending]",
        "section[aria-label=Progress]",
        "[data-part=phases] [aria-current=step]",
        "[data-part=left]",
        ".state.run + small",
    )
)
"""Where the page says what it is doing: imports, checks, estimates, evaluations, training, exports."""
SILENCE = 5.0
"""Seconds that the page may need to say what it is doing, on a busy machine."""


class Person:
    """Uses the page by hand and keeps a list of what was done.

    Attributes:
        actions: each click, each file, each typed text and each key, in order.
        labels: how many rows got a label by one key. They are counted apart.
        words: what the page said during waits.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.actions: list[str] = []
        self.labels = 0
        self.words: list[str] = []

    def click(self, target: str | Locator) -> None:
        """Click a button, by its name, or anything else, when the page offers it."""
        place = button(self.page, target).first if isinstance(target, str) else target
        self.wait(place, enabled=True)
        name = place.inner_text().strip() or place.get_attribute("aria-label") or place.get_attribute("value")
        self._did(f"click {name}")
        place.click()

    def open_tab(self, name: str) -> None:
        """Click a tab."""
        self.click(self.page.get_by_role("tab", name=name, exact=True))

    def choose_file(self, label: str, path: Path) -> None:
        """Choose a file to upload."""
        self._did(f"choose the file {path.name}")
        self.page.get_by_label(label).first.set_input_files(path)

    def choose(self, label: str, option: str) -> None:
        """Choose an option of a menu."""
        field = self.page.get_by_label(label)
        self.wait(field, enabled=True)
        self._did(f"choose {option}")
        field.select_option(option)
        expect(field).to_have_value(option)

    def type(self, field: Locator, text: str) -> None:
        """Type a text into a field."""
        self.wait(field, enabled=True)
        self._did(f"type {text!r}")
        field.fill(text)

    def press(self, key: str) -> None:
        """Press a key."""
        self._did(f"press {key}")
        self.page.keyboard.press(key)

    def give_label(self, key: str) -> None:
        """Give the row on the screen a label by one key."""
        self.labels += 1
        self.page.keyboard.press(key)

    def wait(self, target: Locator, enabled: bool = False, minutes: float = 6) -> None:
        """Wait until something is visible, and enabled if asked.

        Raises:
            AssertionError: the page said nothing for more than `SILENCE` seconds, or the wait was too long.
        """
        began = spoke = time.monotonic()
        while not (target.is_visible() and (not enabled or target.is_enabled())):
            now = time.monotonic()
            if said := self._words():
                spoke = now
                self.words += [said] if said not in self.words else []
            after = self.actions[-1] if self.actions else "open the page"
            assert now - spoke < SILENCE, f"{now - spoke:.0f} s without a word, after: {after}. Before: {self.words}"
            assert now - began < 60 * minutes, f"More than {minutes} minutes, after: {after}. Words: {self.words}"
            self.page.wait_for_timeout(200)

    def _did(self, what: str) -> None:
        self.actions.append(what)

    def _words(self) -> str:
        """What the page says about its work. Empty if it says nothing."""
        script = "all => all.filter(each => each.checkVisibility()).map(each => each.innerText.trim())"
        texts = self.page.locator(WORDS_OF_A_WAIT).evaluate_all(script)
        return " | ".join(text for text in texts if re.search("[a-z]{3}", text))  # a bare "0%" says nothing

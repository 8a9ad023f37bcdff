"""Takes the pictures of README and tutorial from the real page: a studio with a home of its own trains on sample data.

The animated picture shows the same run: the tabs, the curve as it grows, and the two replies.

    make pictures            a few minutes, since the run is a real one

Needs the starter models and a Chromium, as the browser tests do.
"""

import sys
import tempfile
import time
from contextlib import suppress
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser.served import FLAGS, Served, chromium  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
SIZE = {"width": 1280, "height": 860}
PROMPT = "My parcel never arrived. What now?"
MINUTE = 60_000
ANIMATED = (800, 538)
"""Size of the animated picture, in pixels."""
FRAMES: list[tuple[bytes, int]] = []
"""Frames of the animated picture: a screenshot, and for how many milliseconds it is shown."""


def main() -> int:
    """Walk the whole way once and take a picture at each stop."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        served = Served(Path(folder) / "home")
        browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            page = browser.new_page(viewport=SIZE, color_scheme="light", reduced_motion="reduce")  # type: ignore[arg-type]
            page.goto(served.url)
            page.wait_for_function("document.title.includes('·')")
            walk(page)
            page.emulate_media(color_scheme="dark")
            take(page, "chat-dark", 0)
            animate()
        finally:
            browser.close()
            served.stop()
    return 0


def walk(page: Page) -> None:
    """From the first page to two replies side by side."""
    sample = page.get_by_role("button", name="Use this sample: support-tone")
    expect(sample).to_be_enabled(timeout=MINUTE)
    take(page, "first")
    sample.click()
    start = page.get_by_role("button", name="Start", exact=True)
    expect(start).to_be_enabled(timeout=2 * MINUTE)
    expect(page.get_by_text("Counting tokens")).to_have_count(0, timeout=2 * MINUTE)
    take(page, "method")
    start.click()
    for share in (0.15, 0.3, 0.45):
        wait_for_share(page, share)
        frame(page, 700)
    wait_for_share(page, 0.6)
    take(page, "train", 900)
    wait_for_share(page, 0.85)
    frame(page, 900)
    chat = page.get_by_role("button", name="Chat with both")
    expect(chat).to_be_enabled(timeout=15 * MINUTE)
    chat.click()
    page.get_by_role("button", name="Clear", exact=True).click()
    page.get_by_role("textbox", name="Your prompt").fill(PROMPT)
    send = page.get_by_role("button", name="Send", exact=True)
    expect(send).to_be_enabled(timeout=2 * MINUTE)
    frame(page, 1200)
    send.click()
    # Enabled again when both have answered and something is written.
    page.wait_for_timeout(3000)
    page.get_by_role("textbox", name="Your prompt").fill("Thank you")
    expect(send).to_be_enabled(timeout=2 * MINUTE)
    page.get_by_role("textbox", name="Your prompt").fill("")
    take(page, "chat", 3500)
    open_tab(page, "5 Evaluate")
    page.get_by_role("button", name="Evaluate", exact=True).click()
    expect(page.get_by_role("heading", name="Scorecard")).to_be_visible(timeout=10 * MINUTE)
    take(page, "evaluate", 2500)
    open_tab(page, "7 Export")
    expect(page.get_by_role("button", name="Export adapter")).to_be_enabled(timeout=MINUTE)
    take(page, "export", 2000)
    open_tab(page, "6 Chat")


def open_tab(page: Page, name: str) -> None:
    """Open a tab and wait until it is drawn."""
    page.get_by_role("tab", name=name, exact=True).click()
    page.wait_for_timeout(1500)


def take(page: Page, name: str, shown: int = 1500) -> None:
    """A picture of what the window shows, with the mouse out of the way. `shown`: milliseconds in the animated one."""
    page.mouse.move(SIZE["width"] / 2, 2)
    page.wait_for_timeout(700)
    picture = page.screenshot(path=PICTURES / f"{name}.png")
    if shown:
        FRAMES.append((picture, shown))
    print(f"docs/pictures/{name}.png", flush=True)


def frame(page: Page, shown: int) -> None:
    """A frame of the animated picture alone."""
    FRAMES.append((page.screenshot(), shown))


def animate() -> None:
    """Write the animated picture. All frames have the colors of one palette, so that nothing flickers."""
    frames = [
        Image.open(BytesIO(picture)).convert("RGB").resize(ANIMATED, Image.Resampling.LANCZOS) for picture, _ in FRAMES
    ]
    palette = frames[-1].quantize(128)
    first, *rest = [each.quantize(palette=palette, dither=Image.Dither.NONE) for each in frames]
    times = [shown for _, shown in FRAMES]
    first.save(PICTURES / "workflow.gif", save_all=True, append_images=rest, duration=times, loop=0, optimize=True)
    print("docs/pictures/workflow.gif", flush=True)


def wait_for_share(page: Page, share: float) -> None:
    """Until the run's progress bar is so far, or the run is at its end."""
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        bars = [bar for bar in page.get_by_role("progressbar").all() if bar.is_visible()]
        if any(share_of(bar) >= share for bar in bars):
            return
        if page.get_by_role("button", name="Chat with both").is_visible():
            return
        page.wait_for_timeout(300)
    raise TimeoutError("the run did not move on")


def share_of(bar: Locator) -> float:
    """What a progress bar tells those who can't see it, 0 to 1."""
    with suppress(TypeError, ValueError):
        return float(bar.get_attribute("aria-valuenow") or 0) / float(bar.get_attribute("aria-valuemax") or 100)
    return 0.0


if __name__ == "__main__":
    sys.exit(main())

"""The Method and Chat tabs from Gradio's own components, beside ours: time, bytes, keyboard, axe, errors, width.

Both pages work on the same data folder and plan the same run. The prototype makes every setting from TrainingConfig:
Number, Dropdown and Checkbox in Accordions, and two Chatbots.

    .venv/bin/python benchmarks/native_components.py [--pictures FOLDER]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median
from typing import Any, get_args

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

CHANGES = 7
DATA, MODEL = "sample:support-tone", "starter-chat"


def setting_field(name: str, value: Any) -> Any:
    """A component for a setting, from the schema."""
    import gradio as gr

    from studio.schema.config import TrainingConfig
    from studio.schema.fields import about

    known, field = about(TrainingConfig, name), TrainingConfig.model_fields[name]
    choices = get_args(field.annotation)
    common: dict[str, Any] = {"label": known.label if known else name, "info": field.description, "interactive": True}
    if isinstance(value, bool):
        return gr.Checkbox(value, **common)
    if choices and all(isinstance(choice, str) for choice in choices):
        return gr.Dropdown(list(choices), value=value, **common)
    if isinstance(value, int | float) or value is None:
        return gr.Number(value, **common)
    return gr.Textbox(str(value), **common)


def prototype(home: str, port: int) -> None:
    """Serve the two tabs."""
    import gradio as gr

    from studio.api import RunRequest, Studio
    from studio.schema.config import GROUPS, TrainingConfig
    from studio.schema.errors import StudioError
    from studio.schema.fields import about
    from studio.schema.report import ChatSettings
    from studio.training.planning.setting_scope import applicable_settings

    studio = Studio(home)
    data = studio.datasets.open(DATA).id

    def plan(*values: Any) -> tuple[str, str]:
        settings = {name: value for name, value in zip(names, values, strict=True) if value not in (None, "")}
        changed = {name: value for name, value in settings.items() if value != defaults[name]}
        try:
            view = studio.planning.plan(RunRequest(dataset=data, model=MODEL, settings=changed))
        except StudioError as error:
            return gr.skip(), "\n".join(f"- {each.field}: {each.message}" for each in error.all())
        estimate = view.estimate
        return f"### {estimate.seconds:.0f} s · {estimate.memory_bytes / 2**30:.2f} GB · {estimate.steps} steps", ""

    def reply(message: str, base: list[Any], tuned: list[Any]) -> Any:
        asked = [{"role": "user", "content": message}]
        panes = {"base": [*base, *asked], "tuned": [*tuned, *asked]}
        for chunk in studio.chat.stream("last", asked, ChatSettings()):
            yield [*panes["base"], *said(chunk, "base")], [*panes["tuned"], *said(chunk, "tuned")]

    def said(chunk: Any, who: str) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": chunk.text}] if chunk.who == who else []

    config = studio.planning.plan(RunRequest(dataset=data, model=MODEL)).plan.config
    defaults = config.model_dump()
    known = {name: about(TrainingConfig, name) for name in applicable_settings(config.method, config.task)}
    fields: dict[str, Any] = {}
    with gr.Blocks(title="Prototype", analytics_enabled=False) as page, gr.Tabs():
        with gr.Tab("Method"):
            shown, problems = gr.Markdown("### Planning …"), gr.Markdown()
            for group, title in GROUPS.items():
                with gr.Accordion(title, open=group == "learning"):
                    mine = [name for name, each in known.items() if each and each.group == group]
                    fields |= {name: setting_field(name, defaults[name]) for name in mine}
            names = list(fields)
            for field in fields.values():
                field.change(plan, list(fields.values()), [shown, problems], show_progress="hidden")
            page.load(plan, list(fields.values()), [shown, problems])
        with gr.Tab("Chat"):
            with gr.Row():
                base = gr.Chatbot(label="Base model")
                tuned = gr.Chatbot(label="Fine-tuned model")
            message = gr.Textbox(label="Message", interactive=True)
            message.submit(reply, [message, base, tuned], [base, tuned])
    page.launch(server_port=port, quiet=True, prevent_thread_lock=False)


def label_of(name: str) -> str:
    """The label of a setting."""
    from studio.schema.config import TrainingConfig
    from studio.schema.fields import about

    known = about(TrainingConfig, name)
    return known.label if known else name


class Page:
    """What a page of Chromium shows, with the bytes that it gets."""

    def __init__(self, browser: Any, url: str, width: int = 1280, scheme: str = "light") -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.bytes = 0
        # Gradio's default theme asks for fonts of other hosts.
        self.page.route(lambda url: not url.startswith("http://127.0.0.1"), lambda route: route.abort())
        session = self.page.context.new_cdp_session(self.page)
        session.send("Network.enable")
        session.on("Network.dataReceived", self._add)
        self.page.goto(url, timeout=120_000)

    def _add(self, event: dict[str, Any]) -> None:
        self.bytes += event["encodedDataLength"]

    def axe(self) -> int:
        """Rules that axe finds broken."""
        from axe_playwright_python.sync_playwright import Axe

        return int(Axe().run(self.page).violations_count)


def ours(page: Page) -> Any:
    """Go to the Method tab with the sample."""
    from playwright.sync_api import expect

    sample = page.page.get_by_role("button", name=f"Use this sample: {DATA.removeprefix('sample:')}")
    start = page.page.get_by_role("button", name="Start", exact=True)
    sample.or_(start).first.wait_for(timeout=60_000)
    if sample.is_visible():  # on the first visit; later ones open the Method tab
        sample.click()
    expect(start).to_be_enabled(timeout=120_000)
    for fold in page.page.locator("details.fold").all():
        fold.evaluate("(each) => { each.open = true }")
    return page.page.locator("#f-batch_size")


def native(page: Page) -> Any:
    """Wait for the plan of the prototype."""
    page.page.get_by_text("GB ·").first.wait_for(timeout=120_000)
    return page.page.get_by_label(label_of("batch_size"), exact=True)


CONTROLS = """() => [...document.querySelectorAll('input,select,textarea,button,summary,a[href]')].filter((each) =>
  each.checkVisibility({ visibilityProperty: true }) && !each.disabled && each.tabIndex >= 0
  && each.getClientRects().length && (each.type !== 'radio' || each.checked))"""
"""Elements that Tab should reach. Of radio buttons, it reaches the chosen one."""


def keyboard(page: Page) -> str:
    """How many controls Tab reaches, of those on the page, and how many of these show that they have the focus."""
    page.page.evaluate(f"window.controls = ({CONTROLS})(); document.body.tabIndex = -1; document.body.focus()")
    # A focus that is not visible has neither an outline nor another border, shadow or background.
    look = """(each) => [each.closest('label') || each, each].map((e) => getComputedStyle(e)).map((s) =>
      [s.outline, s.boxShadow, s.borderColor, s.backgroundColor].join()).join()"""
    page.page.evaluate(f"window.before = new Map(controls.map((each) => [each, ({look})(each)]))")
    for _ in range(page.page.evaluate("controls.length") * 2):
        page.page.keyboard.press("Tab")
        page.page.evaluate("document.activeElement.reached = true")
        seen = f"({look})(each) !== before.get(each)"
        page.page.evaluate(f"(() => {{ const each = document.activeElement; each.seen = {seen} }})()")
    return str(
        page.page.evaluate(
            "`${controls.filter((e) => e.reached).length} of ${controls.length}, `"
            "+ `${controls.filter((e) => e.reached && e.seen).length} visibly`"
        )
    )


def measure(browser: Any, url: str, prepare: Any, watch: str) -> dict[str, Any]:
    """The figures of one page."""
    began = time.perf_counter()
    page = Page(browser, url)
    page.page.get_by_role("tab").first.wait_for(state="attached", timeout=60_000)
    drawn, loaded = time.perf_counter() - began, page.bytes
    field = prepare(page)
    before, times = page.bytes, []
    for number in range(CHANGES):
        text = page.page.locator(watch).first.inner_text()
        field.fill(str(2 + number % 2 * 2))
        began = time.perf_counter()
        field.press("Tab")
        while page.page.locator(watch).first.inner_text() == text and time.perf_counter() - began < 20:
            page.page.wait_for_timeout(5)
        times.append(time.perf_counter() - began)
    nodes = page.page.evaluate("document.querySelectorAll('*').length")
    changed = (page.bytes - before) / CHANGES
    reached = keyboard(page)
    narrow = Page(browser, url, 390)
    narrow.page.get_by_role("tab").first.wait_for(state="attached", timeout=60_000)
    prepare(narrow)
    dark = Page(browser, url, scheme="dark")
    dark.page.get_by_role("tab").first.wait_for(state="attached", timeout=60_000)
    prepare(dark)
    rate = page.page.get_by_label("Learning rate", exact=True)
    rate.fill("7")
    rate.press("Tab")
    page.page.wait_for_timeout(2500)
    marked = rate.get_attribute("aria-invalid") == "true"
    return {
        "page drawn, s": round(drawn, 2),
        "bytes of the page": loaded,
        "answer to a change, ms": round(1000 * median(times)),
        "bytes of a change": round(changed),
        "elements": nodes,
        "axe rules broken": page.axe(),
        "axe rules broken, dark": dark.axe(),
        "controls that Tab reaches": reached,
        "a wrong value is marked at its field": marked,
        "sideways scrolling at 390 px": narrow.page.evaluate("document.documentElement.scrollWidth - innerWidth"),
    }


def main() -> int:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", nargs=2, metavar=("HOME", "PORT"))
    parser.add_argument("--pictures", type=Path)
    asked = parser.parse_args()
    if asked.serve:
        prototype(asked.serve[0], int(asked.serve[1]))
        return 0
    from playwright.sync_api import sync_playwright

    from tests.browser.served import FLAGS, Served, chromium

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        served = Served(Path(folder) / "ours")
        port = served.port + 1
        env = {**os.environ, "HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
        command = [sys.executable, __file__, "--serve", f"{folder}/native", str(port)]
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(url, timeout=5).close()
                    break
                except OSError:  # not there yet
                    time.sleep(0.2)
            found = {
                "ours": measure(browser, served.url, ours, ".runcard"),
                "native": measure(browser, url, native, "h3"),
            }
            for name, value in found["ours"].items():
                print(f"{name:40s} ours {value!s:>12s}   native {found['native'][name]!s:>12s}")
            if asked.pictures:
                asked.pictures.mkdir(parents=True, exist_ok=True)
                for width, scheme in ((1280, "light"), (1280, "dark"), (390, "light")):
                    page = Page(browser, url, width, scheme)
                    native(page)
                    page.page.screenshot(path=asked.pictures / f"native-{width}-{scheme}.png", full_page=True)
        finally:
            browser.close()
            process.kill()
            served.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

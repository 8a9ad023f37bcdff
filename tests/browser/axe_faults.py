"""What axe-core finds on a page, in light and in dark."""

from collections.abc import Collection

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

OPTIONS = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],  # a description of each element that is right takes half of the time
}
NOT_OURS = {"region", "landmark-one-main", "page-has-heading-one", "bypass"}
"""Rules about Gradio's own frame, which the page does not draw."""
OF_COLORS = ("color-contrast", "link-in-text-block")
"""Rules whose result can differ between the color schemes. All others look at elements, which are the same."""
RECOLORED = """(scheme) => document.body.classList.contains("dark") === (scheme === "dark")
  && !document.getAnimations().some((each) => each instanceof CSSTransition)"""


def axe_faults(page: Page, without: Collection[str] = NOT_OURS, rules: Collection[str] = ()) -> list[str]:
    """What axe finds, each with its element. `rules` are those to check, if not all."""
    only = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else {}
    if not page.evaluate("'axe' in window"):  # to read half a megabyte of script takes longer than some rules
        page.evaluate(Axe().axe_script)
    return [
        f"{fault['id']}: {node['html'][:160]} ({node['failureSummary'][:200]})"
        for fault in page.evaluate("async (options) => (await axe.run(options)).violations", {**OPTIONS, **only})
        if fault["id"] not in without
        for node in fault["nodes"]
    ]


def axe_faults_of_both_schemes(page: Page, without: Collection[str] = NOT_OURS) -> list[str]:
    """What axe finds on a page of the studio in light, and what it finds about colors in dark. The page is light
    again afterwards."""
    found = axe_faults(page, without)
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_function(RECOLORED, arg=scheme)
        if scheme == "dark":
            found += [f"in dark, {fault}" for fault in axe_faults(page, without, OF_COLORS)]
    return found

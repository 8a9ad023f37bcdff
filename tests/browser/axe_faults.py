"""What axe-core finds on a page."""

from collections.abc import Collection

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

OPTIONS = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],  # a description of each element that is right takes half of the time
}
NOT_OURS = {"region", "landmark-one-main", "page-has-heading-one", "bypass"}
"""Rules about Gradio's own frame, which the page does not draw."""


def axe_faults(page: Page, without: Collection[str] = NOT_OURS) -> list[str]:
    """What axe finds, each with its element."""
    return [
        f"{fault['id']}: {node['html'][:160]} ({node['failureSummary'][:200]})"
        for fault in Axe().run(page, options=OPTIONS).response["violations"]
        if fault["id"] not in without
        for node in fault["nodes"]
    ]

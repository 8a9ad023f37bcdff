"""Cross-validation on the page, with real trainings: the offer, the folds, the verdict over all rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from studio.api import RunRequest, Studio
from studio.schema.runs import ACTIVE
from tests.browser.conftest import opened_pages
from tests.browser.served import Served
from tests.real.made_runs import tiny_llama
from tests.real.worker_runs import wait_for

MINUTE = 60_000
FEW: dict[str, Any] = {"max_length": 32, "max_steps": 2, "precision": "float32", "early_stopping_patience": 0}
LABELED = "text,label\n" + "".join(
    f"{'Where is my parcel' if n % 2 else 'The lamp is broken'} {n}?,{'delivery' if n % 2 else 'damage'}\n"
    for n in range(45)
)


@pytest.fixture
def run(home: Path, tmp_path: Path) -> str:
    """A trained tiny classifier, whose few validation rows leave the verdict open."""
    studio, model = Studio(home), str(tiny_llama(tmp_path / "tiny").path)
    dataset = studio.datasets.add_text(LABELED).id
    run = studio.runs.start(
        RunRequest(dataset=dataset, model=model, task="classification", settings=FEW, name="tickets")
    )
    wait_for(lambda: studio.runs.get(run.id).status not in ACTIVE, 600, studio)
    report = studio.evaluation.evaluate(run.id).model_copy(update={"outcome": "unclear", "rows_needed": 60})
    studio.context.workspace.runs.folder(run.id).report.write_text(report.model_dump_json())
    studio.close()
    return run.id


@pytest.fixture
def page(browser: Browser, run: str, home: Path) -> Iterator[Page]:
    served = Served(home)
    with opened_pages(browser, served) as open_page:
        page = open_page(f"/?run={run}")
        page.get_by_role("tab", name="5 Evaluate", exact=True).click()
        yield page
    served.stop()


@pytest.mark.timeout(1200)
def test_a_verdict_that_few_rows_leave_open_is_settled_by_a_cross_validation(page: Page, run: str) -> None:
    bar = page.locator("#evaluate-actions")
    primary = bar.locator("[data-primary]")
    expect(primary).to_contain_text("Check with 5-fold cross-validation")
    expect(bar).to_contain_text("Cross-validation tests all 45 rows.")
    panel = page.get_by_role("region", name="Cross-validation")
    expect(panel).to_contain_text("validation rows are few for a verdict.")
    expect(panel.get_by_role("button")).to_have_count(0)  # its button is the next step
    primary.click()
    expect(panel).to_contain_text("of 5 folds are trained.", timeout=2 * MINUTE)
    expect(panel).to_contain_text("tickets · fold 5 of 5")
    expect(primary).to_have_text("Try it on a text")
    panel.get_by_role("button", name="Pause").click()
    expect(panel.get_by_role("button", name="Continue")).to_be_visible(timeout=2 * MINUTE)
    panel.get_by_role("button", name="Continue").click()
    expect(panel).to_contain_text("45 rows of all folds", timeout=14 * MINUTE)
    expect(panel).to_contain_text("Each of the 5 models answered only rows that it was not trained on.")
    assert panel.get_by_role("region", name="Folds, scrolls sideways").locator("tbody tr").count() == 5
    expect(panel.get_by_text("cross-validation, 45 rows")).to_be_visible()
    expect(primary).to_have_count(1)
    expect(primary).not_to_contain_text("Check with")

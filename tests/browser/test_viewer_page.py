"""A viewer of a team looks at everything, chats, and changes nothing: on the page, and past the page."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.api import Studio
from studio.ui.http.serve_options import ServeOptions
from studio.ui.http.server import make_app
from studio.ui.shell import PageShell
from studio.ui.tabs.registry import TABS
from studio.ui.visitors.passwords import hash_password
from tests.browser.served import Served
from tests.real.asking import Asking, component_of, config_of

FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("team")
    (place / "hashes").write_text("".join(f"{role} {hash_password(role)}\n" for role in ("owner", "editor", "viewer")))
    studio = Studio(place / "home")
    studio.datasets.add_sample("support-tone")
    studio.close()
    team = Served(place / "home", environment={"STUDIO_PASSWORD_FILE": str(place / "hashes")})
    yield team
    team.stop()


def log_in(page: Page, served: Served, password: str) -> None:
    page.goto(served.url)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_a_viewer_sees_the_data_and_can_press_nothing_that_changes_it(page: Page, served: Served) -> None:
    log_in(page, served, "viewer")
    expect(page.get_by_role("note")).to_contain_text("You are logged in as a viewer")
    page.get_by_role("tab", name="Data").click()
    page.get_by_role("button", name="All datasets").click()
    page.get_by_role("button", name="Open support-tone.csv").click()
    expect(page.get_by_role("heading", name="Your rows")).to_be_visible()
    page.get_by_role("button", name="All datasets").click()
    for name in ("Delete", "Rename", "Duplicate"):
        for button in page.get_by_role("button", name=name).all():
            expect(button).to_be_disabled()
    expect(page.get_by_role("button", name="New run")).to_be_disabled()


def test_an_editor_sees_no_such_note(page: Page, served: Served) -> None:
    log_in(page, served, "editor")
    expect(page.get_by_role("tab", name="Data")).to_be_visible()
    expect(page.get_by_role("button", name="New run")).to_be_enabled()
    assert page.get_by_role("note").count() == 0


def actions_of_the_page(home: Path, monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str, str]]:
    """Tab, part of the page and action, of all that the page can send."""
    found: set[tuple[str, str, str]] = set()
    wire = PageShell.actions

    def noted(shell: PageShell, part: object, table: dict[str, object]) -> None:
        found.update((shell.name, part.elem_id, action) for action in table)  # type: ignore[attr-defined]
        wire(shell, part, table)  # type: ignore[arg-type]

    monkeypatch.setattr(PageShell, "actions", noted)
    make_app(ServeOptions(home))
    return found


def content(home: Path) -> tuple[list[str], dict[Path, bytes]]:
    """All rows of the database and all files of datasets and runs."""
    place = home / "workspaces" / "default"
    with closing(sqlite3.connect(place / "studio.db")) as database:
        rows = list(database.iterdump())
    files = [path for path in place.rglob("*") if path.is_file() and not path.name.startswith("studio.db")]
    return rows, {path: path.read_bytes() for path in files}


def test_past_the_page_each_action_that_changes_something_is_refused_to_a_viewer(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered = Asking(served).ask("POST", "/login", "password=viewer", content_type=FORM)
    cookie = entered.headers["set-cookie"].split(";")[0]
    who = Asking(served)
    who.component = component_of(config_of(who.get("/", cookie=cookie).text))
    before, refused = content(served.home), 0
    for tab, region, action in sorted(actions_of_the_page(tmp_path / "other", monkeypatch)):
        answer = who.call({"page": "mine", "region": region, "said": {"act": action}}, cookie=cookie)
        allowed = action == "draw" or action in TABS[tab].viewer_actions
        assert answer.status == 200 and ("logged in as a viewer" in answer.text) != allowed, (region, action)
        refused += not allowed
    assert refused > 200
    for method, path in (("PUT", "/studio/upload"), ("POST", "/gradio_api/queue/join"), ("POST", "/studio/other")):
        assert Asking(served).ask(method, path, b"{}", cookie=cookie).status == 403, path
    assert content(served.home) == before, "a viewer changed a row or a file"

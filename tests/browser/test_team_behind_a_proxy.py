"""A team behind a proxy that signs people on and serves the studio below a path."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from studio.schema.errors import StudioError
from studio.ui.http import sub_path
from studio.ui.visitors import sign_on
from tests.browser.conftest import opened_pages
from tests.browser.served import Served
from tests.real.asking import Asking, config_of

PEOPLE = {
    "anna@example.org": "owner",
    "ben": "editor",
    "stranger": "viewer",
    "jürgen".encode().decode("latin-1"): "editor",  # as a proxy sends UTF-8
    "JÜRGEN": "editor",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("proxied")
    (place / "roles").write_text("# the team\nowner Anna@example.org\n\nmember ben\nviewer *\neditor Jürgen\n", "utf-8")
    flags = ("--trusted-proxy", "127.0.0.1", "--user-header", "Remote-User", "--root-path", "/tuning/")
    team = Served(place / "home", *flags, environment={sign_on.ROLES_FILE: str(place / "roles")})
    yield team
    team.stop()


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """The page as the proxy shows it to Anna."""
    with opened_pages(browser, served) as open_page:
        yield open_page("/tuning", extra_http_headers={"Remote-User": "anna@example.org"})


def test_the_whole_page_works_below_its_path(page: Page, served: Served) -> None:
    expect(page).to_have_url(f"{served.url}/tuning/")
    page.get_by_role("button", name="New run").click()
    page.get_by_role("tab", name="Data").click()
    page.locator("input[type=file]").first.set_input_files(
        {"name": "small.csv", "mimeType": "text/csv", "buffer": b"text,label\n" + b"good day,fine\nbad day,poor\n" * 20}
    )
    expect(page.get_by_role("heading", name="Your rows")).to_be_visible(timeout=30_000)
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Help for this tab").click()
    expect(opened.value.get_by_role("heading", level=1)).to_be_visible()
    assert opened.value.url.startswith(f"{served.url}/tuning/studio/docs/")


@pytest.mark.parametrize("prefix", ["/tuning", ""])
def test_it_also_works_behind_a_proxy_that_removes_the_path(served: Served, prefix: str) -> None:
    told = Asking(served).get(f"{prefix}/", remote_user="ben")
    assert told.status == 200 and config_of(told.text)["root"] == f"{served.url}/tuning"
    assert Asking(served).get(f"{prefix}/studio/static/studio.css", remote_user="ben").status == 200


@pytest.mark.parametrize(("person", "role"), PEOPLE.items())
def test_each_person_has_the_role_of_the_file(served: Served, person: str, role: str) -> None:
    who = Asking(served)
    assert who.get("/tuning/config", remote_user=person).status == (200 if role == "owner" else 403)
    sent = who.ask("PUT", "/tuning/studio/upload", b"a,b\n1,2\n", remote_user=person, x_file_name="rows.csv")
    assert sent.status == (403 if role == "viewer" else 200)


def test_only_the_trusted_proxy_can_name_a_person(served: Served) -> None:
    assert Asking(served).get("/").status == 403
    for name in ("remote_user", "x_studio_user", "x_studio_role"):
        direct = Asking(served)
        direct.address = "127.0.0.2"
        assert direct.get("/", **{name: "anna@example.org" if "user" in name else "owner"}).status == 403
    for name in ("x_studio_user", "x_studio_role"):
        assert Asking(served).get("/", **{name: "anna@example.org"}).status == 403
        raised = Asking(served).get("/config", **{"remote_user": "stranger", name: "owner"})
        assert raised.status == 403, "a header of the client does not raise the role"


@pytest.mark.parametrize("text", ["owner\n", "boss anna\n", "", "# nobody\n"])
def test_a_file_of_roles_that_is_wrong_is_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "roles").write_text(text)
    monkeypatch.setenv(sign_on.ROLES_FILE, str(tmp_path / "roles"))
    with pytest.raises(StudioError) as raised:
        sign_on.roles_of_environment()
    assert raised.value.code == "bad-setting" and raised.value.hint


@pytest.mark.parametrize(
    ("name", "proxies"), [("Remote-User", []), ("Remote User", ["127.0.0.1"]), ("Remote-User\r\nX: y", ["127.0.0.1"])]
)
def test_a_header_that_everyone_could_send_is_refused(name: str, proxies: list[str]) -> None:
    with pytest.raises(StudioError):
        sign_on.header_name(name, proxies)


@pytest.mark.parametrize("path", ["tuning", "/a b", "/../etc", "/a//b", "/a/./b", "https://example.org", "/a?b"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(StudioError):
        sub_path.root_path(path)

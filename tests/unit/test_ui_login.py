"""The login: wrong guesses never lock out who knows the password; roles, device cookies, logout, odd forms."""

import asyncio
import time
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest

from studio.schema.errors import StudioError
from studio.ui.visitors.login import Guesses, Login
from studio.ui.visitors.passwords import Account, accounts_of_environment, hash_password, matching
from studio.ui.visitors.sign_on import ROLES_FILE, roles_of_environment
from tests.unit.asgi import Answer, Seen, ask

FORM = ("content-type", "application/x-www-form-urlencoded")
OWNER, MEMBER = Account(hash_password("blue stone"), "owner"), Account(hash_password("red stone"), "editor")


def front(guesses: Guesses | None = None, key: str = "a key") -> tuple[Login, Seen]:
    seen = Seen()
    return Login(seen, [MEMBER, OWNER], key, guesses), seen


async def enter(login: Login, password: str, host: str = "10.0.0.1", cookie: str = "", scheme: str = "http") -> Answer:
    """Send the form."""
    headers = [("host", "127.0.0.1:7860"), FORM, *([("cookie", cookie)] if cookie else [])]
    body = f"password={password.replace(' ', '+')}".encode()
    return await ask(login, "/login", "POST", headers, host, body, scheme)


def cookies_of(answer: Answer) -> dict[str, str]:
    """What the browser keeps."""
    kept: dict[str, str] = {}
    for name, value in answer.headers:
        if name == b"set-cookie":
            kept |= {key: each.value for key, each in SimpleCookie(value.decode()).items()}
    return kept


def sent(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


async def page(login: Login, cookie: str, path: str = "/studio/bar", method: str = "GET") -> Answer:
    return await ask(login, path, method, [("host", "127.0.0.1:7860"), ("cookie", cookie)])


@pytest.mark.slow
def test_wrong_guesses_keep_nobody_waiting_who_knows_the_password() -> None:
    async def flood() -> None:
        login, _ = front()
        wrong = [asyncio.create_task(enter(login, f"guess {number}")) for number in range(10)]
        await asyncio.sleep(0.1)
        assert (await enter(login, "blue stone")).status == 303
        assert not all(each.done() for each in wrong), "it does not wait for their answers"
        done, waiting = await asyncio.wait(wrong, timeout=2)
        assert {each.result().status for each in done} == {403}
        for each in waiting:
            each.cancel()

    asyncio.run(flood())


@pytest.mark.slow
def test_the_answer_to_a_wrong_guess_comes_later_each_time() -> None:
    async def guess() -> None:
        login, _ = front()
        seconds = []
        for _ in range(2):
            began = time.monotonic()
            assert (await enter(login, "wrong")).status == 403
            seconds.append(time.monotonic() - began)
        assert 0.5 <= seconds[0] and 1 <= seconds[1]
        began = time.monotonic()
        assert (await enter(login, "wrong", "10.0.0.2")).status == 403
        assert time.monotonic() - began < seconds[1] + 0.4, "another address begins anew"

    asyncio.run(guess())


def test_too_many_guesses_are_refused_for_a_few_seconds_and_a_known_browser_is_not_concerned() -> None:
    async def guess() -> None:
        login, _ = front(Guesses(rate=0.5, burst=3))
        kept = cookies_of(await enter(login, "blue stone"))
        known = f"studio-device={kept['studio-device']}"
        wrong = [asyncio.create_task(enter(login, "wrong")) for _ in range(12)]
        done, _ = await asyncio.wait(wrong, timeout=0.4)
        refused = [each.result() for each in done]
        assert len(refused) >= 10 and {each.status for each in refused} == {429}
        assert 1 <= int(refused[0].header("retry-after")) <= 5 and b"few seconds" in refused[0].body
        assert (await enter(login, "blue stone")).status == 429, "no token is left for this address"
        assert (await enter(login, "blue stone", cookie=known)).status == 303, "the device has tokens of its own"
        assert (await enter(login, "blue stone", cookie="studio-device=forged.abc")).status == 429
        assert (await enter(login, "blue stone", "10.0.0.2")).status == 303
        restarted, _ = front(Guesses(rate=0.5, burst=0))
        assert (await enter(restarted, "blue stone")).status == 429
        for each in wrong:
            each.cancel()

    asyncio.run(guess())


def test_a_device_cookie_is_valid_after_a_restart_with_the_same_key_only() -> None:
    async def check() -> None:
        kept = cookies_of(await enter(front()[0], "blue stone"))
        assert front()[0].devices.known(kept["studio-device"])
        assert not front(key="another")[0].devices.known(kept["studio-device"])
        for forged in ("", ".", "a.b", kept["studio-device"] + "x", kept["studio-device"].replace(".", ".0")):
            assert not front()[0].devices.known(forged)

    asyncio.run(check())


def test_guesses_are_remembered_for_so_many_sources_only() -> None:
    guesses = Guesses(most=50)
    for number in range(500):
        guesses.buckets.take(str(number))
        guesses.failed(str(number))
    assert guesses.known == 50


def test_cookies_are_for_this_site_alone_and_over_https_for_https_alone() -> None:
    async def check() -> None:
        for scheme in ("http", "https"):
            told = await enter(front()[0], "blue stone", scheme=scheme)
            for value in (value.decode() for name, value in told.headers if name == b"set-cookie"):
                assert "HttpOnly" in value and "SameSite=strict" in value
                assert ("Secure" in value) == (scheme == "https")

    asyncio.run(check())


@pytest.mark.parametrize(("password", "role"), [("blue stone", b"owner"), ("red stone", b"editor")])
def test_the_role_of_a_password_reaches_the_application(password: str, role: bytes) -> None:
    async def check() -> None:
        login, seen = front()
        cookie = sent(cookies_of(await enter(login, password)))
        assert (await page(login, cookie)).status == 200
        assert [value for name, value in seen.scope["headers"] if name == b"x-studio-role"] == [role]

    asyncio.run(check())


def test_logout_ends_the_session_and_leaves_the_device_cookie() -> None:
    async def check() -> None:
        login, _ = front()
        kept = cookies_of(await enter(login, "blue stone"))
        other = cookies_of(await enter(login, "blue stone"))
        left = await page(login, sent(kept), "/logout", "POST")
        assert left.status == 303 and left.header("location") == "./"
        assert cookies_of(left) == {"studio-session": ""} and "Max-Age=0" in left.header("set-cookie")
        assert (await page(login, sent(kept))).status == 401
        assert (await page(login, sent(other))).status == 200, "another browser stays logged in"
        assert (await page(login, sent(other), "/logout")).status == 404, "no link and no image logs anybody out"
        assert (await page(login, sent(other))).status == 200

    asyncio.run(check())


def test_many_sessions_of_one_password_do_not_end_those_of_another() -> None:
    login, _ = front()
    mine = login.sessions.begin(OWNER)
    for _ in range(100):
        last = login.sessions.begin(MEMBER)
    assert login.sessions.account(mine) == OWNER and login.sessions.account(last) == MEMBER
    assert len(login.sessions._known) == 51


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"--x\r\nbroken"),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken"),
        ("application/json", b'{"password": "blue stone"}'),
        ("", b"password=blue+stone"),
        (FORM[1], b"password=\xff\xfe"),
        (FORM[1], b"password=%ff%fe"),
        (FORM[1], b"a=1&b=2&c=3&d=4&e=5&password=x"),
        (FORM[1], b"password=a&password=b"),
        (FORM[1], b""),
        (FORM[1], b"word=blue"),
        (FORM[1], b"password=" + b"x" * 1500),
        (FORM[1], b"password=" + b"x" * 5000),
        (FORM[1], b"password=%zz"),
        (FORM[1], b"password=%00"),
        (f"{FORM[1]}; \xff", b"password=x"),
    ],
)
def test_an_odd_form_is_refused_in_a_sentence(kind: str, body: bytes) -> None:
    headers = [("host", "127.0.0.1:7860"), *([("content-type", kind)] if kind else [])]
    told = asyncio.run(ask(front()[0], "/login", "POST", headers, body=body))
    assert 400 <= told.status < 500 and told.body.startswith(b"<!doctype html>") and b'role="alert"' in told.body


@pytest.mark.parametrize("path", ["/login", "/logout"])
def test_without_a_password_there_is_no_login_not_even_gradios(path: str) -> None:
    assert asyncio.run(ask(Login(Seen(), []), path, "POST")).status == 404


# --- accounts ---


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("STUDIO_PASSWORD", raising=False)
    monkeypatch.setenv("STUDIO_PASSWORD_FILE", str(tmp_path / "hashes"))
    yield tmp_path / "hashes"


def roles(*passwords: str) -> list[Any]:
    accounts = accounts_of_environment()
    found = [matching(each, accounts) for each in passwords]
    return [each and each.role for each in found]


def test_a_line_of_the_file_has_a_role_and_a_single_hash_is_the_owners(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = (hash_password(each) for each in ("one", "two", "three"))
    file.write_text(f"# the team\nowner {one}\nmember  {two}\n\n{three}\n")
    assert roles("one", "two", "three", "four") == ["owner", "editor", "editor", None]
    file.write_text(f"{one}\n")
    assert roles("one") == ["owner"]
    file.write_text(f"member {one}\n")
    assert roles("one") == ["editor"]
    file.write_text(f"{one}\n{two}\n")
    assert roles("one", "two") == ["editor", "editor"]
    file.write_text(f"{one}\n")
    monkeypatch.setenv("STUDIO_PASSWORD", "mine")
    assert roles("one", "mine") == ["editor", "owner"]
    monkeypatch.setenv("STUDIO_PASSWORD", "one")
    assert roles("one") == ["owner"], "of two roles the owner's"


def test_a_wrong_line_or_a_missing_file_is_told(file: Path) -> None:
    good = hash_password("one")
    for wrong in (
        "plain words",
        "scrypt$$",
        "scrypt$abc$def",
        good[:-8],
        f"{good}$more",
        good.replace("$", "$!", 1),
        "owner",
        f"admin {good}",
        f"owner member {good}",
    ):
        file.write_text(f"{good}\n{wrong}\n")
        with pytest.raises(StudioError, match="a line that is not a hash"):
            accounts_of_environment()
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(StudioError, match="can't be read"):
        accounts_of_environment()
    file.unlink()
    with pytest.raises(StudioError, match="can't be read") as refused:
        accounts_of_environment()
    assert "STUDIO_PASSWORD_FILE" in refused.value.hint


def test_hashes_are_salted_and_compared_whole() -> None:
    first, second = Account(hash_password("a")), Account(hash_password("a"))
    assert first.hash != second.hash
    assert matching("a", [first, second]) and matching("a", [Account(hash_password("b")), first]) == first
    assert matching("b", [first]) is None and matching("", [first]) is None


# --- roles of people whom a proxy names ---


def test_a_person_in_two_lines_of_the_file_of_roles_is_refused_at_start_with_both_lines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "roles"
    monkeypatch.setenv(ROLES_FILE, str(file))
    file.write_text("owner Anna@example.org\n# the others\nviewer *\n", "utf-8")
    assert roles_of_environment() == {"anna@example.org": "owner", "*": "viewer"}
    for second in ("viewer anna@example.org", "owner Anna@example.org"):
        file.write_text(f"owner Anna@example.org\n# the others\n{second}\n", "utf-8")
        with pytest.raises(StudioError) as refused:
            roles_of_environment()
        error = refused.value
        assert error.code == "bad-setting" and error.what.startswith("Line 3 ")
        assert "line 1: owner" in str(error.given) and second in str(error.given) and str(file) in error.hint

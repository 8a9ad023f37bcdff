"""Sign-in with Hugging Face on a Space: the real server, and an OpenID provider on this machine."""

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest
from joserfc.jwk import RSAKey

from studio.schema.errors import StudioError
from studio.store import Home, Workspace
from studio.ui.visitors import hf_sign_in
from studio.ui.visitors.hf_sign_in import COOKIE, PENDING, VARIABLES
from studio.ui.visitors.login import Sessions
from tests.browser.served import Served
from tests.forked import AFRESH
from tests.openid_provider import ANN, BEN, CLIENT, EVE, HOST, SECRET, Provider, Wrong
from tests.real.asking import Answer
from tests.security.stage import Visitor, log_of

OTHER_KEY = RSAKey.generate_key(2048, {"kid": "one"})


def unsigned(token: dict[str, Any]) -> dict[str, Any]:
    """The same ID token without a signature."""
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": "one"}).encode()).decode().rstrip("=")
    return {**token, "id_token": f"{head}.{token['id_token'].split('.')[1]}."}


class Browser(Visitor):
    """A browser with cookies, at the address of the Space."""

    def __init__(self, served: Served) -> None:
        super().__init__(served)
        self.cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> Answer:
        named: dict[str, str] = {"host": HOST, "origin": f"https://{HOST}"}
        if self.cookies:
            named["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = super().ask(method, path, body, **{**named, **headers})
        for line in answer.cookies:
            name, _, value = line.split(";")[0].partition("=")
            self.cookies[name] = value
            if "max-age=0" in line.lower() or "1970" in line:
                del self.cookies[name]
        return answer

    @property
    def space(self) -> Workspace:
        return Home(self.served.home).workspace(self.secret)

    def authorized(self, provider: Provider) -> str:
        """Begin to sign in, and authorize it at the provider. Returns the path to which that leads back."""
        begun = self.get("/login")
        assert begun.status == 302, begun.text
        to = urlsplit(begun.headers["location"])
        assert f"{to.scheme}://{to.netloc}" == provider.url
        asked = Outside(provider).get(f"{to.path}?{to.query}", host=to.netloc)
        back = urlsplit(asked.headers["location"])
        assert (back.scheme, back.netloc, back.path) == ("https", HOST, "/login/callback")
        return f"{back.path}?{back.query}"

    def sign_in(self, provider: Provider, account: tuple[str, str] = BEN) -> Answer:
        """Sign in, and get the workspace as the page does."""
        provider.account = account
        answer = self.get(self.authorized(provider))
        self.workspace()
        return answer

    def workspace(self) -> dict[str, Any]:
        """What the page asks for first."""
        given: dict[str, Any] = self.post("/studio/workspace").json
        self.secret = given["secret"]
        return given


class Outside(Visitor):
    """Requests to the provider itself."""

    def __init__(self, provider: Provider) -> None:
        self.port = int(provider.url.rpartition(":")[2])
        super().__init__(self)  # type: ignore[arg-type]
        self.address = "127.0.0.1"


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
def provider(running: Provider) -> Iterator[Provider]:
    running.wrong = Wrong()
    yield running
    running.wrong = Wrong()


@pytest.fixture(scope="module")
def space(running: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("space") / "home", environment=running.environment())
    yield served
    served.stop()


def test_a_person_who_signs_in_is_named_and_finds_the_same_workspace_in_another_browser(
    space: Served, provider: Provider
) -> None:
    ben, elsewhere, eve, nobody = (Browser(space) for _ in range(4))
    answer = ben.sign_in(provider)
    assert (answer.status, answer.headers["location"]) == (303, "../")
    asked = provider.authorized[-1]
    assert asked["scope"] == "openid profile" and len(asked["state"]) >= 20 and len(asked["nonce"]) >= 20
    assert ben.workspace()["account"] == "ben" and not ben.workspace()["team"]
    assert "stones.csv" in ben.bring()
    elsewhere.sign_in(provider)
    assert elsewhere.secret == ben.secret
    assert "stones.csv" in elsewhere.acted("data-body", "library")
    eve.sign_in(provider, EVE)
    nobody.begin()
    for other in (eve, nobody):
        assert other.secret != ben.secret and "stones.csv" not in other.acted("data-body", "library")


def test_the_session_is_a_cookie_of_this_host_alone_that_scripts_cannot_read_and_that_ends(
    space: Served, provider: Provider
) -> None:
    answer = Browser(space).sign_in(provider)
    (line,) = [each for each in answer.cookies if each.startswith(COOKIE) and COOKIE.startswith("__Host-")]
    parts = {each.strip().lower() for each in line.split(";")[1:]}
    assert {"httponly", "secure", "samesite=none", "path=/", f"max-age={provider.seconds}"} <= parts
    assert not any(each.startswith("domain") for each in parts)
    sessions: Sessions[str] = Sessions()
    assert sessions.account(sessions.begin("ben", 60)) == "ben"
    assert sessions.account(sessions.begin("ben", -1)) is None, "it has ended"


def test_without_cookies_a_visitor_works_as_before(space: Served) -> None:
    who = Visitor(space).begin()
    assert len(who.secret) == 48 and "stones.csv" in who.bring()
    page = who.get("/").text
    assert "Sign in with Hugging Face" in page and 'target=\\"_blank\\"' in page


def test_signing_out_ends_the_session_and_the_page_of_before_is_refused(space: Served, provider: Provider) -> None:
    ben = Browser(space)
    ben.sign_in(provider)
    old = dict(ben.cookies)
    assert ben.get("/logout").status == 404, "a link of another page does not sign out"
    assert ben.ask("POST", "/logout", origin="https://evil.example").status == 403
    assert ben.workspace()["account"] == "ben"
    assert ben.ask("POST", "/logout").status == 303
    assert COOKIE not in ben.cookies
    assert "lost its workspace" in ben.acted("data-body", "library")
    ben.cookies = old
    assert ben.workspace()["account"] == "", "the cookie itself opens nothing any more"


def test_a_page_that_was_opened_before_the_sign_in_keeps_its_own_workspace(space: Served, provider: Provider) -> None:
    ben = Browser(space)
    ben.begin()
    before = ben.secret
    ben.bring(name="before.csv", content=b"question,answer\n" + b"a,b\n" * 20)
    ben.sign_in(provider)
    assert "before.csv" not in ben.acted("data-body", "library")
    ben.secret = before
    assert "before.csv" in ben.acted("data-body", "library")
    ben.ask("POST", "/logout")
    assert ben.workspace()["secret"] == before


def test_the_creator_of_the_space_is_its_owner_without_limits_of_a_demo(space: Served, provider: Provider) -> None:
    ann, ben = Browser(space), Browser(space)
    ann.sign_in(provider, ANN)
    ben.sign_in(provider, ("60c9other", "ann"))  # the name alone does not count where the id is known
    assert ann.workspace() | {"project": ""} == {"secret": "default", "project": "", "account": "ann", "team": True}
    assert not ben.workspace()["team"]
    large = b"question,answer\n" + b"why,because\n" * 500_000  # 6 MB
    assert ann.upload("large.csv", large).status == 200
    refused = ben.upload("large.csv", large)
    assert refused.status in (413, 429) and "5 MB" in refused.text
    assert "not available in a public demo" not in ann.acted("export-body", "draw")
    assert ann.get("/config").status == 404, "the named endpoints stay closed"


def test_a_file_gives_roles_to_names(provider: Provider, tmp_path: Path) -> None:
    (tmp_path / "roles").write_text("editor Ben\nviewer *\n")
    served = Served(
        tmp_path / "home", environment={**provider.environment(), "STUDIO_ROLES_FILE": str(tmp_path / "roles")}
    )
    try:
        ann, ben, eve, nobody = (Browser(served) for _ in range(4))
        for who, account in ((ann, ANN), (ben, BEN), (eve, EVE)):
            who.sign_in(provider, account)
            assert who.secret == "default"
        assert "stones.csv" in ben.bring()
        assert "stones.csv" in eve.acted("data-body", "library"), "a viewer sees what the team has"
        assert eve.upload("mine.csv", b"a,b\n1,2\n").status == 403
        assert ann.upload("mine.csv", b"a,b\n1,2\n").status == 200
        nobody.begin()
        assert len(nobody.secret) == 48 and "stones.csv" not in nobody.acted("data-body", "library")
        nobody.secret = "default"
        assert "lost its workspace" in nobody.acted("data-body", "library")
        raised = nobody.ask("POST", "/studio/workspace", x_studio_own_workspace="default", x_studio_role="owner")
        assert raised.json["secret"] != "default", "a header of the client is removed"
    finally:
        served.stop()


# --- attacks ---


@pytest.mark.parametrize("cookie", ["", "x", "x" * 43, "eyJuYW1lIjoiYW5uIn0.aa.bb", "default", ANN[0]])
def test_a_forged_session_is_nobodys(space: Served, cookie: str) -> None:
    eve = Browser(space)
    for name in (COOKIE, COOKIE.removeprefix("__Host-"), "session"):
        eve.cookies[name] = cookie
    given = eve.post("/studio/workspace").json
    assert not given["account"] and not given["team"] and len(given["secret"]) == 48


def test_a_forged_state_is_refused(space: Served, provider: Provider) -> None:
    from itsdangerous import TimestampSigner

    ben = Browser(space)
    path = ben.authorized(provider)
    state = parse_qs(urlsplit(path).query)["state"][0]
    data = {f"_state_huggingface_{state}": {"data": {"nonce": "x", "code_verifier": "x" * 48}, "exp": 2**40}}
    for key in ("", "secret", SECRET, CLIENT):
        signed = TimestampSigner(key or "x").sign(base64.b64encode(json.dumps(data).encode())).decode()
        ben.cookies[PENDING] = signed
        assert ben.get(path).status == 400 and COOKIE not in ben.cookies


def test_a_state_of_another_browser_is_refused_and_gives_no_session(space: Served, provider: Provider) -> None:
    ben, eve = Browser(space), Browser(space)
    provider.account = EVE
    link = eve.authorized(provider)
    for known in ({}, {"begun": True}):
        if known:
            ben.get("/login")
        answer = ben.get(link)
        assert answer.status == 400 and "another browser" in answer.text and COOKIE not in ben.cookies
    state, code = (parse_qs(urlsplit(link).query)[name][0] for name in ("state", "code"))
    for path in (f"?code={code}", f"?code={code}&state=", f"?state={state}", "", f"?code={code}&state=x"):
        assert ben.get(f"/login/callback{path}").status in (400, 502) and COOKIE not in ben.cookies


def test_a_code_counts_once(space: Served, provider: Provider) -> None:
    ben = Browser(space)
    provider.account = BEN
    path = ben.authorized(provider)
    pending = ben.cookies[PENDING]
    assert ben.get(path).status == 303
    again = Browser(space)
    again.cookies[PENDING] = pending  # the whole of what the first browser had
    assert again.get(path).status == 502 and COOKIE not in again.cookies
    assert ben.get(path).status == 400, "its state is used up"


@pytest.mark.parametrize(
    "wrong",
    [
        Wrong(claims={"iss": "https://evil.example"}),
        Wrong(claims={"iss": None}),
        Wrong(claims={"aud": "another-client"}),
        Wrong(claims={"aud": ["another-client"]}),
        Wrong(claims={"aud": None}),
        Wrong(claims={"aud": [CLIENT, "another"], "azp": "another"}),
        Wrong(claims={"nonce": "of-another-sign-in"}),
        Wrong(claims={"nonce": None}),
        Wrong(claims={"exp": 1_000_000_000}),
        Wrong(claims={"exp": None}),
        Wrong(claims={"sub": None}),
        Wrong(claims={"sub": "a b\r\nX-Studio-Role: owner"}),
        Wrong(claims={"preferred_username": "ann\r\nx: y"}),
        Wrong(claims={"preferred_username": ""}),
        Wrong(key=OTHER_KEY),
        Wrong(token=unsigned),
        Wrong(token=lambda token: {k: v for k, v in token.items() if k != "id_token"}),
        Wrong(token=lambda token: {**token, "id_token": "", "userinfo": {"sub": ANN[0], "preferred_username": "ann"}}),
        Wrong(token=lambda token: {"access_token": "x", "userinfo": {"sub": ANN[0], "preferred_username": "ann"}}),
        Wrong(token=lambda token: {}),
        Wrong(down=True),
    ],
    ids=lambda wrong: str(wrong.claims or ("key" if wrong.key else "down" if wrong.down else "token")),
)
def test_what_the_provider_does_not_confirm_gives_no_session(space: Served, provider: Provider, wrong: Wrong) -> None:
    eve = Browser(space)
    path = eve.authorized(provider)
    provider.wrong = wrong
    answer = eve.get(path)
    assert answer.status == 502 and "did not confirm" in answer.text and "Traceback" not in answer.text
    assert COOKIE not in eve.cookies and not eve.workspace()["account"]


def test_a_provider_that_speaks_for_another_address_is_refused(provider: Provider, tmp_path: Path) -> None:
    provider.wrong = Wrong(issuer="https://evil.example")
    served = Served(tmp_path / "home", environment=provider.environment())
    try:
        who = Browser(served)
        assert who.get("/login").status == 502
        provider.wrong = Wrong()
        assert who.sign_in(provider).status == 303, "a wrong answer is not kept"
    finally:
        served.stop()


@pytest.mark.parametrize("to", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"])
def test_no_parameter_leads_anywhere_else(space: Served, provider: Provider, to: str) -> None:
    ben = Browser(space)
    for name in ("next", "redirect_uri", "_target_url", "redirect_to"):
        begun = ben.get(f"/login?{name}={to}")
        sent = parse_qs(urlsplit(begun.headers["location"]).query)
        assert sent["redirect_uri"] == [f"https://{HOST}/login/callback"]
    answer = ben.get(f"{ben.authorized(provider)}&next={to}&_target_url={to}")
    assert answer.headers["location"] == "../"
    denied = ben.get(f"/login/callback?error=access_denied&next={to}")
    assert denied.headers["location"] == "../" and denied.status == 303
    elsewhere = ben.get("/login", host="127.0.0.1")
    assert (elsewhere.status, elsewhere.headers["location"]) == (303, f"https://{HOST}/login")
    assert ben.get("/login", host="evil.example").status == 400


def test_sign_ins_of_one_address_are_counted(provider: Provider, tmp_path: Path) -> None:
    served = Served(tmp_path / "home", environment=provider.environment())
    try:
        eve, ben = Browser(served), Browser(served)
        answers = [eve.get("/login/callback?code=a&state=b").status for _ in range(40)]
        assert 429 in answers and set(answers) <= {400, 429}
        assert ben.sign_in(provider).status == 303
    finally:
        served.stop()


@pytest.mark.parametrize("missing", ["all", *VARIABLES])
def test_without_the_variables_of_a_space_there_is_no_sign_in(
    provider: Provider, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in provider.environment().items():
        if missing in ("all", name):
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert hf_sign_in.space_oauth() is None


def test_a_provider_without_encryption_is_refused(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in provider.environment().items():
        monkeypatch.setenv(name, value)
    found = hf_sign_in.space_oauth()
    assert found is not None and SECRET not in repr(found)
    monkeypatch.setenv("OPENID_PROVIDER_URL", "http://huggingface.co")
    with pytest.raises(StudioError, match="not encrypted"):
        hf_sign_in.space_oauth()


@pytest.mark.parametrize(
    ("flags", "left_out"), [((), "SPACE_ID"), (("--demo",), "SPACE_ID"), (("--demo",), "OAUTH_CLIENT_ID")]
)
def test_elsewhere_no_address_of_the_sign_in_exists(
    provider: Provider, tmp_path: Path, flags: tuple[str, ...], left_out: str
) -> None:
    environment = {name: value for name, value in provider.environment().items() if name != left_out}
    served = Served(tmp_path / "home", *flags, environment=environment)
    try:
        who = Visitor(served)
        for path in ("/login", "/login/callback?code=a&state=b", "/login/huggingface"):
            assert who.get(path).status == 404
        assert who.ask("POST", "/logout").status == 404
        assert "Sign in with Hugging Face" not in who.get("/").text
        forged = who.ask("POST", "/studio/workspace", cookie=f"{COOKIE}=x; session=x")
        assert not forged.json["account"] and not forged.json["team"]
    finally:
        served.stop()


def test_the_secret_of_the_app_and_the_tokens_of_people_are_nowhere(provider: Provider, tmp_path: Path) -> None:
    served = Served(tmp_path / "home", environment={**provider.environment(), **AFRESH})
    try:
        ben = Browser(served)
        seen = [ben.sign_in(provider).text, ben.get("/").text, ben.get("/config").text, *ben.cookies.values()]
        provider.wrong = Wrong(key=OTHER_KEY)
        seen.append(Browser(served).get(ben.authorized(provider)).text)
        ben.patience = 240
        ben.acted("model-body", "task", value="chat")
        ben.bring()
        shown = ben.start(max_steps="1", watch_share="0", max_length="64", eval_rows="2", threads="1")
        assert ben.runs(), shown[-2000:]
        tree = [psutil.Process(served.process.pid)]
        tree += [psutil.Process(pid) for pid in pids_of(served)]
        assert len(tree) > 1, "a process works for the run"
        for process in tree:
            seen.append(Path(f"/proc/{process.pid}/environ").read_bytes().decode(errors="replace"))
            seen += process.cmdline()
        assert sum("STUDIO" in each or "PATH=" in each for each in seen) >= len(tree), "environments were read"
        seen += [log_of(served), *(file.read_bytes().decode(errors="replace") for file in files_of(served.home))]
        for secret in (SECRET, *provider.tokens):
            assert not [each[:200] for each in seen if secret in each]
        ben.stop_runs()
    finally:
        served.stop()


def pids_of(served: Served) -> list[int]:
    """Processes that the server has started, with all that they started."""
    from tests.security.stage import processes_of

    return [each.pid for each in processes_of(served) if each.is_running()]


def files_of(home: Path) -> list[Path]:
    return [Path(folder) / name for folder, _, names in os.walk(home) for name in names]

"""The guard: hosts, origins, proxies, refusals, request rates and unexpected exceptions."""

import asyncio
import logging
from typing import Any

import pytest

from studio.schema.errors import StudioError
from studio.ui.http.bodies import Refused, read_body
from studio.ui.http.proxies import PRIVATE, Proxies, client_network, trusted_proxies
from studio.ui.http.rate_limits import Buckets
from studio.ui.http.security import AT_ONCE, BYTES_PER_REQUEST, Access, Guard, host_name, own_origin
from tests.unit.asgi import Answer, Seen, ask, run

HOST = ("host", "studio.example:7860")
SECURITY = (
    "content-security-policy",
    "x-content-type-options",
    "referrer-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "permissions-policy",
    "x-frame-options",
)


class Front:
    """Guard and proxies before an application that notes what reaches it."""

    def __init__(self, trusted: tuple[str, ...] = (), app: Any = None, **guard: Any) -> None:
        self.seen = Seen()
        self.guard = Guard(app or self.seen, ["studio.example", "www.studio.example"], Access(**guard))
        self.app = Proxies(self.guard, trusted, self.guard.allowed_host)

    def ask(self, *headers: tuple[str, str], host: bool = True, **asked: Any) -> Answer:
        answer = run(ask(self.app, headers=((HOST, *headers) if host else headers), **asked))
        assert isinstance(answer, Answer)
        return answer


# --- hosts ---

BAD_HOSTS = (
    "[::1]evil.com",
    "127.0.0.1:evil.com",
    "[::1",
    "[::1]:",
    "127.0.0.1:",
    "127.0.0.1:99999",
    "127.0.0.1:80:80",
    "studio.example/evil.com",
    "studio.example@evil.com",
    "evil.com",
    "studio.example,evil.com",
    "a b",
    "",
    "..",
    "-",
    "127.0.0.1\x00",
    "[127.0.0.1]",
    "[::ffff:1.2.3.4]evil",
    "studio.example evil.com",
    "studio.example?",
    "::1",
)


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_a_host_header_that_is_malformed_or_of_another_name_is_refused(host: str) -> None:
    assert Front().ask(("host", host), host=False).status == 400


@pytest.mark.parametrize("host", ["studio.example", "STUDIO.example:443", "127.0.0.1:7860", "[::1]:7860", "[0::1]"])
def test_a_host_header_of_an_allowed_name_passes(host: str) -> None:
    assert Front().ask(("host", host), host=False).status == 200


def test_several_host_headers_or_none_are_refused() -> None:
    assert Front().ask(HOST, HOST, host=False).status == 400
    assert Front().ask(HOST, ("host", "evil.com"), host=False).status == 400
    assert Front().ask(host=False).status == 400


def test_an_allowed_host_may_be_given_as_an_address_or_with_a_port() -> None:
    guard = Guard(Seen(), ["10.0.0.5", "fd00::5", "lab.example:8443"])
    assert all(guard.allowed_host(each) for each in ("10.0.0.5:7860", "[fd00::5]:7860", "lab.example"))
    assert Guard(Seen(), ["*"]).allowed_host("any.example") and not Guard(Seen(), ["*"]).allowed_host("[::1]evil")
    assert host_name("A.example:80") == "a.example" and host_name("[::1]:7860") == "[::1]" and not host_name("")


# --- origins ---


@pytest.mark.parametrize(
    "origins",
    [
        ["https://studio.example:7860"],
        ["http://evil.com", "http://studio.example:7860"],
        ["http://studio.example:7860", "http://studio.example:7860"],
        ["null"],
        [""],
        ["file://"],
        ["http://studio.example"],
        ["http://studio.example:7860.evil.com"],
        ["http://evil.com"],
        ["http://evil.com@studio.example:7860"],
        ["http://studio.example:7860/"],
        ["ws://studio.example:7860"],
        ["http:/studio.example:7860"],
    ],
)
def test_another_origin_two_origins_or_another_scheme_can_change_nothing(origins: list[str]) -> None:
    front = Front()
    headers = [("origin", each) for each in origins]
    assert front.ask(*headers, method="POST", path="/studio/ticket").status == 403
    assert not front.seen.scope


def test_the_own_origin_and_a_program_without_one_may_change_something() -> None:
    assert Front().ask(("origin", "http://studio.example:7860"), method="POST", path="/studio/ticket").status == 200
    assert Front().ask(method="POST", path="/studio/ticket").status == 200
    assert own_origin(["https://studio.example"], "studio.example:443", "https")
    assert own_origin(["http://[::1]:7860"], "[0:0::1]:7860", "http")


def test_a_page_over_https_whose_proxy_is_not_named_is_told_what_to_do() -> None:
    told = Front().ask(("origin", "https://studio.example:7860"), method="POST", path="/studio/ticket")
    assert told.status == 403 and b"--trusted-proxy" in told.body


# --- proxies ---

REPORTS = (
    ("x-forwarded-for", "9.9.9.9"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "www.studio.example"),
    ("x-forwarded-port", "1"),
    ("x-forwarded-prefix", "/evil"),
    ("forwarded", "for=9.9.9.9;host=evil.com"),
    ("x-real-ip", "9.9.9.9"),
    ("x-gradio-server", "http://evil.com"),
    ("x-studio-role", "owner"),
    ("x-studio-address", "9.9.9.9"),
)


@pytest.mark.parametrize("peer", ["127.0.0.1", "203.0.113.7", "10.0.0.5"])
def test_no_header_of_an_untrusted_peer_reaches_the_application(peer: str) -> None:
    front = Front(trusted=("10.0.0.1",), role="editor")
    assert front.ask(*REPORTS, client=peer).status == 200
    assert front.seen.scope["client"][0] == peer and front.seen.scope["scheme"] == "http"
    assert front.seen.headers == {
        "host": "studio.example:7860",
        "x-studio-address": peer,
        "x-studio-role": "editor",
    }


@pytest.mark.parametrize("peer", ["10.0.0.1", "::ffff:10.0.0.1"])
def test_a_trusted_proxy_reports_address_scheme_and_an_allowed_host(peer: str) -> None:
    front = Front(trusted=("10.0.0.1",))
    told = front.ask(*REPORTS, ("origin", "https://www.studio.example"), client=peer, method="POST", path="/studio/x")
    assert told.status == 200 and front.seen.scope["scheme"] == "https"
    assert front.seen.headers == {
        "origin": "https://www.studio.example",
        "host": "www.studio.example",
        "x-studio-address": "9.9.9.9",
        "x-studio-role": "owner",
    }


def test_a_trusted_proxy_can_not_report_a_host_that_is_not_allowed() -> None:
    front = Front(trusted=("10.0.0.0/8",))
    for host in ("evil.com", "studio.example/evil", "127.0.0.1:evil.com"):
        assert front.ask(("x-forwarded-host", host), client="10.9.9.9").status == 200
        assert front.seen.headers["host"] == HOST[1] and "x-forwarded-host" not in front.seen.headers


def test_the_address_before_the_trusted_proxies_counts_not_what_the_client_wrote() -> None:
    front = Front(trusted=("10.0.0.0/8",))
    front.ask(("x-forwarded-for", "1.1.1.1, 203.0.113.7, 10.0.0.2"), client="10.0.0.1")
    assert front.seen.headers["x-studio-address"] == "203.0.113.7"


def test_an_ipv6_household_is_one_address() -> None:
    assert client_network("2001:db8::1") == client_network("2001:db8::2:2") == "2001:db8::/64"
    assert client_network("2001:db8:0:1::1") != client_network("2001:db8::1")
    assert client_network("::ffff:10.0.0.1") == "10.0.0.1" == client_network("10.0.0.1")


def test_trusted_proxies_come_from_the_option_the_environment_or_a_space(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STUDIO_TRUSTED_PROXIES", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    assert trusted_proxies() == []
    monkeypatch.setenv("SPACE_ID", "someone/studio")
    assert trusted_proxies() == list(PRIVATE)
    monkeypatch.setenv("STUDIO_TRUSTED_PROXIES", "10.0.0.1, fd00::/8")
    assert trusted_proxies(["192.0.2.1"]) == ["192.0.2.1", "10.0.0.1", "fd00::/8"]
    with pytest.raises(StudioError, match="trusted proxy") as refused:
        trusted_proxies(["proxy.example"])
    assert refused.value.given == "proxy.example"


# --- answers ---


@pytest.mark.parametrize(
    "asked",
    [
        {"path": "/"},
        {"path": "/config"},
        {"method": "POST", "headers": (("origin", "null"),)},
        {"path": "/studio/x", "method": "POST", "headers": (("content-length", "9000000"),)},
        {"host": False},
    ],
)
def test_every_answer_carries_the_security_headers_refusals_too(asked: dict[str, Any]) -> None:
    headers = asked.pop("headers", ())
    told = Front().ask(*headers, **asked)
    assert all(told.header(name) for name in SECURITY)
    assert not told.header("strict-transport-security")
    told = Front().ask(*headers, **asked, scheme="https")
    assert told.header("strict-transport-security").startswith("max-age=")


def test_a_page_of_a_space_may_be_framed_by_hugging_face_alone() -> None:
    told = Front(on_space=True).ask()
    assert told.header("content-security-policy").endswith("frame-ancestors 'self' https://huggingface.co")
    assert not told.header("x-frame-options") and told.header("cross-origin-resource-policy") == "cross-origin"


@pytest.mark.parametrize(
    "path",
    [
        "/login/",
        "/config",
        "/gradio_api/info",
        "/gradio_api/queue/joined",
        "/gradio_apiary",
        "/pwa_icon",
        "/monitoring/x",
        "/svelte",
        "//",
        "/app_id",
        "/user",
        "/docs",
        "/gradio_api",
    ],
)
def test_addresses_that_the_page_does_not_need_do_not_exist(path: str) -> None:
    assert Front().ask(path=path).status == 404


def test_an_address_that_asks_too_often_waits_and_another_one_does_not() -> None:
    front = Front(trusted=("10.0.0.1",), buckets=Buckets(rate=1, burst=20, clock=lambda: 0.0))
    statuses = [front.ask(client="203.0.113.7").status for _ in range(25)]
    assert statuses == [200] * 20 + [429] * 5
    told = front.ask(client="203.0.113.7")
    assert told.header("retry-after") == "1" and b"Wait a moment" in told.body and told.header("x-frame-options")
    assert front.ask(client="203.0.113.8").status == 200
    behind = ("x-forwarded-for", "203.0.113.7")
    assert front.ask(behind, client="10.0.0.1").status == 429, "an address counts wherever it comes from"
    assert front.ask(("x-forwarded-for", "203.0.113.9"), client="203.0.113.7").status == 429


def test_thirty_pages_behind_one_address_are_not_disturbed_and_buckets_are_bounded() -> None:
    from studio.ui.http.security import BURST, REQUESTS

    now = [0.0]
    buckets = Buckets(REQUESTS, BURST, most=100, clock=lambda: now[0])
    assert not any(buckets.take("class") for _ in range(30 * 80)), "all pages are loaded at once"
    for _ in range(600):
        now[0] += 1
        assert not any(buckets.take("class") for _ in range(30 + 15)), "each asks once a second, and some are clicked"
    for number in range(1000):
        buckets.take(str(number))
    assert buckets.known == 100


def test_large_bodies_count_like_many_requests_and_uploads_do_not() -> None:
    async def reads(scope: Any, receive: Any, send: Any) -> None:
        try:
            await read_body(receive)
        except Refused as refused:
            await refused.answer()(scope, receive, send)
            return
        await Seen()(scope, receive, send)

    front = Front(app=reads, buckets=Buckets(rate=1, burst=100, clock=lambda: 0.0))
    large = {"body": b"x" * 40 * BYTES_PER_REQUEST, "method": "POST", "path": "/studio/press"}
    assert [front.ask(client="203.0.113.7", **large).status for _ in range(4)] == [200, 200, 429, 429]
    assert front.ask(client="203.0.113.8", **large).status == 200
    upload = {**large, "method": "PUT", "path": "/studio/upload"}
    assert [front.ask(client="203.0.113.9", **upload).status for _ in range(4)] == [200] * 4
    alone = Front(app=reads)
    assert [alone.ask(**large).status for _ in range(20)] == [200] * 20, "the owner alone has no such limit"


def test_one_client_behind_a_proxy_can_not_hold_every_connection_open() -> None:
    async def scene(buckets: Buckets | None) -> tuple[int, int]:
        release = asyncio.Event()

        async def streaming(scope: Any, receive: Any, send: Any) -> None:
            await release.wait()
            await Seen()(scope, receive, send)

        guard = Guard(streaming, ["studio.example"], Access(buckets=buckets))
        app = Proxies(guard, ("10.0.0.1",), guard.allowed_host)

        async def asked(client: str) -> int:
            return (await ask(app, client="10.0.0.1", headers=(HOST, ("x-forwarded-for", client)))).status

        held = [asyncio.create_task(asked("203.0.113.7")) for _ in range(AT_ONCE + 10)]
        other = asyncio.create_task(asked("203.0.113.8"))
        await asyncio.sleep(0.05)
        release.set()
        statuses = await asyncio.gather(*held)
        assert await asked("203.0.113.7") == 200 and not guard._open
        return statuses.count(429), await other

    assert run(scene(Buckets(60, 3000))) == (10, 200)
    assert run(scene(None)) == (0, 200)


def test_https_is_not_made_permanent_for_the_other_servers_of_this_machine() -> None:
    local = Front().ask(("host", "localhost:8443"), host=False, scheme="https")
    assert local.status == 200 and not local.header("strict-transport-security")


# --- exceptions ---


async def broken(scope: Any, receive: Any, send: Any) -> None:
    """An application that fails as Starlette's do: it answers first, and raises then."""
    await send({"type": "http.response.start", "status": 500, "headers": []})
    await send({"type": "http.response.body", "body": b"Internal Server Error"})
    raise RuntimeError("a private detail")


async def broken_early(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("a private detail")


@pytest.mark.parametrize("app", [broken, broken_early])
def test_an_unexpected_exception_is_answered_by_an_id_that_the_log_has(
    app: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        first, second = Front(app=app).ask(path="/studio/\n\x1b[31mred"), Front(app=app).ask()
    number = first.body.decode().rsplit(" ", 1)[1].strip(".")
    assert first.status == 500 and first.body == second.body and b"private" not in first.body
    assert first.header("content-security-policy")
    assert f"Error {number}" in caplog.messages[0] and "\n" not in caplog.messages[0] and "\x1b" not in caplog.text


def test_an_answer_of_status_500_that_is_meant_passes() -> None:
    async def meant(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b'{"error": 1}'})

    told = Front(app=meant).ask()
    assert told.status == 500 and told.body == b'{"error": 1}'

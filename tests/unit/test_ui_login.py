"""Guessing a password: whoever guesses waits longer and longer, and nobody else does."""

import asyncio
import time
from typing import Any

import pytest

from studio.ui.login import Guessers, Login, hash_password


async def nobody(scope: Any, receive: Any, send: Any) -> None:
    """The page behind the password."""


async def ask(login: Login, password: str, host: str) -> tuple[int, float]:
    """Send the form from an address: the status, and the seconds it took."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http", "method": "POST", "path": "/login", "query_string": b"", "scheme": "http",
        "client": (host, 1000), "server": ("127.0.0.1", 7860),
        "headers": [(b"content-type", b"application/x-www-form-urlencoded"), (b"host", b"127.0.0.1:7860")],
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": f"password={password}".encode(), "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    began = time.monotonic()
    await login(scope, receive, send)
    return sent[0]["status"], time.monotonic() - began


@pytest.fixture
def login() -> Login:
    return Login(nobody, [hash_password("blue stone")])


def test_one_who_guesses_waits_longer_each_time_and_keeps_nobody_waiting(login: Login) -> None:
    async def both() -> None:
        first = await ask(login, "red", "10.0.0.1")
        guessing = asyncio.gather(*(ask(login, f"red {n}", "10.0.0.1") for n in range(2)))
        await asyncio.sleep(0.3)
        for _ in range(3):
            status, took = await ask(login, "blue stone", "10.0.0.2")
            assert status == 303 and took < 0.9, "another address is let in meanwhile"
        guesses = await guessing
        assert first[0] == 403 and 0.5 <= first[1] < 1.4
        assert [status for status, _ in guesses] == [403, 403] and max(took for _, took in guesses) >= 3

    asyncio.run(both())


def test_the_password_ends_the_waiting(login: Login) -> None:
    async def guess() -> None:
        assert (await ask(login, "red", "10.0.0.1"))[0] == 403
        assert (await ask(login, "blue stone", "10.0.0.1"))[0] == 303
        assert len(login.guessers) == 0

    asyncio.run(guess())


def test_an_address_has_only_so_many_guesses_waiting(login: Login) -> None:
    async def flood() -> list[int]:
        asked = [asyncio.create_task(ask(login, "red", "10.0.0.1")) for _ in range(30)]
        done, waiting = await asyncio.wait(asked, timeout=1.5)
        for each in waiting:
            each.cancel()
        return [each.result()[0] for each in done]

    answered = asyncio.run(flood())
    assert answered.count(429) >= 20 and 303 not in answered


def test_only_so_many_addresses_are_remembered_and_a_household_is_one() -> None:
    guessers = Guessers(most=50)
    for number in range(500):
        guessers.at(f"10.0.{number // 250}.{number % 250}").failures += 1
    assert len(guessers) == 50
    assert guessers.at("10.0.1.249").failures == 1, "the latest are"
    assert guessers.at("2001:db8::1") is guessers.at("2001:db8::2:2")
    assert guessers.at("2001:db8:0:1::1") is not guessers.at("2001:db8::1")

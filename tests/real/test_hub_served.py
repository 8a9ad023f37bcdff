"""A model of the Hub through the served page: searched, looked at, brought here in two goes, and one with terms."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.served import Served
from tests.hubserver import HubServer, tiny_repo
from tests.real.asking import Asking

TOKEN = "hf_" + "a" * 30
LARGE = 6_000_000


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture(scope="module")
def hf_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hf")


@pytest.fixture
def who(hub: HubServer, hf_home: Path, tmp_path: Path) -> Iterator[Asking]:
    """A person before a page that asks the small Hub, at the choice of a model for chat."""
    told = {"HF_ENDPOINT": hub.url, "HF_HOME": str(hf_home), "HF_HUB_OFFLINE": "0", "HF_TOKEN": ""}
    served = Served(tmp_path / "home", environment=told)
    person = Asking(served)
    person.do("model-body", "task", value="chat")
    yield person
    served.stop()


def until(who: Asking, words: str, seconds: float = 30) -> str:
    """The tab as it looks once it says that."""
    end = time.monotonic() + seconds
    while not re.search(words, said := who.do("model-body", "look")):
        assert time.monotonic() < end, said
        time.sleep(0.1)
    return said


def test_a_model_is_searched_looked_at_and_brought_here_in_two_goes(hub: HubServer, who: Asking, hf_home: Path) -> None:
    hub.add(tiny_repo("someone/tiny-chat", downloads=4321, files={"spm.model": os.urandom(LARGE)}))
    hub.add(tiny_repo("someone/else"))
    found = who.do("model-body", "hub", value="tiny-c")
    assert "someone/tiny-chat" in found and "someone/else" not in found and "From the Hub" in found
    assert "someone/tiny-chat · Apache 2.0 · 4,321 downloads a month" in re.sub("<[^>]*>", "", found)
    chosen = who.do("model-body", "model", value="someone/tiny-chat")
    for words in ("Size to download", "Apache 2.0", "4,321 a month", "512 tokens", "Can do", "Chat template", "Gated"):
        assert words in chosen, words
    assert "Next: data" in chosen or "Download" in chosen
    hub.slow = 0.1
    who.do("model-actions", "download")
    going = until(who, r"[1-9][\d.]*( MB)? <span class=[^>]*>of \d\.\d MB")
    assert "Cancel the download of tiny-chat" in going and "You can use the other tabs meanwhile" in going
    who.do("model-body", "cancel", name="someone/tiny-chat")
    until(who, "Stopped")
    part = next(hf_home.rglob("*.part"))
    have = part.stat().st_size
    assert 0 < have < LARGE
    hub.slow = 0
    hub.seen.clear()
    who.do("model-actions", "download")
    here = until(who, "nothing to download")
    assert "Downloaded" in here and "Size on disk" in here and "Next: data" in here
    assert f"bytes={have}-" in [headers.get("Range") or headers.get("range") for headers in hub.asked("/resolve/")]
    assert not list(hf_home.rglob("*.part"))


def test_a_model_with_terms_is_brought_here_with_a_token_that_is_never_shown(hub: HubServer, who: Asking) -> None:
    hub.add(tiny_repo("company/closed", gated=True))
    hub.token = TOKEN
    chosen = who.do("model-body", "hub", value="company/closed") + who.do("model-body", "model", value="company/closed")
    assert "needs a Hub token. Add it on the right" in chosen and "must accept the terms of this model first" in chosen
    said = who.do("model-body", "token", token="hf_" + "b" * 30)
    assert "rejects your token" in said, "a wrong one is said"
    assert "A token is saved on this machine" in said, "and the choice stays"
    said += who.do("model-body", "token", token=TOKEN)
    said += who.do("model-actions", "download")
    said += until(who, "nothing to download")
    assert TOKEN not in said and "b" * 30 not in said
    assert who.served.log.read_text().count(TOKEN) == 0

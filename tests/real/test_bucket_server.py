"""A Space with a bucket, for which a folder stands in: what people have is there after a restart and after a kill."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from studio.store.bucket import FOLDER, VARIABLE
from studio.store.snapshots import LISTS
from tests.browser.served import Served
from tests.openid_provider import ANN, BEN, Provider
from tests.real.test_hf_sign_in import Browser
from tests.security.stage import Visitor, log_of, wait_for

Start = Callable[..., Served]
EACH_SECOND = [
    sys.executable,
    "-c",
    "import runpy, sys; import studio.store.bucket as bucket; bucket.SAVE_SECONDS = 1.0; sys.argv = sys.argv[3:]; "
    "runpy.run_module('studio', run_name='__main__', alter_sys=True)",
]
"""Before the command of a server (python -m studio …): it saves each second, not each minute."""


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
def start(provider: Provider, tmp_path: Path) -> Iterator[Start]:
    """Starts the Space on an empty disk of that name; the bucket is the same."""
    (tmp_path / "bucket").mkdir()
    environment = {**provider.environment(), VARIABLE: str(tmp_path / "bucket")}
    running: list[Served] = []

    def starting(disk: str, prefix: Sequence[str] = ()) -> Served:
        running.append(Served(tmp_path / disk / "home", environment=environment, prefix=prefix))
        return running[-1]

    for disk in ("one", "two", "three"):
        (tmp_path / disk).mkdir()
    yield starting
    for each in running:
        each.stop()


def test_what_people_have_is_there_after_a_restart_and_after_a_kill(
    start: Start, provider: Provider, tmp_path: Path
) -> None:
    first = start("one")
    anna, ben = Visitor(first).begin(), Browser(first)
    assert "stones.csv" in anna.bring()
    ben.sign_in(provider, BEN)
    ben.bring(name="of-ben.csv")
    first.stop()
    assert "Saved to the bucket. New files: " in log_of(first)

    second = start("two")
    assert "Restored from the bucket. Files: " in log_of(second)
    again, ben_again, ann = Visitor(second, secret=anna.secret), Browser(second), Browser(second)
    assert again.post("/studio/workspace").json["secret"] == anna.secret
    assert "stones.csv" in again.acted("data-body", "library")
    ben_again.sign_in(provider, BEN)
    assert "of-ben.csv" in ben_again.acted("data-body", "library")
    ann.sign_in(provider, ANN)
    assert "The bucket has a copy of 20" in ann.acted("runs-body", "storage", to="yes")
    assert "The bucket has" not in ben_again.acted("runs-body", "storage", to="yes")
    lists = len(list((tmp_path / "bucket" / FOLDER / LISTS).iterdir()))
    second.kill()

    third = start("three")
    assert lists and "stones.csv" in Visitor(third, secret=anna.secret).acted("data-body", "library")


def test_the_copy_is_made_while_the_server_runs(start: Start, tmp_path: Path) -> None:
    first = start("one", EACH_SECOND)
    anna = Visitor(first).begin()
    assert "stones.csv" in anna.bring()
    place = tmp_path / "bucket" / FOLDER / LISTS
    assert wait_for(lambda: place.exists() and any(place.iterdir()), 90)
    first.kill()
    assert "stones.csv" in Visitor(start("two"), secret=anna.secret).acted("data-body", "library")

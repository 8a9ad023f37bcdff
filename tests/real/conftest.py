"""A home, rows and a tiny model for tests of the real worker; a test file that needs others makes its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.schema.dataset import DatasetRecord
from studio.store import Home


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    from made_runs import tiny_llama

    return str(tiny_llama(tmp_path_factory.mktemp("llama") / "tiny").path)


@pytest.fixture(scope="module")
def tiny_starters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tiny models have the names of the starters, here and in all processes that a test starts."""
    from small_trainings import tiny_starters

    cache = tmp_path_factory.mktemp("cache")
    tiny_starters(cache)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDIO_CACHE", str(cache))
        yield


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home")
    yield home
    home.workspace().close()


@pytest.fixture
def data(home: Home) -> DatasetRecord:
    from worker_runs import add_sample

    return add_sample(home, "support-tone", 40)


@pytest.fixture(scope="module")
def few_prompts() -> Iterator[tuple[str, ...]]:
    """The prompts on which a test file compares exports with the chat: six of the twenty that the studio has."""
    from studio.export import agreement_check

    prompts = agreement_check.PROMPTS[:6]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agreement_check, "PROMPTS", prompts)
        yield prompts

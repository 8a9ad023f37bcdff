"""Search for models in several sources at once. A source that fails or hangs hides no results of the others."""

import logging
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from queue import Empty, Queue

from studio.models.downloads.source_errors import unreachable
from studio.models.sources import SOURCES, Source
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo, ModelSource

VARIABLE = "STUDIO_MODEL_SOURCES"
"""Environment variable with the sources that are searched, for example `hub,modelscope`. Default: all."""
SECONDS = 7.0
"""How long a source may take."""
PAUSE_SECONDS = 60.0
"""How long a source that took longer is not asked again."""


_log = logging.getLogger("studio.models")


@dataclass
class FoundModels:
    """Models by source, in the order of the sources, and why a source gave none."""

    models: list[ModelInfo] = field(default_factory=list)
    failures: dict[ModelSource, StudioError] = field(default_factory=dict)


@dataclass
class _Pauses:
    """Sources that took too long, each with the time until which it is not asked again."""

    until: dict[ModelSource, float] = field(default_factory=dict)

    def is_paused(self, source: ModelSource) -> bool:
        """Whether the source is not asked now."""
        return time.monotonic() < self.until.get(source, 0.0)


_PAUSES = _Pauses()


def searched_sources() -> list[Source]:
    """Return the sources that a search asks, the Hub first."""
    chosen = {name.strip() for name in os.environ.get(VARIABLE, "").split(",")} - {""}
    by_preference = reversed(SOURCES.values())
    return [each for each in by_preference if each.is_searched and (not chosen or each.name in chosen)]


def search_sources(
    text: str,
    limit: int = 20,
    token: str | None = None,
    sources: Sequence[Source] | None = None,
    seconds: float = SECONDS,
) -> FoundModels:
    """Return the models with this text in their names, up to `limit` of each source. The token is one of the Hub."""
    searched = searched_sources() if sources is None else list(sources)
    answers: Queue[tuple[ModelSource, list[ModelInfo] | StudioError]] = Queue()
    failures: dict[ModelSource, StudioError] = {}
    results: dict[ModelSource, list[ModelInfo]] = {}
    waiting = {source.name: source for source in searched if not _PAUSES.is_paused(source.name)}
    for source in waiting.values():
        threading.Thread(target=_ask, args=(source, text.strip(), limit, token, answers), daemon=True).start()
    deadline = time.monotonic() + seconds
    while len(results) + len(failures) < len(waiting):
        try:
            name, answer = answers.get(timeout=max(deadline - time.monotonic(), 0.001))
        except Empty:
            break
        if isinstance(answer, StudioError):
            failures[name] = answer
        else:
            results[name] = answer
    for source in searched:
        if source.name in results or source.name in failures:
            continue
        if source.name in waiting:
            _PAUSES.until[source.name] = time.monotonic() + PAUSE_SECONDS
        failures[source.name] = unreachable(source.title, text)
    return FoundModels([info for source in searched for info in results.get(source.name, [])], failures)


def _ask(
    source: Source,
    text: str,
    limit: int,
    token: str | None,
    answers: "Queue[tuple[ModelSource, list[ModelInfo] | StudioError]]",
) -> None:
    try:
        answers.put((source.name, source.search(text, limit, token if source.name == "hub" else None)))
    except StudioError as error:
        answers.put((source.name, error))
    except Exception:  # the edge of a thread: an unexpected error of one source must not hide the others
        _log.exception("Unexpected error in the search of %s", source.title)
        answers.put((source.name, unreachable(source.title, text)))

"""Who is asking, and what this browser tab has chosen.

In a demo a visitor is known by a secret in a request header, made by the server and kept by the page's script; it is
the name of a workspace that nobody can guess. Alone, everybody is `default`. Choices are kept twice: here for the open
page, and as a draft in the workspace, so that a reload or a restart of the server loses none of them.
"""

import re
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from studio.api import Studio
from studio.schema.errors import StudioError
from studio.ui.labeller import labeller_of

HEADER = "x-studio-workspace"
TABS = ("model", "data", "method", "train", "evaluate", "chat", "export", "runs")
_SECRET = re.compile(r"[0-9a-f]{48}")
_LARGEST = 2**53
_MOST = 512
"""Open pages and workspaces that are remembered; older ones come back from their drafts."""


@dataclass(frozen=True)
class Choices:
    """What this browser tab has chosen, step by step."""

    tab: str = "model"
    task: str = ""
    model: str = ""
    dataset: str = ""
    version: int | None = None
    view: str = "rows"
    """Which view of the data is open: `rows`, `tokens`, `label` or `versions`."""
    row: int = 1
    """The row of What the model sees."""
    page: int = 1
    """First row of the table."""
    only: str = ""
    """Kind of finding whose rows alone are shown."""
    method: str = ""
    preset: str = "balanced"
    settings: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    prompts: tuple[str, ...] | None = None
    """Prompts to watch; None until the person changed them."""
    validation: str | None = None
    run: str = ""
    other_run: str = ""
    reached: tuple[str, ...] = ()
    """Steps of the selected run that were done."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Small things that a page wants to find again, under its own name."""

    @classmethod
    def from_draft(cls, draft: Any) -> "Choices":
        """Choices as they were kept; what an older version kept and is no longer known is left out."""
        known = {each.name for each in fields(cls)}
        kept = {key: value for key, value in draft.items() if key in known} if isinstance(draft, dict) else {}
        for name in ("prompts", "reached"):
            if kept.get(name) is not None and name in kept:
                kept[name] = tuple(kept[name])
        return cls(**kept)

    def done(self) -> tuple[str, ...]:
        """Steps with a tick."""
        first = {"model": bool(self.task and self.model), "data": bool(self.dataset), "method": bool(self.run)}
        return tuple(step for step, done in first.items() if done) + tuple(self.reached)


class Sessions:
    """Every visitor's Studio, and every open page's choices."""

    def __init__(self, home: Any = None, demo: bool = False) -> None:
        self.demo = demo
        self.root = Studio(home, demo=demo)
        self._studios: OrderedDict[str, Studio] = OrderedDict()
        self._choices: OrderedDict[tuple[str, str], Choices] = OrderedDict()
        self._lock = threading.RLock()
        self._at_work: Counter[tuple[str, str]] = Counter()
        self._marks: Counter[tuple[str, str]] = Counter()
        self._greeted: set[tuple[str, str]] = set()

    def workspace_of(self, headers: Mapping[str, str]) -> str:
        """The workspace of whoever sends these headers; nothing else is ever trusted."""
        if not self.demo:
            return "default"
        secret = headers.get(HEADER, "")
        if not _SECRET.fullmatch(secret) or not self.root.home.workspace_exists(secret):
            raise StudioError("not-allowed", "This page has lost its workspace.", hint="Reload the page.")
        return secret

    def studio_of(self, headers: Mapping[str, str]) -> Studio:
        """The Studio of whoever sends these headers."""
        workspace = self.workspace_of(headers)
        with self._lock:
            if workspace not in self._studios:
                self._studios[workspace] = self.root.visitor(workspace)
            self._studios.move_to_end(workspace)
            while len(self._studios) > _MOST:
                self._studios.popitem(last=False)
            return self._studios[workspace]

    def new_secret(self, headers: Mapping[str, str]) -> str:
        """The secret that was sent when it is known, else that of a workspace made now."""
        try:
            return self.workspace_of(headers)
        except StudioError:
            return self.root.home.new_workspace().name

    def visit(self, headers: Mapping[str, str], page: str, event: Any = None) -> "Visit":
        """One act of one open page."""
        visit = Visit(self, self.workspace_of(headers), self.studio_of(headers), page or "", event)
        visit.labeller = labeller_of(headers)
        return visit

    def choices(self, key: tuple[str, str], studio: Studio) -> Choices:
        """What an open page has chosen; a new page begins with what was chosen last."""
        with self._lock:
            if key not in self._choices:
                self._choices[key] = Choices.from_draft(studio.draft("page"))
                while len(self._choices) > _MOST:
                    old, _ = self._choices.popitem(last=False)
                    self._marks.pop(old, None)
                    self._greeted.discard(old)
            return self._choices[key]

    def choose(self, key: tuple[str, str], studio: Studio, changes: dict[str, Any]) -> None:
        """Change some choices, here and in the draft."""
        with self._lock:
            changed = replace(self.choices(key, studio), **changes)
            self._choices[key] = changed
            self._marks[key] += 1
            studio.keep_draft("page", asdict(changed))

    def remember(self, key: tuple[str, str], studio: Studio, things: dict[str, Any]) -> None:
        """Change some of `extra`, and leave the rest of it."""
        with self._lock:
            self.choose(key, studio, {"extra": {**self.choices(key, studio).extra, **things}})

    def add(self, key: tuple[str, str], studio: Studio, name: str, things: dict[str, Any]) -> None:
        """Change some things under one name of `extra`, whatever another act changes there in the same moment."""
        with self._lock:
            kept = self.choices(key, studio).extra.get(name)
            self.remember(key, studio, {name: {**(kept if isinstance(kept, dict) else {}), **things}})

    def greet(self, key: tuple[str, str]) -> bool:
        """Whether an open page shows its first tab for the first time."""
        with self._lock:
            first = key not in self._greeted
            self._greeted.add(key)
            return first

    def working(self, key: tuple[str, str], change: int) -> int:
        """Count the acts of an open page that are being done."""
        with self._lock:
            self._at_work[key] += change
            self._marks[key] += change < 0
            left = self._at_work[key]
            if left <= 0:
                del self._at_work[key]
            return left

    def mark(self, key: tuple[str, str]) -> int:
        """Grows whenever something was chosen or done on an open page."""
        return self._marks[key]

    def forget(self, key: tuple[str, str]) -> None:
        """Begin again from the draft: the page was loaded anew."""
        with self._lock:
            self._choices.pop(key, None)


class Visit:
    """What a handler is given: whose studio, what was chosen, and what was just done."""

    def __init__(self, sessions: Sessions, workspace: str, studio: Studio, page: str, event: Any) -> None:
        self._sessions = sessions
        self._key = (workspace, page)
        self.workspace = workspace
        self.studio = studio
        self.demo = sessions.demo
        self.event = {name: _said(value) for name, value in event.items()} if isinstance(event, dict) else {}
        self.labeller = ""
        """Who labels from this browser, if they gave a name."""
        self.wanted_tab: str | None = None

    @property
    def choices(self) -> Choices:
        """As they stand now."""
        return self._sessions.choices(self._key, self.studio)

    def choose(self, **changes: Any) -> None:
        """Change choices; kept at once."""
        self._sessions.choose(self._key, self.studio, changes)

    def remember(self, **things: Any) -> None:
        """Change some of the small things that a page wants to find again."""
        self._sessions.remember(self._key, self.studio, things)

    def add(self, name: str, **things: Any) -> None:
        """Change some things that are kept together under one name."""
        self._sessions.add(self._key, self.studio, name, things)

    def goto(self, tab: str) -> None:
        """Open a tab when the handler is done."""
        self.choose(tab=tab)
        self.wanted_tab = tab

    def __enter__(self) -> "Visit":
        self._sessions.working(self._key, 1)
        return self

    def __exit__(self, *_: object) -> None:
        self._sessions.working(self._key, -1)

    def greet(self) -> bool:
        """Whether this page shows its first tab for the first time."""
        return self._sessions.greet(self._key)

    def mark(self) -> int:
        """Grows whenever something was chosen or done on this page, by this act or by another one meanwhile."""
        return self._sessions.mark(self._key)

    def settle(self, most: float = 3.0) -> None:
        """Wait for what was done on this page just before: a field left by the very click that is handled now."""
        until = time.monotonic() + most
        while self._sessions.working(self._key, 0) > 1 and time.monotonic() < until:
            time.sleep(0.01)

    def begin(self, run: str = "") -> None:
        """The page was loaded: take up what was chosen last; a run named by the address comes first."""
        self._sessions.forget(self._key)
        with suppress(StudioError):
            if run and run != self.choices.run:
                self.choose(run=self.studio.run(run[:100]).id, reached=())

    def text(self, name: str, limit: int = 20_000) -> str:
        """A text that came with the event; nothing but text, and no longer than `limit`."""
        value = self.event.get(name, "")
        return value[:limit] if isinstance(value, str) else str(value)[:limit]

    def whole(self, name: str, default: int = 0) -> int:
        """A whole number that came with the event, no larger than a database can hold."""
        try:
            return max(-_LARGEST, min(_LARGEST, int(self.event.get(name, default))))
        except (TypeError, ValueError, OverflowError):
            return default


def _said(value: Any) -> Any:
    """A value as it came; half a character, which no text on its way out may hold, becomes a question mark."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value

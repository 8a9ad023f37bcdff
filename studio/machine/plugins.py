"""Registries of the studio, and the plugins that add to them: entry points of installed packages.

A package names its objects in its pyproject.toml:

    [project.entry-points."finetune_studio.methods"]
    short-lora = "my_package.methods:ShortLoRA"

An entry point leads to an object, or to a class that is called without arguments. What can't be used is reported in one
sentence by `studio doctor` and in the log, and the studio works without it.
"""

import inspect
import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from threading import RLock
from typing import Any, Generic, Protocol, TypeVar

KINDS = ("tasks", "methods", "exports", "checks", "formats", "runners", "tabs")
"""What a plugin can add. The entry point group of tasks is `finetune_studio.tasks`."""
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
"""Names appear in flags, file names and saved runs."""
T = TypeVar("T")
_log = logging.getLogger("studio.plugins")


@dataclass(frozen=True)
class Plugin:
    """One entry point that was looked at."""

    kind: str
    name: str
    package: str
    """The package and its version."""
    problem: str = ""
    """Why it is not used, in one sentence. Empty: it is used."""


LOADED: list[Plugin] = []
"""All entry points that this process has looked at."""


def group_of(kind: str) -> str:
    """The entry point group of a kind."""
    return f"finetune_studio.{kind}"


def has_plugins(kind: str) -> bool:
    """Whether an installed package adds something of this kind. Loads nothing."""
    return bool(_found().select(group=group_of(kind)))


def packages_with(kind: str) -> list[str]:
    """The packages that add something of this kind, with their versions. Loads nothing."""
    return sorted({_package_of(entry) for entry in _found().select(group=group_of(kind))})


def _package_of(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown package"


@cache
def _found() -> Any:
    """All entry points of the installed packages, with `select(group=…)`. Finding them takes a few hundredths of a
    second."""
    return entry_points()


def members_of(interface: type) -> frozenset[str]:
    """Public attributes and methods that an interface declares."""
    bases = [base for base in interface.__mro__ if base not in (object, Protocol, Generic)]
    names = {name for base in bases for name in (*inspect.get_annotations(base), *vars(base))}
    return frozenset(name for name in names if not name.startswith("_"))


class _Loading:
    """A lock for the import of plugins. `depth` is above 1 when a plugin that is being imported needs a registry."""

    def __init__(self) -> None:
        self._lock, self.depth = RLock(), 0

    def __enter__(self) -> None:
        self._lock.acquire()
        self.depth += 1

    def __exit__(self, *_: object) -> None:
        self.depth -= 1
        self._lock.release()


_LOADING = _Loading()


class Registry(Mapping[str, T]):
    """Objects of one kind by name: the built-in ones in their order, then those of plugins.

    Plugins are loaded when a name is looked up that is not built in, or when the names are listed, and not at import:
    a module of a plugin may import any module of the studio.
    """

    def __init__(
        self,
        kind: str,
        built_in: Iterable[T],
        name_of: Callable[[T], str],
        needs: Collection[str] = (),
        subclass_of: type | None = None,
    ) -> None:
        """`needs` are attributes that an object must have. With `subclass_of`, the objects are classes."""
        self.kind, self._name_of, self._needs, self._subclass_of = kind, name_of, needs, subclass_of
        self._objects = {name_of(each): each for each in built_in}
        self._is_loaded = False

    def __getitem__(self, name: str) -> T:
        if name not in self._objects:
            self.load()
        return self._objects[name]

    def __iter__(self) -> Iterator[str]:
        self.load()
        return iter(self._objects)

    def __len__(self) -> int:
        self.load()
        return len(self._objects)

    def load(self) -> None:
        """Load the plugins, once. A plugin that lists names while it is imported gets those that are there: its own
        module is not ready yet."""
        if self._is_loaded:
            return
        with _LOADING:
            if self._is_loaded or _LOADING.depth > 1:
                return
            for entry in sorted(_found().select(group=group_of(self.kind)), key=lambda each: (each.name, each.value)):
                self._add(entry)
            self._is_loaded = True

    def _add(self, entry: EntryPoint) -> None:
        package, name, problem = _package_of(entry), entry.name, ""
        try:
            loaded = self._made(entry.load())
            name = self._name_of(loaded)
            problem = self._problem(name, loaded)
            if not problem:
                # In a copy, since another thread may go through the names.
                self._objects = {**self._objects, name: loaded}
        except (Exception, SystemExit) as error:  # whatever the code of others does when it is imported
            first = next(iter(str(error).splitlines()), "")
            problem = f"it can't be loaded ({type(error).__name__}{f': {first}' if first else ''})"
            _log.debug("The plugin %s of %s:", name, package, exc_info=True)
        sentence = problem and f'The plugin "{name}" of {package} ({self.kind}) is not used: {problem}.'
        LOADED.append(Plugin(self.kind, name, package, sentence))
        if sentence:
            _log.warning(sentence)

    def _made(self, loaded: Any) -> T:
        """The object that an entry point leads to."""
        made: T = loaded() if isinstance(loaded, type) and self._subclass_of is None else loaded
        return made

    def _problem(self, name: Any, loaded: Any) -> str:
        """Why an object can't be registered. Empty when it can."""
        base = self._subclass_of
        if base is not None and not (isinstance(loaded, type) and issubclass(loaded, base)):
            return f"it is not a subclass of {base.__module__}.{base.__qualname__}"
        if not isinstance(name, str) or not NAME.fullmatch(name):
            return f"its name {name!r} must have lower-case letters, digits and hyphens only"
        if name in self._objects:
            return "this name is already used"
        missing = sorted(each for each in self._needs if not hasattr(loaded, each))
        return f"it lacks {', '.join(missing)}" if missing else ""

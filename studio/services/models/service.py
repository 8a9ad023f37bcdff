"""Base models: lists, memory fit and downloads."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from studio.machine.facts import MachineFacts, machine_facts
from studio.models import CONVERTERS, SOURCES, Fetching, cached_models, find_model, search_sources, searched_sources
from studio.models.catalog import CATALOG
from studio.models.starters import STARTERS
from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.schema.numbers import memory as in_gigabytes
from studio.schema.tools import ExtraTools
from studio.schema.views import DownloadState, ModelSearch, ModelView
from studio.services.context import Context
from studio.services.progress import Progress, no_progress
from studio.services.tools import extra_tools
from studio.store import Home
from studio.tasks import TASKS, Task, default_task, task_named
from studio.training.methods import METHODS
from studio.training.planning.gradient_checkpointing import supports_checkpointing
from studio.training.planning.memory_model import estimate_memory

TIGHT = 0.8
"""Share of the available memory above which a run is `tight`."""
FOLDERS = "model-folders"
USUAL_LENGTH = 512
"""Tokens of a row where the rows are not known yet."""


class Models:
    """Base models of a workspace."""

    def __init__(self, context: Context, downloads: "Downloads") -> None:
        self.context, self.downloads = context, downloads

    def find(self, name: str) -> ModelInfo:
        """A model by name or folder."""
        if self.context.demo and name not in STARTERS:
            self.context.owner_only("A model other than the starters")
        return _with_tasks(self.context.workspace.find_model(name))

    def ready(self, name: str) -> ModelInfo:
        """A model whose weights are on this machine and may be loaded."""
        info = self.find(name)
        if not info.here or info.path is None:
            if info.is_converted:
                raise StudioError(
                    "no-such-model",
                    f"{info.title} is not converted yet.",
                    given=name,
                    hint=f"Convert it on the Model tab, or with: studio download {info.name}",
                    field="model",
                )
            raise StudioError(
                "no-such-model",
                f"{info.title} is not on this machine yet.",
                given=name,
                hint=f"Download it on the Model tab, or with: studio download {info.name}",
                field="model",
            )
        if info.needs_trust and not self.trusted(info):
            raise StudioError(
                "unsafe-model",
                f"{info.title} is not loaded: {info.needs_trust}",
                given=info.name,
                hint=f"If you trust its authors, allow it on the Model tab, or with: studio trust {info.name}",
                field="model",
            )
        return info

    def is_starter(self, name: str) -> bool:
        """Whether a name is that of a starter model."""
        return name in STARTERS

    def trusted(self, info: ModelInfo) -> bool:
        """Whether the owner has allowed custom code or pickled weights for the current files of this model."""
        return self.context.home.trusts(info)

    def get(self, name: str, task: str | None = None) -> ModelView:
        """One model, inspected; for a task also whether the model can do it."""
        return self.view(self.find(name), task)

    def trust(self, name: str, allowed: bool = True, seen: str | None = None) -> ModelView:
        """Allow a model's custom code or pickled weights in their current state, or withdraw that.

        `seen` is the fingerprint that the person has seen. A model that has changed since is refused.
        """
        self.context.require_owner("Allowing a model's own code")
        info = self.find(name)
        if allowed and seen is not None and seen != info.fingerprint:
            raise StudioError(
                "wrong-state",
                f"{info.title} has changed since you saw it.",
                given=info.name,
                hint="Check it again before you allow it.",
                field="model",
            )
        self.context.home.trust_model(info, allowed)
        return self.get(name)

    def view(self, info: ModelInfo, task: str | None = None) -> ModelView:
        """A model as the Model tab shows it."""
        return self._view(info, task, machine_facts(), {})

    def _view(
        self, info: ModelInfo, task: str | None, machine: MachineFacts, sentences: Mapping[str, str]
    ) -> ModelView:
        info = _with_tasks(info)
        task_info = task_named(task) if task else None
        free = machine.training_memory
        memory, fits = memory_fit(info, task_info or default_task(), machine)
        why = task_info.unavailable_reason(info) if task_info and info.is_described else ""
        if not why and fits == "too-large":
            needed, available = in_gigabytes(memory), in_gigabytes(free)
            why = f"Needs at least {needed} of memory. This machine has {available}."
            if machine.gpus:
                why = f"Needs at least {needed} of memory. The GPU has {available}."
        return ModelView(
            info=info,
            sentence=sentences.get("sentence", info.note),
            good_for=sentences.get("good_for", ""),
            not_for=sentences.get("not_for", ""),
            unavailable_reason=why,
            memory_bytes=memory,
            available_bytes=free,
            fits=fits,
            trusted=self.trusted(info),
            tools=self._missing_tools(info),
        )

    def all(self, task: str | None = None) -> list[ModelView]:
        """Starters, models on this machine, and a few known ones of the Hub."""
        known = {entry.name: entry for entry in CATALOG}
        infos: dict[str, ModelInfo] = {name: self.find(name) for name in STARTERS}
        if not self.context.demo:
            for folder in self.context.workspace.drafts.get(FOLDERS, []):
                try:
                    infos[folder] = find_model(folder)
                except StudioError:
                    continue
            infos.update({info.name: info for info in cached_models()})
            infos.update({entry.name: entry.info for entry in CATALOG if entry.name not in infos})
        machine = machine_facts()  # read once: it is not cheap, and all models are compared with the same figures
        views = [
            self._view(
                info,
                task,
                machine,
                known[name].sentences if name in known else STARTERS[name].sentences if name in STARTERS else {},
            )
            for name, info in infos.items()
        ]
        return sorted(views, key=lambda view: bool(view.unavailable_reason))

    def search(self, text: str, task: str | None = None, limit: int = 12) -> ModelSearch:
        """Models of the Hub, ModelScope and Kaggle whose name contains a text, up to `limit` of each.

        One of exactly that name comes first, which may be private. A source that can't be reached hides no other.
        """
        self.context.owner_only("Searching for models")
        text = text.strip()
        if len(text) < 2:
            return ModelSearch()
        source = text.partition(":")[0]
        if source in SOURCES and ":" in text:
            return self._search_name(source, text, task)
        results = search_sources(text, limit, self._token())
        models = results.models
        if "/" in text and text not in [info.name for info in models]:
            with suppress(StudioError):
                named = self.find(text)
                models = [named, *models] if named.source == "hub" else models
        return ModelSearch(
            models=tuple(self.view(info, task) for info in models),
            failures={source: _short(error) for source, error in results.failures.items()},
        )

    def searched(self) -> list[str]:
        """Titles of the sources that a search asks."""
        return [source.title for source in searched_sources()]

    def _search_name(self, source: str, name: str, task: str | None) -> ModelSearch:
        """The model of a name that starts with its source, such as `modelscope:owner/name`."""
        try:
            return ModelSearch(models=(self.get(name, task),))
        except StudioError as error:
            return ModelSearch(failures={source: error.message})

    def use_folder(self, path: str) -> ModelView:
        """Add a folder or a GGUF file of this machine to the models."""
        self.context.owner_only("A folder of this machine")
        info = self.find(path)
        folders = self.context.workspace.drafts.get(FOLDERS, [])
        self.context.workspace.drafts.put(FOLDERS, list(dict.fromkeys([*folders, info.name])))
        return self.view(info)

    def start_download(self, name: str) -> None:
        """Download a model in the background."""
        self.context.owner_only("Downloading a model")
        info = self.find(name)
        self.downloads.start(info, self._fetching(info))

    def download_states(self) -> list[DownloadState]:
        """All downloads since the server started, newest last."""
        return self.downloads.states()

    def cancel_download(self, name: str) -> None:
        """Stop a download. Started again, it continues."""
        self.context.owner_only("Canceling a download")
        self.downloads.cancel(name)

    def set_hub_token(self, token: str) -> None:
        """Save a Hub token in a file that only the owner can read; an empty one removes it."""
        self.context.require_owner("A Hub token")
        self.context.home.keep_hub_token(token)

    def has_hub_token(self) -> bool:
        """Whether a Hub token is saved. The token itself is never returned."""
        return not self.context.demo and self.context.home.hub_token() is not None

    def download(self, name: str, progress: Callable[[int, int], None]) -> ModelInfo:
        """Download a model, or convert files to one, and wait for it. An interrupted download continues.

        `progress` gets bytes done and total.
        """
        self.context.owner_only("Downloading a model")
        info = self.find(name)
        return info if info.here else download_model(info, replace(self._fetching(info), progress=progress))

    def install_tools(self, name: str, progress: Progress = None, cancel: threading.Event | None = None) -> list[str]:
        """Install the packages that convert this model, in an environment in the data folder.

        Returns the names of what was installed. Empty if nothing is needed, or it is there already.
        """
        self.context.require_owner("Installing packages")
        missing = self._missing_tools(self.find(name))
        if missing is None:
            return []
        environment = next(each for each in CONVERTERS.values() if each.name == missing.name)
        environment.install(self.context.home.tools, progress or no_progress, cancel or threading.Event())
        return [missing.name]

    def _missing_tools(self, info: ModelInfo) -> ExtraTools | None:
        """The packages that must be installed before a model can be converted."""
        environment = next((each for each in CONVERTERS.values() if each.name == info.tools), None)
        tools = extra_tools(environment, self.context.home.tools) if environment and not info.here else None
        return tools if tools and not tools.ready else None

    def _fetching(self, info: ModelInfo) -> Fetching:
        """How a model is brought to this machine. Raise `StudioError` if its converter is not installed."""
        if tools := self._missing_tools(info):
            raise StudioError(
                "format-unavailable",
                f"The {tools.title} is not installed yet. {tools.sentence}",
                given=info.name,
                hint=f"Install it on the Model tab, or with: studio download {info.name} --install-tools",
                field="model",
            )
        return Fetching(token=self._token(), trust=self.trusted(info), tools=self.context.home.tools)

    def _token(self) -> str | None:
        return None if self.context.demo else self.context.home.hub_token()


@dataclass
class _Download:
    state: DownloadState
    stop: threading.Event = field(default_factory=threading.Event)


class Downloads:
    """Downloads of this server, each in a thread. A cancelled one continues when it is started again."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._downloads: dict[str, _Download] = {}
        self._lock = threading.Lock()

    def states(self) -> list[DownloadState]:
        """All downloads since the server started, newest last."""
        with self._lock:
            return [each.state for each in self._downloads.values()]

    def start(self, info: ModelInfo, fetching: Fetching) -> None:
        """Start a download, unless it is running."""
        with self._lock:
            running = self._downloads.get(info.name)
            if running and running.state.status == "running":
                return
            this = self._downloads[info.name] = _Download(DownloadState(name=info.name, total_bytes=info.bytes))
        threading.Thread(target=self._run, args=(info, fetching, this), daemon=True).start()

    def cancel(self, name: str) -> None:
        """Cancel a download. Downloaded parts are kept."""
        with self._lock:
            if name in self._downloads:
                self._downloads[name].stop.set()

    def _run(self, info: ModelInfo, fetching: Fetching, this: _Download) -> None:
        def progress(done: int, total: int) -> None:
            this.state = this.state.model_copy(update={"done_bytes": done, "total_bytes": total})

        try:
            download_model(info, replace(fetching, progress=progress, should_stop=this.stop.is_set))
            status, error = ("cancelled" if this.stop.is_set() else "done"), ""
        except StudioError as refusal:
            status, error = "failed", refusal.message
        except Exception as exception:  # the edge of a thread: unexpected errors must be reported too
            name = type(exception).__name__
            status, error = "failed", f"The download ended with an error ({name}). Start it again to continue."
        this.state = this.state.model_copy(update={"status": status, "error": error})


def download_model(info: ModelInfo, fetching: Fetching) -> ModelInfo:
    """Bring a model to this machine, as its source does: by download, or by converting files."""
    return SOURCES[info.source].fetch(info, fetching)


def _short(error: StudioError) -> str:
    """Why a source gave no models, in one or two sentences."""
    return error.what if error.code == "no-network" else f"{error.what} {error.hint}".strip()


def _with_tasks(info: ModelInfo) -> ModelInfo:
    """The model with the tasks that it can do."""
    return info.model_copy(
        update={"tasks": tuple(task.name for task in TASKS.values() if not task.unavailable_reason(info))}
    )


def usual_length(info: ModelInfo) -> int:
    """The tokens of a row that memory is estimated for where the rows are not known yet."""
    return min(USUAL_LENGTH, info.context or USUAL_LENGTH)


def memory_fit(info: ModelInfo, task: Task, machine: MachineFacts) -> tuple[int, str]:
    """Bytes of memory for LoRA training at a usual length, and `fits`, `tight` or `too-large`.

    When these are too many, the bytes that "Make it fit" reaches without truncating rows: `tight`, or `too-large`.
    """
    if not info.parameters:
        return 0, "fits"
    free, gpu = machine.training_memory, bool(machine.gpus)
    usual = TrainingConfig(task=task.name, model=info.name, max_length=usual_length(info))
    memory = estimate_memory(info, usual, gpu=gpu)
    if memory <= free:
        return memory, "tight" if memory > TIGHT * free else "fits"
    least = usual.model_copy(update={"batch_size": 1, "gradient_checkpointing": supports_checkpointing(info)})
    lighter = METHODS.get(METHODS[usual.method].lighter)
    if lighter is not None and not lighter.unavailable_reason(info, task, machine):
        least = least.model_copy(update={"method": lighter.name})
    memory = estimate_memory(info, least, gpu=gpu)
    return memory, "too-large" if memory > free else "tight"

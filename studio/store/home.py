"""Where everything lies: a home holds workspaces and the machine's queue, and knows nobody's rows itself."""

import json
import os
import re
import secrets
from functools import cached_property
from pathlib import Path

from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.store import passed_over
from studio.store.datasets import DatasetStore
from studio.store.db import Database
from studio.store.drafts import DraftStore
from studio.store.events import EventStore
from studio.store.files import write_whole
from studio.store.labels import LabelStore
from studio.store.mending import forget, told
from studio.store.migrations import WORKSPACE
from studio.store.queue import Queue
from studio.store.runs import RunStore

ALONE = "default"
"""The workspace of a person who is alone on the machine."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def default_home() -> Path:
    """`$STUDIO_HOME`, or a folder in the user's data folder."""
    if os.environ.get("STUDIO_HOME"):
        return Path(os.environ["STUDIO_HOME"])
    import platformdirs

    return Path(platformdirs.user_data_dir("finetune-studio", appauthor=False))


class Home:
    """A folder in which the studio keeps everything but the starter models."""

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root or default_home()).expanduser().resolve()
        self.root.mkdir(parents=True, exist_ok=True)

    @cached_property
    def queue(self) -> Queue:
        """What waits for this machine, across workspaces."""
        return Queue(self.root / "queue.db")

    def workspace(self, name: str = ALONE) -> "Workspace":
        """The workspace of that name, made when missing."""
        if not _NAME.fullmatch(name):
            raise StudioError(
                "not-allowed", "That is no name of a workspace.", valid="up to 64 letters, digits and dashes"
            )
        return Workspace(self, name)

    def workspace_exists(self, name: str) -> bool:
        """Whether a workspace was made; a name that can't be one is none."""
        return bool(_NAME.fullmatch(name)) and (self.root / "workspaces" / name).is_dir()

    def workspaces(self) -> list[str]:
        """Names of all workspaces."""
        folder = self.root / "workspaces"
        return sorted(each.name for each in folder.iterdir() if each.is_dir()) if folder.exists() else []

    def new_workspace(self) -> "Workspace":
        """A workspace with a name that nobody can guess: the name is the key to it."""
        return self.workspace(secrets.token_hex(24))

    def secret(self, name: str) -> str:
        """A random text of this home, the same on every start, in a file that only its owner can read."""
        path = self.root / f"{name}.secret"
        if not path.exists():
            write_whole(path, secrets.token_hex(32), mode=0o600)
        return path.read_text().strip()

    def hub_token(self) -> str | None:
        """The Hub token of the environment or of this home; never shown, never used in a demo."""
        path = self.root / "hub-token"
        return os.environ.get("HF_TOKEN") or (path.read_text().strip() if path.exists() else None) or None

    def keep_hub_token(self, token: str) -> None:
        """Keep a Hub token in a file of mode 0600; an empty one removes the file."""
        path = self.root / "hub-token"
        if token:
            write_whole(path, token.strip(), mode=0o600)
        else:
            path.unlink(missing_ok=True)

    def trusted_models(self) -> dict[str, str]:
        """Models whose own code or pickled weights the owner allowed → what these were known by then."""
        path = self.root / "trusted-models.json"
        kept = json.loads(path.read_text()) if path.exists() else {}
        return kept if isinstance(kept, dict) else {}

    def trusts(self, info: ModelInfo) -> bool:
        """Whether that was allowed for this very model, as it now is."""
        return bool(info.needs_trust and info.fingerprint) and self.trusted_models().get(info.name) == info.fingerprint

    def trust_model(self, info: ModelInfo, allowed: bool = True) -> None:
        """Allow that for one model as it now is, or no longer."""
        kept = {name: known for name, known in self.trusted_models().items() if name != info.name}
        kept |= {info.name: info.fingerprint} if allowed and info.needs_trust else {}
        write_whole(self.root / "trusted-models.json", json.dumps(kept, sort_keys=True))


class Workspace:
    """One person's datasets, runs, events, labels and drafts. No query can return another workspace's rows."""

    def __init__(self, home: Home, name: str) -> None:
        self.home = home
        self.name = name
        self.root = home.root / "workspaces" / name
        self.encoded = self.root / "encoded"
        """Where rows are kept as tokens; it can be deleted at any time."""
        self.db = Database(self.root / "studio.db", WORKSPACE)
        self.events = EventStore(self.db)
        self.runs = RunStore(self.db, self.root / "runs")
        self.datasets = DatasetStore(self.db, self.root / "datasets")
        self.db.when_mended = self._take_up
        # found damaged just now, or by somebody who was ended before the folders were listed again
        if told(self.root) or told(self.home.root):
            self._take_up()
        self.labels = LabelStore(self.db)
        self.drafts = DraftStore(self.db)

    def close(self) -> None:
        """Close this thread's connections."""
        self.db.close()

    def mended(self) -> list[str]:
        """What a person should know of: a database that was found damaged, a run's folder that can't be listed."""
        return [*told(self.root), *told(self.home.root), *passed_over.told(self.root)]

    def mended_seen(self) -> None:
        """The person has seen it."""
        forget(self.root)
        forget(self.home.root)
        passed_over.forget(self.root)

    def _take_up(self) -> None:
        self.datasets.take_up()
        self.runs.restore()

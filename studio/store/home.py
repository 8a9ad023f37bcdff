"""The data folder: a home contains workspaces and the queue of the machine."""

import hashlib
import hmac
import json
import os
import re
import secrets
import time
from functools import cached_property
from pathlib import Path

from studio.machine.locks import alone
from studio.models import find_model
from studio.models.starters import STARTERS
from studio.schema.errors import StudioError
from studio.schema.limits import DEMO, OWNER, Limits
from studio.schema.models import ModelInfo
from studio.store import unreadable_runs
from studio.store.datasets import DatasetStore
from studio.store.db import Database
from studio.store.db_recovery import forget, read_notices
from studio.store.drafts import DraftStore
from studio.store.events import EventStore
from studio.store.files import write_whole
from studio.store.labels import LabelStore
from studio.store.migrations import WORKSPACE
from studio.store.queue import Queue
from studio.store.runs import RunStore

ALONE = "default"
"""The workspace of a person who uses the machine alone."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VISITOR = re.compile(r"visitor-[0-9a-f]{32}|[0-9a-f]{48}")
"""Names of visitors' workspaces. Those with 48 digits were made by versions that used the secret as the name."""
_SECRET = re.compile(r"[0-9a-f]{48}")
_SIGNED = 24
"""Number of random hexadecimal digits in a secret. The remaining digits are their signature."""


def default_home() -> Path:
    """`$STUDIO_HOME`, or a folder in the user's data folder."""
    if os.environ.get("STUDIO_HOME"):
        return Path(os.environ["STUDIO_HOME"])
    import platformdirs

    return Path(platformdirs.user_data_dir("finetune-studio", appauthor=False))


def _visitor_name(secret: str) -> str:
    """The workspace name that belongs to a secret."""
    return f"visitor-{hashlib.sha256(secret.encode()).hexdigest()[:32]}"


class Home:
    """A folder that holds everything except the starter models."""

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root or default_home()).expanduser().resolve()
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "workspaces").mkdir(mode=0o700, exist_ok=True)

    @property
    def tools(self) -> Path:
        """The folder of the environments of extra tools, for example the converter to GGUF."""
        return self.root / "tools"

    @cached_property
    def queue(self) -> Queue:
        """The queue of this machine, for all workspaces."""
        return Queue(self.root / "queue.db")

    def workspace(self, name: str = ALONE) -> "Workspace":
        """The workspace of that name. It is created by its first write."""
        if not _NAME.fullmatch(name):
            raise StudioError(
                "not-allowed", "This is not a valid name of a workspace.", valid="up to 64 letters, digits and dashes"
            )
        return Workspace(self, name)

    def workspace_exists(self, name: str) -> bool:
        """Whether a workspace exists on the disk. False for an invalid name."""
        return bool(_NAME.fullmatch(name)) and (self.root / "workspaces" / name).is_dir()

    def workspaces(self) -> list[str]:
        """Names of all workspaces."""
        folder = self.root / "workspaces"
        return sorted(each.name for each in folder.iterdir() if each.is_dir()) if folder.exists() else []

    def visitors(self) -> list[str]:
        """Names of the workspaces of a demo's visitors."""
        return [name for name in self.workspaces() if _VISITOR.fullmatch(name)]

    def visitors_from(self, address: str) -> int:
        """The number of workspaces whose last visit came from a network address."""
        hashed, folder = self.address_hash(address), self.root / "workspaces"
        marks = (folder / name / "address" for name in self.visitors())
        return sum(mark.read_text().strip() == hashed for mark in marks if mark.exists())

    def hours_since_visit(self, visitor: str) -> float:
        """Hours since a visitor's last visit. Does not open the workspace."""
        root = self.root / "workspaces" / visitor
        marks = [path.stat().st_mtime for path in (root / "address", root) if path.exists()]
        return (time.time() - max(marks)) / 3600 if marks else 0.0

    # --- visitors of a public demo ---

    def new_secret(self) -> str:
        """A secret that opens a new visitor's workspace, signed by this home. Writes nothing to the disk."""
        random = secrets.token_hex(_SIGNED // 2)
        return random + self._signature(random)

    def visitor_workspace(self, secret: str) -> str | None:
        """The name of the workspace that a secret opens. None when this home did not issue the secret.

        The name is a hash, so neither a folder nor the arguments of a process reveal the secret.
        """
        if not _SECRET.fullmatch(secret):
            return None
        name = _visitor_name(secret)
        random, signature = secret[:_SIGNED], secret[_SIGNED:]
        if hmac.compare_digest(signature, self._signature(random)) or self.workspace_exists(name):
            return name
        return None

    def account_workspace(self, account: str) -> str:
        """The name of the workspace of a person who is signed in to a demo. `account`: the id that never changes."""
        return f"visitor-{self._keyed_hash(f'account:{account}')[:32]}"

    def _signature(self, random: str) -> str:
        return self._keyed_hash(random)[: 48 - _SIGNED]

    def _keyed_hash(self, text: str) -> str:
        return hmac.new(self._visitors_key, text.encode(), hashlib.sha256).hexdigest()

    @cached_property
    def _visitors_key(self) -> bytes:
        """The signing key. Every request of a demo needs it and it never changes, so it is read once."""
        return self.secret("visitors").encode()

    def hide_secrets(self) -> None:
        """Rename workspaces of older versions, whose name was the secret, to its hash. Skips those with queued runs."""
        busy = {entry.workspace for entry in self.queue.listing()}
        for name in self.workspaces():
            if _SECRET.fullmatch(name) and name not in busy:
                (self.root / "workspaces" / name).rename(self.root / "workspaces" / _visitor_name(name))

    def address_hash(self, address: str) -> str:
        """A keyed hash of a network address. Equal addresses have equal hashes. The address can't be recovered."""
        return self._keyed_hash(address)[:16]

    @property
    def demo_limits(self) -> Limits:
        """The limits of visitors that the demo's server was started with."""
        path = self.root / "demo-limits.json"
        return Limits.model_validate_json(path.read_text()) if path.exists() else DEMO

    def keep_demo_limits(self, limits: Limits) -> None:
        """Save the limits of visitors for the processes that enforce them."""
        write_whole(self.root / "demo-limits.json", limits.model_dump_json())

    # --- secrets and trust of the owner ---

    def secret(self, name: str) -> str:
        """A random text of this home, in a file that only its owner can read. The same on every start."""
        path = self.root / f"{name}.secret"
        if not path.exists():
            with alone(path):
                if not path.exists():  # another process may have made it meanwhile
                    write_whole(path, secrets.token_hex(32), mode=0o600)
        return path.read_text().strip()

    def hub_token(self) -> str | None:
        """The owner's Hub token. Call `Workspace.hub_token` instead, which returns None for visitors."""
        path = self.root / "hub-token"
        return os.environ.get("HF_TOKEN") or (path.read_text().strip() if path.exists() else None) or None

    def keep_hub_token(self, token: str) -> None:
        """Save a Hub token in a file of mode 0600. An empty token deletes the file."""
        path = self.root / "hub-token"
        if token:
            write_whole(path, token.strip(), mode=0o600)
        else:
            path.unlink(missing_ok=True)

    def trusted_models(self) -> dict[str, str]:
        """Model name → fingerprint, for models whose code or pickled weights the owner trusts."""
        path = self.root / "trusted-models.json"
        kept = json.loads(path.read_text()) if path.exists() else {}
        return kept if isinstance(kept, dict) else {}

    def trusts(self, info: ModelInfo) -> bool:
        """Whether the owner trusts this model with its current fingerprint."""
        return bool(info.needs_trust and info.fingerprint) and self.trusted_models().get(info.name) == info.fingerprint

    def trust_model(self, info: ModelInfo, allowed: bool = True) -> None:
        """Trust a model with its current fingerprint, or stop trusting it."""
        kept = {name: known for name, known in self.trusted_models().items() if name != info.name}
        kept |= {info.name: info.fingerprint} if allowed and info.needs_trust else {}
        write_whole(self.root / "trusted-models.json", json.dumps(kept, sort_keys=True))


class Workspace:
    """The datasets, runs, events, labels and drafts of one person. No query returns rows of another workspace."""

    def __init__(self, home: Home, name: str) -> None:
        self.home = home
        self.name = name
        self.root = home.root / "workspaces" / name
        self.encoded = self.root / "encoded"
        """Cache of tokenized rows. It can be deleted at any time."""
        self.db = Database(self.root / "studio.db", WORKSPACE)
        self.events = EventStore(self.db)
        self.runs = RunStore(self.db, self.root / "runs")
        self.datasets = DatasetStore(self.db, self.root / "datasets")
        self.db.on_replaced = self._restore_from_folders
        if self.db.path.exists():
            self.db.check()
        # A database was replaced just now, or by a process that ended before it restored the folders.
        if read_notices(self.root) or read_notices(self.home.root):
            self._restore_from_folders()
        self.labels = LabelStore(self.db)
        self.drafts = DraftStore(self.db)

    @property
    def is_visitors(self) -> bool:
        """Whether it belongs to a visitor of a demo. Derived from its name, so that every process knows."""
        return bool(_VISITOR.fullmatch(self.name))

    @property
    def limits(self) -> Limits:
        """The limits on the resources of this machine."""
        return self.home.demo_limits if self.is_visitors else OWNER

    def hub_token(self) -> str | None:
        """The owner's Hub token. None for visitors of a demo."""
        return None if self.is_visitors else self.home.hub_token()

    def find_model(self, name: str) -> ModelInfo:
        """The base model of that name. Visitors of a demo may use starter models only.

        Every process that loads a model for a run calls this, whatever the run's settings are.
        """
        if self.is_visitors and name not in STARTERS:
            raise StudioError(
                "not-allowed",
                "Only the starter models are available in a public demo.",
                valid=sorted(STARTERS),
                hint="Install the studio to use other models on your own machine.",
                field="model",
            )
        return find_model(name, token=self.hub_token())

    @property
    def address(self) -> str:
        """A hash of the network address of the visitor's last visit. Empty for the owner."""
        path = self.root / "address"
        return path.read_text().strip() if self.is_visitors and path.exists() else ""

    def visited(self, address: str) -> None:
        """Record a visit now from this address. `address` is any text; its hash is saved."""
        hashed = self.home.address_hash(address)
        path = self.root / "address"
        if self.address != hashed:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(path, hashed, mode=0o600)
        else:
            os.utime(path)

    def close(self) -> None:
        """Close the idle connections to the database."""
        self.db.close()

    def recovery_notices(self) -> list[str]:
        """Notices for the user: a replaced database, a run folder that can't be read."""
        return [*read_notices(self.root), *read_notices(self.home.root), *unreadable_runs.read_notices(self.root)]

    def dismiss_recovery_notices(self) -> None:
        """Delete the notices after the user has seen them."""
        forget(self.root)
        forget(self.home.root)
        unreadable_runs.forget(self.root)

    def _restore_from_folders(self) -> None:
        self.datasets.import_copied_runs()
        self.runs.restore()

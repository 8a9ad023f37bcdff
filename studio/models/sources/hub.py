"""The Hugging Face Hub: what lies in its cache on this machine, and what it says of a model when it can be asked."""

import re
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.models.architectures import architecture_of, context_of, kind_of, size_of
from studio.models.hub_cache import ANSWERS
from studio.models.hub_files import Remote, hub_errors, needed_files, pickled_names, require_network
from studio.models.inspect import card_facts, inspect_folder, quantised_by, trust_reason
from studio.models.weights import DTYPE_BYTES
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo, ModelSource

HUB_NAME = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?", re.ASCII)
SHOWN = ("safetensors", "cardData", "config", "downloads", "gated", "pipeline_tag", "tags", "sha", "library_name")
"""What the Hub is asked to tell of every model that it finds."""
SECONDS = 10
"""How long an answer may take."""


@dataclass(frozen=True)
class HubSource:
    """Models by `owner/name`. Endpoint and cache are the library's own unless told (`HF_ENDPOINT`, `HF_HUB_CACHE`)."""

    endpoint: str = ""
    cache: str = ""
    name: ModelSource = "hub"

    def find(self, name: str, token: str | None = None) -> ModelInfo | None:
        """The cached copy when there is a whole one (no request is made), else what the Hub says, or said lately."""
        if not HUB_NAME.fullmatch(name) or ".." in name or "--" in name:
            return None
        here = self.cached(name)
        if here is None:
            require_network(name)
        return here or ANSWERS.get(self._question("about", name, token), lambda: self.ask(name, token))

    def _question(self, *parts: Hashable) -> Hashable:
        return Remote(self.endpoint).address, self.cache, *parts

    def cached(self, name: str) -> ModelInfo | None:
        """A whole copy in the cache of this machine, or None."""
        from huggingface_hub import try_to_load_from_cache

        config = try_to_load_from_cache(name, "config.json", cache_dir=self.cache or None)
        if not isinstance(config, str):
            return None
        folder = Path(config).parent
        try:
            found = inspect_folder(folder, name, name.rpartition("/")[2], "hub")
        except StudioError:
            return None
        return found.model_copy(
            update={
                "hub_id": name,
                "revision": folder.name,
                "origin": f"{name} at {folder.name[:7]} from the Hub",
                "fingerprint": folder.name if found.needs_trust else "",
            }
        )

    def ask(self, name: str, token: str | None = None) -> ModelInfo:
        """What the Hub says of a model that is not here."""
        require_network(name)
        remote = Remote(self.endpoint, self.cache, token)
        with hub_errors(name):
            found = remote.api().model_info(name, files_metadata=True, timeout=SECONDS, token=remote.auth)
            config = remote.json(name, found.sha or "main", "config.json")
        return describe(found, config)

    def folder(self, name: str) -> Path:
        """Where the cache keeps all that it has of a repository."""
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        return Path(self.cache or constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model")

    def known(self) -> list[ModelInfo]:
        """Whole copies in the cache of this machine."""
        from huggingface_hub import constants

        folders = sorted(Path(self.cache or constants.HF_HUB_CACHE).glob("models--*"))
        names = [folder.name.removeprefix("models--").replace("--", "/") for folder in folders]
        return [info for name in names if HUB_NAME.fullmatch(name) and (info := self.cached(name))]

    def search(self, text: str, limit: int, token: str | None = None) -> list[ModelInfo]:
        """Models with this text in their names, the most downloaded first."""
        require_network(text)
        found = ANSWERS.get(self._question("search", text, limit, token), lambda: self._search(text, limit, token))
        return [self.cached(info.name) or info for info in found]

    def _search(self, text: str, limit: int, token: str | None) -> list[ModelInfo]:
        remote = Remote(self.endpoint, self.cache, token)
        question = {"search": text, "limit": limit, "sort": "downloads", "filter": "transformers", "expand": SHOWN}
        with hub_errors(text):
            return [describe(each, each.config or {}) for each in remote.search(question)]


def describe(found: Any, config: dict[str, Any]) -> ModelInfo:
    """The Hub's words as ours. `config` is the model's config.json or what the Hub keeps of it."""
    told: dict[str, Any] = found.config or {}
    tokenizer = told.get("tokenizer_config") or {}
    config = {**told, **config}
    tags = found.tags or []
    files = [sibling.rfilename for sibling in found.siblings or []]
    card = card_facts(found.card_data.to_dict() if found.card_data else {})
    licence = card["licence"] or next((tag[8:] for tag in tags if tag.startswith("license:")), "")
    parameters, size = _weights(found)
    has_safetensors = bool(parameters) or any(name.endswith(".safetensors") for name in files) or "safetensors" in tags
    custom = {"auto_map": True} if "custom_code" in tags else {}
    needs_trust = trust_reason({**config, **custom}, tokenizer, has_safetensors)
    return ModelInfo(
        name=found.id,
        title=found.id.rpartition("/")[2],
        source="hub",
        kind=kind_of(config, found.pipeline_tag or ""),
        architecture=architecture_of(config),
        origin=f"{found.id} on the Hub",
        hub_id=found.id,
        revision=found.sha,
        parameters=parameters,
        bytes=size,
        licence=licence,
        languages=card["languages"],
        context=context_of(config, tokenizer),
        has_chat_template=bool(tokenizer.get("chat_template") or told.get("chat_template_jinja"))
        or any(name.startswith("chat_template.") for name in files),
        gated=bool(found.gated),
        downloads=found.downloads,
        needs_trust=needs_trust,
        fingerprint=(found.sha or "") if needs_trust else "",
        quantised=quantised_by(config),
        **size_of(config),
    )


def _weights(found: Any) -> tuple[int, int]:
    """Parameters and bytes: the files' own sizes where the Hub was asked for them, else by number format."""
    by_format: dict[str, int] = found.safetensors.parameters if found.safetensors else {}
    parameters = sum(by_format.values())
    size = sum(count * DTYPE_BYTES.get(name, 1) for name, count in by_format.items())
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in found.siblings or []}
    weights = [name for name in needed_files(sizes) if name.endswith(".safetensors")] or pickled_names(sizes)
    return parameters, sum(sizes[name] for name in weights) or size

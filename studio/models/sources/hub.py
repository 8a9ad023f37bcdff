"""The Hugging Face Hub: models in its cache on this machine, and descriptions from the Hub itself."""

import re
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.models.architectures import architecture_of, context_of, kind_of, size_of
from studio.models.downloads.fetching import Fetching
from studio.models.downloads.hub_cache import HUB_CACHE
from studio.models.downloads.hub_files import Remote, hub_errors, needed_files, pickled_names, require_network
from studio.models.inspect import card_facts, inspect_folder, quantized_by, trust_reason
from studio.models.weights import DTYPE_BYTES
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo, ModelSource

HUB_NAME = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?", re.ASCII)
EXPAND = ("safetensors", "cardData", "config", "downloads", "gated", "pipeline_tag", "tags", "sha", "library_name")
"""Fields that the Hub returns for each model found."""
TIMEOUT_SECONDS = 10
"""Timeout of a request."""


@dataclass(frozen=True)
class HubSource:
    """Models by `owner/name`. Endpoint and cache default to the library's (`HF_ENDPOINT`, `HF_HUB_CACHE`)."""

    endpoint: str = ""
    cache: str = ""
    name: ModelSource = "hub"
    title: str = "Hub"
    is_searched: bool = True

    def find(self, name: str, token: str | None = None) -> ModelInfo | None:
        """Return the complete cached copy without a request, else the Hub's description, which is cached briefly."""
        if not HUB_NAME.fullmatch(name) or ".." in name or "--" in name:
            return None
        cached_info = self.cached(name)
        if cached_info is None:
            require_network(name)
        return cached_info or HUB_CACHE.get(self._cache_key("about", name, token), lambda: self.ask(name, token))

    def _cache_key(self, *parts: Hashable) -> Hashable:
        return Remote(self.endpoint).address, self.cache, *parts

    def cached(self, name: str) -> ModelInfo | None:
        """Return the complete copy in this machine's cache, or None."""
        from huggingface_hub import try_to_load_from_cache

        config = try_to_load_from_cache(name, "config.json", cache_dir=self.cache or None)
        if not isinstance(config, str):
            return None
        folder = Path(config).parent
        try:
            info = inspect_folder(folder, name, name.rpartition("/")[2], "hub")
        except StudioError:
            return None
        return info.model_copy(
            update={
                "hub_id": name,
                "revision": folder.name,
                "origin": f"{name} at {folder.name[:7]} from the Hub",
                "fingerprint": folder.name if info.needs_trust else "",
            }
        )

    def ask(self, name: str, token: str | None = None) -> ModelInfo:
        """Return the Hub's description of a model."""
        require_network(name)
        remote = Remote(self.endpoint, self.cache, token)
        with hub_errors(name):
            hub_info = remote.api().model_info(name, files_metadata=True, timeout=TIMEOUT_SECONDS, token=remote.auth)
            config = remote.json(name, hub_info.sha or "main", "config.json")
        return describe(hub_info, config)

    def fetch(self, info: ModelInfo, fetching: Fetching) -> ModelInfo:
        """Download a model. A stopped download resumes."""
        from studio.models.downloads.download import Download

        return Download(info, fetching.progress, fetching.should_stop, fetching.token, fetching.trust, self).run()

    def folder(self, name: str) -> Path:
        """Return the cache folder of a repository."""
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        return Path(self.cache or constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model")

    def known(self) -> list[ModelInfo]:
        """Return the complete copies in this machine's cache."""
        from huggingface_hub import constants

        folders = sorted(Path(self.cache or constants.HF_HUB_CACHE).glob("models--*"))
        names = [folder.name.removeprefix("models--").replace("--", "/") for folder in folders]
        return [info for name in names if HUB_NAME.fullmatch(name) and (info := self.cached(name))]

    def search(self, text: str, limit: int, token: str | None = None) -> list[ModelInfo]:
        """Return models with this text in their names, the most downloaded first."""
        require_network(text)
        models = HUB_CACHE.get(self._cache_key("search", text, limit, token), lambda: self._search(text, limit, token))
        return [self.cached(info.name) or info for info in models]

    def _search(self, text: str, limit: int, token: str | None) -> list[ModelInfo]:
        remote = Remote(self.endpoint, self.cache, token)
        query = {"search": text, "limit": limit, "sort": "downloads", "filter": "transformers", "expand": EXPAND}
        with hub_errors(text):
            return [describe(each, each.config or {}) for each in remote.search(query)]


def describe(hub_info: Any, config: dict[str, Any]) -> ModelInfo:
    """Convert the Hub's model info. `config` is the model's config.json, or the part that the Hub has of it."""
    hub_config: dict[str, Any] = hub_info.config or {}
    tokenizer = hub_config.get("tokenizer_config") or {}
    config = {**hub_config, **config}
    tags = hub_info.tags or []
    files = [sibling.rfilename for sibling in hub_info.siblings or []]
    card = card_facts(hub_info.card_data.to_dict() if hub_info.card_data else {})
    licence = card["licence"] or next((tag[8:] for tag in tags if tag.startswith("license:")), "")
    parameters, size = _weights(hub_info)
    has_safetensors = bool(parameters) or any(name.endswith(".safetensors") for name in files) or "safetensors" in tags
    custom = {"auto_map": True} if "custom_code" in tags else {}
    needs_trust = trust_reason({**config, **custom}, tokenizer, has_safetensors)
    return ModelInfo(
        name=hub_info.id,
        title=hub_info.id.rpartition("/")[2],
        source="hub",
        kind=kind_of(config, hub_info.pipeline_tag or ""),
        architecture=architecture_of(config),
        origin=f"{hub_info.id} on the Hub",
        hub_id=hub_info.id,
        revision=hub_info.sha,
        parameters=parameters,
        bytes=size,
        licence=licence,
        languages=card["languages"],
        context=context_of(config, tokenizer),
        has_chat_template=bool(tokenizer.get("chat_template") or hub_config.get("chat_template_jinja"))
        or any(name.startswith("chat_template.") for name in files),
        gated=bool(hub_info.gated),
        downloads=hub_info.downloads,
        needs_trust=needs_trust,
        fingerprint=(hub_info.sha or "") if needs_trust else "",
        quantized=quantized_by(config),
        **size_of(config),
    )


def _weights(hub_info: Any) -> tuple[int, int]:
    """Return (parameters, bytes). Sizes of files are used if the Hub returned them, else the number formats."""
    by_format: dict[str, int] = hub_info.safetensors.parameters if hub_info.safetensors else {}
    parameters = sum(by_format.values())
    size = sum(count * DTYPE_BYTES.get(name, 1) for name, count in by_format.items())
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in hub_info.siblings or []}
    weights = [name for name in needed_files(sizes) if name.endswith(".safetensors")] or pickled_names(sizes)
    return parameters, sum(sizes[name] for name in weights) or size

"""The cache of loaded models: recently used pairs, their shared base models, and tokenizers.

A pair that a chat uses stays. Unused pairs are limited: a few with their own fine-tuned weights, and more that add only
an adapter to a shared base model. Memory is freed before a pair is loaded.
"""

import gc
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studio.inference.base_and_tuned import BaseModelCache, ModelPair, fits_in_memory, load_pair, result_folder
from studio.inference.load import load_embedder, load_tokenizer
from studio.schema.host import RunRef
from studio.schema.models import ModelInfo

MAX_STANDALONE = 2
"""Maximum number of unused pairs with their own fine-tuned weights."""
MAX_PAIRS = 32
"""Maximum number of unused pairs."""
MAX_TOKENIZERS = 12
"""Maximum number of tokenizers, of all threads together."""


class ModelCache:
    """Loaded models by run folder. One thread uses the pairs; each thread has its own tokenizers."""

    def __init__(self) -> None:
        self._pairs: OrderedDict[tuple[str, float], ModelPair] = OrderedDict()
        self._in_use: Counter[tuple[str, float]] = Counter()
        self._bases = BaseModelCache()
        self._tokenizers: OrderedDict[tuple[str, bool, int], Any] = OrderedDict()
        self._embedder: tuple[tuple[str, bool], Any] | None = None
        self._lock = threading.Lock()

    def embedder(self, info: ModelInfo, trusted: bool = False) -> tuple[Any, Any]:
        """Return a base without a head, and its tokenizer, for embeddings. One is cached."""
        key = (info.path or info.name, trusted)
        if self._embedder is None or self._embedder[0] != key:
            self._embedder = None
            self._embedder = (key, load_embedder(info, "float32", trusted))
        return self._embedder[1], self.tokenizer(info, trusted)

    def pair(self, run: RunRef, one_copy: bool | None = None) -> ModelPair:
        """Return both models of a run. Load them if they are not cached, or if the run was trained again.

        With `one_copy`, the adapter is added to a base model that all such pairs share. None: free memory decides.
        """
        key = (run.folder, _modified(run))
        if key not in self._pairs:
            self.forget(run.folder)
            self._make_room(run, one_copy)
            self._pairs[key] = load_pair(run, one_copy, self._bases)
        self._pairs.move_to_end(key)
        return self._pairs[key]

    @contextmanager
    def using(self, run: RunRef, one_copy: bool | None = None) -> Iterator[ModelPair]:
        """Like `pair`, and keep it loaded within the context."""
        pair = self.pair(run, one_copy)
        key = next(key for key, cached in self._pairs.items() if cached is pair)
        self._in_use[key] += 1
        try:
            yield pair
        finally:
            self._in_use[key] -= 1

    def has_room(self, run: RunRef) -> bool:
        """Return whether memory allows another chat with the run."""
        loaded = any(folder == run.folder for folder, _ in self._pairs)
        return fits_in_memory(run, 0 if loaded else 1) or any(not self._in_use[key] for key in self._pairs)

    def tokenizer(self, info: ModelInfo, trusted: bool = False) -> Any:
        """Return a base's tokenizer, for this thread alone.

        Truncation is a state of a tokenizer. While one thread encodes, another can't change it ("Already borrowed").
        """
        key = (info.path or info.name, trusted, threading.get_ident())
        with self._lock:
            if key not in self._tokenizers:
                self._tokenizers[key] = load_tokenizer(info, trusted)
                while len(self._tokenizers) > MAX_TOKENIZERS:
                    self._tokenizers.popitem(last=False)
            self._tokenizers.move_to_end(key)
            return self._tokenizers[key]

    def forget(self, folder: str = "") -> None:
        """Remove a run's models, or all models."""
        removed = [key for key in self._pairs if folder in ("", key[0])]
        for key in removed:
            del self._pairs[key]
        if not folder:
            self._embedder = None
        if removed or not folder:
            gc.collect()

    def folders(self) -> list[str]:
        """Return the folders of the runs whose models are loaded."""
        return [folder for folder, _ in self._pairs]

    def _make_room(self, run: RunRef, one_copy: bool | None) -> None:
        """Remove unused pairs, the least recently used first, until the run's pair fits."""
        copies = 1 if one_copy else 2
        idle = [key for key in self._pairs if not self._in_use[key]]
        standalone = [key for key in idle if not self._pairs[key].one_copy]
        removed = [
            *idle[: max(0, len(idle) - MAX_PAIRS + 1)],
            *standalone[: max(0, len(standalone) - MAX_STANDALONE + 1)],
        ]
        for key in [*dict.fromkeys(removed), *(key for key in idle if key not in removed)]:
            if key not in removed and fits_in_memory(run, copies):
                break
            del self._pairs[key]
            gc.collect()


def _modified(run: RunRef) -> float:
    """Return when the fine-tuned weights were last written."""
    return max((file.stat().st_mtime for file in Path(result_folder(run)).glob("*.safetensors")), default=0.0)

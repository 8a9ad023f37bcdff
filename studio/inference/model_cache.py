"""The models that stay loaded: the pairs that were used last, their shared base models, and tokenizers.

A pair that a chat is using stays. Of the others, so many stay that have tuned weights of their own, and more of those
that add only an adapter to a shared base model. Room is made before a pair is loaded.
"""

import gc
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studio.inference.base_and_tuned import Bases, Pair, has_room_for, load_pair, result_folder
from studio.inference.load import load_embedder, load_tokenizer
from studio.schema.host import RunRef
from studio.schema.models import ModelInfo

MOST_WHOLE = 2
"""Pairs with tuned weights of their own that stay loaded without being used."""
MOST_PAIRS = 32
"""Pairs that stay loaded without being used."""
MOST_TOKENIZERS = 4


class Shelf:
    """Loaded models by run folder. Pairs are used by one thread; tokenizers by any, each for itself."""

    def __init__(self) -> None:
        self._pairs: OrderedDict[tuple[str, float], Pair] = OrderedDict()
        self._in_use: Counter[tuple[str, float]] = Counter()
        self._bases = Bases()
        self._tokenizers: OrderedDict[tuple[str, bool], Any] = OrderedDict()
        self._embedder: tuple[tuple[str, bool], Any] | None = None
        self._lock = threading.Lock()

    def embedder(self, info: ModelInfo, trusted: bool = False) -> tuple[Any, Any]:
        """A base without a head, and its tokenizer: what reads texts. One is kept."""
        key = (info.path or info.name, trusted)
        if self._embedder is None or self._embedder[0] != key:
            self._embedder = None
            self._embedder = (key, load_embedder(info, "float32", trusted))
        return self._embedder[1], self.tokenizer(info, trusted)

    def pair(self, run: RunRef, one_copy: bool | None = None) -> Pair:
        """Both models of a run, loaded when they are not here or were trained again since.

        With `one_copy` an adapter is added to a base model that all such pairs share. None: by what memory allows.
        """
        key = (run.folder, _changed(run))
        if key not in self._pairs:
            self.forget(run.folder)
            self._make_room(run, one_copy)
            self._pairs[key] = load_pair(run, one_copy, self._bases)
        self._pairs.move_to_end(key)
        return self._pairs[key]

    @contextmanager
    def using(self, run: RunRef, one_copy: bool | None = None) -> Iterator[Pair]:
        """The same, and it stays loaded for so long."""
        pair = self.pair(run, one_copy)
        key = next(key for key, kept in self._pairs.items() if kept is pair)
        self._in_use[key] += 1
        try:
            yield pair
        finally:
            self._in_use[key] -= 1

    def has_room(self, run: RunRef) -> bool:
        """Whether a chat with the run can begin beside those that are open."""
        loaded = any(folder == run.folder for folder, _ in self._pairs)
        return has_room_for(run, 0 if loaded else 1) or any(not self._in_use[key] for key in self._pairs)

    def tokenizer(self, info: ModelInfo, trusted: bool = False) -> Any:
        """A base's tokenizer."""
        key = (info.path or info.name, trusted)
        with self._lock:
            if key not in self._tokenizers:
                self._tokenizers[key] = load_tokenizer(info, trusted)
                while len(self._tokenizers) > MOST_TOKENIZERS:
                    self._tokenizers.popitem(last=False)
            self._tokenizers.move_to_end(key)
            return self._tokenizers[key]

    def forget(self, folder: str = "") -> None:
        """Let go of a run's models, or of all."""
        gone = [key for key in self._pairs if folder in ("", key[0])]
        for key in gone:
            del self._pairs[key]
        if not folder:
            self._embedder = None
        if gone or not folder:
            gc.collect()

    def folders(self) -> list[str]:
        """Folders of the runs whose models are loaded."""
        return [folder for folder, _ in self._pairs]

    def _make_room(self, run: RunRef, one_copy: bool | None) -> None:
        """Let go of pairs that are not in use, those used longest ago first, until the run's pair fits."""
        copies = 1 if one_copy else 2
        idle = [key for key in self._pairs if not self._in_use[key]]
        whole = [key for key in idle if not self._pairs[key].one_copy]
        gone = [*idle[: max(0, len(idle) - MOST_PAIRS + 1)], *whole[: max(0, len(whole) - MOST_WHOLE + 1)]]
        for key in [*dict.fromkeys(gone), *(key for key in idle if key not in gone)]:
            if key not in gone and has_room_for(run, copies):
                break
            del self._pairs[key]
            gc.collect()


def _changed(run: RunRef) -> float:
    """When the tuned weights were last written."""
    return max((file.stat().st_mtime for file in Path(result_folder(run)).glob("*.safetensors")), default=0.0)

"""What is kept loaded: the pairs that were used last, and tokenizers. Makes room before it loads."""

import gc
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from studio.inference.load import load_embedder, load_tokenizer
from studio.inference.pair import Pair, has_room_for, load_pair, result_folder
from studio.schema.host import RunRef
from studio.schema.models import ModelInfo

MOST_PAIRS = 2
MOST_TOKENIZERS = 4


class Shelf:
    """Loaded models by run folder. Pairs are used by one thread; tokenizers by any, each for itself."""

    def __init__(self) -> None:
        self._pairs: OrderedDict[tuple[str, float], Pair] = OrderedDict()
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

    def pair(self, run: RunRef) -> Pair:
        """Both models of a run, loaded when they are not here or were trained again since."""
        key = (run.folder, _changed(run))
        if key not in self._pairs:
            self.forget(run.folder)
            while self._pairs and (len(self._pairs) >= MOST_PAIRS or not has_room_for(run, 2)):
                self._pairs.popitem(last=False)
                gc.collect()
            self._pairs[key] = load_pair(run)
        self._pairs.move_to_end(key)
        return self._pairs[key]

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
        for key in [key for key in self._pairs if folder in ("", key[0])]:
            del self._pairs[key]
        if not folder:
            self._embedder = None
        gc.collect()

    def folders(self) -> list[str]:
        """Folders of the runs whose models are loaded."""
        return [folder for folder, _ in self._pairs]


def _changed(run: RunRef) -> float:
    """When the tuned weights were last written."""
    return max((file.stat().st_mtime for file in Path(result_folder(run)).glob("*.safetensors")), default=0.0)

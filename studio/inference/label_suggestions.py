"""Label suggestions: embeddings of a base model, and a small classifier on top that trains in seconds.

Embeddings are stored in a folder that the caller passes, by content. So a text is encoded once, in whatever row or
version it is. Each batch is saved before the next, so that stopped work is not repeated.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.inference.batches import by_length, mean_states, padded

MAX_TOKENS = 128
"""Maximum tokens of a text. This is the starter model's length, and enough to show what a text is about."""
CHUNK = 512
"""Number of texts saved together."""
MAX_LABELS = 5
"""Number of suggested labels per row."""
INVERSE_REGULARIZATION = 10.0
"""Inverse regularization strength. Normalized vectors and few rows need more than scikit-learn's default."""
Progress = Callable[[int, int], None]


class EmbeddingStore:
    """The embeddings in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._indices: dict[bytes, int] = {}
        self._arrays: list[Any] = []
        for file in sorted(folder.glob("*.npz")) if folder.is_dir() else ():
            self._load(file)

    def __contains__(self, text: str) -> bool:
        return _key(text) in self._indices

    def of(self, texts: Sequence[str]) -> Any:
        """Return the embeddings as float32 array of texts × size. All texts must be in the store."""
        import numpy as np

        merged = np.concatenate(self._arrays) if len(self._arrays) > 1 else self._arrays[0]
        self._arrays = [merged]
        return merged[[self._indices[_key(text)] for text in texts]].astype("float32")

    def add(self, texts: Sequence[str], vectors: Any) -> None:
        """Save the embeddings of some texts."""
        import numpy as np

        self.folder.mkdir(parents=True, exist_ok=True)
        keys = np.frombuffer(b"".join(map(_key, texts)), dtype=np.uint8).reshape(len(texts), -1)
        name = hashlib.blake2b(keys.tobytes(), digest_size=8).hexdigest()
        temporary = self.folder / f".{name}.{os.getpid()}.new"
        with temporary.open("wb") as out:
            np.savez(out, keys=keys, vectors=vectors.astype("float16"))
        temporary.replace(self.folder / f"{name}.npz")
        self._take(keys, vectors.astype("float16"))

    def _load(self, file: Path) -> None:
        import zipfile

        import numpy as np

        try:
            with np.load(file, allow_pickle=False) as saved:
                self._take(saved["keys"], saved["vectors"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            file.unlink(missing_ok=True)  # it can be computed again

    def _take(self, keys: Any, vectors: Any) -> None:
        first = sum(map(len, self._arrays))
        for index, key in enumerate(keys):
            self._indices.setdefault(key.tobytes(), first + index)
        self._arrays.append(vectors)


def embed(model: Any, tokenizer: Any, texts: Sequence[str], vectors: EmbeddingStore, progress: Progress) -> int:
    """Embed new texts and return their number. `progress` gets (texts done, total texts)."""
    new = list(dict.fromkeys(text for text in texts if text not in vectors))
    # sort by length: batches are uniform, and short texts come first, so that the first suggestions appear sooner
    new.sort(key=len)
    done = len(texts) - len(new)
    progress(done, len(texts))
    for start in range(0, len(new), CHUNK):
        chunk = new[start : start + CHUNK]
        vectors.add(chunk, _averages(model, tokenizer, chunk))
        done += len(chunk)
        progress(done, len(texts))
    return len(new)


def _averages(model: Any, tokenizer: Any, texts: Sequence[str]) -> Any:
    """Return the mean of the last hidden states of each text, normalized, as the starter model was trained."""
    import numpy as np
    import torch

    ids = tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS, verbose=False)["input_ids"]
    ids = [row or [tokenizer.pad_token_id or 0] for row in ids]
    results: list[Any] = [None] * len(ids)
    for batch in by_length([len(row) for row in ids]):
        with torch.no_grad():
            inputs = padded([ids[each] for each in batch], tokenizer.pad_token_id, model.device)
            out = torch.nn.functional.normalize(mean_states(model, inputs), dim=1)
        for each, row in zip(batch, out.cpu(), strict=True):
            results[each] = row.numpy()
    return np.stack(results)


def suggest(
    vectors: EmbeddingStore, texts: Mapping[int, str], labels: Mapping[int, str]
) -> dict[int, list[tuple[str, float]]]:
    """Return row → its likeliest labels with probabilities, for unlabeled rows that have embeddings.

    Uses logistic regression on the labeled rows, with balanced class weights.
    """
    from sklearn.linear_model import LogisticRegression

    labeled = [row for row in labels if row in texts and texts[row] in vectors]
    unlabeled = [row for row in texts if row not in labels and texts[row] in vectors]
    if len({labels[row] for row in labeled}) < 2 or not unlabeled:
        return {}
    classifier = LogisticRegression(C=INVERSE_REGULARIZATION, class_weight="balanced", max_iter=300)
    classifier.fit(vectors.of([texts[row] for row in labeled]), [labels[row] for row in labeled])
    probabilities = classifier.predict_proba(vectors.of([texts[row] for row in unlabeled]))
    best = (-probabilities).argsort(axis=1)[:, :MAX_LABELS]
    names = [str(name) for name in classifier.classes_]
    return {
        row: [(names[index], round(float(chances[index]), 4)) for index in places]
        for row, places, chances in zip(unlabeled, best, probabilities, strict=True)
    }


def _key(text: str) -> bytes:
    """Return the key of a text in the store."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

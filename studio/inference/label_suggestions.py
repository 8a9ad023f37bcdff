"""Suggested labels: texts as embeddings of a base model, and a small classifier on top that learns in seconds.

Embeddings are kept in a folder that the caller names, by content: a text is read once, whatever row or version it
stands in. Each batch is on disk before the next, so that work that is stopped is not done again.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.inference.batches import by_length, padded

LONGEST = 128
"""Tokens of a text that are read: what the starter was made for, and enough to tell what a text is about."""
PART = 512
"""Texts that are kept together."""
MOST = 5
"""Labels that are told of a row."""
STRENGTH = 10.0
"""How freely the classifier may learn: vectors of length one and few rows want more than scikit-learn's default."""
Progress = Callable[[int, int], None]


class Vectors:
    """The embeddings of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[bytes, int] = {}
        self._parts: list[Any] = []
        for part in sorted(folder.glob("*.npz")) if folder.is_dir() else ():
            self._load(part)

    def __contains__(self, text: str) -> bool:
        return _key(text) in self._places

    def of(self, texts: Sequence[str]) -> Any:
        """A row of numbers for each text; all of them must be here."""
        import numpy as np

        whole = np.concatenate(self._parts) if len(self._parts) > 1 else self._parts[0]
        self._parts = [whole]
        return whole[[self._places[_key(text)] for text in texts]].astype("float32")

    def add(self, texts: Sequence[str], vectors: Any) -> None:
        """Keep the embeddings of some texts."""
        import numpy as np

        self.folder.mkdir(parents=True, exist_ok=True)
        keys = np.frombuffer(b"".join(map(_key, texts)), dtype=np.uint8).reshape(len(texts), -1)
        name = hashlib.blake2b(keys.tobytes(), digest_size=8).hexdigest()
        beside = self.folder / f".{name}.{os.getpid()}.new"
        with beside.open("wb") as out:
            np.savez(out, keys=keys, vectors=vectors.astype("float16"))
        beside.replace(self.folder / f"{name}.npz")
        self._take(keys, vectors.astype("float16"))

    def _load(self, part: Path) -> None:
        import zipfile

        import numpy as np

        try:
            with np.load(part, allow_pickle=False) as kept:
                self._take(kept["keys"], kept["vectors"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            part.unlink(missing_ok=True)  # it can be computed again

    def _take(self, keys: Any, vectors: Any) -> None:
        first = sum(map(len, self._parts))
        for place, key in enumerate(keys):
            self._places.setdefault(key.tobytes(), first + place)
        self._parts.append(vectors)


def embed(model: Any, tokenizer: Any, texts: Sequence[str], vectors: Vectors, progress: Progress) -> int:
    """Read those texts that were never read; how many that were. `progress` gets (texts done, texts in all)."""
    new = list(dict.fromkeys(text for text in texts if text not in vectors))
    # alike in length together, and the short ones first: the first suggestions come sooner
    new.sort(key=len)
    done = len(texts) - len(new)
    progress(done, len(texts))
    for at in range(0, len(new), PART):
        some = new[at : at + PART]
        vectors.add(some, _averages(model, tokenizer, some))
        done += len(some)
        progress(done, len(texts))
    return len(new)


def _averages(model: Any, tokenizer: Any, texts: Sequence[str]) -> Any:
    """The last layer, averaged over each text's tokens and brought to length one, as the starter was trained."""
    import numpy as np
    import torch

    ids = tokenizer(list(texts), truncation=True, max_length=LONGEST, verbose=False)["input_ids"]
    ids = [row or [tokenizer.pad_token_id or 0] for row in ids]
    found: list[Any] = [None] * len(ids)
    for batch in by_length([len(row) for row in ids]):
        with torch.no_grad():
            inputs = padded([ids[each] for each in batch], tokenizer.pad_token_id, model.device)
            hidden = model(**inputs).last_hidden_state.float()
            mask = inputs["attention_mask"].unsqueeze(-1)
            out = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)
        for each, row in zip(batch, out.cpu(), strict=True):
            found[each] = row.numpy()
    return np.stack(found)


def suggest(
    vectors: Vectors, texts: Mapping[int, str], labels: Mapping[int, str]
) -> dict[int, list[tuple[str, float]]]:
    """Row → its likeliest labels with shares of 1, for all rows that have no label and were read.

    Learned by logistic regression from the rows that have one; rare labels count as much as common ones.
    """
    from sklearn.linear_model import LogisticRegression

    known = [row for row in labels if row in texts and texts[row] in vectors]
    asked = [row for row in texts if row not in labels and texts[row] in vectors]
    if len({labels[row] for row in known}) < 2 or not asked:
        return {}
    classifier = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=300)
    classifier.fit(vectors.of([texts[row] for row in known]), [labels[row] for row in known])
    shares = classifier.predict_proba(vectors.of([texts[row] for row in asked]))
    best = (-shares).argsort(axis=1)[:, :MOST]
    names = [str(name) for name in classifier.classes_]
    return {
        row: [(names[place], round(float(chances[place]), 4)) for place in places]
        for row, places, chances in zip(asked, best, shares, strict=True)
    }


def _key(text: str) -> bytes:
    """A text's name in a folder of embeddings."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

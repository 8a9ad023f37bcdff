"""The registry of augmentation methods. Add a method as one module and one line here."""

from studio.data.augment.base import Augmenter
from studio.data.augment.paraphrase import Paraphrase
from studio.data.augment.spelling import Spelling
from studio.schema.errors import named

AUGMENTERS: dict[str, Augmenter] = {augmenter.name: augmenter for augmenter in (Spelling(), Paraphrase())}


def augmenter_named(name: str) -> Augmenter:
    """Return the augmentation method with this name. Raise `StudioError` with the nearest name if there is none."""
    return named(AUGMENTERS, name, "augmentation method", field="way")


__all__ = ["AUGMENTERS", "Augmenter", "augmenter_named"]

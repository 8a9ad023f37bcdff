"""Ways to make rows from others. A further way is one module and one line here."""

from studio.data.augment.base import Way
from studio.data.augment.paraphrase import Paraphrase
from studio.data.augment.spelling import Spelling
from studio.schema.errors import named

WAYS: dict[str, Way] = {way.name: way for way in (Spelling(), Paraphrase())}


def way_named(name: str) -> Way:
    """The way of that name, or a refusal with the nearest one."""
    return named(WAYS, name, "way to make rows", field="way")


__all__ = ["WAYS", "Way", "way_named"]

"""Whether a model knows the language of the rows, in a sentence for a plan."""

from studio.data.languages import NAMES, are_close, name_of, usual_language
from studio.data.phrases import listed
from studio.schema.dataset import DatasetSpec
from studio.schema.models import ModelInfo
from studio.services.datasets.service import Datasets
from studio.store.cache import Cache

ROWS = 60
"""Number of rows, from the first on, whose language is determined."""
MOST_NAMED = 4
"""Maximum number of a model's languages in the sentence."""
_LANGUAGES: Cache[str] = Cache(256)
"""Languages of all workspaces' datasets. Keys contain the path of the rows, and a version never changes."""


def language_note(datasets: Datasets, dataset: str, info: ModelInfo, spec: DatasetSpec) -> str:
    """Return a sentence if most rows are in a language that is not among the model's. Empty if it is, or unknown."""
    known = info.languages
    if not known or any(code not in NAMES for code in known):
        return ""
    code = language_of_rows(datasets, dataset, spec, datasets.store.get(dataset).version)
    if not code or any(are_close(code, each) for each in known):
        return ""
    language, languages = name_of(code), listed([name_of(each) for each in known], MOST_NAMED)
    return (
        f"Most of your rows are in {language}. {info.title} was trained on {languages}, so expect more mistakes. "
        f"A model for {language} or for many languages does better."
    )


def language_of_rows(datasets: Datasets, dataset: str, spec: DatasetSpec, version: int) -> str:
    """Return the code of the language of most rows of a version. Empty if there are several, or too little text.

    Raise `StudioError` if the version was deleted.
    """
    key = (datasets.store.rows_path(dataset, version), tuple(sorted(spec.roles.items())))
    return _LANGUAGES.get_or_compute(key, lambda: _detect(datasets, dataset, spec, version))


def _detect(datasets: Datasets, dataset: str, spec: DatasetSpec, version: int) -> str:
    columns = [column for column, role in spec.roles.items() if role not in ("label", "labels")]
    rows = datasets.rows(dataset, 1, ROWS, version).rows
    return usual_language(row.get(column, "") for _, row in rows for column in columns)

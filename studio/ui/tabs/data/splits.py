"""Split settings: fractions, a group column, a time column, or a split column; saved with the dataset. Part of the Data
tab."""

from typing import Any

from studio.schema.dataset import DatasetRecord, SplitCounts, SplitSpec
from studio.schema.errors import StudioError
from studio.services.datasets.split_settings import saved_splits
from studio.ui.components.basic import Field, button, check_input
from studio.ui.components.markup import Html, Verbatim, html
from studio.ui.visitors.session import Visit

WAYS = {
    "group_column": "By group: rows of a group stay together",
    "time_column": "By time: hold out the latest rows",
    "split_column": "By a split column",
}
FIELDS = tuple(name for name in SplitSpec.model_fields if name != "seed")


def chosen(visit: Visit) -> dict[str, Any]:
    """The split settings that a run gets: those that are set, and those saved with the dataset."""
    spec, settings = visit.studio.datasets.get(visit.choices.dataset).spec, visit.choices.settings
    settings = {**(saved_splits(spec, settings) if spec else {}), **settings}
    return {name: settings[name] for name in FIELDS if settings.get(name) not in (None, "")}


def counts(visit: Visit) -> tuple[SplitCounts | None, StudioError | None]:
    """Rows of each split, or why these settings can't split them."""
    try:
        return visit.studio.datasets.splits(visit.choices.dataset, **chosen(visit)), None
    except StudioError as error:
        return None, error


def fields(visit: Visit, record: DatasetRecord) -> Html:
    """The form of the split settings."""
    now = chosen(visit)
    way = next((name for name in WAYS if now.get(name)), visit.choices.extra.get("split_way") or "")
    own = (
        f"By the file's own column {record.split_column}"
        if record.split_column
        else "At random; equal texts stay together"
    )
    columns = [("", "Choose a column"), *((each, Verbatim(each)) for each in record.columns)]
    if way == "split_column":
        columns.append(("none", "None: split at random"))
    stable = "Keep each row in its split when rows are added or removed (fractions become approximate)"
    return html(
        '<div class="stack mid">{way}{column}<div class="cols c2">{a}{b}</div>{stable}'
        '<div class="row">{done}</div></div>',
        way=Field("way", "How to split").select([("", own), *WAYS.items()], way, "split-way"),
        column=way in WAYS and Field(way, "Column").select(columns, now.get(way, ""), "split-column"),
        a=_share(visit, "validation_share", "Validation (%)"),
        b=_share(visit, "test_share", "Test (%)"),
        stable=check_input("stable_splits", stable, bool(now.get("stable_splits")), "split-stable"),
        done=button("Done", "shares", "s"),
    )


def _share(visit: Visit, name: str, label: str) -> Html:
    value = chosen(visit).get(name)
    percent = "" if value is None else f"{value * 100:g}"
    field = Field(name, label, "0 to 50. Empty: depends on the number of rows.")
    return field.text(percent, "share", inputmode="decimal")


def change(visit: Visit) -> None:
    """Open or close the form."""
    visit.remember(shares=not visit.choices.extra.get("shares"), split_way="")


def set_share(visit: Visit) -> None:
    """Set the fraction of a split. Empty: the default."""
    name, text = visit.text("name"), visit.text("value").strip().rstrip("%").replace(",", ".").strip()
    try:
        _keep(visit, {name: float(text) / 100 if text else None})
    except ValueError:
        raise StudioError(
            "bad-setting",
            "The fraction of a split is not a number.",
            given=text,
            valid="a percentage from 0 to 50, for example 10",
            field=name,
        ) from None


def set_way(visit: Visit) -> None:
    """Set how rows are split. The column is chosen next."""
    way = visit.text("value")
    visit.remember(split_way=way if way in WAYS else "")
    _keep(visit, dict.fromkeys(WAYS, ""))


def set_column(visit: Visit) -> None:
    """Set the column."""
    name = visit.text("name")
    if name in WAYS:
        _keep(visit, {**dict.fromkeys(WAYS, ""), name: visit.text("value", 500)})


def set_stable(visit: Visit) -> None:
    """Split by content, or not."""
    _keep(visit, {"stable_splits": visit.event.get("value") is True})


def _keep(visit: Visit, changes: dict[str, Any]) -> None:
    """Save the settings, unless they can't split the rows."""
    if not set(changes) <= set(FIELDS):
        return
    now = {name: value for name, value in {**chosen(visit), **changes}.items() if value not in (None, "", False)}
    visit.studio.datasets.set_splits(visit.choices.dataset, **now)
    others = {name: value for name, value in visit.choices.settings.items() if name not in FIELDS}
    visit.choose(settings={**others, **now})


ACTS = {
    "shares": change,
    "share": set_share,
    "split-way": set_way,
    "split-column": set_column,
    "split-stable": set_stable,
}

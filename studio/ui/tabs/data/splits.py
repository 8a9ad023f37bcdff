"""How rows are divided: shares, a group that stays together, time, or a column of parts; kept with the dataset. Part of
the Data tab."""

from typing import Any

from studio.schema.dataset import DatasetRecord, SplitCounts, SplitSpec
from studio.schema.errors import StudioError
from studio.ui.components.basic import button, check_input, field, select_input, text_input
from studio.ui.markup import Html, html
from studio.ui.session import Visit

WAYS = {
    "group_column": "By a group that stays together",
    "time_column": "By time: the latest rows are held back",
    "split_column": "As a column says",
}
FIELDS = tuple(name for name in SplitSpec.model_fields if name != "seed")


def chosen(visit: Visit) -> dict[str, Any]:
    """What was said of the splits, as settings."""
    settings = visit.choices.settings
    return {name: settings[name] for name in FIELDS if settings.get(name) not in (None, "")}


def counts(visit: Visit) -> tuple[SplitCounts | None, StudioError | None]:
    """Rows in each part, or why they can't be divided so."""
    try:
        return visit.studio.datasets.splits(visit.choices.dataset, **chosen(visit)), None
    except StudioError as error:
        return None, error


def fields(visit: Visit, record: DatasetRecord) -> Html:
    """The form to change how rows are divided."""
    now = chosen(visit)
    way = next((name for name in WAYS if now.get(name)), visit.choices.extra.get("way") or "")
    own = f"As the file says, in {record.split_column}" if record.split_column else "At random, equal texts together"
    ways = select_input("way", [("", own), *WAYS.items()], way, "split-way")
    column: Html | str = ""
    if way in WAYS:
        columns = [("", "Choose a column"), *((each, each) for each in record.columns)]
        if way == "split_column":
            columns.append(("none", "None: at random after all"))
        column = field(way, "Column", select_input(way, columns, now.get(way, ""), "split-column"))
    return html(
        '<div class="stack mid">{way}{column}<div class="cols c2">{a}{b}</div>{stable}'
        '<div class="row">{done}</div></div>',
        way=field("way", "Divide", ways),
        column=column,
        a=_share(visit, "validation_share", "Validation, in percent"),
        b=_share(visit, "test_share", "Test, in percent"),
        stable=check_input(
            "stable_splits",
            "A row keeps its part whatever rows come or go (shares are met about)",
            bool(now.get("stable_splits")),
            "split-stable",
        ),
        done=button("Done", "shares", "s"),
    )


def _share(visit: Visit, name: str, label: str) -> Html:
    value = visit.choices.settings.get(name)
    shown = "" if value is None else f"{value * 100:g}"
    control = text_input(name, shown, "share", helped=True, inputmode="decimal")
    return field(name, label, control, "0 to 50. Empty: by the number of rows.")


def change(visit: Visit) -> None:
    """Open or close the form."""
    visit.remember(shares=not visit.choices.extra.get("shares"), way="")


def set_share(visit: Visit) -> None:
    """Keep another share back; an empty field leaves it to the studio."""
    name, text = visit.text("name"), visit.text("value").strip().rstrip("%").replace(",", ".").strip()
    try:
        _keep(visit, {name: float(text) / 100 if text else None})
    except ValueError:
        raise StudioError(
            "bad-setting", "A share is a number of percent.", given=text, valid="0 to 50", field=name
        ) from None


def set_way(visit: Visit) -> None:
    """Divide another way; its column is chosen next."""
    way = visit.text("value")
    visit.remember(way=way if way in WAYS else "")
    _keep(visit, dict.fromkeys(WAYS, ""))


def set_column(visit: Visit) -> None:
    """The column of the way that was chosen."""
    name = visit.text("name")
    if name in WAYS:
        _keep(visit, {**dict.fromkeys(WAYS, ""), name: visit.text("value", 500)})


def set_stable(visit: Visit) -> None:
    """Divide by content alone, or not."""
    _keep(visit, {"stable_splits": visit.event.get("value") is True})


def _keep(visit: Visit, changes: dict[str, Any]) -> None:
    """Divide so from now on, unless it can't be."""
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

"""A form to combine adapters, in a fold under the table of runs."""

from studio.schema.errors import StudioError
from studio.schema.runs import RunRecord
from studio.ui.components.basic import button, field, fold, select_input, text_input
from studio.ui.markup import Html, html
from studio.ui.session import Visit

USUAL = "cat"


def panel(visit: Visit, records: list[RunRecord]) -> Html:
    """A weight for each run with an adapter, and the method. Empty when there are fewer than two."""
    able = [each for each in records if each.has_result and visit.studio.runs.has_adapter(each.id)]
    if len(able) < 2:
        return Html("")
    weights, ways = _kept(visit, "weights"), visit.studio.runs.combination_methods()
    how = str(visit.choices.extra.get("combine_how") or USUAL)
    rows = [
        html(
            '<div class="row"><span class="grow">{n}<small class="d">{m}</small></span>{w}</div>',
            n=each.name,
            m=f"{each.model.rsplit('/', 1)[-1]} · {each.method}",
            w=_weight(each, weights.get(each.id, "")),
        )
        for each in able
    ]
    way = field("how", "How", select_input("how", list(ways.items()), how, "combine-how"))
    body = html(
        '<div class="stack">{rows}{how}<div class="row">{b}</div></div>',
        rows=rows,
        how=way,
        b=button("Combine", "combine", disabled=sum(bool(each) for each in weights.values()) < 2),
    )
    words = "Add up what several runs of one base learned"
    return html(
        '<section class="panel flush" data-key="combine-panel">{f}</section>',
        f=fold("Combine adapters", words, body, any(weights.values()), "combine"),
    )


def _weight(record: RunRecord, value: str) -> Html:
    name = f"weight-{record.id}"
    return text_input(
        name, value, "weigh", inputmode="decimal", placeholder="weight", aria_label=f"Weight of {record.name}"
    )


def weigh(visit: Visit) -> None:
    """Set the weight of a run; empty leaves it out."""
    run = visit.text("name", 100).removeprefix("weight-")
    visit.add("weights", **{run: visit.text("value", 20).strip().replace(",", ".")})


def choose_how(visit: Visit) -> None:
    """Set the method."""
    visit.remember(combine_how=visit.text("value", 40))


def combine(visit: Visit) -> None:
    """Combine the adapters and select the new run."""
    weights = {run: _number(text) for run, text in _kept(visit, "weights").items() if text}
    made = visit.studio.runs.combine(weights, str(visit.choices.extra.get("combine_how") or USUAL))
    visit.remember(weights={})
    visit.choose(run=made.id, reached=())


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise StudioError(
            "bad-setting", "A weight is a number.", given=text, valid="0.5, say", field="weight"
        ) from error


def _kept(visit: Visit, name: str) -> dict[str, str]:
    return dict(visit.choices.extra.get(name) or {})

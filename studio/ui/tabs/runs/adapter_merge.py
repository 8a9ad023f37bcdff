"""A form to combine adapters, in a fold under the table of runs."""

from studio.schema.errors import StudioError
from studio.schema.runs import RunRecord
from studio.ui.components.basic import Field, button, fold, text_input
from studio.ui.components.markup import Html, Verbatim, html
from studio.ui.selected import select_run
from studio.ui.visitors.session import Visit

USUAL = "cat"


def panel(visit: Visit, records: list[RunRecord]) -> Html:
    """A weight for each run with an adapter, and the method. Empty when there are fewer than two."""
    able = [each for each in records if each.has_result and visit.studio.runs.has_adapter(each.id)]
    if len(able) < 2:
        return Html("")
    weights, ways = _weights(visit), list(visit.studio.runs.combination_methods().items())
    body = html(
        '<div class="stack">{rows}{how}<div class="row">{b}</div></div>',
        rows=[_weight(each, weights.get(each.id, "")) for each in able],
        how=Field("how", "Combination method").select(ways, _how(visit), "combine-how"),
        b=button("Combine", "combine", disabled=sum(bool(each) for each in weights.values()) < 2),
    )
    words = "Combine what several runs of one base model learned"
    folded = fold("Combine adapters", words, body, any(weights.values()), "combine")
    return html('<section class="panel flush" data-key="combine-panel">{f}</section>', f=folded)


def _weight(record: RunRecord, value: str) -> Html:
    name, words = f"weight-{record.id}", f"Weight of {record.name}"
    return html(
        '<div class="row"><span class="grow">{n}<small class="d">{m}</small></span>{w}</div>',
        n=Verbatim(record.name),
        m=Verbatim(f"{record.model.rsplit('/', 1)[-1]} · {record.method}"),
        w=text_input(name, value, "weigh", inputmode="decimal", placeholder="weight", aria_label=words),
    )


def _weights(visit: Visit) -> dict[str, str]:
    return dict(visit.choices.extra.get("weights") or {})


def _how(visit: Visit) -> str:
    return str(visit.choices.extra.get("combine_how") or USUAL)


def weigh(visit: Visit) -> None:
    """Set the weight of a run; empty leaves it out."""
    run = visit.text("name", 100).removeprefix("weight-")
    visit.add("weights", **{run: visit.text("value", 20).strip().replace(",", ".")})


def choose_how(visit: Visit) -> None:
    """Set the method."""
    visit.remember(combine_how=visit.text("value", 40))


def combine(visit: Visit) -> None:
    """Combine the adapters and select the new run."""
    visit.settle()
    weights = {run: _number(text) for run, text in _weights(visit).items() if text}
    made = visit.studio.runs.combine(weights, _how(visit))
    visit.remember(weights={})
    select_run(visit, made.id)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise StudioError(
            "bad-setting", "A weight must be a number.", given=text, valid="for example 0.5", field="weight"
        ) from error

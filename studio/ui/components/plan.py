"""The plan of a run: time, steps, memory, trainable parameters, and reasons."""

from collections.abc import Sequence

from studio.schema.numbers import count, memory_of, time_range
from studio.schema.views import PlanView
from studio.ui.components.basic import button, facts, meter, note, state
from studio.ui.components.icons import icon
from studio.ui.components.markup import Html, html, join
from studio.ui.components.settings import as_shares


def plan_panel(view: PlanView, cores: int) -> Html:
    """The estimates for these settings."""
    e, config = view.estimate, view.plan.config
    done, total = memory_of(e.memory_bytes, e.available_bytes)
    share = e.memory_bytes / max(1, e.available_bytes)
    learns = e.trainable_parameters / max(1, e.total_parameters)
    whole, patience = f"of {count(e.total_parameters)}, {as_shares(learns)}", config.early_stopping_patience
    kind, word = ("error", "Does not fit") if not e.fits else ("warn", "Tight") if share > 0.8 else ("ok", "Fits")
    pairs = [
        ("Maximum length", f"{config.max_length:,} tokens"),
        ("Rows", f"{view.splits.train:,} train, {view.splits.validation:,} validation"),
        ("Effective batch size", f"{e.effective_batch_size:,}"),
        ("Validation", f"every {config.eval_steps:,} steps" if config.eval_steps else "at the end"),
        ("Result", "the best checkpoint" if config.keep_best else "the last checkpoint"),
        ("Early stopping", f"after {patience} validations without improvement" if patience else "off"),
    ]
    return html(
        '<section class="panel stack runcard" aria-labelledby="thisrun" aria-live="polite"><div class="row"><h2 '
        'id="thisrun">This run</h2><span class="right">{word}</span></div><div class="figs"><div><span class="big">'
        '{time}</span><small>{cores}</small></div><div><span class="big">{steps}</span><small>{passes}</small></div>'
        '</div>{language}{because}{allows}<div class="stack tight">{memory}<small>{length}</small></div>{learns}{facts}'
        "{probe}</section>",
        language=view.language and note("warn", view.language),
        allows=view.allows and html('<p class="muted small">{s}</p>', s=view.allows),
        word=state(kind, word),
        time=time_range(e.low_seconds, e.high_seconds),
        because=e.time_because and html('<p class="muted small" data-because>{s}</p>', s=join(e.time_because, " ")),
        cores="on 1 core" if cores == 1 else f"on {cores} cores",
        steps="1 step" if e.steps == 1 else f"{e.steps:,} steps",
        passes=_passes(e.epochs, e.steps),
        memory=meter("Memory", done, f"of {total} free", share, "" if kind == "ok" else kind),
        length=f"For rows of up to {config.max_length:,} tokens, the maximum length of this run.",
        learns=meter("Trainable parameters", count(e.trainable_parameters), whole, learns),
        facts=facts(pairs),
        probe=_probe(e.probed),
    )


def _probe(done: bool) -> Html:
    if done:
        return Html('<p class="help">Memory and time were measured with a few real steps.</p>')
    return html(
        '<div class="row"><span class="grow help">Estimated. Run a few real steps to measure it. This takes about half '
        "a minute.</span>{b}</div>",
        b=button("Measure", "probe", "s"),
    )


def _passes(epochs: float, steps: int) -> str:
    if epochs <= 1:
        return "1 epoch" if epochs == 1 else f"{epochs:.2g} epochs"
    return f"{epochs:g} epochs of {max(1, round(steps / epochs)):,} steps"


def fitted_panel(changes: Sequence[str]) -> Html:
    """The changes that made the run fit the memory."""
    if not changes:
        return Html("")
    return note("acc", html('<p><b>Changed to fit the memory.</b></p><ul class="why-list">{r}</ul>', r=_items(changes)))


def why_panel(view: PlanView) -> Html:
    """The reasons for the values of settings."""
    sentences = [*dict.fromkeys([*view.plan.because, *view.estimate.because])]
    if not sentences:
        return Html("")
    return html(
        '<section class="panel flush"><details class="fold" data-key="why"><summary>{chevron}<b>Why these values</b>'
        '<span>{n} reasons</span></summary><ul class="body why-list">{rows}</ul></details></section>',
        chevron=icon("chevron"),
        n=len(sentences),
        rows=_items(sentences),
    )


def _items(sentences: Sequence[str]) -> list[Html]:
    return [html("<li>{s}</li>", s=each) for each in sentences]

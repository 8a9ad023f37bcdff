"""The panels beside the card: labels so far, suggestions and their accuracy, people, columns, import and export."""

from studio.schema.labeling import Agreement, Labeling, Trust
from studio.ui.components.basic import button, field, fold, note, select_input, text_input, textarea, track
from studio.ui.markup import Html, attrs, html
from studio.ui.numbers import duration, share
from studio.ui.numbers import rows as rows_words

FEW = 30
"""A label with fewer rows gets a hint."""
ALONE = "somebody without a name"
WIDTH, HEIGHT, EDGE = 320, 72, 4
POLL_INTERVAL = 700
"""Milliseconds between two requests while suggestions are made."""


def so_far(now: Labeling) -> Html:
    """Return the labels with their numbers of rows, and the forms to add and change labels."""
    most = max([*now.counts.values(), 1])
    rows = [
        html(
            '<li class="lc"><span class="row"><span class="grow">{name}</span><b>{n:,}</b></span>{track}{few}</li>',
            name=name,
            n=now.counts.get(name, 0),
            track=track(now.counts.get(name, 0) / most, "grey"),
            few=html('<small class="wt">Few yet: {few} or more is better</small>', few=FEW)
            if now.counts.get(name, 0) < FEW
            else "",
        )
        for name in now.labels
    ]
    return html(
        '<section class="panel stack mid" aria-labelledby="sofar"><h2 id="sofar">So far</h2><ul class="stack '
        'mid">{rows}</ul><div class="row">'
        '<input class="input grow" name="new_label" aria-label="A further label" placeholder="A further label" '
        'autocomplete="off">{add}</div>{change}</section>',
        rows=rows,
        add=button("Add", "add-label", "s", "plus", take="new_label"),
        change=_change(now) if now.labels else "",
    )


def _change(now: Labeling) -> Html:
    """Return the forms to rename, merge and remove labels."""
    rows = [_one(now, number, name) for number, name in enumerate(now.labels)]
    return fold("Change labels", "rename, merge", html('<ul class="stack mid">{r}</ul>', r=rows), key="change-labels")


def _one(now: Labeling, number: int, name: str) -> Html:
    others = [("", "Merge into …"), *((each, f"Merge into {each}") for each in now.labels if each != name)]
    return html(
        '<li class="stack tight"{key}>{rename}<div class="row"><span class="grow">{merge}</span>{remove}</div></li>',
        key=attrs(data_key=f"label {name}"),
        rename=text_input(
            f"rename-{number}", name, "rename-label", aria_label=f"Name of {name}", data_label=name, maxlength=200
        ),
        merge=select_input(
            f"merge-{number}",
            others,
            "",
            "ask-merge",
            small=True,
            label=f"Merge {name} into another label",
            data_label=name,
        ),
        remove=html(
            '<button type="button" class="btn s"{attrs}>Remove</button>',
            attrs=attrs(data_act="remove-label", data_label=name, aria_label=f"Remove {name}"),
        )
        if not now.counts.get(name, 0)
        else "",
    )


def merging(now: Labeling, label: str, into: str) -> Html:
    """Return the question before two labels are merged."""
    rows = now.counts.get(label, 0)
    question = note(
        "warn",
        html(
            "<p><b>Merge {a} into {b}?</b> {n} then {have} the label {b}, and {a} is gone from the list.</p>",
            a=label,
            b=into,
            n=rows_words(rows),
            have="has" if rows == 1 else "have",
        ),
        html(
            '<button type="button" class="btn s"{no}>Cancel</button><button type="button" class="btn s accent"{yes}>'
            "Merge</button>",
            no=attrs(data_act="ask-merge", data_label=label, data_value=""),
            yes=attrs(data_act="merge-label", data_label=label, data_new=into),
        ),
    )
    return html('<div data-key="merging">{q}</div>', q=question)


def suggestions(now: Labeling, poll: bool) -> Html:
    """Return the progress of suggestions and how often they were right. `poll`: the page updates the panel.

    The list of rows does not poll, because an update would remove the ticks.
    """
    if now.work != "label" or not now.labels:
        return Html("")
    state = now.suggesting
    parts: list[Html] = []
    if state.learned_from:
        parts.append(
            html(
                '<p class="muted">From a quick model that learned from {n:,} rows{s}.{agreed}</p>',
                n=state.learned_from,
                s=f" in {duration(state.seconds)}" if state.seconds >= 1 else "",
                agreed=_agreed(now.trust),
            )
        )
    elif state.unavailable_reason:
        parts.append(html('<p class="muted">{w}</p>', w=state.unavailable_reason))
    if state.busy and state.total and state.done < state.total:
        words = f"Reading texts: {state.done:,} of {state.total:,}"
        parts.append(html('<small role="status">{w}</small>{t}', w=words, t=track(state.done / state.total)))
    elif state.busy and not state.unavailable_reason:
        parts.append(html('<small role="status">Learning from your labels …</small>'))
    if now.trust.shown >= 5:
        parts.append(curve(now.trust))
    if state.learned_from and state.unavailable_reason:
        parts.append(html('<p class="wt">{w}</p>', w=state.unavailable_reason))
    again = state.unavailable_reason and not state.due and not state.busy and "to go" not in state.unavailable_reason
    return html(
        '<section class="panel stack tight" aria-labelledby="sugg"><h2 id="sugg">Suggestions</h2>{parts}{again}{look}'
        "</section>",
        parts=parts,
        again=html('<div class="row">{b}</div>', b=button("Try again", "suggest-again", "s"))
        if again and "two labels" not in state.unavailable_reason
        else "",
        look=html(
            '<button type="button" hidden data-act="suggesting" data-quiet data-again="{ms}">Look</button>',
            ms=POLL_INTERVAL,
        )
        if poll and (state.busy or state.due)
        else "",
    )


def _agreed(trust: Trust) -> str:
    if not trust.shown:
        return " It is shown beside the labels; Enter takes it."
    return f" You agreed with {trust.last_right} of the last {trust.last}."


def curve(trust: Trust) -> Html:
    """Return a chart of how often suggestions were right."""
    points = trust.points
    first, last = points[0].labelled, points[-1].labelled

    def place(labelled: int, part: float) -> str:
        across = (labelled - first) / (last - first) if last > first else 1.0
        return f"{EDGE + across * (WIDTH - 2 * EDGE):.1f},{HEIGHT - EDGE - part * (HEIGHT - 2 * EDGE):.1f}"

    now = share(trust.last_right / trust.last)
    words = f"Of {trust.shown:,} suggestions {trust.right:,} were right; of the last {trust.last}, {now}"
    return html(
        '<figure class="stack tight"><svg class="chart curve" viewBox="0 0 {w} {h}" role="img" aria-label="{words}">'
        '<line x1="0" x2="{w}" y1="{top}" y2="{top}"/><line x1="0" x2="{w}" y1="{low}" y2="{low}"/>'
        '<polyline class="after" points="{points}"/></svg><figcaption><small>{words}. {advice}{hard}</small>'
        "</figcaption></figure>",
        w=WIDTH,
        h=HEIGHT,
        top=EDGE,
        low=HEIGHT - EDGE,
        words=words,
        points=" ".join(place(each.labelled, each.share) for each in points),
        advice=trust.sentence,
        hard=" With the least sure rows first you see the hard ones; on the others it is right more often."
        if trust.last_right < 0.9 * trust.last
        else "",
    )


def who(now: Labeling) -> Html:
    """Return the name of this person, the other people, and their agreement."""
    name = text_input(
        "labeller", now.labeller, "labeller", helped=True, placeholder="Your name", data_labeller=True, maxlength=40
    )
    others = [each for each in now.labellers if each.name != now.labeller]
    people = [
        html('<li class="row"><span class="grow">{n}</span><b>{r:,}</b></li>', n=each.name or ALONE, r=each.rows)
        for each in now.labellers
    ]
    second = others and now.order != "second" and now.row is not None
    return html(
        '<section class="panel stack mid" aria-labelledby="who"><h2 id="who">Who labels</h2>{name}{people}{agree}'
        "{second}</section>",
        name=field(
            "labeller",
            "Your name",
            name,
            "Give one when somebody else labels too: then you see where you "
            "differ, and nobody is shown a row that another has on the screen.",
        ),
        people=html('<ul class="stack tight" aria-label="Rows of each">{p}</ul>', p=people) if others else "",
        agree=[agreement(each) for each in now.agreements[:3]],
        second=html('<div class="row">{b}</div>', b=button("Give a second opinion", "second", "s"))
        if second and "second" in dict(now.orders)
        else "",
    )


def agreement(pair: Agreement) -> Html:
    """Return the agreement of two people."""
    return html(
        '<div class="stack tight"><p><b>{a} and {b}:</b> {words}</p>{show}</div>',
        a=pair.first or ALONE,
        b=pair.second or ALONE,
        words=pair.sentence,
        show=html('<div class="row">{b}</div>', b=button("Show where you differ", "label-show", "s", show="differ"))
        if pair.differ
        else "",
    )


def columns(now: Labeling, names: tuple[str, ...]) -> Html:
    """Return the choice of the columns to read and write."""
    if len(names) < 2:
        return Html("")
    choosable = now.choosable[:1] if now.work == "label" else now.choosable
    fields = []
    for what, title, column in choosable:
        options = [(each, each) for each in names]
        if what in ("label", "reply"):
            options.insert(0, ("", f"A new column {what}"))
        name = "text-column" if what == "text" else f"column-{what}"
        fields.append(
            field(
                name,
                title,
                select_input(name, options, column, "label-column", helped=True, data_what=what),
                "The text that a label is put on." if what == "text" else "",
            )
        )
    return html('<section class="panel stack mid">{fields}</section>', fields=fields)


def import_export(now: Labeling, dataset: str, name: str) -> Html:
    """Return the buttons to save labels as a file, and the form to import labels."""

    def save_button(kind: str) -> Html:
        return html(
            '<button type="button" class="btn s" data-save="studio/labels/{dataset}.{kind}" data-name="{name}-'
            'labels.{kind}"{off}>Save as {title}</button>',
            dataset=dataset,
            kind=kind,
            name=name,
            title=kind.upper(),
            off=Html("" if now.done else " disabled"),
        )

    paste = textarea("pasted-labels", "", "", rows=4, helped=True, placeholder=f"row,{now.work}\n12,…")
    return html(
        '<section class="panel flush">{f}</section>',
        f=fold(
            "Labels out and in",
            "CSV, JSONL",
            html(
                '<div class="stack mid"><div class="row wrap">{csv}{jsonl}</div>{paste}'
                '<div class="row">{take}</div></div>',
                csv=save_button("csv"),
                jsonl=save_button("jsonl"),
                paste=field(
                    "pasted-labels",
                    "Paste labels",
                    paste,
                    "CSV or JSONL with a column " + now.work + ", and a column row or the text. They count as yours.",
                ),
                take=button("Take them in", "paste-labels", "s", take="pasted-labels"),
            ),
            key="labels-out",
        ),
    )

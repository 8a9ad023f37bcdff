"""The panels beside the card: labels so far, suggestions and their accuracy, people, columns, import and export."""

from studio.schema.labeling import Agreement, Labeling, Trust
from studio.schema.numbers import duration, share
from studio.ui.components.basic import Field, button, fold, note, select_input, text_input, track
from studio.ui.components.layout import look_again, stack
from studio.ui.components.markup import Html, Verbatim, attrs, html

FEW = 30
"""A label with fewer rows gets a hint."""
ALONE = "a person without a name"
WIDTH, HEIGHT, EDGE = 320, 72, 4
POLL_INTERVAL = 700
"""Milliseconds between two requests while suggestions are made."""


def so_far(now: Labeling) -> Html:
    """Return the labels with their numbers of rows, and the forms to add and change labels."""
    most = max([*now.counts.values(), 1])
    counts = [(name, now.counts.get(name, 0)) for name in now.labels]
    rows = [
        html(
            '<li class="lc"><span class="row"><span class="grow">{name}</span><b>{n:,}</b></span>{track}{few}</li>',
            name=Verbatim(name),
            n=count,
            track=track(count / most, "grey"),
            few=html('<small class="wt">Few rows: {few} or more are better</small>', few=FEW) if count < FEW else "",
        )
        for name, count in counts
    ]
    changes = html('<ul class="stack mid">{r}</ul>', r=[_change(now, at, name) for at, name in enumerate(now.labels)])
    body = html(
        '<ul class="stack mid">{rows}</ul><div class="row">'
        '<input class="input grow" name="new_label" aria-label="New label" placeholder="New label" '
        'autocomplete="off">{add}</div>{change}',
        rows=rows,
        add=button("Add", "add-label", "s", "plus", take="new_label"),
        change=fold("Change labels", "rename, merge", changes, key="change-labels") if now.labels else "",
    )
    return stack("Labels so far", "sofar", body, "mid")


def _change(now: Labeling, number: int, name: str) -> Html:
    """Return the forms to rename, merge and remove a label."""
    others = [("", "Merge into …"), *((label, f"Merge into {label}") for label in now.labels if label != name)]
    into, words = f"merge-{number}", f"Merge {name} into another label"
    remove = button("Remove", "remove-label", "s", label=name, aria_label=f"Remove {name}")
    return html(
        '<li class="stack tight"{key}>{rename}<div class="row"><span class="grow">{merge}</span>{remove}</div></li>',
        key=attrs(data_key=f"label {name}"),
        rename=text_input(
            f"rename-{number}", name, "rename-label", aria_label=f"Name of {name}", data_label=name, maxlength=200
        ),
        merge=select_input(into, others, "", "ask-merge", class_="s", aria_label=words, data_label=name),
        remove="" if now.counts.get(name, 0) else remove,
    )


def merging(now: Labeling, label: str, into: str) -> Html:
    """Return the question before two labels are merged."""
    rows, name = now.counts.get(label, 0), into
    question = html(
        "<p><b>{question}</b> {result} {removed}</p>",
        question=f"Merge {label} into {name}?",
        result=f"{rows:,} row then has the label {name}."
        if rows == 1
        else f"{rows:,} rows then have the label {name}.",
        removed=f"The label {label} is removed.",
    )
    buttons = html(
        "{no}{yes}",
        no=button("Cancel", "ask-merge", "s", label=label, value=""),
        yes=button("Merge", "merge-label", "s accent", label=label, new=into),
    )
    return html('<div data-key="merging">{q}</div>', q=note("warn", question, buttons))


def suggestions(now: Labeling, poll: bool) -> Html:
    """Return the progress of suggestions and how often they were right. `poll`: the page updates the panel.

    The list of rows does not poll, because an update would remove the ticks.
    """
    if now.work != "label" or not now.labels:
        return Html("")
    state, reason = now.suggesting, now.suggesting.unavailable_reason
    parts = [html('<p class="muted">{w}</p>', w=_learned(now) or reason)] if _learned(now) or reason else []
    if state.busy and state.total and state.done < state.total:
        words = f"Reading texts: {state.done:,} of {state.total:,}"
        parts.append(html('<small role="status">{w}</small>{t}', w=words, t=track(state.done / state.total)))
    elif state.busy and not reason:
        parts.append(html('<small role="status">Learning from your labels …</small>'))
    if now.trust.shown >= 5:
        parts.append(curve(now.trust))
    if state.learned_from and reason:
        parts.append(html('<p class="wt">{w}</p>', w=reason))
    if reason and not (state.due or state.busy or "to go" in reason or "two labels" in reason):
        parts.append(html('<div class="row">{b}</div>', b=button("Try again", "suggest-again", "s")))
    look = poll and (state.busy or state.due) and look_again(POLL_INTERVAL, "suggesting")
    return stack("Suggestions", "sugg", [*parts, look])


def _learned(now: Labeling) -> str:
    """What suggestions were learned from, and how often this person agreed. Empty when there are none."""
    state, trust = now.suggesting, now.trust
    if not state.learned_from:
        return ""
    took = f" in {duration(state.seconds)}" if state.seconds >= 1 else ""
    agreed = f"You agreed with {trust.last_right} of the last {trust.last}."
    if not trust.shown:
        agreed = "Suggestions appear beside the labels. Press Enter to accept one."
    learned = f"A small model learned from {state.learned_from:,} of your rows{took}."
    return f"{learned} {agreed}"


def curve(trust: Trust) -> Html:
    """Return a chart of how often suggestions were right."""
    points = trust.points
    first, last = points[0].labelled, points[-1].labelled

    def place(labelled: int, part: float) -> str:
        across = (labelled - first) / (last - first) if last > first else 1.0
        return f"{EDGE + across * (WIDTH - 2 * EDGE):.1f},{HEIGHT - EDGE - part * (HEIGHT - 2 * EDGE):.1f}"

    now = share(trust.last_right / trust.last)
    words = f"{trust.right:,} of {trust.shown:,} suggestions were right, and {now} of the last {trust.last}"
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
        hard=" The least certain rows come first. On the other rows it is right more often."
        if trust.last_right < 0.9 * trust.last
        else "",
    )


def who(now: Labeling) -> Html:
    """Return the name of this person, the other people, and their agreement."""
    name = Field(
        "labeller",
        "Your name",
        "Enter a name if other people label too. You then see where you disagree. Two people never get the same row "
        "at the same time.",
    )
    others = [each for each in now.labellers if each.name != now.labeller]
    people = [
        html(
            '<li class="row"><span class="grow">{n}</span><b>{r:,}</b></li>',
            n=Verbatim(each.name) or ALONE,
            r=each.rows,
        )
        for each in now.labellers
    ]
    second = others and now.order != "second" and now.row is not None and "second" in dict(now.orders)
    body = html(
        "{name}{people}{agree}{second}",
        name=name.text(now.labeller, "labeller", placeholder="Your name", data_labeller=True, maxlength=40),
        people=others and html('<ul class="stack tight" aria-label="Rows of each">{p}</ul>', p=people),
        agree=[agreement(each) for each in now.agreements[:3]],
        second=second and html('<div class="row">{b}</div>', b=button("Give a second opinion", "second", "s")),
    )
    return stack("Who labels", "who", body, "mid")


def agreement(pair: Agreement) -> Html:
    """Return the agreement of two people."""
    show = html('<div class="row">{b}</div>', b=button("Show disagreements", "label-show", "s", show="differ"))
    name, *others = [each for each in (pair.first, pair.second) if each]
    people = f"{name} and {person}:" if (person := "".join(others)) else f"{name} and a person without a name:"
    return html(
        '<div class="stack tight"><p><b>{people}</b> {words}</p>{show}</div>',
        people=people,
        words=pair.sentence,
        show=show if pair.differ else "",
    )


def columns(now: Labeling, names: tuple[str, ...]) -> Html:
    """Return the choice of the columns to read and write."""
    if len(names) < 2:
        return Html("")
    fields = []
    for what, title, column in now.choosable[:1] if now.work == "label" else now.choosable:
        new = [("", f"A new column {what}")] if what in ("label", "reply") else []
        options = [*new, *((each, Verbatim(each)) for each in names)]
        field = Field(f"column-{what}", title)
        if what == "text":
            field = Field("text-column", title, "The text that a label is put on.")
        fields.append(field.select(options, column, "label-column", data_what=what))
    return html('<section class="panel stack mid">{fields}</section>', fields=fields)


def import_export(now: Labeling, dataset: str, name: str) -> Html:
    """Return the buttons to save labels as a file, and the form to import labels."""
    save = [
        html(
            '<button type="button" class="btn s" data-save="studio/labels/{dataset}.{kind}" data-name="{name}-'
            'labels.{kind}"{off}>Save as {title}</button>',
            dataset=dataset,
            kind=kind,
            name=name,
            title=kind.upper(),
            off=Html("" if now.done else " disabled"),
        )
        for kind in ("csv", "jsonl")
    ]
    what = f"CSV or JSONL with a column {now.work}, and the row number or the text. They count as your labels."
    paste = Field("pasted-labels", "Paste labels", what).area("", "", rows=4, placeholder=f"row,{now.work}\n12,…")
    body = html(
        '<div class="stack mid"><div class="row wrap">{save}</div>{paste}<div class="row">{take}</div></div>',
        save=save,
        paste=paste,
        take=button("Import labels", "paste-labels", "s", take="pasted-labels"),
    )
    made = fold("Export and import labels", "CSV, JSONL", body, key="labels-out")
    return html('<section class="panel flush">{f}</section>', f=made)

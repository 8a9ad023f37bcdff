"""Model: the task and the base model."""

from typing import Any

from studio.schema.errors import StudioError
from studio.schema.numbers import count, size, size_of
from studio.schema.tools import ExtraTools
from studio.schema.views import DownloadState, ModelView
from studio.services.models.service import USUAL_LENGTH
from studio.ui.components.basic import Primary, action_bar, alert, button, heading, note, segments
from studio.ui.components.icons import icon
from studio.ui.components.layout import poll
from studio.ui.components.markup import Html, Verbatim, html
from studio.ui.components.models import model_details, model_rows, token_form, trust_kept, trust_question
from studio.ui.jobs import JOBS, Job, Key
from studio.ui.shell import PageShell
from studio.ui.tabs.base import Components
from studio.ui.tabs.data.import_data import choose_task, tasks_here
from studio.ui.tabs.model import onboarding
from studio.ui.visitors.session import Visit


def wire(c: Components, shell: PageShell) -> None:
    """Wire the tab's handlers."""

    def show(visit: Visit) -> dict[Any, Any]:
        if visit.choices.task:
            return _models(visit, c)
        return {c.body: onboarding.drawn(visit), c.actions: onboarding.bar()}

    def search(visit: Visit) -> dict[Any, Any]:
        return shell.drawn(visit) if search_models(visit) else {}

    table = {
        "task": pick_task,
        "model": pick_model,
        "folder": use_folder,
        "download": download,
        "cancel": cancel,
        "install": install,
        "cancel-install": cancel_install,
        "trust": trust,
        "token": keep_token,
        "forget-token": forget_token,
    }
    shell.page(show)
    c.wire(shell, {**shell.then_drawn(table), "look": shell.drawn, "sample": onboarding.use_sample, "hub": search})


# --- actions ---


def pick_task(visit: Visit) -> None:
    """Choose a task. A starter for it is chosen with it."""
    task = next((each for each in tasks_here(visit) if each.name == visit.text("value")), None)
    if task and task.unavailable_reason:
        raise StudioError(
            "wrong-model",
            f"The task {task.title} is not available.",
            given=task.name,
            valid=task.unavailable_reason,
            hint="Choose another model, or import other rows.",
        )
    choose_task(visit, visit.text("value"))


def pick_model(visit: Visit) -> None:
    """Choose a model."""
    visit.choose(model=visit.studio.models.get(visit.text("value"), visit.choices.task).info.name, method="")


def use_folder(visit: Visit) -> None:
    """Use a folder or a GGUF file of this machine as the model."""
    path = visit.text("value", 4000).strip()
    visit.remember(folder=path)
    if path:
        visit.choose(model=visit.studio.models.use_folder(path).info.name, method="")


def search_models(visit: Visit) -> bool:
    """Save the search text. Returns whether it has changed."""
    text = visit.text("value", 200).strip()
    changed = text != visit.choices.extra.get("found", "")
    visit.remember(found=text)
    return changed


def download(visit: Visit) -> None:
    """Download the chosen model."""
    visit.studio.models.start_download(visit.choices.model)


def cancel(visit: Visit) -> None:
    """Stop a download. Downloaded parts are kept."""
    visit.studio.models.cancel_download(visit.text("name", 300))


def install(visit: Visit) -> None:
    """Install the packages that convert the chosen model, in the background."""
    name, studio = visit.choices.model, visit.studio
    studio.context.require_owner("Installing packages")
    JOBS.begin(_install_key(visit), Job(), lambda job: studio.models.install_tools(name, job.advance, job.cancelled))


def cancel_install(visit: Visit) -> None:
    """Cancel the installation."""
    visit.studio.context.require_owner("Installing packages")
    JOBS.cancel(_install_key(visit))


def _install_key(visit: Visit) -> Key:
    return visit.workspace, "install tools for models"


def trust(visit: Visit) -> None:
    """Allow the chosen model's custom code as it was shown, or withdraw that."""
    visit.studio.models.trust(visit.choices.model, not visit.text("back"), visit.text("seen", 100))


def keep_token(visit: Visit) -> None:
    """Save a Hub token."""
    visit.studio.models.set_hub_token(visit.text("token", 400).strip())


def forget_token(visit: Visit) -> None:
    """Remove the Hub token."""
    visit.studio.models.set_hub_token("")


# --- views ---


def _models(visit: Visit, c: Components) -> dict[Any, Any]:
    chosen = visit.choices
    models = visit.studio.models.all(chosen.task)
    downloads = {} if visit.demo else {each.name: each for each in visit.studio.models.download_states()}
    results, remark = _search_results(visit, {view.info.name for view in models})
    view = next((each for each in [*models, *results] if each.info.name == chosen.model), None)
    error: StudioError | None = None
    if view in results and view is not None and view.info.source != "hub":
        view, error = _chosen_model(visit)  # its source has said more about it than about a search result
        results = [view if view and each.info.name == view.info.name else each for each in results]
    elif view is None and chosen.model:
        view, error = _chosen_model(visit)
        models = [view, *models] if view else models
    job = visit.job(_install_key(visit))
    installing = job if job and not job.ended else None
    words = "Training makes a copy that learns from your data. The original stays unchanged, so you can compare both."
    body = html(
        '{head}{task}<div class="cols main-side"><section class="panel flush" aria-labelledby="can">{list}{search}'
        '</section><section class="panel stack" aria-labelledby="about">{details}</section></div>{poll}',
        head=heading("Choose a model to start from", words),
        task=_task_segments(visit),
        list=_list(visit, models, downloads),
        search="" if visit.demo else _search(visit, results, remark, downloads),
        details=_details(visit, view, downloads, job) if error is None else _unanswered(visit, error),
        poll=(installing or any(each.status == "running" for each in downloads.values()))
        and poll("look", 1000, repeat=False),
    )
    return {c.body: body, c.actions: _bar(visit, view, downloads.get(chosen.model), installing)}


def _chosen_model(visit: Visit) -> tuple[ModelView | None, StudioError | None]:
    """The chosen model when no list has it, for example one found on the Hub; and the error if it can't be inspected.

    It is deselected when it does not exist, but not without a network or with a wrong token.
    """
    try:
        return visit.studio.models.get(visit.choices.model, visit.choices.task), None
    except StudioError as error:
        if error.code not in ("no-network", "gated-model"):
            visit.choose(model="")
        return None, error


def _search_results(visit: Visit, known: set[str]) -> tuple[list[ModelView], Any]:
    """Models for the search text, and remarks: sources that gave none, or that there are no results."""
    text = "" if visit.demo else visit.choices.extra.get("found", "")
    if len(text) < 2:
        return [], ""
    search = visit.studio.models.search(text, visit.choices.task)
    results = [each for each in search.models if each.info.name not in known]
    failures = html(
        '<div class="body stack tight">{notes}</div>',
        notes=[note("warn", failure) for failure in dict.fromkeys(search.failures.values())],
    )
    words = html('<p class="bar muted">No other model has “{text}” in its name.</p>', text=text)
    if search.failures:
        return results, failures
    return results, "" if results else words


def _task_segments(visit: Visit) -> Html:
    tasks = tasks_here(visit)
    off = {each.name: each for each in tasks if each.unavailable_reason and each.name != visit.choices.task}
    choices = [(each.name, each.title, each.unavailable_reason if each.name in off else "") for each in tasks]
    reasons = html(
        '<details class="small muted" data-key="off-tasks"><summary>{n} not available: why?</summary>{why}</details>',
        n="1 task is" if len(off) == 1 else f"{len(off)} tasks are",
        why=[
            html('<p class="small"><b>{t}</b>: {w}</p>', t=task.title, w=task.unavailable_reason)
            for task in off.values()
        ],
    )
    return html(
        '<div class="field"><span class="label" id="whatdo">What should it do?</span>{seg}{off}</div>',
        seg=segments("task", "task", choices, visit.choices.task, "What should it do?"),
        off=reasons if off else "",
    )


def _list(visit: Visit, models: list[ModelView], downloads: dict[str, DownloadState]) -> Html:
    can = sum(not each.unavailable_reason for each in models)
    return html(
        '<div class="bar"><h2 id="can">Models</h2><span class="right muted">{can} available for this task{not_}</span>'
        "</div>"
        '<div class="mcols hide-s" aria-hidden="true"><span class="c-radio"></span><span class="grow">Model</span>'
        '<span class="c-dl">Download</span><span class="c-mem">Memory to train<br><small>LoRA, rows of {tokens} '
        "tokens</small></span></div>{rows}",
        can=can,
        tokens=USUAL_LENGTH,
        not_=f", {len(models) - can} not" if can < len(models) else "",
        rows=model_rows(models, visit.choices.model, downloads, "Models", _titles(visit)),
    )


def _search(visit: Visit, results: list[ModelView], sorry: Any, downloads: dict[str, DownloadState]) -> Html:
    extra = visit.choices.extra
    fields = (
        ("search", "hub", extra.get("found", ""), Html(" data-live"), _search_label(visit)),
        ("folder", "folder", extra.get("folder", ""), "", "A folder or GGUF file on this machine"),
    )
    rows = model_rows(results, visit.choices.model, downloads, "Search results", _titles(visit))
    return html(
        '{rows}<div class="bar foot finds">{fields}</div><div aria-live="polite">{sorry}</div>',
        rows=results and html('<p class="bar foot"><b>Search results</b></p>{r}', r=rows),
        fields=[
            html(
                '<span class="ibox grow">{icon}<input class="input with-i" type="search" name="{name}" value="{value}" '
                'data-act="{name}"{live} aria-label="{label}" placeholder="{label}" autocomplete="off" '
                'spellcheck="false"></span>',
                icon=icon(sign),
                name=name,
                value=value,
                live=live,
                label=label,
            )
            for sign, name, value, live, label in fields
            if name != "hub" or visit.studio.models.searched()
        ],
        sorry=sorry,
    )


def _search_label(visit: Visit) -> str:
    """The label of the search box names the sources that it asks."""
    sources = ", ".join(visit.studio.models.searched())
    return f"Search by name: {sources}"


def _titles(visit: Visit) -> dict[str, str]:
    return {task.name: task.title for task in visit.studio.catalog.tasks()}


def _unanswered(visit: Visit, error: StudioError) -> Html:
    """Why the chosen model can't be inspected now."""
    kept = name = visit.choices.model
    return html(
        '<div><h2 id="about">{title}</h2>{small}</div>{alert}{token}',
        title=Verbatim(kept.rpartition("/")[2]) if kept else "No model chosen",
        small=kept and html("<small>{words}</small>", words=f"{name} stays selected."),
        alert=alert(error),
        token=error.code == "gated-model" and token_form(kept, visit.studio.models.has_hub_token()),
    )


def _details(visit: Visit, view: ModelView | None, downloads: dict[str, DownloadState], job: Job | None) -> Html:
    """The chosen model. `job`: the installation of its converter."""
    if view is None:
        return html(
            '<div><h2 id="about">No model chosen</h2></div><p class="muted">Choose one on the left to see its '
            "license, size and limits.</p>"
        )
    parts = [model_details(view, _titles(visit))]
    if visit.demo:
        return html("{p}", p=parts)
    if view.info.needs_trust:
        parts.insert(0, trust_kept() if view.trusted else trust_question(view))
    if view.info.gated and not view.info.here:
        parts.append(token_form(view.info.hub_id or view.info.name, visit.studio.models.has_hub_token()))
    if view.tools is not None:
        title, sentence = f"{view.tools.title}.", view.tools.sentence
        parts.append(note("acc", html("<p><b>{title}</b> {sentence}</p>", title=title, sentence=sentence)))
    if job and job.error:
        parts.insert(0, alert(job.error))
    failed = downloads.get(view.info.name)
    if failed and failed.status == "failed":
        parts.insert(0, note("error", failed.error))
    return html("{p}", p=parts)


def _bar(visit: Visit, view: ModelView | None, download: DownloadState | None, installing: Job | None) -> Html:
    reason = _blocked_reason(visit, view)
    if view is None or reason:
        return action_bar(reason, Primary("Next: data", disabled=True))
    primary = Primary("Next: data", goto="data")
    name, info = html("<b>{t}</b>", t=Verbatim(view.info.title)), view.info
    get = f"Download {size(info.bytes)}" if info.bytes else "Download"
    if info.is_converted:
        get = "Convert file" if info.source == "gguf" else "Convert folder"
    if info.here:
        title = next((each.title for each in visit.studio.catalog.tasks() if each.name == visit.choices.task), "")
        reason = html("{n} · <span>{t}</span> · <span>nothing to download</span>", n=name, t=title)
    elif download and download.status == "running":
        done, total = size_of(download.done_bytes, max(download.total_bytes, 1))
        words = "{n}: <span>{d} of {t} downloaded. You can use the other tabs meanwhile.</span>"
        if info.is_converted:
            words = "{n}: <span>{d} of {t} converted. You can use the other tabs meanwhile.</span>"
        reason = html(words, n=name, d=done, t=total)
    elif view.tools is not None:
        return _install_bar(visit, view.tools, installing)
    elif info.is_converted:
        needed = size(info.bytes)
        reason = html(
            "{n}: <span>must be converted once, which takes {needed} of disk space.</span>", n=name, needed=needed
        )
        primary = Primary(get, "download")
    elif info.gated and not visit.studio.models.has_hub_token():
        reason, primary = (
            html("{n}: <span>needs a Hub token. Add it on the right.</span>", n=name),
            Primary(get, disabled=True),
        )
    else:
        parameters = count(info.parameters) if info.parameters else "unknown"
        reason = html("{n}: <span>not downloaded yet</span> · <span>{p} parameters</span>", n=name, p=parameters)
        primary = Primary(get, "download")
    return action_bar(reason, primary)


def _install_bar(visit: Visit, tools: ExtraTools, installing: Job | None) -> Html:
    """The action bar while the packages that convert the chosen model are missing."""
    if installing:
        cancel_button = button("Cancel", "cancel-install", "quiet")
        words = installing.title or "Waiting for its turn"
        return action_bar(words, Primary("Installing", disabled=True), extra=cancel_button)
    label = f"Install the {tools.title}"
    if visit.studio.context.role != "owner":
        return action_bar("Only the owner of this studio can install it.", Primary(label, disabled=True))
    return action_bar(tools.sentence, Primary(label, "install"))


def _blocked_reason(visit: Visit, view: ModelView | None) -> Html | str:
    """Why the next step is not available with this model; empty when it is."""
    if view is None:
        name = visit.choices.model
        words = "<b>{n}</b> can’t be inspected now. The reason is on the right."
        return html(words, n=Verbatim(name)) if name else "Choose a model."
    name_html = html("<b>{t}</b>", t=Verbatim(view.info.title))
    if view.unavailable_reason:
        return html("{n}: {why}", n=name_html, why=view.unavailable_reason)
    if view.info.needs_trust and not view.trusted and not visit.demo:
        return html("{n}: <span>needs your permission to run. Give it on the right.</span>", n=name_html)
    return ""

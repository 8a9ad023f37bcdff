"""The panel on the Export tab that uploads a finished export to the Hub: name, license, files, progress, link."""

from studio.schema.errors import StudioError
from studio.schema.exports import ExportView
from studio.schema.hub import LicenseCheck, PushRequest, PushState, PushView
from studio.schema.numbers import about, size
from studio.schema.runs import RunRecord
from studio.ui.components.basic import Field, alert, button, check_input, fold, note, state, track
from studio.ui.components.layout import look_again, stack
from studio.ui.components.markup import Html, Verbatim, html
from studio.ui.jobs import JOBS, Job, Key
from studio.ui.selected import target_run
from studio.ui.visitors.session import Visit

KEPT = "hub-upload"
"""The name under which the page saves the form."""
VERDICTS = {"free": "ok", "conditions": "warn", "forbidden": "error", "unknown": "warn"}
"""What a license says → the kind of note."""


ROWS = "This export contains your rows. Everyone who can see the repository can read them."


def change(visit: Visit) -> None:
    """Save a field of the form."""
    visit.studio.context.require_owner("Uploading to the Hub")
    _keep(visit, visit.text("run", 100), visit.text("format", 30), visit.text("name", 30), visit.text("value", 200))


def begin(visit: Visit) -> None:
    """Upload the export in the background."""
    visit.settle()
    run, form, studio = visit.studio.runs.get(target_run(visit)), visit.text("format", 30), visit.studio
    if "hub_repo" in visit.event:
        _keep(visit, run.id, form, "hub_repo", visit.text("hub_repo", 200))
    repo, private = _form(visit, run.id, form, studio.hub.state(run.id, form))
    request = PushRequest(repo=repo, private=private, license_confirmed=visit.text("confirmed") == "yes")
    job = Job(title="Starting the upload")
    JOBS.begin(
        _key(visit, run, form), job, lambda job: studio.hub.push(run.id, form, request, job.advance, job.cancelled)
    )


def cancel(visit: Visit) -> None:
    """Stop the upload. What has arrived is kept."""
    visit.studio.context.require_owner("Uploading to the Hub")
    run = visit.studio.runs.get(target_run(visit))
    JOBS.cancel(_key(visit, run, visit.text("format", 30)))


def keep_token(visit: Visit) -> None:
    """Save a Hub token."""
    visit.studio.models.set_hub_token(visit.text("hub_token", 400).strip())


def forget_token(visit: Visit) -> None:
    """Remove the Hub token."""
    visit.studio.models.set_hub_token("")


ACTS = {
    "hub-set": change,
    "hub-upload": begin,
    "hub-cancel": cancel,
    "hub-token": keep_token,
    "hub-forget-token": forget_token,
}
"""What the panel sends."""


def panel(visit: Visit, run: RunRecord, view: ExportView) -> Html:
    """The panel for a format. Empty until the format has been exported."""
    if view.done is None:
        return Html("")
    return stack("Share on the Hugging Face Hub", "hub-title", _body(visit, run, view))


def _body(visit: Visit, run: RunRecord, view: ExportView) -> Html:
    form = view.format
    if visit.demo:
        return html("<p>{s}</p>", s="Uploads are not available in a public demo. Download the export instead.")
    if visit.role != "owner":
        return html("<p>{s}</p>", s="Only the owner of this studio can upload, because the Hub token is the owner's.")
    job = visit.job(_key(visit, run, form))
    if job is not None and not job.ended:
        return _progress(job, run, form)
    try:
        push = visit.studio.hub.view(run.id, form)
    except StudioError as error:
        return alert(error)
    problem = alert(job.error) if job is not None and job.error else ""
    if not push.has_token:
        return html("{problem}{form}", problem=problem, form=_token_form())
    return html(
        "{problem}{done}{rows}{license}{form}",
        problem=problem,
        rows=view.has_rows and note("warn", html("<p>{s}</p>", s=ROWS)),
        done=_last(push.state),
        license=note(VERDICTS[push.license.verdict], html("<p>{s}</p>", s=push.license.sentence)),
        form=_upload_form(visit, run, push),
    )


def _upload_form(visit: Visit, run: RunRecord, push: PushView) -> Html:
    repo, private = _form(visit, run.id, push.format, push.state)
    of = {"data_run": run.id, "data_format": push.format}
    resumes = push.state is not None and push.state.status == "interrupted"
    words = "Your name on the Hub, a slash and a name for the model. The repository is made if it is missing."
    return html(
        '{repo}{private}{confirm}{files}<div class="row">{upload}{forget}</div>',
        repo=Field("hub_repo", "Repository", words).text(
            repo, "hub-set", placeholder=f"your-name/{push.suggested_name}", spellcheck="false", translate="no", **of
        ),
        private=check_input("hub_private", "Private: only you can see it", private, "hub-set", **of),
        confirm=_confirmation(push.license),
        files=fold("Files", f"{len(push.files)} files, {size(push.bytes)}", _files(push), key="hub-files"),
        upload=button(
            "Resume the upload" if resumes else "Upload",
            "hub-upload",
            "accent",
            take="hub_repo",
            run=run.id,
            format=push.format,
            **({"needs": "hub_license", "confirmed": "yes"} if push.license.needs_confirmation else {}),
            disabled=push.license.needs_confirmation,
        ),
        forget=button("Remove token", "hub-forget-token", "s quiet", confirm="Remove the Hub token from this machine?"),
    )


def _confirmation(license: LicenseCheck) -> Html:
    if not license.needs_confirmation:
        return Html("")
    return check_input("hub_license", "I may share this model. I have read the license or asked its authors.", False)


def _files(push: PushView) -> Html:
    rows = [html("<tr><td>{p}</td><td>{s}</td></tr>", p=Verbatim(file.path), s=size(file.bytes)) for file in push.files]
    head = "<thead><tr><th>File</th><th>Size</th></tr></thead>"
    return html('<table class="plain">' + head + "<tbody>{rows}</tbody></table>", rows=rows)


def _progress(job: Job, run: RunRecord, form: str) -> Html:
    left = f"{about(job.seconds_left)} left" if job.seconds_left else ""
    return html(
        '<p class="row"><span class="grow" aria-live="polite">{state}</span><span class="nowrap">{done} of {total}'
        '</span></p>{track}<p class="muted">{left}</p><div class="row">{cancel}</div>{again}',
        state=state("run", job.title or "Uploading"),
        done=size(job.done),
        total=size(job.total),
        track=track(job.share, label="Upload"),
        left=left,
        cancel=button("Stop the upload", "hub-cancel", "s", run=run.id, format=form),
        again=look_again(700),
    )


def _last(last: PushState | None) -> Html:
    """The last upload: its link, or that it was not completed."""
    if last is None:
        return Html("")
    if last.status == "interrupted":
        words = html(
            "<p><b>{s}</b> {kept}</p><p>{repo}</p>",
            s="The upload was not completed.",
            kept="Files that have arrived are kept. Upload again to continue.",
            repo=Verbatim(last.repo),
        )
        return note("warn", words)
    link = html(
        '<a class="btn s" href="{url}" target="_blank" rel="noopener noreferrer">{words}</a>',
        url=last.url,
        words="Open on the Hub",
    )
    words = html(
        "<p><b>{s}</b> {who}</p><p>{url}</p>",
        s="Uploaded.",
        who="Only you can see it." if last.private else "Everybody can see it.",
        url=Verbatim(last.url),
    )
    return note("ok", words, link)


def _token_form() -> Html:
    steps = html(
        "<p>{s}</p>",
        s="Make a fine-grained token on the Hub, under Settings, Access Tokens. "
        "Give it write access to your own repositories and nothing else.",
    )
    field = Field("hub_token", "Hub token", "Saved in a file that only you can read. Sent only to the Hub.")
    return html(
        '{note}{field}<div class="row">{keep}</div>',
        note=note("acc", steps),
        field=field.text("", "", type="password", placeholder="hf_…"),
        keep=button("Save token", "hub-token", "s", take="hub_token"),
    )


def _form(visit: Visit, run: str, form: str, last: PushState | None) -> tuple[str, bool]:
    """Repository and visibility: what was typed, else those of the last upload. Private unless it was changed."""
    kept = visit.choices.extra.get(KEPT)
    typed = kept if isinstance(kept, dict) else {}
    repo = str(typed.get(f"{run} {form} hub_repo") or (last.repo if last else ""))
    private = typed.get(f"{run} {form} hub_private")
    return repo, (last.private if last else True) if private is None else private != "False"


def _keep(visit: Visit, run: str, form: str, field: str, value: str) -> None:
    """Save a field for one export, so that another one is not uploaded to the same place."""
    if field in ("hub_repo", "hub_private"):
        visit.add(KEPT, **{f"{run} {form} {field}": value.strip()})


def _key(visit: Visit, run: RunRecord, form: str) -> Key:
    return visit.workspace, f"{run.id} upload {form[:30]}"

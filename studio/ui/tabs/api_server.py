"""The panel on the Export tab that serves the fine-tuned model through an API on this machine."""

from studio.schema.errors import StudioError
from studio.schema.report import Usage
from studio.schema.runs import RunRecord
from studio.services.api_server.service import ApiServerView
from studio.services.api_server.snippets import KEY, snippets
from studio.ui.components.basic import Field, alert, button, facts, note, state
from studio.ui.components.icons import icon
from studio.ui.components.layout import look_again, stack
from studio.ui.components.markup import Html, Verbatim, html
from studio.ui.selected import target_run
from studio.ui.visitors.session import Visit

EXPLAINED = (
    "Other programs send prompts, as they do to OpenAI, and get replies of the fine-tuned model or its base model. "
    "The server belongs to this machine and ends with the studio."
)
PORT = 8000


def start(visit: Visit) -> None:
    """Start the server with the run that is shown."""
    given = visit.text("api_port", 5).strip()
    if not given.isdecimal() or not 1 <= int(given) <= 65535:
        raise StudioError("bad-setting", "This is not a port.", given=given, valid="1 to 65535", field="api_port")
    visit.studio.api_server.start((target_run(visit),), int(given))


def stop(visit: Visit) -> None:
    """Stop the server."""
    visit.studio.api_server.stop()


ACTS = {"api-start": start, "api-stop": stop}
"""What the panel sends."""


def panel(visit: Visit, run: RunRecord) -> Html:
    """The panel. Empty for everyone but the owner."""
    if visit.demo or visit.role != "owner":
        return Html("")
    view = visit.studio.api_server.view
    problem = alert(view.error) if view.error else ""
    body = html("<p>{s}</p>{p}{b}", s=EXPLAINED, p=problem, b=_body(visit, run, view))
    return stack("API server", "api-title", body)


def _body(visit: Visit, run: RunRecord, view: ApiServerView) -> Html:
    if view.state == "stopped":
        field = Field("api_port", "Port", "Programs of this machine reach the server at this port.")
        begin = button("Start the API server", "api-start", "accent", take="api_port", run=run.id)
        return html(
            '{f}<div class="row">{b}</div>',
            f=field.text(str(PORT), "", inputmode="numeric", spellcheck="false"),
            b=begin,
        )
    stop_it = html('<div class="row">{b}</div>', b=button("Stop the API server", "api-stop", "s"))
    if view.state == "starting" or view.status is None:
        words = "Starting: the weights are prepared and the models are loaded"
        return html(
            '<p aria-live="polite">{state}</p>{stop}{again}',
            state=state("run", words),
            stop=stop_it,
            again=look_again(1000),
        )
    models = [(model, engine) for engine in view.status.engines for model in engine.models]
    run_id = run.id if run.id in view.runs else view.runs[0]
    classifies = visit.studio.chat.is_classifier(run_id) if run.id in view.runs else False
    rows = [
        ("Address", Verbatim(view.status.address)),
        *((Verbatim(model), html('<span translate="no">{e}</span>', e=engine.engine)) for model, engine in models),
    ]
    other = (
        "" if run.id in view.runs else note("warn", "The API server runs with another run. Stop it to serve this one.")
    )
    return html(
        "<p>{ready}</p>{other}{facts}{key}{codes}{stop}",
        ready=state("ok", "Running"),
        other=other,
        facts=facts(rows),
        key=_copied(Usage(title=KEY, language="sh", code=f"export {KEY}={view.key}"), 0),
        codes=[
            _copied(usage, number)
            for number, usage in enumerate(snippets(view.status.address, run_id, classifies), start=1)
        ],
        stop=stop_it,
    )


def _copied(usage: Usage, number: int) -> Html:
    """Code with its title, and a button that copies it."""
    return html(
        '<div class="stack tight"><div class="row"><h3>{title}</h3><button type="button" class="btn s right" '
        'data-copy="{key}" aria-label="Copy the code">{copy}Copy</button></div><pre id="{key}" tabindex="0" '
        'aria-label="How to use it">{code}</pre></div>',
        title=Verbatim(usage.title),
        key=f"api-code-{number}",
        copy=icon("copy"),
        code=usage.code,
    )

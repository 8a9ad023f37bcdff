"""Routes for the page's scripts: updates of a run, and downloads. chat_routes.py has the chat.

Each finds the visitor's workspace by the secret in a header, so that visitors have access to their own runs only. No
path comes from a request: files are named by run and format.
"""

import gzip
import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from pydantic import BaseModel

from studio.api import Studio
from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError
from studio.schema.numbers import time_range, timestamp
from studio.schema.projects import ProjectRecord
from studio.schema.runs import ACTIVE, RunRecord
from studio.ui.components import project_menu
from studio.ui.components.model_title import model_title
from studio.ui.http import chat_routes, downloads, run_updates
from studio.ui.http.error_routes import PlainErrors, StudioFinder
from studio.ui.http.poll_throttle import ResponseCache, Watchers
from studio.ui.tabs.evaluate import report_page

TICKET_SECONDS = 120
PACKED = 8_000
"""Size above which a response is compressed, in bytes."""
_GZIP = b"\x1f\x8b"
"""The first bytes of compressed data. JSON never begins so."""


class ExportRequest(BaseModel):
    """An export to download."""

    run: str
    format: str


@dataclass(frozen=True)
class Ticket:
    """Permission to download one file once. A plain link can't have the workspace's header."""

    path: Path
    name: str
    until: float


class Tickets:
    """Tickets that were issued and not used. Each is random and valid for two minutes."""

    def __init__(self) -> None:
        self._open: dict[str, Ticket] = {}

    def give(self, path: Path, name: str) -> str:
        """A ticket for a file."""
        now = time.monotonic()
        self._open = {key: ticket for key, ticket in self._open.items() if ticket.until > now}
        key = secrets.token_urlsafe(32)
        self._open[key] = Ticket(path, name, now + TICKET_SECONDS)
        return key

    def take(self, key: str) -> Ticket:
        """A ticket, which is then used up."""
        ticket = self._open.pop(key, None)
        if ticket is None or ticket.until < time.monotonic():
            raise StudioError("not-allowed", "This link has been used, or is too old.", hint="Press Download again.")
        if not ticket.path.exists():
            raise StudioError("not-allowed", "This file has been removed since.", hint="Press Download again.")
        return ticket


def routes(studios: StudioFinder) -> APIRouter:
    """All routes of this module."""
    router = APIRouter(prefix="/studio", route_class=PlainErrors)
    _add_update_routes(router, studios)
    _add_download_routes(router, studios)
    chat_routes.add(router, studios)
    return router


def _add_update_routes(router: APIRouter, studios: StudioFinder) -> None:
    watchers, responses = Watchers(), ResponseCache()

    @router.get("/bar")
    async def bar(request: Request, run: str = "") -> Response:
        """The running run, else the selected one, else the newest."""
        return await studios.run(
            request.headers, lambda studio: _answer(_packed({"bar": at_work(studio, None, run)}, pack=False))
        )

    @router.get("/run/{run}")
    async def news(request: Request, run: str, after: int = 0, page: str = "") -> Response:
        """Updates of a run since the cursor, with its description at the start; and when to poll again."""
        pack = "gzip" in request.headers.get("accept-encoding", "")

        def answer(studio: Studio) -> Response:
            # A visitor of a demo counts once, so that invented names of pages do not slow down the pages of others.
            workspace = studio.context.workspace
            wait = watchers.wait(workspace.name if workspace.is_visitors else page[:32])

            def made() -> bytes:
                return _packed(new_of(studio, run, max(0, min(after, 2**53)), wait), pack)

            return _answer(responses.get((workspace.name, run, after, pack), made) if watchers.crowded() else made())

        return await studios.run(request.headers, answer)

    @router.get("/run/{run}/log")
    async def log(request: Request, run: str) -> PlainTextResponse:
        """What the worker printed."""
        text = await studios.run(request.headers, lambda studio: studio.runs.log(run))
        return PlainTextResponse(text, headers={"Cache-Control": "no-store"})


def new_of(studio: Studio, run: str, after: int, wait: float) -> dict[str, Any]:
    """Updates of a run since the cursor, for a page that polls again after `wait` seconds."""
    progress = studio.runs.progress(run)
    state = run_updates.run_state(progress)
    updates = run_updates.compact(
        studio.runs.sampled_events(run, after, run_updates.MOST_STEPS), timestamp(progress.record.created)
    )
    updates["to"] = updates["to"] or after
    alone = state["status"] in ACTIVE and state["status"] != "queued"
    bar = None if alone else at_work(studio, state["id"], run)
    description = {"about": about(studio, run)} if after <= 0 else {}
    more = ({"bar": bar} if bar else {}) | ({"wait": round(wait, 1)} if wait > 1 else {})
    return {"run": state, **updates, **description, **more}


def at_work(studio: Studio, known: str | None, selected: str) -> dict[str, Any] | None:
    """The state of the run for the bar. None when the caller knows it, or when there is no run.

    While no run of this project is running or queued, it is the running one of another project.
    """
    working = studio.runs.active()
    first = next((record for record in reversed(working) if record.status != "queued"), None)
    chosen = first or next(iter(working), None)
    if chosen is None and (elsewhere := studio.projects.run_elsewhere()):
        return _state_elsewhere(*elsewhere)
    chosen = chosen or _record(studio, selected) or _record(studio, "last")
    return None if chosen is None or chosen.id == known else run_updates.run_state(studio.runs.progress(chosen.id))


def _record(studio: Studio, run: str) -> RunRecord | None:
    """The record of a run. None if there is no such run."""
    try:
        return studio.runs.get(run)
    except StudioError:
        return None


def _state_elsewhere(project: ProjectRecord, record: RunRecord) -> dict[str, Any]:
    """The state of a run of another project, with the project."""
    share = {"steps": record.steps, "share": run_updates.short(record.step / record.steps, 3)} if record.steps else {}
    named = {"project": {"id": project.id, "title": project.title}}
    return {"id": record.id, "name": record.name, "status": record.status, "step": record.step, **share, **named}


def about(studio: Studio, run: str) -> dict[str, Any]:
    """The description of a run, which does not change: model, method, data and settings, in words."""
    record, spec = studio.runs.get(run), studio.runs.spec(run)
    config = spec.config
    low, high = spec.seconds_range or (0.8 * spec.seconds, 1.2 * spec.seconds)
    return {
        "model": model_title(studio, config.model),
        "method": _method(studio, config),
        "task": config.task,
        "prompts": list(config.test_prompts),
        "since": timestamp(record.created),
        "keep_best": config.keep_best,
        "patience": config.early_stopping_patience,
        "judge": studio.runs.selection_metric(run),
        "eval_steps": config.eval_steps,
        "batch": config.rows_a_step,
        "watches": config.watch_share > 0,
        **({"estimate": [time_range(low, high), round(high)]} if spec.seconds else {}),
        "memory": studio.machine.facts().memory_total,
        "data": _data(studio, record.dataset, record.dataset_version),
        "settings": run_updates.settings(config),
    }


def _method(studio: Studio, config: TrainingConfig) -> str:
    try:
        titles = {each.name: each.title for each in studio.catalog.methods(config.model, config.task)}
    except StudioError:
        return config.method
    return titles.get(config.method, config.method)


def _data(studio: Studio, dataset: str, version: int) -> str:
    try:
        record = studio.datasets.get(dataset, version)
    except StudioError:
        return ""
    return f"{record.name}, {record.rows:,} rows"


def _packed(body: dict[str, Any], pack: bool) -> bytes:
    """The bytes of a response, compressed if the client supports it and it is large."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    return gzip.compress(text, 5) if pack and len(text) > PACKED else text


def _answer(body: bytes) -> Response:
    packed = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"} if body.startswith(_GZIP) else {}
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store", **packed})


def _add_download_routes(router: APIRouter, studios: StudioFinder) -> None:
    tickets = Tickets()

    @router.post("/ticket")
    async def ticket(request: Request, export: ExportRequest) -> JSONResponse:
        """A link that downloads an export once."""
        file, name = await studios.run(request.headers, lambda studio: _export_file(studio, export))
        return JSONResponse({"link": f"/studio/ticket/{tickets.give(file, name)}"})

    @router.get("/ticket/{key}")
    async def take(key: str) -> FileResponse:
        """The file of a ticket."""
        used = tickets.take(key)
        return FileResponse(used.path, filename=used.name, headers={"Cache-Control": "no-store"})

    @router.get("/labels/{dataset}.{kind}")
    async def labels(request: Request, dataset: str, kind: str, each: bool = False) -> Response:
        """The labels of a dataset's rows."""
        return await downloads.rows(
            studios, request.headers, kind, lambda studio: iter([studio.labels.export_text(dataset, kind, each)])
        )

    @router.get("/data/{dataset}.parquet")
    async def packed_rows(request: Request, dataset: str) -> FileResponse:
        """The usable rows of a dataset's current version as a Parquet file, which is deleted when it was sent."""
        return await downloads.file(
            studios, request.headers, lambda studio, folder: studio.library.packed(dataset, folder)
        )

    @router.get("/data/{dataset}.{kind}")
    async def rows(request: Request, dataset: str, kind: str) -> StreamingResponse:
        """The rows of a dataset's current version, sent as they are read."""
        return await downloads.rows(studios, request.headers, kind, lambda studio: studio.library.lines(dataset, kind))

    @router.get("/predictions/{run}/{id}.xlsx")
    async def predictions_workbook(request: Request, run: str, id: str) -> FileResponse:
        """The same as a workbook, which is deleted when it was sent."""
        return await downloads.file(
            studios, request.headers, lambda studio, folder: studio.predictions.workbook(run, id, folder)
        )

    @router.get("/predictions/{run}/{id}.{kind}")
    async def predictions(request: Request, run: str, id: str, kind: str) -> StreamingResponse:
        """All rows of a dataset with their predictions, sent as they are read."""
        return await downloads.rows(
            studios, request.headers, kind, lambda studio: studio.predictions.lines(run, id, kind)
        )

    @router.get("/run/{run}/curve.csv")
    async def curve(request: Request, run: str) -> Response:
        """All steps of a run as CSV."""
        text = await studios.run(request.headers, lambda studio: studio.curves.csv(run))
        return Response(text, media_type="text/csv; charset=utf-8", headers={"Cache-Control": "no-store"})

    @router.get("/run/{run}/report.{kind}")
    async def report(request: Request, run: str, kind: str) -> Response:
        """The saved report, as JSON or as a standalone page."""
        return await studios.run(request.headers, lambda studio: _report(studio, run, kind))


def _export_file(studio: Studio, export: ExportRequest) -> tuple[Path, str]:
    """The file of an export, and the name under which it is downloaded."""
    if export.format == "project":
        path = project_menu.exported_file(studio)
        return path, path.name
    if export.format in ("run", "run-with-rows"):
        path = studio.saved.export_archive(export.run, rows=export.format != "run")
    else:
        path = studio.exports.zip_path(export.run, export.format)
    return path, f"{filename(studio.runs.get(export.run).name)}-{export.format}.zip"


def _report(studio: Studio, run: str, kind: str) -> Response:
    report = studio.evaluation.report(run)
    if report is None or kind not in ("json", "html"):
        raise StudioError("wrong-state", "This run was not evaluated yet.", hint="Press Evaluate first.")
    if kind == "json":
        return Response(report.model_dump_json(indent=2), media_type="application/json")
    record = studio.runs.get(run)
    page = report_page(record, report, model_title(studio, record.model))
    return Response(page, media_type="text/html; charset=utf-8")


def filename(name: str) -> str:
    """A name that is safe in any file system."""
    kept = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name.strip())
    return kept.strip("-")[:80] or "run"

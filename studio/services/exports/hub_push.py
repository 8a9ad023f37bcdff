"""Uploads of finished exports to the Hub, with the owner's token. An interrupted one continues when repeated."""

from pathlib import Path
from threading import Event
from typing import Any

from studio.export import export_named
from studio.export.hub import check_license, check_repo_name, files_to_push, read_front, suggested_name
from studio.export.hub_upload import UPLOADING, upload
from studio.export.studio_space import write_studio_space
from studio.machine.environment import child_environment
from studio.machine.run_in_process import ProcessLimits, run_in_process
from studio.models.downloads.hub_files import Remote, require_network
from studio.schema.errors import StudioError
from studio.schema.hub import PushRequest, PushState, PushView
from studio.services.exports.service import Exports
from studio.services.progress import Progress
from studio.store.files import read_json, write_whole

CONFIRMED = "license_confirmed"


class HubPush:
    """Uploads of a workspace's exports. Only the owner of the studio may upload, because the token is the owner's."""

    def __init__(self, exports: Exports) -> None:
        self.exports, self.context = exports, exports.context

    def view(self, run: str, format: str) -> PushView:
        """What would be uploaded, whether the license allows it, and the last upload.

        Raises:
            StudioError: the format has not been exported, or its folder contains what must not be uploaded.
        """
        self.context.require_owner("Uploading to the Hub")
        record, _ = self.exports.finished.get(run)
        folder = self._folder(run, format)
        files = files_to_push(folder, export_named(format).extra_files)
        return PushView(
            format=format,
            files=tuple(files),
            bytes=sum(file.bytes for file in files),
            license=check_license(self.exports.finished.ref(record.id).info.licence),
            suggested_name=suggested_name(record.name),
            has_token=self.context.workspace.hub_token() is not None,
            state=self.state(run, format),
        )

    def state(self, run: str, format: str) -> PushState | None:
        """The last upload of an export. None if there was none."""
        saved = read_json(self._state_file(run, format))
        return PushState.model_validate(saved) if saved else None

    def push(
        self, run: str, format: str, request: PushRequest, progress: Progress = None, cancel: Event | None = None
    ) -> PushState:
        """Upload an export to a repository of the owner, which is made if it is missing.

        Args:
            run: The run.
            format: A format that was exported already.
            request: The repository, its visibility, and whether the right to share was confirmed.
            progress: Gets bytes done, all bytes, and what is being done.
            cancel: Set it to stop. Files that have arrived are kept for the next time.

        Raises:
            StudioError: not allowed here, no token, the license is not confirmed, or the Hub refuses it.
        """
        view = self.view(run, format)
        repo = check_repo_name(request.repo)
        token = self._token()
        if view.license.needs_confirmation and not request.license_confirmed:
            raise StudioError(
                "not-allowed",
                view.license.sentence,
                given=view.license.license or "no license",
                hint="If you may share the model, confirm it: in the Export tab, or with --confirm-license.",
                field=CONFIRMED,
            )
        require_network(repo)
        files_to_push(self._folder(run, format), export_named(format).extra_files, thorough=True)
        state = PushState(
            repo=repo, private=request.private, status="interrupted", files=len(view.files), bytes=view.bytes
        )
        path, folder = self._state_file(run, format), self._folder(run, format)
        sending = Event()

        def report(done: int, total: int, title: str) -> None:
            """Pass progress on. From the first bytes on, the upload counts as interrupted until it is done."""
            if title == UPLOADING and not sending.is_set():
                write_whole(path, state.model_dump_json())
                sending.set()
            if progress is not None:
                progress(done, total, title)

        done = run_in_process(
            upload,
            {
                "folder": str(folder),
                "files": [file.path for file in view.files],
                "target": {"repo": repo, "private": request.private, **_target(folder)},
                "hub": {"endpoint": Remote().address, "token": token},
            },
            # The token is among the arguments, which are not in the command line. No other secret is needed.
            ProcessLimits(environment=child_environment(visitors=True) | {"HF_HUB_OFFLINE": "0"}),
            progress=report,
            cancel=cancel,
        )
        finished = state.model_copy(update={"status": "done", **done})
        write_whole(path, finished.model_dump_json())
        return finished

    def write_space(self, to: Path, zero_gpu: bool = False) -> list[str]:
        """Write the folder of a Space of the studio itself, with the Docker SDK or for ZeroGPU. Returns its files."""
        self.context.owner_only("Writing to a folder")
        return write_studio_space(to.resolve(), zero_gpu)

    def _folder(self, run: str, format: str) -> Path:
        """The folder of an export that exists."""
        export_named(format)
        view = next(each for each in self.exports.all(run) if each.format == format)
        if view.done is None:
            raise StudioError(
                "format-unavailable", "This format has not been exported yet.", given=format, hint="Export it first."
            )
        return Path(view.done.path)

    def _state_file(self, run: str, format: str) -> Path:
        _, folder = self.exports.finished.get(run)
        return folder.exports / f"{export_named(format).format}.push.json"

    def _token(self) -> str:
        token = self.context.workspace.hub_token()
        if token is None:
            raise StudioError(
                "not-allowed",
                "There is no Hub token, so nothing was uploaded.",
                valid="a token that may write to your repositories",
                hint="Make one on https://huggingface.co/settings/tokens, and add it in the Export tab or with: studio "
                "token",
            )
        return token


def _target(folder: Path) -> dict[str, Any]:
    """What the card says about the repository: a Space and its SDK, or a model and its library."""
    front = read_front(folder / "README.md")
    if "sdk" in front:
        return {"kind": "space", "sdk": front["sdk"], "hardware": front.get("suggested_hardware")}
    return {"kind": "model", "library": front.get("library_name", "")}

"""What attacks are carried out on: real servers of their own, visitors who come from addresses of their own.

Everything is on loopback. On Linux each address of 127.0.0.0/8 is this machine's, so that an attacker and a victim come
from different addresses, and limits for each address can be tried as they are.
"""

import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import psutil

from studio.store import Home, Workspace
from tests.browser.served import Served
from tests.real.asking import Answer, Asking, component_of, config_of
from tests.security.api_server import ApiServer

TOKEN = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"
"""The owner's Hub token on every server here; it opens nothing."""
PASSWORD, MEMBER = "blue stone", "grey pebble"
ROWS = b"question,answer\n" + b"".join(b"Where is number %d?,Under the blue stone %d.\n" % (n, n) for n in range(20))
FORM = {"content_type": "application/x-www-form-urlencoded"}
MARK = "STUDIO_SECURITY_STAGE"
"""In the environment of all processes of a stage, so that none is left behind."""
TOOLS = Path(__file__).resolve().parents[2] / "build" / "export-tools"
"""The tools that exports are tested with, too."""
_ADDRESSES = count(2)


class Visitor(Asking):
    """Somebody who asks a server from an address of their own, as an attacker or as the one who is attacked."""

    def __init__(self, served: Served, secret: str = "", address: str = "") -> None:
        super().__init__(served, secret)
        number = next(_ADDRESSES)
        self.address = address or f"127.{1 + number // 60_000}.{number // 250 % 250}.{1 + number % 250}"

    def press(self, region: str, act: str, **said: Any) -> Answer:
        """An action of the page, as its script sends it."""
        return self.act(region, act, **said)

    def acted(self, region: str, act: str, **said: Any) -> str:
        """The same; what the page would show, or the refusal."""
        return shown_text(self.press(region, act, **said))

    def begin(self) -> "Visitor":
        """Get a workspace, as the page does first."""
        self.secret = self.post("/studio/workspace").json["secret"]
        return self

    def bring(self, content: bytes = ROWS, name: str = "stones.csv", seconds: float = 30) -> str:
        """Upload a file and have it read; what the page then shows."""
        sent = self.upload(name, content)
        if sent.status != 200:
            return sent.text
        shown = self.acted("data-body", "file", ticket=sent.json["ticket"])
        until = time.monotonic() + seconds
        while 'data-act="reading"' in shown and time.monotonic() < until:
            time.sleep(0.3)
            shown = self.acted("data-body", "reading")
        return shown

    @property
    def space(self) -> Workspace:
        """What the server keeps of this visitor, seen from the machine itself."""
        home = Home(self.served.home)
        if not self.secret:
            return home.workspace()
        name = home.visitor_workspace(self.secret) if hasattr(home, "visitor_workspace") else self.secret
        return home.workspace(name or "unknown")

    def datasets(self) -> list[Any]:
        """The datasets of this visitor."""
        return list(self.space.datasets.all())

    def runs(self) -> list[Any]:
        """The runs of this visitor."""
        return list(self.space.runs.all())

    def active(self) -> list[Any]:
        """Their runs that train or wait."""
        return [
            each
            for each in self.runs()
            if each.status not in ("finished", "stopped", "failed", "interrupted", "paused")
        ]

    def sample(self, name: str = "support-tone") -> str:
        """Use sample data: steps 1 to 3 are filled."""
        return self.acted("model-body", "sample", name=name)

    def start(self, **settings: Any) -> str:
        """Start a run with some settings; what the page then shows."""
        shown = [self.acted("method-body", "set", name=name, value=value) for name, value in settings.items()]
        return "".join([*shown, self.acted("method-body", "start", newest=str(len(self.runs())))])

    def stop_runs(self) -> None:
        """End all that was started, from the machine itself, so that the next attack finds it at rest."""
        space, queue = self.space, Home(self.served.home).queue
        for run in self.active():
            with suppress(Exception):
                pid = queue.worker(run.id) or space.runs.worker(run.id).pid
                if pid:
                    _kill([psutil.Process(pid), *psutil.Process(pid).children(recursive=True)])
            queue.remove(run.id)
            space.runs.set_status(run.id, "stopped")


def shown_text(answer: Answer) -> str:
    """What an answer shows: the values of all its parts, with the quotes and slashes as a person reads them."""
    text = answer.body.decode(errors="replace")
    with suppress(ValueError):
        value = json.loads(text)
        if isinstance(value, dict):
            parts = {**value, **value.get("regions", {}), "regions": ""}
            return "\n".join(str(each) for each in parts.values())
    return text


class Stage:
    """Servers that are started when first needed, and all ended at the end."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="studio-attacks-"))
        self._open: list[Served] = []
        self._own: list[Served] = []
        self._names = count(1)
        self.at_end = ExitStack()
        """What a class of attacks has open until the end."""

    # --- servers ---

    def serve(
        self, *flags: str, environment: Mapping[str, str] | None = None, own: bool = True, descriptors: int = 0
    ) -> Served:
        """A server; `own`: for one attack alone, ended with it. `descriptors`: how many files it may have open."""
        place = self.folder / f"{next(self._names)}"
        place.mkdir()
        (place / "tmp").mkdir()
        given = {"HF_TOKEN": TOKEN, "TMPDIR": str(place / "tmp"), MARK: str(self.folder), **(environment or {})}
        few = ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh"] if descriptors else []
        served = Served(place / "home", *flags, environment=given, prefix=few)
        self._open.append(served)
        if own:
            self._own.append(served)
        return served

    @cached_property
    def demo(self) -> Served:
        """A public demo, with its usual limits, of an owner who has a Hub token."""
        return self.serve("--demo", own=False)

    @cached_property
    def online_demo(self) -> Served:
        """A public demo that may use the Hub."""
        return self.serve("--demo", environment={"HF_HUB_OFFLINE": "0"}, own=False)

    @cached_property
    def alone(self) -> Served:
        """The studio of one person, without a password."""
        return self.serve(own=False)

    @cached_property
    def locked(self) -> Served:
        """A studio with a password."""
        return self.serve("--host", "0.0.0.0", environment={"STUDIO_PASSWORD": PASSWORD}, own=False)

    @cached_property
    def locked_component(self) -> int:
        """The id of the component with the server function, as somebody who knows the password of `locked` sees it."""
        page = Visitor(self.locked).get("/", cookie=self.cookie).text
        return component_of(config_of(page))

    @cached_property
    def cookie(self) -> str:
        """A session of the studio with a password."""
        answer = Visitor(self.locked).ask("POST", "/login", f"password={PASSWORD.replace(' ', '+')}", **FORM)
        return answer.headers["set-cookie"].split(";")[0]

    # --- people ---

    def visitor(self, served: Served | None = None, address: str = "") -> Visitor:
        """A new visitor of a demo, from an address of their own."""
        return Visitor(served or self.demo, address=address).begin()

    def owner(self) -> Visitor:
        """The person whose studio it is, on their own machine."""
        return Visitor(self.alone, address="127.0.0.1")

    @cached_property
    def anna(self) -> Visitor:
        """A visitor of the demo with rows, whom others attack."""
        anna = self.visitor()
        anna.bring()
        return anna

    @cached_property
    def trained(self) -> tuple[Visitor, str]:
        """A visitor of the demo with a run that was really trained, and its id."""
        who = self.visitor()
        who.acted("model-body", "task", value="chat")
        who.bring()
        for number in range(3):
            who.acted("method-body", "prompt", number=number, value="")
        # one thread: several of them crawl where the cores are shared
        who.start(max_steps="2", watch_share="0", max_length="64", eval_rows="2", threads="1")
        run = who.runs()[0].id
        wait_for(lambda: not who.active(), 240)
        record = who.space.runs.get(run)
        assert record.status == "finished", f"the prepared run is {record.status}: {record.reason}"
        return who, run

    def copy_of_run(self, who: Visitor) -> str:
        """The trained run in another visitor's workspace too, as the studio takes up a folder of a run."""
        giver, run = self.trained
        give_run(giver.space, run, who.space)
        return run

    # --- API servers ---

    @cached_property
    def api(self) -> ApiServer:
        """An API server with the trained run, which needs a key."""
        return self.serve_api()

    @cached_property
    def api_without_key(self) -> ApiServer:
        """An API server that answers programs of this machine without a key."""
        return self.serve_api("--no-key")

    @cached_property
    def api_of_labels(self) -> ApiServer:
        """An API server with a classifier."""
        from studio.api import RunRequest, Studio

        home = self.folder / "api-labels"
        with Studio(home) as studio:
            rows = studio.datasets.open("sample:review-mood")
            settings = {"max_steps": 2, "max_length": 64, "batch_size": 2, "threads": 1}
            run = studio.runs.start(RunRequest(dataset=rows.id, model="starter-classify", settings=settings)).id
            for _ in studio.runs.watch(run):
                pass
        return self.serve_api(home=home, run=run)

    def serve_api(self, *flags: str, home: Path | None = None, run: str = "") -> ApiServer:
        """A server with a run. Without one: with the trained run, copied to a data folder of its own."""
        if home is None:
            home = self.folder / f"api{''.join(flags)}"
            giver, run = self.trained
            give_run(giver.space, run, Home(home).workspace())
        server = ApiServer(home, run, *flags, environment={MARK: str(self.folder)})
        self.at_end.callback(server.stop)
        return server

    # --- converters ---

    @cached_property
    def tools(self) -> Path:
        """The folder of the tools, with the Keras converter in it. It is installed once."""
        from studio.models.conversion.converters import KERAS

        KERAS.install(TOOLS, lambda *_: None, Event())
        return TOOLS

    # --- what a server does meanwhile ---

    def clear(self) -> None:
        """End the servers of one attack."""
        while self._own:
            self.end(self._own.pop())

    def end(self, served: Served) -> None:
        """End one server with all that it started."""
        children = processes_of(served)
        served.stop()
        _kill(children)
        if served in self._open:
            self._open.remove(served)

    def close(self) -> None:
        """End everything, and leave nothing on the disk."""
        self.at_end.close()
        for served in list(self._open):
            with suppress(Exception):
                self.end(served)
        _kill([each for each in psutil.process_iter() if _marked(each, str(self.folder))])
        shutil.rmtree(self.folder, ignore_errors=True)


def give_run(source: Workspace, run: str, target: Workspace) -> None:
    """Copy a run's folder into another workspace and have it listed there."""
    from studio.store import run_folder_import

    folder = target.root / "runs" / run
    if not folder.exists():
        source.runs.describe(run)
        shutil.copytree(source.root / "runs" / run, folder)
        run_folder_import.import_copied_runs(target.db, target.root / "runs", run)


def processes_of(served: Served) -> list[psutil.Process]:
    """Workers and model hosts of a server: they name its home, or it is their parent."""
    found = {}
    with suppress(psutil.Error):
        found = {each.pid: each for each in psutil.Process(served.process.pid).children(recursive=True)}
    for each in psutil.process_iter():
        with suppress(psutil.Error):
            if str(served.home) in each.cmdline() and each.pid != served.process.pid:
                found[each.pid] = each
    return list(found.values())


def _marked(process: psutil.Process, mark: str) -> bool:
    with suppress(psutil.Error, OSError):
        return process.pid != os.getpid() and process.environ().get(MARK) == mark
    return False


def _kill(processes: list[psutil.Process]) -> None:
    for each in processes:
        with suppress(psutil.Error):
            each.kill()
    psutil.wait_procs(processes, timeout=5)


def log_of(served: Served) -> str:
    """All that a server has written down: its output, and its log files."""
    files = [served.log, *sorted((served.home / "logs").glob("*"))]
    return "".join(path.read_text(errors="replace") for path in files if path.is_file())


@contextmanager
def logged(served: Served) -> Iterator[Callable[[], str]]:
    """What is written to the log meanwhile."""
    before = len(log_of(served))
    yield lambda: log_of(served)[before:]


def wait_for(what: Callable[[], Any], seconds: float) -> Any:
    """What it says once that is true, or at last."""
    until = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def time_call(act: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that it took, and what came of it; an error of the line is what came of it."""
    began = time.monotonic()
    try:
        came: Any = act()
    except OSError as error:
        came = error
    return time.monotonic() - began, came


def run_concurrently(acts: list[Callable[[], Any]]) -> list[tuple[float, Any]]:
    """Do all of it at the same time."""
    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(time_call, acts))


def rows_of(path: Path, query: str) -> list[Any]:
    """What a database holds."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        return db.execute(query).fetchall()

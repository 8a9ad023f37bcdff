"""Run the steps of the Dockerfile without a container engine, then start the image offline as its user, and use it.

sudo python3 scripts/image.py [--target cpu] [--build-arg NAME=VALUE] [--bind DIR] [--folder DIR] [--keep]

Each stage is an overlay in one clean folder. At the bottom are this machine's system folders, as hard links, without
/usr/local, compilers and download tools. So paths, users and rights are those of the image; the Python version and the
system's libraries are this machine's. Needs Linux and root.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SYSTEM = ("bin", "etc", "lib", "lib32", "lib64", "libx32", "sbin")
"""Folders of this machine that the stages see, or links into /usr; and the folders of /usr that they see."""
SYSTEM_USR = ("bin", "lib", "lib32", "lib64", "libexec", "libx32", "sbin", "share")
MADE = {
    "dev": 0o755,
    "home": 0o755,
    "opt": 0o755,
    "proc": 0o755,
    "root": 0o700,
    "run": 0o755,
    "sys": 0o755,
    "tmp": 0o1777,
}
MADE |= {"usr/local": 0o755, "var/lib": 0o755, "var/mail": 0o755, "var/tmp": 0o1777}
"""Folders that are empty in the image, and their rights."""
HIDDEN = ("gcc", "g++", "cc", "c++", "clang", "make", "cmake", "git", "curl", "wget", "nvcc", "rustc", "cargo")
"""Programs that python:slim does not have. A step that needs one fails here as it would there."""
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
PASSED_ON = re.compile(r"^(PIP_|SSL_CERT_|REQUESTS_CA_BUNDLE$|CURL_CA_BUNDLE$|(https?|no)_proxy$)", re.IGNORECASE)
"""Variables of this machine that building needs to reach a package index. A running image never has them."""
KNOWN = ("ARG", "CMD", "COPY", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "RUN", "USER", "WORKDIR")
PYTHON = f"python3.{sys.version_info.minor}"
READY_SECONDS = 180.0
STOP_SECONDS = 10.0
"""What `docker stop` waits before it kills."""

ENTER = """
set -eu
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$UPPER,workdir=$WORK" "$MERGED"
for each in proc dev sys; do mount --rbind "/$each" "$MERGED/$each"; done
[ -z "${OWN_PROC:-}" ] || { mount -t proc proc "$MERGED/proc"; ip link set lo up; }
for each in ${BIND:-}; do mkdir -p "$MERGED$each"; mount --bind -o ro "$each" "$MERGED$each"; done
"""
"""A shell prefix in a mount namespace of its own: the stage is at $MERGED until the process ends."""


class ImageError(Exception):
    """A step failed, or the file has something that this script does not know."""


@dataclass
class Step:
    """One instruction: its word in capitals, and the rest of the line."""

    word: str
    rest: str
    line: int


@dataclass
class Stage:
    """`FROM base AS name` with its steps."""

    base: str
    name: str
    steps: list[Step] = field(default_factory=list)

    def last(self, word: str) -> str | None:
        """What the last instruction with this word says, or None."""
        return next((step.rest for step in reversed(self.steps) if step.word == word), None)


def read_stages(text: str) -> dict[str, Stage]:
    """The stages of a Dockerfile by name, in order.

    Raises:
        ImageError: an instruction is unknown, comes before the first FROM, or a FROM has no name.
    """
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    joined, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not (joined or line.strip()):
            continue
        first = first if joined else number
        joined += line.rstrip()
        if joined.endswith("\\"):
            joined = joined[:-1] + " "
            continue
        word, _, rest = joined.strip().partition(" ")
        joined = ""
        if word not in KNOWN:
            raise ImageError(f"Line {first}: unknown instruction {word!r}. Expected one of {', '.join(KNOWN)}.")
        if word == "FROM":
            found = re.fullmatch(r"(\S+) AS (\S+)", rest.strip())
            if not found:
                raise ImageError(f"Line {first}: a stage without a name. Expected: FROM image AS name")
            stage = stages[found[2]] = Stage(found[1], found[2])
        elif stage is None:
            raise ImageError(f"Line {first}: {word} before the first FROM.")
        else:
            stage.steps.append(Step(word, re.sub(r"\s+", " ", rest.strip()) if word != "RUN" else rest.strip(), first))
    return stages


def needed(stages: Mapping[str, Stage], target: str) -> list[Stage]:
    """The target and all stages that it is made from, those first. Raises ImageError for an unknown target."""
    if target not in stages:
        raise ImageError(f"There is no target {target!r}. Expected one of {', '.join(stages)}.")
    order: list[Stage] = []

    def add(stage: Stage) -> None:
        copied = [copy_parts(step.rest)[0] for step in stage.steps if step.word == "COPY"]
        for name in (stage.base, *copied):
            if name in stages:
                add(stages[name])
        if stage not in order:
            order.append(stage)

    add(stages[target])
    return order


def copy_parts(rest: str) -> tuple[str, list[str], str]:
    """The stage that a COPY takes from ("" for the context), its sources and its destination."""
    words = shlex.split(rest)
    source = words.pop(0).partition("=")[2] if words[0].startswith("--from=") else ""
    return source, words[:-1], words[-1]


def copy_context(root: Path, to: Path) -> None:
    """Copy what .dockerignore lets through: `*`, then `!NAME` for what is sent, and `**/NAME` for what is not."""
    lines = [line.strip() for line in (root / ".dockerignore").read_text().splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    sent = [line[1:] for line in lines if line.startswith("!")]
    left_out = [line[3:] for line in lines if line.startswith("**/")]
    if set(lines) != {"*", *(f"!{name}" for name in sent), *(f"**/{name}" for name in left_out)}:
        raise ImageError(".dockerignore has a pattern that this script does not know. Expected: *, !NAME or **/NAME")
    for name in sent:
        source = root / name
        if source.is_dir():
            shutil.copytree(source, to / name, symlinks=True, ignore=shutil.ignore_patterns(*left_out))
        elif source.exists():
            shutil.copy2(source, to / name)


class Builder:
    """Stages as folders below one clean folder: `layers/NAME` holds what the steps of a stage changed."""

    def __init__(self, folder: Path, context: Path, arguments: Mapping[str, str], bind: Sequence[str] = ()) -> None:
        self.folder, self.arguments, self.bind = folder, arguments, " ".join(bind)
        self.context, self.nothing = folder / "context", folder / "nothing"
        self.context.mkdir()
        self.nothing.mkdir()
        copy_context(context, self.context)
        self.layers: dict[str, list[Path]] = {}
        self.variables: dict[str, dict[str, str]] = {}
        self.user: dict[str, str] = {}
        self.place: dict[str, str] = {}
        self._make_base()

    def _make_base(self) -> None:
        """What stands for python:slim: this machine's system files with a Python in /usr/local, and little else."""
        system = self._new_layer("system", [])
        (system / "usr").mkdir()
        for name in (*SYSTEM, *(f"usr/{each}" for each in SYSTEM_USR)):
            _link_system(Path("/") / name, system / name)
        for name, rights in MADE.items():
            (system / name).mkdir(parents=True)
            (system / name).chmod(rights)
        for program in HIDDEN:
            for found in (system / "usr/bin").glob(f"*{program}*"):
                if re.fullmatch(rf"([\w-]+-linux-gnu-)?{re.escape(program)}(-\d+)?", found.name):
                    found.unlink()
        # The links above are files of this machine. So nothing runs in this layer: writing in place would change them.
        layer = self._new_layer("image", [system])
        self.variables["image"], self.user["image"], self.place["image"] = {"PATH": PATH}, "0", "/"
        if sys.base_prefix == "/usr":
            self.inside("image", [f"/usr/bin/{PYTHON}", "-m", "venv", "/usr/local"])
            return
        for library in (system / "usr/lib").glob("*/libpython3*"):
            library.unlink()
        _copy_python(Path(sys.base_prefix), layer / "usr/local")
        self.inside("image", ["ldconfig"])
        self.inside("image", [f"/usr/local/bin/{PYTHON}", "-m", "ensurepip", "--default-pip"])

    def _new_layer(self, name: str, below: list[Path]) -> Path:
        layer = self.folder / "layers" / name
        for made in (layer, self.folder / "work" / name, self.folder / "merged" / name):
            made.mkdir(parents=True)
        self.layers[name] = [layer, *below]
        return layer

    def build(self, stage: Stage) -> None:
        """Carry out the steps of a stage. Raises ImageError with the step that failed."""
        base = stage.base if stage.base in self.layers else "image"
        name = stage.name
        self._new_layer(name, self.layers[base])
        self.variables[name] = dict(self.variables[base])
        self.user[name], self.place[name] = self.user[base], self.place[base]
        arguments: dict[str, str] = {}
        for step in stage.steps:
            began = time.monotonic()
            if step.word in ("RUN", "COPY"):
                print(f"[{name}] {step.word} {step.rest}"[:150], flush=True)
            self._do(name, step, arguments)
            if (spent := time.monotonic() - began) > 1:
                print(f"[{name}] {spent:.0f} s", flush=True)

    def _do(self, name: str, step: Step, arguments: dict[str, str]) -> None:
        variables = self.variables[name]
        if step.word == "ENV":
            pairs = [pair.split("=", 1) for pair in shlex.split(step.rest)]
            before = {**arguments, **variables}
            variables.update({key: string.Template(value).safe_substitute(before) for key, value in pairs})
        elif step.word == "ARG":
            key, _, default = step.rest.partition("=")
            arguments[key] = self.arguments.get(key, default)
        elif step.word == "USER":
            self.user[name] = step.rest
        elif step.word == "WORKDIR":
            self.place[name] = step.rest
            self.inside(name, ["mkdir", "-p", step.rest], place="/")
        elif step.word == "RUN":
            self.inside(name, ["/bin/sh", "-c", step.rest], more=arguments, line=step.line)
        elif step.word == "COPY":
            self._copy(name, step)

    def _copy(self, name: str, step: Step) -> None:
        source, names, to = copy_parts(step.rest)
        if source and source not in self.layers:
            raise ImageError(f"Line {step.line}: there is no stage {source!r} before {name!r}.")
        script = """
if [ -n "$FROM_LOWER" ]; then
    FROM="$MERGED.from"
    mkdir -p "$FROM"
    mount -t overlay overlay -o "ro,lowerdir=$FROM_LOWER" "$FROM"
fi
for each in "$@"; do
    if [ -d "$FROM/$each" ]; then mkdir -p "$TO"; cp -a "$FROM/$each/." "$TO/"
    elif [ -f "$FROM/$each" ]; then cp -a "$FROM/$each" "$TO"
    else echo "$each is not there" >&2; exit 1; fi
done
[ -n "$FROM_LOWER" ] || chown -R 0:0 "$TO"
"""
        target = Path(self.folder / "merged" / name) / str(Path(self.place[name]) / to).lstrip("/")
        given = {
            "FROM_LOWER": _joined([*self.layers[source], self.nothing]) if source else "",
            "FROM": "" if source else str(self.context),
            "TO": str(target) + ("/" if to.endswith("/") else ""),
        }
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", ENTER + script, "sh", *names],
            env={**self._mounting(name), **given},
        )
        if done.returncode:
            raise ImageError(f"Line {step.line}: COPY {step.rest} failed with status {done.returncode}.")

    def _mounting(self, name: str) -> dict[str, str]:
        """The variables that ENTER needs."""
        upper, *below = self.layers[name]
        return {
            "PATH": PATH,
            "LOWER": _joined(below),
            "UPPER": str(upper),
            "WORK": str(self.folder / "work" / name),
            "MERGED": str(self.folder / "merged" / name),
            "BIND": self.bind,
        }

    def inside(
        self,
        name: str,
        command: list[str],
        more: Mapping[str, str] | None = None,
        place: str | None = None,
        line: int = 0,
    ) -> None:
        """Run a command in a stage while it is built. Raises ImageError if it fails."""
        passed = {key: value for key, value in os.environ.items() if PASSED_ON.match(key)}
        variables = {"HOME": "/root", **passed, **self.variables[name], **(more or {})}
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", ENTER + _AS_USER, "sh", *command],
            env={**self._mounting(name), **self._becoming(name, variables, place)},
        )
        if done.returncode:
            where = f"Line {line}: " if line else ""
            raise ImageError(f"{where}{shlex.join(command)} failed with status {done.returncode}.")

    def _becoming(self, name: str, variables: Mapping[str, str], place: str | None = None) -> dict[str, str]:
        """The variables that _AS_USER needs."""
        user = self.user[name]
        return {
            "AS": f"--reuid {user} --regid {user} --clear-groups",
            "PLACE": place or self.place[name],
            "VARIABLES": "\n".join(f"{key}={value}" for key, value in variables.items()),
        }

    def start(self, name: str, command: list[str]) -> "Running":
        """Start the image as `docker run --network none --cap-drop ALL` does."""
        self.bind = ""
        running = f"{name}-running"
        self._new_layer(running, self.layers[name])
        self.variables[running] = {"HOME": "/home/user", **self.variables[name]}
        self.user[running], self.place[running] = self.user[name], self.place[name]
        becoming = self._becoming(running, self.variables[running])
        becoming["AS"] += " --no-new-privs --bounding-set=-all --inh-caps=-all"
        alone = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child"]
        process = subprocess.Popen(
            [*alone, "sh", "-c", ENTER + _AS_USER, "sh", *command],
            env={**self._mounting(running), **becoming, "OWN_PROC": "1"},
        )
        return Running(process, self.layers[running][0], becoming)


_AS_USER = """
[ -n "$MERGED" ] && exec env -i sh -c '
    variables=$1; merged=$2; place=$3; as=$4; shift 4
    while IFS= read -r each; do export "$each"; done <<END
$variables
END
    exec chroot "$merged" setpriv $as sh -c "cd \\"\\$0\\" && exec \\"\\$@\\"" "$place" "$@"
' sh "$VARIABLES" "$MERGED" "$PLACE" "$AS" "$@"
"""
"""After ENTER: become the user, with the variables of the image and no others, and run the command."""


@dataclass
class Running:
    """A started image."""

    process: "subprocess.Popen[bytes]"
    written: Path
    """What was changed on its disk."""
    becoming: dict[str, str]

    @property
    def first(self) -> int:
        """The process that has number 1 inside, as this machine numbers it."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        if not children:
            raise ImageError("The image ended when it started.")
        return int(children[0])

    def inside(self, command: list[str], seconds: float) -> "subprocess.CompletedProcess[str]":
        """What `docker exec` does, with both outputs together. Status 124: it did not end within so many seconds."""
        enter = ["nsenter", "--target", str(self.first), "--mount", "--pid", "--net", "--root"]
        full = [*enter, "sh", "-c", _AS_USER, "sh", *command]
        environment = {"PATH": PATH, "MERGED": "/", **self.becoming}
        both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        try:
            return subprocess.run(full, env=environment, text=True, timeout=seconds, **both)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(full, 124, f"No answer within {seconds:g} s.")

    def stop(self) -> float:
        """What `docker stop` does. Returns the seconds; raises ImageError if it had to be killed."""
        began = time.monotonic()
        os.kill(self.first, signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise ImageError(f"It did not end within {STOP_SECONDS:g} s of SIGTERM.") from None
        return time.monotonic() - began


def _link_system(source: Path, to: Path) -> None:
    """Hard links to the files of a system folder, or copies where links are not possible. A link stays a link.

    /etc is copied: a file there may be written in place.
    """
    if not source.is_dir() or source.is_symlink():
        if source.is_symlink():
            to.symlink_to(os.readlink(source))
        return
    link = os.stat(source).st_dev == os.stat(to.parent).st_dev and source != Path("/etc")
    subprocess.run(["cp", "-al" if link else "-a", str(source), str(to)], check=True)


def _copy_python(prefix: Path, to: Path) -> None:
    """Copy a Python that is not the system's, without the packages that were installed into it."""
    left_out = shutil.ignore_patterns("site-packages", "__pycache__", "test", "*.a")
    shutil.copytree(prefix / "lib" / PYTHON, to / "lib" / PYTHON, symlinks=True, ignore=left_out)
    (to / "lib" / PYTHON / "site-packages").mkdir()
    for library in (prefix / "lib").glob("libpython*"):
        shutil.copy2(library, to / "lib", follow_symlinks=False)
    (to / "bin").mkdir(parents=True)
    shutil.copy2(prefix / "bin" / PYTHON, to / "bin")
    for name in ("python", "python3"):
        (to / "bin" / name).symlink_to(PYTHON)


def _joined(layers: list[Path]) -> str:
    return ":".join(map(str, layers))


def command_of(rest: str | None, what: str) -> list[str]:
    """The command of `CMD [...]`. Raises ImageError if it is not a list."""
    found = re.search(r"\[.*\]$", rest or "")
    if not found:
        raise ImageError(f'{what} has no command as a list. Expected: CMD ["program", "argument"]')
    return list(json.loads(found[0]))


def inherited(stages: Mapping[str, Stage], target: str, word: str) -> str | None:
    """What an instruction says in the target, or in the stage that it is made from."""
    stage: Stage | None = stages[target]
    while stage is not None:
        if (found := stage.last(word)) is not None:
            return found
        stage = stages.get(stage.base)
    return None


def check(running: Running, health: list[str], commands: Sequence[list[str]]) -> None:
    """Wait until it is healthy, run commands in it, stop it, and look at what it wrote. Raises ImageError."""
    began = time.monotonic()
    while (answer := running.inside(health, 30)).returncode:
        if running.process.poll() is not None or time.monotonic() - began > READY_SECONDS:
            raise ImageError(f"It is not healthy after {time.monotonic() - began:.0f} s:\n{answer.stdout[-2000:]}")
        time.sleep(0.5)
    print(f"Healthy after {time.monotonic() - began:.1f} s", flush=True)
    status = Path(f"/proc/{running.first}/status").read_text()
    users = set(re.findall(r"^[UG]id:\t(.*)$", status, re.MULTILINE))
    if users != {"1000\t1000\t1000\t1000"}:
        raise ImageError(f"It does not run as user and group 1000: {users}")
    routes = running.inside(["cat", "/proc/net/route"], 30).stdout
    if len(routes.splitlines()) != 1:  # the heading
        raise ImageError(f"It has a network:\n{routes}")
    print("Runs as user 1000, with no network but loopback", flush=True)
    for command in commands:
        done = running.inside(command, 600)
        if done.returncode:
            raise ImageError(f"{shlex.join(command)} failed with status {done.returncode}:\n{done.stdout[-2000:]}")
        print(f"{shlex.join(command)}: {' '.join(done.stdout.split())[-200:]}", flush=True)
    print(f"Stopped {running.stop():.1f} s after SIGTERM", flush=True)
    strange = [
        file.relative_to(running.written)
        for file in running.written.rglob("*")
        if not file.is_dir() and file.relative_to(running.written).parts[0] not in ("home", "tmp")
    ]
    if strange:
        raise ImageError(f"It wrote outside of /home and /tmp: {', '.join(map(str, strange[:5]))}")


def uses(target: str) -> list[list[str]]:
    """Commands that use the studio in the image: its torch, and a short training without a network."""
    wrong = "is None" if target == "cuda" else "is not None"
    torch = f"import sys, torch; print('torch', torch.__version__); sys.exit(torch.version.cuda {wrong})"
    train = ["studio", "train", "sample:intent-routing", "--model", "starter-classify", "--max-steps", "2"]
    return [["python", "-c", torch], [*train, "--home", "/tmp/check"]]


def main() -> int:
    """Build a target in a clean folder and try it. 1 when a step failed, 2 when this machine can't do it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--target", default="cpu", help="a stage of the Dockerfile; default: cpu")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--bind", action="append", default=[], metavar="DIR", help="a folder that pip may read")
    parser.add_argument("--folder", type=Path, help="an empty folder to build in; default: a temporary one")
    parser.add_argument("--keep", action="store_true", help="do not delete the folder")
    asked = parser.parse_args()
    missing = [name for name in ("unshare", "nsenter", "setpriv", "chroot", "ip") if not shutil.which(name)]
    if not sys.platform.startswith("linux") or os.geteuid() or missing:
        lacks = f" Not found: {', '.join(missing)}." if missing else ""
        print(f"This script mounts folders: it needs Linux and root.{lacks} Expected: sudo python3 {sys.argv[0]}")
        return 2
    folder = Path(asked.folder or tempfile.mkdtemp(prefix="studio-image-")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    running = None
    try:
        if any(folder.iterdir()):
            raise ImageError(f"{folder} is not empty. Expected: a new or an empty folder.")
        stages = read_stages((ROOT / "Dockerfile").read_text())
        order = needed(stages, asked.target)
        builder = Builder(folder, ROOT, dict(each.split("=", 1) for each in asked.build_arg), asked.bind)
        for stage in order:
            builder.build(stage)
        size = subprocess.run(["du", "-sm", builder.layers[asked.target][0]], capture_output=True, text=True)
        print(f"Built {asked.target}: {int(size.stdout.split()[0]):,} MB on top of python:slim", flush=True)
        health = command_of(inherited(stages, asked.target, "HEALTHCHECK"), "HEALTHCHECK")
        running = builder.start(asked.target, command_of(inherited(stages, asked.target, "CMD"), "CMD"))
        check(running, health, uses(asked.target))
        print("The image builds, starts offline as user 1000, trains, and stops.")
        return 0
    except ImageError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if running is not None and running.process.poll() is None:
            running.process.kill()
            running.process.wait()
        if not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

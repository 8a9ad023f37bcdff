"""Build a target of the Dockerfile without a container engine, start it offline as its user, and train in it.

sudo .venv/bin/python scripts/image.py [--target cpu] [--build-arg NAME=VALUE] [--bind DIR] [--folder DIR] [--keep]

Each stage is an overlay file system in one empty folder. Its lowest layer has this machine's system folders, as hard
links, without /usr/local, compilers and download tools. So paths, users and permissions are those of the image. The
Python version and the system libraries are those of this machine. Needs Linux and root.
"""

import argparse
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
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from dockerfile import (
    ImageError,
    Stage,
    Step,
    copy_context,
    inherited_command,
    parse_copy,
    read_stages,
    stages_to_build,
)

ROOT = Path(__file__).resolve().parent.parent
SYSTEM = ("bin", "etc", "lib", "lib32", "lib64", "libx32", "sbin")
SYSTEM_USR = ("bin", "lib", "lib32", "lib64", "libexec", "libx32", "sbin", "share")
"""Folders of this machine that the stages see, and folders of its /usr."""
EMPTY = {"dev": 0o755, "home": 0o755, "opt": 0o755, "proc": 0o755, "root": 0o700, "run": 0o755, "sys": 0o755}
EMPTY |= {"tmp": 0o1777, "usr/local": 0o755, "var/lib": 0o755, "var/mail": 0o755, "var/tmp": 0o1777}
"""Folders that are empty in the base image, and their permissions."""
NOT_IN_SLIM = ("gcc", "g++", "cc", "c++", "clang", "make", "cmake", "git", "curl", "wget", "nvcc", "rustc", "cargo")
"""Programs that python:slim does not have. A step that needs one fails here as it would there."""
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
BUILD_VARIABLES = re.compile(r"^(PIP_|SSL_CERT_|REQUESTS_CA_BUNDLE$|CURL_CA_BUNDLE$|(https?|no)_proxy$)", re.IGNORECASE)
"""Variables of this machine with which pip reaches a package index. The started image does not get them."""
TOOLS = ("unshare", "nsenter", "setpriv", "chroot", "mount", "ip")
PYTHON = f"python3.{sys.version_info.minor}"
READY_SECONDS = 180.0
STOP_SECONDS = 10.0
"""How long `docker stop` waits before it kills."""

MOUNT = """
set -eu
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$UPPER,workdir=$WORK" "$MERGED"
for folder in proc dev sys; do mount --rbind "/$folder" "$MERGED/$folder"; done
[ -z "${OWN_PROC:-}" ] || { mount -t proc proc "$MERGED/proc"; ip link set lo up; }
for folder in ${BIND:-}; do mkdir -p "$MERGED$folder"; mount --bind -o ro "$folder" "$MERGED$folder"; done
"""
"""Shell code for a new mount namespace: the stage is at $MERGED until the process ends."""
RUN_AS_USER = """
exec env -i sh -c '
    variables=$1; merged=$2; workdir=$3; user=$4; shift 4
    while IFS= read -r line; do export "$line"; done <<END
$variables
END
    exec chroot "$merged" setpriv $user sh -c "cd \\"\\$0\\" && exec \\"\\$@\\"" "$workdir" "$@"
' sh "$VARIABLES" "$MERGED" "$WORKDIR" "$RUN_AS" "$@"
"""
"""Shell code after MOUNT: become the user, with the variables of the image and no others, and run the command."""
COPY = """
if [ -n "$FROM_LOWER" ]; then
    FROM="$MERGED.from"
    mkdir -p "$FROM"
    mount -t overlay overlay -o "ro,lowerdir=$FROM_LOWER" "$FROM"
fi
for name in "$@"; do
    if [ -d "$FROM/$name" ]; then mkdir -p "$TO"; cp -a "$FROM/$name/." "$TO/"
    elif [ -f "$FROM/$name" ]; then cp -a "$FROM/$name" "$TO"
    else echo "$name does not exist" >&2; exit 1; fi
done
[ -n "$FROM_LOWER" ] || chown -R 0:0 "$TO"
"""
"""Shell code after MOUNT: copy from another stage, whose layers are in $FROM_LOWER, or from the folder $FROM."""


@dataclass
class Layer:
    """A stage while it is built: its layers, the topmost first, and what its steps have set."""

    layers: list[Path]
    variables: dict[str, str]
    user: str = "0"
    workdir: str = "/"


class Builder:
    """Builds stages below one empty folder: `layers/NAME` holds what the steps of a stage have changed."""

    def __init__(self, folder: Path, context: Path, arguments: Mapping[str, str], bind: Sequence[str] = ()) -> None:
        self.folder, self.arguments, self.bind = folder, arguments, " ".join(bind)
        self.context, self.empty = folder / "context", folder / "empty"
        self.context.mkdir()
        self.empty.mkdir()
        copy_context(context, self.context)
        self.stages: dict[str, Layer] = {}
        self._make_base()

    def _make_base(self) -> None:
        """In place of python:slim: this machine's system files, and a Python in /usr/local."""
        system = self._new_stage("system", Layer([], {"PATH": PATH})).layers[0]
        (system / "usr").mkdir()
        for name in (*SYSTEM, *(f"usr/{folder}" for folder in SYSTEM_USR)):
            _link_system(Path("/") / name, system / name)
        for name, permissions in EMPTY.items():
            (system / name).mkdir(parents=True)
            (system / name).chmod(permissions)
        for program in NOT_IN_SLIM:
            for file in (system / "usr/bin").glob(f"*{program}*"):
                if re.fullmatch(rf"([\w-]+-linux-gnu-)?{re.escape(program)}(-\d+)?", file.name):
                    file.unlink()
        # The layer `system` has links to files of this machine. Nothing runs in it, which could change them.
        base = self._new_stage("base", self.stages["system"]).layers[0]
        if sys.base_prefix == "/usr":
            self.run("base", [f"/usr/bin/{PYTHON}", "-m", "venv", "/usr/local"])
            return
        for library in (system / "usr/lib").glob("*/libpython3*"):
            library.unlink()
        _copy_python(Path(sys.base_prefix), base / "usr/local")
        self.run("base", ["ldconfig"])
        self.run("base", [f"/usr/local/bin/{PYTHON}", "-m", "ensurepip", "--default-pip"])

    def _new_stage(self, name: str, base: Layer) -> Layer:
        layer = self.folder / "layers" / name
        for folder in (layer, self.folder / "work" / name, self.folder / "merged" / name):
            folder.mkdir(parents=True)
        stage = Layer([layer, *base.layers], dict(base.variables), base.user, base.workdir)
        self.stages[name] = stage
        return stage

    def build(self, stage: Stage) -> None:
        """Carry out the steps of a stage. Raises ImageError with the step that failed."""
        self._new_stage(stage.name, self.stages.get(stage.base, self.stages["base"]))
        arguments: dict[str, str] = {}
        for step in stage.steps:
            start = time.monotonic()
            if step.instruction in ("RUN", "COPY"):
                print(f"[{stage.name}] {step.instruction} {step.arguments}"[:150], flush=True)
            self._carry_out(stage.name, step, arguments)
            if (seconds := time.monotonic() - start) > 1:
                print(f"[{stage.name}] {seconds:.0f} s", flush=True)

    def _carry_out(self, name: str, step: Step, arguments: dict[str, str]) -> None:
        stage = self.stages[name]
        if step.instruction == "ENV":
            pairs = [pair.split("=", 1) for pair in shlex.split(step.arguments)]
            before = {**arguments, **stage.variables}
            stage.variables.update({key: string.Template(value).safe_substitute(before) for key, value in pairs})
        elif step.instruction == "ARG":
            key, _, default = step.arguments.partition("=")
            arguments[key] = self.arguments.get(key, default)
        elif step.instruction == "USER":
            stage.user = step.arguments
        elif step.instruction == "WORKDIR":
            self.run(name, ["mkdir", "-p", step.arguments])
            stage.workdir = step.arguments
        elif step.instruction == "RUN":
            self.run(name, ["/bin/sh", "-c", step.arguments], arguments, step.line)
        elif step.instruction == "COPY":
            self._copy(name, step)

    def _copy(self, name: str, step: Step) -> None:
        copy = parse_copy(step.arguments)
        if copy.stage and copy.stage not in self.stages:
            raise ImageError(f"Line {step.line}: there is no stage {copy.stage!r} before {name!r}.")
        to = self.folder / "merged" / name / str(Path(self.stages[name].workdir) / copy.destination).lstrip("/")
        paths = {
            "FROM_LOWER": _joined([*self.stages[copy.stage].layers, self.empty]) if copy.stage else "",
            "FROM": "" if copy.stage else str(self.context),
            "TO": str(to) + ("/" if copy.destination.endswith("/") else ""),
        }
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", MOUNT + COPY, "sh", *copy.sources],
            env={**self._mount_variables(name), **paths},
        )
        if done.returncode:
            raise ImageError(f"Line {step.line}: COPY {step.arguments} failed with status {done.returncode}.")

    def run(self, name: str, command: list[str], arguments: Mapping[str, str] | None = None, line: int = 0) -> None:
        """Run a command in a stage while it is built. Raises ImageError if it fails."""
        passed = {key: value for key, value in os.environ.items() if BUILD_VARIABLES.match(key)}
        stage = self.stages[name]
        variables = {"HOME": "/root", **passed, **stage.variables, **(arguments or {})}
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", MOUNT + RUN_AS_USER, "sh", *command],
            env={**self._mount_variables(name), **_user_variables(stage, variables)},
        )
        if done.returncode:
            where = f"Line {line}: " if line else ""
            raise ImageError(f"{where}{shlex.join(command)} failed with status {done.returncode}.")

    def _mount_variables(self, name: str) -> dict[str, str]:
        """The variables that MOUNT reads."""
        upper, *below = self.stages[name].layers
        return {
            "PATH": PATH,
            "LOWER": _joined(below),
            "UPPER": str(upper),
            "WORK": str(self.folder / "work" / name),
            "MERGED": str(self.folder / "merged" / name),
            "BIND": self.bind,
        }

    def start(self, name: str, command: list[str]) -> "Container":
        """Start the image as `docker run --network none --cap-drop ALL` does."""
        self.bind = ""
        container = self._new_stage(f"{name}-container", self.stages[name])
        variables = _user_variables(container, {"HOME": "/home/user", **container.variables})
        variables["RUN_AS"] += " --no-new-privs --bounding-set=-all --inh-caps=-all"
        isolated = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child"]
        process = subprocess.Popen(
            [*isolated, "sh", "-c", MOUNT + RUN_AS_USER, "sh", *command],
            env={**self._mount_variables(f"{name}-container"), **variables, "OWN_PROC": "1"},
        )
        return Container(process, container.layers[0], variables)


@dataclass
class Container:
    """A started image."""

    process: "subprocess.Popen[bytes]"
    written: Path
    """The layer with the files that it has written."""
    variables: dict[str, str]

    @property
    def pid(self) -> int:
        """The process that has number 1 in the container, as this machine numbers it. Raises ImageError if it ended."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        while self.process.poll() is None:
            if pids := children.read_text().split():
                return int(pids[0])
            time.sleep(0.1)  # it is being started
        raise ImageError(f"The image ended with status {self.process.returncode}.")

    def run(self, command: list[str], seconds: float) -> "subprocess.CompletedProcess[str]":
        """What `docker exec` does; stdout and stderr together. Status 124: it did not end within so many seconds."""
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--net", "--root"]
        full = [*enter, "sh", "-c", RUN_AS_USER, "sh", *command]
        environment = {"PATH": PATH, "MERGED": "/", **self.variables}
        try:
            return subprocess.run(
                full, env=environment, text=True, timeout=seconds, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(full, 124, f"No answer within {seconds:g} s.")

    def stop(self) -> float:
        """What `docker stop` does. Returns the seconds. Raises ImageError if it does not end in time."""
        start = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise ImageError(f"It did not end within {STOP_SECONDS:g} s of SIGTERM.") from None
        return time.monotonic() - start


def _user_variables(stage: Layer, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that RUN_AS_USER reads."""
    return {
        "RUN_AS": f"--reuid {stage.user} --regid {stage.user} --clear-groups",
        "WORKDIR": stage.workdir,
        "VARIABLES": "\n".join(f"{key}={value}" for key, value in variables.items()),
    }


def _link_system(source: Path, to: Path) -> None:
    """Hard links to the files of a system folder, or copies where links are not possible. A link stays a link.

    /etc is copied, since a file there may be written in place.
    """
    if source.is_symlink():
        to.symlink_to(os.readlink(source))
    elif source.is_dir():
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


def check(container: Container, health: list[str], commands: Sequence[list[str]]) -> None:
    """Wait until it is healthy, run commands in it, stop it, and check what it wrote. Raises ImageError."""
    start = time.monotonic()
    while (answer := container.run(health, 30)).returncode:
        if container.process.poll() is not None or time.monotonic() - start > READY_SECONDS:
            raise ImageError(f"It is not healthy after {time.monotonic() - start:.0f} s:\n{answer.stdout[-2000:]}")
        time.sleep(0.5)
    print(f"Healthy after {time.monotonic() - start:.1f} s", flush=True)
    status = Path(f"/proc/{container.pid}/status").read_text()
    users = set(re.findall(r"^[UG]id:\t(.*)$", status, re.MULTILINE))
    if users != {"1000\t1000\t1000\t1000"}:
        raise ImageError(f"It does not run as user and group 1000: {users}")
    routes = [line for line in container.run(["cat", "/proc/net/route"], 30).stdout.splitlines() if "\t" in line]
    if len(routes) != 1:  # the heading
        raise ImageError("It has a network:\n" + "\n".join(routes))
    print("Runs as user 1000, with no network but loopback", flush=True)
    for command in commands:
        done = container.run(command, 600)
        if done.returncode:
            raise ImageError(f"{shlex.join(command)} failed with status {done.returncode}:\n{done.stdout[-2000:]}")
        print(f"{shlex.join(command)}: {' '.join(done.stdout.split())[-200:]}", flush=True)
    print(f"Stopped {container.stop():.1f} s after SIGTERM", flush=True)
    files = [file.relative_to(container.written) for file in container.written.rglob("*") if not file.is_dir()]
    elsewhere = [str(file) for file in files if file.parts[0] not in ("home", "tmp")]
    if elsewhere:
        raise ImageError(f"It wrote outside of /home and /tmp: {', '.join(elsewhere[:5])}")


def commands_to_try(target: str) -> list[list[str]]:
    """Commands that use the studio in the image: its torch, and a short training without a network."""
    wrong = "is None" if target == "cuda" else "is not None"
    torch = f"import sys, torch; print('torch', torch.__version__); sys.exit(torch.version.cuda {wrong})"
    train = ["studio", "train", "sample:intent-routing", "--model", "starter-classify", "--max-steps", "2"]
    return [["python", "-c", torch], [*train, "--home", "/tmp/check"]]


def main() -> int:
    """Build a target in an empty folder and try it. 1 when a step failed, 2 when this machine can't do it."""
    parser = argparse.ArgumentParser(description="Build and try an image without a container engine")
    parser.add_argument("--target", default="cpu", help="a stage of the Dockerfile; default: cpu")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--bind", action="append", default=[], metavar="DIR", help="a folder that pip may read")
    parser.add_argument("--folder", type=Path, help="an empty folder to build in; default: a temporary one")
    parser.add_argument("--keep", action="store_true", help="do not delete the folder")
    options = parser.parse_args()
    missing = [name for name in TOOLS if not shutil.which(name)]
    if not sys.platform.startswith("linux") or os.geteuid() or missing:
        not_found = f" Not found: {', '.join(missing)}." if missing else ""
        print(f"This script mounts folders: it needs Linux and root.{not_found} Expected: sudo python3 {sys.argv[0]}")
        return 2
    folder = Path(options.folder or tempfile.mkdtemp(prefix="studio-image-")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):  # before the block that deletes the folder
        print(f"{folder} is not empty. Expected: a new or an empty folder.", file=sys.stderr)
        return 1
    container = None
    try:
        stages = read_stages((ROOT / "Dockerfile").read_text())
        order = stages_to_build(stages, options.target)
        builder = Builder(folder, ROOT, dict(pair.split("=", 1) for pair in options.build_arg), options.bind)
        for stage in order:
            builder.build(stage)
        size = subprocess.run(["du", "-sm", builder.stages[options.target].layers[0]], capture_output=True, text=True)
        print(f"Built {options.target}: {int(size.stdout.split()[0]):,} MB on top of python:slim", flush=True)
        container = builder.start(options.target, inherited_command(stages, options.target, "CMD"))
        check(container, inherited_command(stages, options.target, "HEALTHCHECK"), commands_to_try(options.target))
        print("The image builds, starts offline as user 1000, trains, and stops.")
        return 0
    except ImageError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if container is not None and container.process.poll() is None:
            os.kill(container.pid, signal.SIGKILL)  # with it, all processes of the container end
            container.process.wait()
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

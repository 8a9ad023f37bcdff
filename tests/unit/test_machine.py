"""What this machine has, and what a run would take of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from studio.machine import facts
from studio.machine.doctor import check_machine
from studio.machine.environment import child_environment
from studio.machine.facts import MachineFacts, disk_free, machine_facts, parse_gpu
from studio.machine.limits import cpu_quota, memory_limit, oom_kills
from studio.machine.memory import peak_memory
from studio.models import find_model
from studio.schema.config import TrainingConfig
from studio.training.planning.memory_model import RowFacts, estimate_memory

ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="affinity and /proc are Linux's")


def put(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_the_facts_are_those_of_this_machine() -> None:
    facts = machine_facts()
    assert 1 <= facts.cores <= (os.cpu_count() or 1)
    assert 0 < facts.memory_available <= facts.memory_total
    assert facts.disk_free > 0
    assert f"{facts.cores} core" in facts.sentence()


def test_the_facts_and_the_doctor_import_no_torch_and_are_quick() -> None:
    program = (
        "import sys, time; start = time.perf_counter()\n"
        "from studio.machine.doctor import check_machine; check_machine()\n"
        "print('torch' in sys.modules, time.perf_counter() - start)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    has_torch, seconds = done.stdout.split()
    assert has_torch == "False" and float(seconds) < 3


def test_a_limit_of_a_container_is_kept_in_both_kinds_of_cgroup(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/pod/box\n")
    put(
        tmp_path / "two",
        {
            "pod/cpu.max": "150000 100000\n",
            "pod/box/cpu.max": "max 100000\n",
            "pod/box/memory.max": "4000000000\n",
            "pod/box/memory.current": "1500000000\n",
            "pod/box/memory.stat": "anon 5\ninactive_file 500000000\n",
            "pod/memory.max": "max\n",
        },
    )
    assert cpu_quota(tmp_path / "two", own) == 1.5
    assert memory_limit(tmp_path / "two", own) == (4_000_000_000, 3_000_000_000)
    own.write_text("5:cpuacct,cpu:/box\n4:memory:/box\n0::/\n")
    put(
        tmp_path / "one",
        {
            "cpu/box/cpu.cfs_quota_us": "200000\n",
            "cpu/box/cpu.cfs_period_us": "100000\n",
            "memory/box/memory.limit_in_bytes": "2000000000\n",
            "memory/box/memory.usage_in_bytes": "500000000\n",
            "memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert cpu_quota(tmp_path / "one", own) == 2
    assert memory_limit(tmp_path / "one", own) == (2_000_000_000, 1_500_000_000)


def test_file_pages_of_the_groups_below_count_as_free_in_the_older_kind_too(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "own": "4:memory:/pod\n",
            "memory/pod/memory.limit_in_bytes": "4000000000\n",
            "memory/pod/memory.usage_in_bytes": "3500000000\n",
            "memory/pod/memory.stat": "inactive_file 0\ntotal_inactive_file 3000000000\n",
        },
    )
    assert memory_limit(tmp_path, tmp_path / "own")[1] == 3_500_000_000


def test_no_cgroup_means_no_limit(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    assert cpu_quota(nothing, nothing) is None
    assert memory_limit(nothing, nothing) == (None, None)


def test_what_the_kernel_killed_for_memory_is_counted_in_the_nearest_group_that_counts(tmp_path: Path) -> None:
    own, whole = tmp_path / "own", tmp_path / "vmstat"
    own.write_text("0::/pod/box\n")
    whole.write_text("pgfault 12\noom_kill 9\n")
    put(tmp_path / "two", {"pod/box/memory.events": "oom 7\noom_kill 3\n", "pod/memory.events": "oom_kill 8\n"})
    assert oom_kills(tmp_path / "two", own, whole) == 3
    own.write_text("4:memory:/box\n0::/\n")
    put(tmp_path / "one", {"memory/box/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"})
    assert oom_kills(tmp_path / "one", own, whole) == 5
    nothing = tmp_path / "nothing"
    assert oom_kills(nothing, nothing, whole) == 9 and oom_kills(nothing, nothing, nothing) == 0


def test_a_line_of_nvidia_smi_is_read() -> None:
    gpu = parse_gpu("NVIDIA L4, 23034, 22500")
    assert gpu is not None and gpu.name == "NVIDIA L4" and gpu.memory_total == 23034 << 20
    assert parse_gpu("[N/A], [N/A], [N/A]") is None and parse_gpu("") is None


@pytest.mark.parametrize(
    ("visible", "names"),
    [(None, ["A", "B", "C"]), ("1", ["B"]), ("2, 0", ["C", "A"]), ("7", []), ("-1", []), ("GPU-5", ["A", "B", "C"])],
)
def test_gpus_that_a_person_hides_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, names: list[str]
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf 'A, 1000, 900\\nB, 2000, 1900\\nC, 3000, 2900\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv(facts.GPU_OF_RUNS, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    facts._gpus.cache_clear()
    try:
        assert [gpu.name for gpu in facts._gpus()] == names
    finally:
        facts._gpus.cache_clear()


def test_a_gpu_is_what_a_run_fits_in() -> None:
    gpu = parse_gpu("NVIDIA L4, 1000, 900")
    assert gpu is not None
    facts = MachineFacts(cores=2, memory_total=1 << 30, memory_available=1 << 29, disk_free=0)
    assert facts.training_memory == 1 << 30 and "no GPU" in facts.sentence()
    with_gpu = MachineFacts(cores=2, memory_total=1 << 30, memory_available=1 << 29, disk_free=0, gpus=(gpu,))
    assert with_gpu.training_memory == 1000 << 20 and "NVIDIA L4" in with_gpu.sentence()


def test_room_is_told_for_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert disk_free(tmp_path / "not" / "yet") > 0


def test_the_doctor_asks_for_nothing_optional(tmp_path: Path) -> None:
    checks = {check.name: check for check in check_machine(tmp_path / "home")}
    assert {"python", "memory", "disk", "cores", "libraries", "gpu", "4-bit"} <= set(checks)
    assert not checks["gpu"].needed and not checks["4-bit"].needed
    assert checks["libraries"].ok and "torch" in checks["libraries"].detail
    assert all(check.ok or check.fix for check in checks.values())


def test_a_home_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    disk = next(check for check in check_machine(tmp_path / "file" / "home") if check.name == "disk")
    assert not disk.ok and str(tmp_path / "file") in disk.fix and "--home" in disk.fix


@ON_LINUX
def test_the_peak_rises_with_use_and_stays() -> None:
    program = (
        "from studio.machine.memory import peak_memory\n"
        "before = peak_memory(); block = bytearray(200_000_000); high = peak_memory(); del block\n"
        "print(high - before > 190_000_000, peak_memory() > high - 20_000_000)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


@ON_LINUX
def test_children_count_and_the_dead_do_not() -> None:
    alone = peak_memory()
    child = subprocess.Popen(
        [sys.executable, "-c", "block = bytearray(100_000_000); print(1, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        assert child.stdout is not None and child.stdout.readline() == b"1\n"
        assert peak_memory() > alone + 90_000_000
        assert peak_memory([child.pid]) > 90_000_000
        child.communicate(b"\n")
    assert peak_memory([child.pid]) == 0


@ON_LINUX
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="this machine has one core only")
@pytest.mark.usefixtures("cores")
def test_a_run_gives_up_its_last_core_with_all_its_threads_and_takes_it_back() -> None:
    program = (
        "import os, threading\n"
        "stop = threading.Event(); threading.Thread(target=stop.wait).start()\n"
        "def masks(): return {frozenset(os.sched_getaffinity(int(t))) for t in os.listdir('/proc/self/task')}\n"
        "from studio.machine.cores import give_up_core, take_back, use_all_cores, use_one_core\n"
        "whole = frozenset(os.sched_getaffinity(0))\n"
        "assert give_up_core(); assert masks() == {whole - {max(whole)}}, masks()\n"
        "assert os.environ['OMP_NUM_THREADS'] == str(len(whole) - 1)\n"
        "take_back(); assert masks() == {whole}\n"
        "use_one_core(); use_one_core(); assert masks() == {frozenset({max(whole)})}\n"
        "assert os.environ['OMP_NUM_THREADS'] == '1'\n"
        "use_all_cores(); assert masks() == {whole}\n"
        "stop.set()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@ON_LINUX
def test_a_single_core_is_never_given_up() -> None:
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from studio.machine.cores import give_up_core; print(give_up_core())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# Peaks measured on two cores with torch 2.13 (MiB) by benchmarks/memory.py, the full ones by a plain trainer: method,
# precision, batch, length, share learned, gradient checkpointing.
MEASURED_CLASSIFYING = [
    ("full", "float32", 16, 128, 1522),
    ("full", "float32", 16, 256, 2651),
    ("full", "float32", 32, 64, 1407),
    ("lora", "bfloat16", 16, 128, 1260),
]
MEASURED = [
    ("lora", "bfloat16", 2, 128, 0.9, False, 1315),
    ("lora", "bfloat16", 4, 256, 0.9, False, 1934),
    ("lora", "bfloat16", 4, 512, 0.9, False, 2741),
    ("lora", "bfloat16", 4, 512, 0.9, True, 1395),
    ("lora", "float32", 2, 256, 0.9, False, 2097),
    ("dora", "bfloat16", 2, 256, 0.9, False, 1815),
    ("prompt-tuning", "bfloat16", 4, 256, 0.9, False, 1706),
    ("full", "float32", 2, 256, 0.9, False, 3492),
    ("full", "float32", 2, 128, 1.0, False, 3216),
    ("full", "float32", 4, 256, 1.0, True, 3002),
]


@pytest.mark.parametrize(("method", "precision", "batch", "length", "share", "twice", "peak"), MEASURED)
def test_the_estimate_is_near_what_was_measured(
    method: str, precision: str, batch: int, length: int, share: float, twice: bool, peak: int
) -> None:
    values = {"method": method, "precision": precision, "batch_size": batch, "max_length": length}
    config = TrainingConfig(task="chat", model="starter-chat", gradient_checkpointing=twice, **values)  # type: ignore[arg-type]
    estimate = estimate_memory(find_model("starter-chat"), config, RowFacts(learned_share=share)) / 2**20
    assert 0.95 * peak < estimate < 1.15 * peak


@pytest.mark.parametrize(("method", "precision", "batch", "length", "peak"), MEASURED_CLASSIFYING)
def test_the_estimate_is_near_for_an_encoder_too(
    method: str, precision: str, batch: int, length: int, peak: int
) -> None:
    values = {"method": method, "precision": precision, "batch_size": batch, "max_length": length}
    config = TrainingConfig(task="classification", model="starter-classify", **values)  # type: ignore[arg-type]
    estimate = estimate_memory(find_model("starter-classify"), config, RowFacts(labels=4)) / 2**20
    assert 0.95 * peak < estimate < 1.3 * peak


def test_four_bits_take_a_third_of_the_weights() -> None:
    info = find_model("starter-chat")
    config = TrainingConfig(task="chat", model="starter-chat")
    saved = estimate_memory(info, config) - estimate_memory(info, config.model_copy(update={"method": "qlora"}))
    assert 0.5 * 269e6 < saved < 0.7 * 269e6


def test_short_rows_and_few_labels_need_less() -> None:
    info = find_model("starter-classify")
    config = TrainingConfig(task="classification", model="starter-classify", method="full", precision="float32")
    whole = estimate_memory(info, config, RowFacts(labels=4))
    assert (
        estimate_memory(info, config, RowFacts(labels=4, longest=40))
        < whole
        < estimate_memory(info, config, RowFacts(labels=4_000))
    )


def test_threads_of_a_child_spin_less_where_the_machine_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = os.cpu_count() or 1
    monkeypatch.setattr(os, "getloadavg", lambda: (0.2 * cores, 0.0, 0.0))
    assert "GOMP_SPINCOUNT" not in child_environment(False, {})
    monkeypatch.setattr(os, "getloadavg", lambda: (0.9 * cores, 0.0, 0.0))
    assert child_environment(True, {})["GOMP_SPINCOUNT"] == "1000"
    assert child_environment(False, {"GOMP_SPINCOUNT": "7"})["GOMP_SPINCOUNT"] == "7", "a person's own choice stays"

"""Several processes for one run: who reads which rows, what each would hold, and what can't be, all at once."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.machine.deepspeed import why_no_deepspeed, why_no_nvme
from studio.machine.facts import Gpu, MachineFacts
from studio.schema.config import Plan, TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.models import Estimate, ProcessMemory
from studio.schema.requests import RunRequest
from studio.schema.runs import RunSpec
from studio.schema.settings_check import config_from
from studio.tasks import task_named
from studio.training.batching.sampler import (
    DistributedBatchSampler,
    OrderedSampler,
    batches_of_process,
    batches_per_epoch,
    evaluation_batches,
    row_order,
)
from studio.training.distributed.processes import deepspeed_config
from studio.training.loop.checkpoints import Checkpoints, TrainingProgress
from studio.training.planning import parallelism
from studio.training.planning.estimate import estimate
from studio.training.planning.eval_schedule import steps_per_epoch
from studio.training.planning.memory_fit import fit
from studio.training.planning.plan_facts import PlanFacts, per_process
from studio.training.planning.presets import PlanRequest, make_plan
from studio.training.planning.setting_checks import check_settings, row_problems
from studio.ui.components.processes import processes_panel
from studio.ui.components.settings import SettingsView, settings_panel
from tests.model_facts import MACHINE, MODEL

GPUS = replace(MACHINE, gpus=(Gpu("G", 2**34, 2**34),) * 4)
FACTS = PlanFacts(400, 340, 40, 0, [100] * 340, 0.6, 128)
CASES = [case for case in product(range(1, 34), range(1, 5), range(1, 5)) if case[0] >= case[2]]


def settings(**changes: Any) -> dict[str, Any]:
    return {"task": "chat", "model": "m", **changes}


def wrong(machine: MachineFacts = MACHINE, **changes: Any) -> dict[str, str]:
    """Field → what is said of it."""
    with pytest.raises(StudioError) as caught:
        check_settings(MODEL, machine, settings(**changes))
    return {each.field: each.message for each in caught.value.all()}


# --- rows ---


@pytest.mark.parametrize("grouped", [True, False])
def test_together_they_read_the_batch_that_one_process_reads_with_as_many_rows_at_once(grouped: bool) -> None:
    lengths = [(37 * n) % 91 + 5 for n in range(67)]
    whole = row_order(lengths, 6, 42, 1, grouped)
    one = [whole[at : at + 6] for at in range(0, len(whole), 6)]
    parts = []
    for number in range(3):
        sampler = DistributedBatchSampler(OrderedSampler(lengths, 6, 42, grouped), 2, 3, number, False)
        sampler.set_epoch(1)
        parts.append(list(sampler))
        assert len(sampler) == len(one) - 1, "the one row that is left joins the batch before"
    together_ = [[row for part in step for row in part] for step in zip(*parts, strict=True)]
    assert together_[:-1] == one[:-2] and together_[-1] == one[-2] + one[-1]


def test_each_row_is_read_once_a_pass_and_no_process_is_without_one() -> None:
    for rows, size, processes in CASES:
        parts = [batches_of_process(range(rows), size, processes, number) for number in range(processes)]
        assert {len(part) for part in parts} == {batches_per_epoch(rows, size, processes)}
        assert all(batch for part in parts for batch in part)
        assert [row for step in zip(*parts, strict=True) for batch in step for row in batch] == list(range(rows))


def test_where_all_must_have_alike_many_only_rows_that_can_t_be_shared_wait_for_the_next_pass() -> None:
    for rows, size, processes in CASES:
        parts = [
            batches_of_process(range(rows), size, processes, number, drop_remainder=True) for number in range(processes)
        ]
        assert all(len({len(batch) for batch in step}) == 1 for step in zip(*parts, strict=True))
        assert sum(len(batch) for part in parts for batch in part) == rows - rows % processes


def test_a_check_looks_at_each_row_once_in_order_and_says_what_fills_up() -> None:
    for rows, size, processes in CASES:
        parts = [evaluation_batches(rows, size, processes, number) for number in range(processes)]
        steps = list(zip(*(batches for batches, _ in parts), strict=True))
        assert all(len({len(batch) for batch in step}) == 1 for step in steps), "so that they can be put together"
        seen = [row for step in steps for batch in step for row in batch]
        assert seen[:rows] == list(range(rows)) and len(seen) - rows == sum(spare for _, spare in parts)


def test_steps_are_counted_as_they_are_taken() -> None:
    config = TrainingConfig(task="chat", model="m", batch_size=2, processes=3, gradient_accumulation=2)
    assert (config.together, config.rows_a_step) == (6, 12)
    assert [steps_per_epoch(rows, config) for rows in (12, 13, 15, 67)] == [1, 1, 2, 6]
    assert steps_per_epoch(67, config.model_copy(update={"processes": 1, "batch_size": 6})) == 6


# --- what can't be ---


def test_what_is_at_odds_is_told_all_at_once_each_at_its_field() -> None:
    found = wrong(zero=2, offload="nvme", processes=9, learning_rate=7)
    assert set(found) == {"offload", "processes", "learning_rate"}
    assert "Each process needs its own core" in found["processes"] and "up to 4" in found["processes"]
    assert "Only ZeRO-3" in found["offload"]


def test_zero_with_one_process_is_refused_with_what_would_be_right() -> None:
    assert wrong(zero=3)["zero"] == (
        "ZeRO shards a run over several processes, but this run has only one. Given: ZeRO-3 with 1 process. "
        "Expected: 2 processes or more, or zero 0."
    )


def test_what_no_zero_shares_out_can_t_be_held_elsewhere() -> None:
    assert "Only data that ZeRO shards" in wrong(processes=2, offload="cpu")["offload"]


@pytest.mark.slow
def test_the_disk_is_offered_only_where_deepspeed_can_write_to_it() -> None:
    values = settings(processes=2, zero=3, offload="nvme")
    if why := why_no_nvme():
        assert why in wrong(processes=2, zero=3, offload="nvme")["offload"]
    else:
        check_settings(MODEL, MACHINE, values)


@pytest.mark.parametrize(
    ("zero", "offload", "parts"),
    [
        (2, "cpu", {"offload_optimizer"}),
        (3, "cpu", {"offload_optimizer", "offload_param"}),
        (3, "nvme", {"offload_optimizer", "offload_param"}),
        (3, "none", set()),
    ],
)
def test_what_is_held_elsewhere_is_held_where_it_was_asked_and_on_the_disk_in_the_runs_own_folder(
    zero: int, offload: str, parts: set[str], tmp_path: Path
) -> None:
    config = config_from(settings(processes=2, zero=zero, offload=offload))
    told = deepspeed_config(config, False, tmp_path / "swapped")["zero_optimization"]
    assert {name for name in told if name.startswith("offload")} == parts
    for part in parts:
        assert told[part]["device"] == offload
        assert told[part].get("nvme_path") == (str(tmp_path / "swapped") if offload == "nvme" else None)


@pytest.mark.skipif(bool(why_no_deepspeed()), reason="DeepSpeed is not here")
def test_methods_and_optimizers_that_zero_can_t_take_are_told() -> None:
    for method in ("dora", "ia3"):
        assert "precision float32, or zero 0" in wrong(processes=2, zero=2, method=method)["zero"]
        check_settings(MODEL, MACHINE, settings(processes=2, zero=2, method=method, precision="float32"))
        check_settings(MODEL, MACHINE, settings(processes=2, method=method))
    assert "does not support" in wrong(processes=2, zero=1, optimizer="adafactor", precision="float32")["optimizer"]
    check_settings(MODEL, MACHINE, settings(processes=2, optimizer="adafactor", precision="float32"))


def test_a_machine_without_deepspeed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallelism, "why_no_deepspeed", lambda: "DeepSpeed is not installed. Install it so.")
    assert "Install it so." in wrong(processes=2, zero=2)["zero"]
    check_settings(MODEL, MACHINE, settings(processes=2))
    assert set(parallelism.unavailable_zero_stages(MACHINE)) == {"1", "2", "3"}
    assert parallelism.unavailable_offload(MACHINE) == dict.fromkeys(
        ["cpu", "nvme"], "DeepSpeed is not installed. Install it so."
    )


def test_where_there_is_one_place_nothing_of_zero_is_on_offer() -> None:
    one_gpu = replace(MACHINE, gpus=(Gpu("G", 2**34, 2**34),))
    for machine, place in ((replace(MACHINE, cores=1), "core"), (one_gpu, "GPU")):
        off = {**parallelism.unavailable_zero_stages(machine), **parallelism.unavailable_offload(machine)}
        assert set(off) == {"1", "2", "3", "cpu", "nvme"}
        assert all(f"This machine has one {place}" in why for why in off.values())


@pytest.mark.skipif(bool(why_no_deepspeed()), reason="DeepSpeed is not here")
def test_the_disk_is_greyed_with_the_reason_once_deepspeed_has_answered_and_nobody_waits_for_it() -> None:
    why = why_no_nvme()
    assert parallelism.unavailable_offload(MACHINE) == ({"nvme": why} if why else {})
    why_no_nvme.cache_clear()
    assert parallelism.unavailable_offload(MACHINE) == {}


@pytest.mark.skipif(bool(why_no_deepspeed()), reason="DeepSpeed is not here")
def test_only_the_disk_needs_a_compiler_and_says_when_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    why_no_nvme.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not why_no_deepspeed()
    assert "Install g++" in why_no_nvme()
    why_no_nvme.cache_clear()


def test_with_gpus_each_process_needs_one_of_them() -> None:
    one = replace(MACHINE, gpus=(Gpu("G", 2**34, 2**34),))
    with pytest.raises(StudioError, match="needs its own GPU, and this machine has only one"):
        check_settings(MODEL, one, settings(processes=2))


def test_fewer_rows_than_are_read_at_once_are_refused_at_the_processes() -> None:
    config = TrainingConfig(task="chat", model="m", batch_size=2, processes=4)
    few = replace(FACTS, rows=8, train_rows=7)
    problem = next(each for each in row_problems(config, few, {}) if each.field == "processes")
    assert "4 processes with 2 rows each, 7 training rows" in problem.message
    assert not [each for each in row_problems(config, FACTS, {}) if each.field == "processes"]


def test_numbers_may_be_typed_and_others_are_refused() -> None:
    assert config_from(settings(zero="2", processes="2")).zero == 2
    with pytest.raises(StudioError, match="0, 1, 2, 3"):
        config_from(settings(zero="4"))


# --- FSDP ---


def test_fsdp_is_for_several_gpus_and_says_so_elsewhere() -> None:
    one = replace(MACHINE, gpus=(Gpu("G", 2**34, 2**34),))
    assert "This machine has one GPU" in wrong(one, fsdp=True, processes=1)["fsdp"]
    assert "share one memory" in wrong(fsdp=True, processes=2)["fsdp"]
    assert (
        "share one memory" in parallelism.unavailable_fsdp(MACHINE)["True"] and parallelism.unavailable_fsdp(GPUS) == {}
    )
    check_settings(MODEL, GPUS, settings(fsdp=True, processes=4))


def test_what_fsdp_can_t_take_is_told_all_at_once_each_at_its_field() -> None:
    assert "has only one" in wrong(GPUS, fsdp=True)["fsdp"]
    found = wrong(GPUS, fsdp=True, processes=4, zero=2, precision="float16", method="full", optimizer="adafactor")
    assert "both shard the weights" in found["fsdp"] and "bfloat16 or float32" in found["precision"]
    assert "a part of every weight" in found["optimizer"] and "adamw, sgd, rmsprop, adagrad" in found["optimizer"]
    assert "quantized base model" in wrong(GPUS, fsdp=True, processes=4, method="qlora")["fsdp"]
    assert "Only data that ZeRO shards" in wrong(GPUS, fsdp=True, processes=4, offload="cpu")["offload"]


def test_in_float16_only_an_adapter_is_trained() -> None:
    for method in ("full", "last-layers"):
        assert wrong(GPUS, method=method, precision="float16").keys() == {"precision"}
    check_settings(MODEL, GPUS, settings(method="lora", precision="float16"))


def test_an_adapter_under_fsdp_takes_what_zero_can_t() -> None:
    for changes in ({"method": "dora"}, {"method": "ia3"}, {"optimizer": "adafactor", "precision": "float32"}):
        told = " ".join(wrong(GPUS, processes=4, zero=2, **changes).values())
        assert "fsdp instead" in told or why_no_deepspeed()
        check_settings(MODEL, GPUS, settings(processes=4, fsdp=True, **changes))
    assert "fsdp" not in wrong(processes=2, zero=2, method="dora")["zero"], "not on a processor"


def test_without_deepspeed_several_gpus_are_told_of_fsdp_and_make_it_fit_takes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parallelism, "why_no_deepspeed", lambda: "DeepSpeed is not installed. Install it so.")
    assert "or fsdp instead" in wrong(GPUS, processes=2, zero=2)["zero"]
    config = TrainingConfig(task="chat", model="m", method="full", precision="float32", processes=4, batch_size=1)
    alone, *_, shared = per_process(config, MODEL, FACTS, GPUS)
    small = replace(MACHINE, gpus=(Gpu("G", 2 * shared.process_bytes, 2 * shared.process_bytes),) * 4)
    assert alone.process_bytes > 2 * shared.process_bytes
    asked = PlanRequest(task_named("chat"), MODEL, "balanced", FACTS, small)
    method, values, changes = fit(
        asked, "full", {"processes": 4, "precision": "float32", "batch_size": 1, "gradient_checkpointing": True}
    )
    assert (method, values["fsdp"], values["zero"]) == ("full", True, 0)
    assert "FSDP instead of Data parallel" in changes[-1].sentence


@pytest.mark.skipif(bool(why_no_deepspeed()), reason="DeepSpeed is not here")
def test_with_deepspeed_one_stage_after_the_other_is_tried_and_fsdp_where_zero_can_t_be() -> None:
    config = TrainingConfig(task="chat", model="m", processes=4)
    ways = []
    while (way := parallelism.next_strategy(config, GPUS)) is not None:
        ways.append(way.title)
        config = config.model_copy(update=way.settings)
    assert ways == ["ZeRO-1", "ZeRO-2", "ZeRO-3"]
    way = parallelism.next_strategy(TrainingConfig(task="chat", model="m", processes=4, method="dora"), GPUS)
    assert way is parallelism.FSDP
    assert parallelism.next_strategy(config.model_copy(update=way.settings), GPUS) is None


def test_under_fsdp_a_gpu_holds_a_part_of_a_whole_models_numbers_and_all_of_an_adapters() -> None:
    for method, parted in (("full", True), ("lora", False)):
        config = TrainingConfig(task="chat", model="m", method=method, precision="float32", processes=4, batch_size=1)
        lines = {line.way: line.process_bytes for line in per_process(config, MODEL, FACTS, GPUS)}
        assert (lines["FSDP"] < 0.6 * lines["Data parallel"]) == parted
        assert lines["FSDP"] < lines["Data parallel"]


# --- plan and estimate ---


def planned(**changes: Any) -> tuple[Plan, Estimate]:
    plan = make_plan(
        PlanRequest(task_named("chat"), MODEL, "balanced", FACTS, MACHINE), changes.pop("method", "lora"), changes
    )
    return plan, estimate(plan, MODEL, FACTS, MACHINE)


def test_several_processes_share_the_rows_that_one_would_read_at_once() -> None:
    alone, several = planned(), planned(processes=2)
    assert alone[0].config.batch_size == 2 * several[0].config.batch_size == several[0].config.together
    assert alone[1].effective_batch_size == several[1].effective_batch_size and alone[1].steps == several[1].steps
    assert any("in each of 2 processes" in why for why in several[0].because)


def test_memory_by_process_falls_with_each_stage_and_the_chosen_one_is_marked() -> None:
    lines = planned(processes=4, zero=2, method="full", precision="float32")[1].per_process
    assert [line.way for line in lines] == ["One process", "Data parallel", "ZeRO-1", "ZeRO-2", "ZeRO-3", "FSDP"]
    assert [line.processes for line in lines] == [1, 4, 4, 4, 4, 4]
    assert "several GPUs" in lines[-1].unavailable_reason
    each = [line.process_bytes for line in lines[1:]]
    assert each[0] > each[1] > each[2] and each[3] > each[2], "on a processor all weights are loaded beside the part"
    assert [line.way for line in lines if line.chosen] == ["ZeRO-2"]
    assert all(line.memory_bytes > 4 * line.process_bytes for line in lines[1:])


def test_on_gpus_each_stage_takes_less_of_each() -> None:
    config = TrainingConfig(task="chat", model="m", method="full", precision="float32", processes=4, batch_size=1)
    lines = per_process(config, MODEL, FACTS, GPUS)
    each = [line.process_bytes for line in lines[1:-1]]
    assert each == sorted(each, reverse=True) and len(set(each)) == 4
    assert all(line.memory_bytes == line.process_bytes for line in lines), "of the fullest GPU"


def test_the_estimate_of_several_processes_is_of_all_of_them() -> None:
    found = planned(processes=2)[1]
    line = next(line for line in found.per_process if line.chosen)
    assert found.memory_bytes == line.memory_bytes > planned()[1].memory_bytes


def test_what_does_not_fit_in_several_processes_is_first_tried_in_one() -> None:
    needed = planned(processes=2)[1].memory_bytes
    small = replace(MACHINE, memory_available=needed)
    asked = PlanRequest(task_named("chat"), MODEL, "balanced", FACTS, small)
    _, values, changes = fit(asked, "lora", {"processes": 2, "zero": 1})
    assert values["processes"] == 1 and values["zero"] == 0
    assert "One process instead of 2" in changes[0].sentence


def test_the_page_shows_each_way_escaped_and_says_what_is_not_offered() -> None:
    lines = (
        ProcessMemory(
            way="One process",
            zero=0,
            processes=1,
            sentence="All.",
            process_bytes=1 << 30,
            memory_bytes=1 << 30,
            chosen=True,
        ),
        ProcessMemory(
            way="ZeRO-2",
            zero=2,
            processes=2,
            sentence="<b>",
            process_bytes=1 << 30,
            memory_bytes=3 << 30,
            unavailable_reason="There is <one> core.",
        ),
    )
    shown = processes_panel(planned()[1].model_copy(update={"per_process": lines}))
    assert "<b>" not in shown.split("<tbody>")[1].replace("<b>Memory", "")
    assert "There is &lt;one&gt; core." in shown and "chosen" in shown
    assert "2 processes" in shown


def test_the_stages_are_a_choice_in_words_on_the_page() -> None:
    config = TrainingConfig(task="chat", model="m", processes=2, zero=2)
    made = settings_panel(SettingsView(config, off={"zero": {"3": "No."}}))
    assert '<option value="2" selected>2 · and gradients</option>' in made
    assert '<option value="3" disabled>' in made and "ZeRO stage 2" in made


def test_a_box_that_can_t_be_ticked_here_is_greyed_with_the_reason_and_one_that_was_says_what_is_wrong() -> None:
    config = TrainingConfig(task="chat", model="m")
    off = parallelism.unavailable_fsdp(MACHINE)
    box = settings_panel(SettingsView(config, off={"fsdp": off})).split('id="f-fsdp"')[1].split("</div>")[0]
    assert " disabled" in box and "share one memory" in box
    box = settings_panel(SettingsView(config, off={"fsdp": {}})).split('id="f-fsdp"')[1].split("</div>")[0]
    assert " disabled" not in box and "Not available" not in box
    ticked = config.model_copy(update={"fsdp": True})
    view = SettingsView(ticked, {"fsdp": True}, {"fsdp": (True, "Not <here>.")}, {"fsdp": off})
    box = settings_panel(view).split("f-fsdp")[1]
    assert 'role="alert">Not &lt;here&gt;.' in box and " disabled" not in box.split("</label>")[0]


def test_an_estimate_has_a_line_for_each_way(studio: Studio) -> None:
    found = studio.planning.plan(RunRequest(dataset=None, model="starter-chat", task="chat")).estimate
    assert [(line.zero, line.fsdp) for line in found.per_process] == [
        (0, False),
        (0, False),
        (1, False),
        (2, False),
        (3, False),
        (0, True),
    ]


def test_the_log_has_what_each_process_printed_in_their_order(studio: Studio) -> None:
    spec = RunSpec(
        config=TrainingConfig(task="chat", model="m", processes=11),
        dataset="d",
        dataset_version=1,
        data=DatasetSpec(task="chat", roles={}),
        splits=SplitSpec(),
    )
    runs = studio.context.workspace.runs
    record = runs.create(spec)
    runs.folder(record.id).log.write_text("the worker\n")
    for number in (10, 2):
        (runs.folder(record.id).root / f"rank-{number}.log").write_text(f"process {number}\n")
    assert studio.runs.log(record.id) == (
        "the worker\n\n--- rank-2.log ---\nprocess 2\n\n--- rank-10.log ---\nprocess 10\n"
    )


# --- checkpoints ---


def test_a_checkpoint_of_zero_is_resumed_from_and_pruned_like_any_other(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step in (1, 2):
        with checkpoints.writing(TrainingProgress(step=step), 0) as staging:
            made = staging / f"checkpoint-{step}"
            (made / f"global_step{step}").mkdir(parents=True)
            for name in (
                "trainer_state.json",
                "latest",
                "rng_state_0.pth",
                "rng_state_1.pth",
                f"global_step{step}/states.pt",
                "adapter_model.safetensors",
            ):
                (made / name).write_text("x")
    checkpoints.prune({1, 2}, 2)
    assert sorted(path.name for path in checkpoints.path(1).iterdir()) == [
        "adapter_model.safetensors",
        "complete.json",
        "trainer_state.json",
    ]
    assert checkpoints.newest() == (checkpoints.path(2), TrainingProgress(step=2))
    (checkpoints.path(2) / "global_step2" / "states.pt").unlink()
    assert checkpoints.newest() is None

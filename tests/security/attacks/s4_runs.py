"""S4: runs that take the machine from everybody else."""

import time

from studio.store import Home
from studio.store.files import folder_size
from tests.security.attack import Outcome, attack, outcome
from tests.security.stage import Stage, Visitor, processes_of, wait_for


def trainer(stage: Stage, address: str = "") -> Visitor:
    who = stage.visitor(address=address)
    who.sample()
    return who


@attack("S4", "A visitor has six runs train and wait at once", quick=True)
def many_runs(stage: Stage) -> Outcome:
    who = trainer(stage)
    for number in range(6):
        who.start(seed=str(number), max_steps="500")
    active, started = len(who.active()), len(processes_of(who.served))
    who.stop_runs()
    return outcome(active > 2, f"{active} runs train or wait, {started} processes")


@attack("S4", "A visitor starts a run of 10,000,000 steps", quick=True)
def endless_run(stage: Stage) -> Outcome:
    who = trainer(stage)
    who.start(max_steps="10000000")
    steps = [who.space.runs.spec(run.id).config.max_steps for run in who.runs()]
    who.stop_runs()
    return outcome(any(each > 2_000 for each in steps), f"steps of the runs that were accepted: {steps}")


ENDLESS = [
    ("epochs", "100000"),
    ("max_minutes", "100000"),
    ("epochs", "1e9"),
    ("gradient_accumulation", "1000"),
    ("max_steps", "2001"),
    ("max_minutes", "16"),
]


@attack("S4", "A visitor starts a run with {0}", [(f"{name} = {value}", name, value) for name, value in ENDLESS])
def long_runs(stage: Stage, payload: tuple[str, str, str]) -> Outcome:
    """What is planned must end within the limits: by steps, or by the minutes after which the worker stops."""
    _, name, value = payload
    who = trainer(stage)
    who.start(**{name: value})
    wait_for(lambda: not who.active() or any(each.steps for each in who.runs()), 60)
    found = [(each.steps, who.space.runs.spec(each.id).config.max_minutes) for each in who.runs()]
    minutes = getattr(getattr(who.space, "limits", None), "run_minutes", 0)
    who.stop_runs()
    beyond = any((steps or 0) > 2_000 or planned > 15 for steps, planned in found)
    return outcome(
        beyond or (bool(found) and not minutes), f"steps and minutes: {found}; limit of minutes for workers: {minutes}"
    )


@attack("S4", "Eight visitors of one address have a run each", quick=False)
def many_workspaces(stage: Stage) -> Outcome:
    people = [trainer(stage, address="127.7.7.7") for _ in range(8)]
    for who in people:
        who.start(max_steps="500")
    active = sum(len(who.active()) for who in people)
    for who in people:
        who.stop_runs()
    return outcome(active > 4, f"{active} runs of one address train or wait")


@attack("S4", "New workspaces of one address go before others who wait longer")
def unfair_turns(stage: Stage) -> Outcome:
    first = trainer(stage, "127.7.8.1")
    first.start(max_steps="2000")
    waiting = trainer(stage, "127.7.8.2")
    waiting.start(max_steps="5")
    hostile = [trainer(stage, "127.7.8.1") for _ in range(4)]
    for who in hostile:
        who.start(max_steps="50")
    order = [entry.workspace for entry in Home(first.served.home).queue.listing()]
    mine = waiting.space.name
    place = order.index(mine) if mine in order else -1
    for who in (first, waiting, *hostile):
        who.stop_runs()
    return outcome(place > 1, f"the one who waits is number {place + 1} of {len(order)}")


@attack("S4", "Runs that wait hold more than 100 MB of memory each")
def waiting_memory(stage: Stage) -> Outcome:
    people = [trainer(stage) for _ in range(4)]
    for who in people:
        who.start(max_steps="2000")
    time.sleep(8)
    workers = [each for each in processes_of(stage.demo) if "studio.worker" in " ".join(each.cmdline())]
    sizes = sorted((each.memory_info().rss // 10**6 for each in workers if each.is_running()), reverse=True)
    for who in people:
        who.stop_runs()
    return outcome(sum(sizes[1:]) > 300, f"memory of {len(sizes)} workers: {sizes} MB")


@attack("S4", "A run writes far more than the visitor's disk space")
def fills_the_disk(stage: Stage) -> Outcome:
    served = stage.serve("--demo", environment={"STUDIO_LIMITS": "workspace_mb=60,total_mb=200"})
    who = stage.visitor(served)
    who.sample()
    who.acted("method-body", "method", value="last-layers")
    who.start(max_steps="12", eval_steps="2", max_length="64", watch_share="0")
    wait_for(lambda: not who.active(), 90)
    time.sleep(0.5)
    size = folder_size(who.space.root) / 10**6
    shown = [(each.status, each.reason[:80]) for each in who.runs()]
    return outcome(size > 90, f"{size:.0f} MB of 60 MB; runs: {shown}")


@attack("S4", "Deleting and starting again passes the limits of runs")
def delete_and_start(stage: Stage) -> Outcome:
    who = trainer(stage)
    for number in range(4):
        who.start(seed=str(number), max_steps="500")
        for run in who.active()[1:]:
            who.acted("runs-body", "delete", run=run.id)
    workers = [each for each in processes_of(who.served) if who.space.name in " ".join(each.cmdline())]
    active = len(who.active())
    who.stop_runs()
    return outcome(active > 2 or len(workers) > 3, f"{active} active runs, {len(workers)} workers")


@attack("S4", "Pausing and resuming passes the limit of waiting runs")
def pause_and_start(stage: Stage) -> Outcome:
    who = trainer(stage)
    for number in range(5):
        who.start(seed=str(number), max_steps="500")
        for run in who.active():
            who.acted("train-actions", "pause", run=run.id)
    for run in who.runs():
        who.acted("runs-body", "resume", run=run.id)
    active = len(who.active())
    who.stop_runs()
    return outcome(active > 2, f"{active} runs train or wait")


@attack("S4", "A search of settings starts more runs than a visitor may have")
def searches(stage: Stage) -> Outcome:
    who = trainer(stage)
    who.acted("method-body", "search-trials", value="50")
    who.acted("method-body", "search-minutes", value="1000")
    who.acted("method-body", "search-start")
    time.sleep(3)
    active = len(who.active())
    who.acted("method-body", "search-stop")
    who.stop_runs()
    return outcome(active > 2, f"{active} runs train or wait")


@attack("S4", "Rerunning ({0}) passes the limits of runs", ["again-start", "run-extend", "resume"])
def reruns(stage: Stage, act: str) -> Outcome:
    who, run = stage.trained
    for _ in range(5):
        who.acted("runs-body", act, run=run, passes="100000")
    active = who.active()
    long = [who.space.runs.spec(each.id).config.epochs for each in active]
    who.stop_runs()
    minutes = getattr(getattr(who.space, "limits", None), "run_minutes", 0)
    return outcome(
        len(active) > 2 or (max(long, default=0) > 1000 and not minutes),
        f"{len(active)} runs train or wait, epochs {long}",
    )


@attack("S4", "20 times the same click on Start makes several runs")
def clicks(stage: Stage) -> Outcome:
    from tests.security.stage import run_concurrently

    who = trainer(stage)
    run_concurrently([lambda: who.acted("method-body", "start", newest="") for _ in range(20)])
    active = len(who.active())
    who.stop_runs()
    return outcome(active > 2, f"{active} runs train or wait")

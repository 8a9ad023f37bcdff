"""Visitors of a demo: let in, counted, closed when idle, and deleted when they have not come back."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from studio.schema.errors import StudioError
from studio.schema.limits import Limits
from studio.ui.components.limits import banner
from studio.ui.http.proxies import ADDRESS, ROLE
from studio.ui.http.uploads import Uploads
from studio.ui.visitors.session import HEADER, MOST_PAGES, PAGES_OF_ONE, Sessions
from studio.ui.visitors.workspaces import Repeated


def visitor(sessions: Sessions, address: str = "192.0.2.1") -> dict[str, str]:
    return {HEADER: sessions.new_secret({}), ADDRESS: address}


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_looking_at_the_page_makes_no_workspace_and_the_first_choice_does(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, demo=True)
    who = visitor(sessions)
    visit = sessions.visit(who, "page", {})
    visit.begin()
    assert visit.choices.task == "" and visit.studio.runs.all() == [] and visit.studio.datasets.all() == []
    assert sessions.root.home.visitors() == []
    visit.choose(task="chat")
    assert sessions.root.home.visitors() == [visit.workspace]
    assert Sessions(tmp_path, demo=True).visit(who, "another", {}).choices.task == "chat"


@pytest.mark.slow
def test_hundreds_of_visitors_leave_few_files_open(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, demo=True, limits=Limits(workspaces=0, workspaces_per_address=0))
    sessions.workspaces.most_open = 8
    before = open_files()
    for number in range(60):
        sessions.visit(visitor(sessions), f"page {number}", {}).choose(task="chat")
    assert open_files() - before <= 8 * 6
    sessions.workspaces.close()
    assert open_files() - before <= 6


def test_a_full_demo_and_too_many_visitors_of_one_address_are_refused_and_known_ones_still_come_in(
    tmp_path: Path,
) -> None:
    sessions = Sessions(tmp_path, demo=True, limits=Limits(workspaces=4, workspaces_per_address=2))
    known = [visitor(sessions, "192.0.2.1") for _ in range(2)]
    for who in known:
        sessions.visit(who, "page", {}).choose(task="chat")
    with pytest.raises(StudioError, match="network address"):
        sessions.visit(visitor(sessions, "192.0.2.1"), "page", {}).choose(task="chat")
    for number in (2, 3):
        sessions.visit(visitor(sessions, f"192.0.2.{number}"), "page", {}).choose(task="chat")
    with pytest.raises(StudioError, match="full") as refused:
        sessions.visit(visitor(sessions, "192.0.2.9"), "page", {}).choose(task="chat")
    assert refused.value.code == "limit-reached"
    sessions.visit(known[0], "page", {}).choose(task="classification")
    assert len(sessions.root.home.visitors()) == 4


def test_one_address_can_not_fill_a_demo_by_coming_again_every_hour(tmp_path: Path) -> None:
    limits = Limits(workspaces=12, workspaces_per_address=2)
    for hour in range(3):  # each server begins to count anew, as each hour does
        sessions = Sessions(tmp_path, demo=True, limits=limits)
        for number in range(2):
            visit = sessions.visit(visitor(sessions, "192.0.2.1"), f"page {hour} {number}", {})
            if hour * 2 + number < 3:
                visit.choose(task="chat")
                continue
            with pytest.raises(StudioError, match="share your network address"):
                visit.choose(task="chat")
    assert len(sessions.root.home.visitors()) == 3
    sessions.visit(visitor(sessions, "192.0.2.2"), "page", {}).choose(task="chat")


def test_who_has_not_come_back_is_deleted_with_all_files_and_others_stay(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, demo=True, limits=Limits(workspace_hours=2))
    gone, busy, here = (sessions.visit(visitor(sessions), "page", {}) for _ in range(3))
    for visit in (gone, busy, here):
        visit.choose(task="chat")
        (tmp_path / "uploads" / visit.workspace).mkdir(parents=True)
    sessions.root.home.queue.enqueue(busy.workspace, "run-1")
    for visit in (gone, busy):
        long_ago = time.time() - 3 * 3600
        for path in (visit.studio.context.workspace.root, visit.studio.context.workspace.root / "address"):
            os.utime(path, (long_ago, long_ago))
    owner = sessions.root.home.workspace()
    owner.drafts.put("page", {})
    os.utime(owner.root, (0, 0))
    assert sessions.workspaces.sweep() == [gone.workspace]
    assert sessions.root.home.visitors() == sorted([busy.workspace, here.workspace]) and owner.root.exists()
    assert not (tmp_path / "uploads" / gone.workspace).exists()
    assert (tmp_path / "uploads" / here.workspace).exists()


def test_work_that_failed_once_is_repeated() -> None:
    calls: list[int] = []
    again = threading.Event()

    def delete_the_unused() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise StudioError("disk-full", "The disk became full.")
        again.set()

    with Repeated(delete_the_unused, 0.01):
        assert again.wait(10)


def test_a_full_demo_makes_room_by_removing_who_has_not_come_back(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, demo=True, limits=Limits(workspaces=4, workspace_hours=2))
    visits = [sessions.visit(visitor(sessions, f"192.0.2.{number}"), "page", {}) for number in range(5)]
    for visit in visits[:4]:
        visit.choose(task="chat")
    root = visits[0].studio.context.workspace.root
    for path in (root / "address", root):
        os.utime(path, (0, 0))
    visits[4].choose(task="chat")
    assert sessions.root.home.visitors() == sorted(visit.workspace for visit in visits[1:])


def test_files_that_come_at_the_same_moment_are_counted_each(tmp_path: Path) -> None:
    files = Uploads(tmp_path / "uploads", Limits(waiting_uploads=3))

    async def slowly() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.sleep(0.2)

    async def many() -> list[object]:
        return await asyncio.gather(*(files.keep("w", "a.csv", slowly()) for _ in range(20)), return_exceptions=True)

    done = asyncio.run(many())
    assert sum(isinstance(each, str) for each in done) == 3
    assert all(isinstance(each, str | StudioError) for each in done)


def test_open_pages_are_bounded_and_nobody_pushes_out_the_pages_of_others(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, demo=True)
    anna = sessions.visit(visitor(sessions), "page", {})
    anna.choose(task="chat")
    marked = anna.mark()
    hostile = visitor(sessions)
    for number in range(MOST_PAGES + 10):
        sessions.visit(hostile, f"page {number}", {}).mark()
    assert anna.mark() == marked
    assert len(sessions._pages) == 1 + PAGES_OF_ONE


def test_a_page_that_writes_to_a_slow_disk_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(tmp_path)
    slow, quick = (sessions.visit({}, name, {}) for name in ("slow", "quick"))
    quick.choose(task="chat")
    writing, release, keep = threading.Event(), threading.Event(), slow.studio.drafts.put

    def stuck(key: str, value: object) -> None:
        if value["name"] == "stuck":  # type: ignore[index]
            writing.set()
            release.wait(20)
        keep(key, value)

    monkeypatch.setattr(slow.studio.drafts, "put", stuck)
    thread = threading.Thread(target=lambda: slow.choose(name="stuck"))
    thread.start()
    assert writing.wait(10)
    began = time.monotonic()
    quick.choose(task="classification")
    assert quick.choices.task == "classification" and time.monotonic() - began < 5
    release.set()
    thread.join(10)
    assert slow.choices.name == "stuck"


def test_only_the_owner_of_a_team_may_trust_code_or_keep_a_token(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    member, owner = (sessions.studio_of({ROLE: role}) for role in ("editor", "owner"))
    for refused in (lambda: member.models.trust("someone/model"), lambda: member.models.set_hub_token("hf_x")):
        with pytest.raises(StudioError, match="owner") as error:
            refused()
        assert error.value.code == "not-allowed"
    owner.models.set_hub_token("hf_x")
    assert sessions.root.home.hub_token() == "hf_x" and member.datasets.all() == []


def test_a_viewer_who_labels_in_another_order_changes_nothing_for_those_who_edit(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    editor, viewer = (sessions.studio_of({ROLE: role}) for role in ("editor", "viewer"))
    dataset = editor.datasets.add_text("text\n" + "".join(f"message number {n}\n" for n in range(12))).id
    assert editor.labels.choose_order(dataset, "random").order == "random"
    assert viewer.labels.state(dataset).order == "random"
    assert viewer.labels.choose_order(dataset, "file").order == "file"
    assert viewer.labels.state(dataset).order == "file", "for the viewer alone"
    assert editor.labels.state(dataset).order == "random"
    sessions.root.close()
    again = Sessions(tmp_path)
    assert again.studio_of({ROLE: "editor"}).labels.state(dataset).order == "random"
    again.root.close()


def test_the_banner_names_every_limit_that_is_set_before_anything_is_uploaded() -> None:
    told = banner(Limits(upload_mb=7, run_minutes=11, run_steps=1234, chat_tokens=99, workspace_mb=321))
    for words in (
        "7 MB",
        "11 minutes",
        "1,234 training steps",
        "99 tokens",
        "321 MB",
        "1 running and 1 queued",
        "24 h",
    ):
        assert words in told, words
    assert "Training" not in banner(Limits(running_runs=0, run_minutes=0, run_steps=0, run_rows=0))

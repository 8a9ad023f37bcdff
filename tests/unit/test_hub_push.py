"""Uploads to the Hub: what is sent, what is refused before, and how an interrupted upload continues."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from studio.api import Studio
from studio.export.hub import check_license, check_repo_name, files_to_push, suggested_name
from studio.export.hub_upload import upload
from studio.machine.run_in_process import ProcessCancelled
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.hub import PushRequest
from studio.schema.report import ExportResult
from studio.schema.runs import RunSpec
from studio.store.files import write_whole
from studio.ui.tabs.hub_upload import panel
from tests.hub_uploads import TOKEN, OwnRepo, UploadHub
from tests.said import caller

CARD = """---
license: apache-2.0
library_name: peft
tags:
- finetune-studio
---

# Tone
"""
LARGE_BYTES = 400_000


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UploadHub]:
    with UploadHub() as hub:
        hub.stand_in(monkeypatch, tmp_path / "cache")
        yield hub


@pytest.fixture
def exported(studio: Studio, hub: UploadHub) -> tuple[Studio, str, Path]:
    """A studio with a Hub token, a finished run in it, and the folder of its exported adapter."""
    studio.models.set_hub_token(TOKEN)
    space = studio.context.workspace
    config = TrainingConfig(task="chat", model="starter-chat", name="Support tone!")
    data = DatasetSpec(task="chat", roles={"question": "prompt", "answer": "reply"})
    spec = RunSpec(config=config, dataset="d", dataset_version=1, data=data, splits=SplitSpec())
    run = space.runs.create(spec).id
    folder = space.runs.folder(run)
    folder.adapter.mkdir(parents=True)
    (folder.adapter / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    space.runs.begin(run, os.getpid())
    space.runs.update(run, has_result=True)
    space.runs.set_status(run, "finished")
    to = folder.exports / "adapter"
    to.mkdir(parents=True)
    (to / "README.md").write_text(CARD)
    (to / "adapter_config.json").write_text("{}")
    (to / "adapter_model.safetensors").write_bytes(os.urandom(LARGE_BYTES))
    result = ExportResult(format="adapter", path=str(to), bytes=LARGE_BYTES, tested="Tested.")
    write_whole(folder.exports / "adapter.json", result.model_dump_json())
    return studio, run, to


def pushed(given: tuple[Studio, str, Path], repo: str = "ann/tone", **more: Any) -> Any:
    studio, run, _ = given
    return studio.hub.push(run, "adapter", PushRequest(repo=repo, **more))


def refusal(given: tuple[Studio, str, Path], repo: str = "ann/tone", **more: Any) -> StudioError:
    with pytest.raises(StudioError) as caught:
        pushed(given, repo, **more)
    return caught.value


def answer_of_hub(
    given: tuple[Studio, str, Path], hub: UploadHub, repo: str = "ann/tone", token: str = TOKEN
) -> StudioError:
    """The refusal of an upload, in this process, which is quicker."""
    target = {"repo": repo, "kind": "model", "private": True, "library": "peft"}
    names = [file.path for file in files_to_push(given[2])]
    with pytest.raises(StudioError) as caught:
        upload(str(given[2]), names, target, {"endpoint": hub.url, "token": token}, lambda *_: None)
    return caught.value


@pytest.mark.slow
def test_an_upload_is_private_and_the_hub_has_every_file(exported: Any, hub: UploadHub) -> None:
    studio, run, folder = exported
    steps: list[tuple[int, int, str]] = []
    state = studio.hub.push(run, "adapter", PushRequest(repo="ann/tone"), progress=lambda *step: steps.append(step))
    repo = hub.own["model/ann/tone"]
    assert repo.private and state.private and state.status == "done"
    there = {name: data for name, data in repo.files.items() if name != ".gitattributes"}
    assert there == {file.name: file.read_bytes() for file in folder.iterdir()}
    assert state.url == f"{hub.url}/ann/tone" and state.commit == repo.commits[-1] and state.files == 3
    assert studio.hub.state(run, "adapter") == state
    done = [step[0] for step in steps]
    assert done == sorted(done) and steps[-1][0] == steps[-1][1] and "Uploading" in {step[2] for step in steps}


@pytest.mark.slow
def test_a_large_file_is_sent_in_the_parts_that_the_hub_asks_for(exported: Any, hub: UploadHub) -> None:
    hub.part_size = 150_000
    pushed(exported)
    assert len(hub.parts) == 3
    weights = exported[2] / "adapter_model.safetensors"
    assert hub.own["model/ann/tone"].files["adapter_model.safetensors"] == weights.read_bytes()


@pytest.mark.slow
def test_a_broken_line_is_tried_again_by_itself(exported: Any, hub: UploadHub) -> None:
    hub.break_uploads = 1
    assert pushed(exported).status == "done"
    assert len(hub.asked("/storage/object/")) == 2


@pytest.mark.slow
def test_a_canceled_upload_leaves_an_empty_private_repository_and_continues_without_what_has_arrived(
    exported: Any, hub: UploadHub
) -> None:
    studio, run, folder = exported
    (folder / "adapter_model.safetensors").write_bytes(os.urandom(12_000_000))
    (folder / "model-2.safetensors").write_bytes(os.urandom(20_000))
    hub.slow_upload, cancel = 0.4, Event()

    def cancel_later() -> None:
        while len(hub.objects) < 1:  # the small file has arrived, the large one has not
            time.sleep(0.02)
        cancel.set()

    Thread(target=cancel_later, daemon=True).start()
    with pytest.raises(ProcessCancelled):
        studio.hub.push(run, "adapter", PushRequest(repo="ann/tone"), cancel=cancel)
    repo = hub.own["model/ann/tone"]
    assert repo.private and not repo.commits
    state = studio.hub.state(run, "adapter")
    assert state is not None and state.status == "interrupted" and state.repo == "ann/tone"
    hub.slow_upload = 0
    arrived = set(hub.objects)
    before = len(hub.asked("/storage/object/"))
    assert pushed(exported).status == "done"
    sent_again = [path for _, path, _ in hub.seen if path.startswith("/storage/object/")][before:]
    assert sent_again and not any(oid in path for path in sent_again for oid in arrived)


@pytest.mark.slow
def test_the_same_upload_again_sends_nothing(exported: Any, hub: UploadHub) -> None:
    pushed(exported)
    before = len(hub.asked("/storage/"))
    again = pushed(exported)
    assert again.status == "done" and len(hub.own["model/ann/tone"].commits) == 1
    assert len(hub.asked("/storage/")) == before


@pytest.mark.slow
def test_an_upload_replaces_the_weights_of_an_earlier_one(exported: Any, hub: UploadHub) -> None:
    pushed(exported)
    (exported[2] / "adapter_model.safetensors").rename(exported[2] / "adapter.safetensors")
    pushed(exported)
    assert set(hub.own["model/ann/tone"].files) == {
        ".gitattributes",
        "README.md",
        "adapter_config.json",
        "adapter.safetensors",
    }


def test_the_token_goes_to_the_hub_alone_and_is_kept_nowhere(exported: Any, hub: UploadHub) -> None:
    studio, run, _ = exported
    processes: list[bytes] = []

    def look(*_: object) -> None:
        processes.extend(each.read_bytes() for each in Path("/proc").glob("[0-9]*/cmdline") if each.exists())

    studio.hub.push(run, "adapter", PushRequest(repo="ann/tone"), progress=look)
    assert processes and not any(TOKEN.encode() in line for line in processes)
    stored = [headers for _, path, headers in hub.seen if path.startswith("/storage/")]
    assert stored and not any(TOKEN in json.dumps(headers) for headers in stored)
    kept = [file for file in studio.home.root.rglob("*") if file.is_file() and TOKEN.encode() in file.read_bytes()]
    assert [file.name for file in kept] == ["hub-token"]


@pytest.mark.parametrize(
    "name",
    ["tone", "../tone", "ann/../tone", "ann/..", "ann/a--b", "a/b/c", "ann/tone.git", "ann/tö", "ann/a b", "ann/", ""],
)
def test_a_name_that_is_none_is_refused_before_anything_is_asked(exported: Any, hub: UploadHub, name: str) -> None:
    error = refusal(exported, name)
    assert error.code == "bad-setting" and error.field == "repo" and not hub.seen


@pytest.mark.parametrize("owner", ["bob", "readers", "ann2"])
def test_the_name_of_another_owner_is_refused(exported: Any, hub: UploadHub, owner: str) -> None:
    error = answer_of_hub(exported, hub, f"{owner}/tone")
    assert error.code == "not-allowed" and error.valid == ["ann/…", "acme/…"]
    assert not hub.own


def test_an_organization_in_which_one_may_write_is_accepted(exported: Any, hub: UploadHub) -> None:
    assert pushed(exported, "acme/tone").status == "done"


def test_a_public_repository_does_not_get_a_private_model(exported: Any, hub: UploadHub) -> None:
    hub.own["model/ann/tone"] = OwnRepo("ann/tone", {}, private=False)
    error = answer_of_hub(exported, hub)
    assert "everybody can see it" in error.what and not hub.own["model/ann/tone"].files


def test_files_of_others_are_not_mixed_with_an_upload(exported: Any, hub: UploadHub) -> None:
    hub.own["model/ann/tone"] = OwnRepo("ann/tone", {"thesis.txt": b"mine"}, private=True)
    assert "did not make" in answer_of_hub(exported, hub).what
    hub.own["model/ann/gguf"] = OwnRepo("ann/gguf", {"README.md": CARD.replace("peft", "gguf").encode()}, private=True)
    assert "for gguf" in answer_of_hub(exported, hub, "ann/gguf").what


def test_a_token_that_only_reads_or_that_is_wrong_is_named(exported: Any, hub: UploadHub) -> None:
    hub.account["auth"]["accessToken"]["role"] = "read"
    error = answer_of_hub(exported, hub)
    assert "only read" in error.what and "fine-grained" in error.hint
    assert "rejects your token" in answer_of_hub(exported, hub, token="hf_" + "x" * 30).what


def test_without_a_token_nothing_is_asked(exported: Any, hub: UploadHub) -> None:
    exported[0].models.set_hub_token("")
    error = refusal(exported)
    assert "no Hub token" in error.what and "studio token" in error.hint and not hub.seen


def test_what_the_hub_says_about_a_full_account_is_repeated(exported: Any, hub: UploadHub) -> None:
    hub.full = "Private repository storage limit reached"
    assert "storage limit reached" in answer_of_hub(exported, hub).message


@pytest.mark.slow
def test_a_changed_file_on_the_hub_is_noticed(exported: Any, hub: UploadHub) -> None:
    hub.damage_uploads = True
    error = refusal(exported)
    assert error.given == "adapter_model.safetensors" and exported[0].hub.state(exported[1], "adapter").status != "done"


def test_a_repository_that_changed_meanwhile_is_told(exported: Any, hub: UploadHub) -> None:
    hub.refuse = 412
    assert refusal(exported).code == "wrong-state"


def test_a_link_a_pickle_or_a_token_in_the_folder_stops_the_upload(
    exported: Any, hub: UploadHub, tmp_path: Path
) -> None:
    folder = exported[2]
    secret = tmp_path / "secret.txt"
    secret.write_text("private")
    for name, make in (
        ("link.txt", lambda place: place.symlink_to(secret)),
        ("folder", lambda place: place.symlink_to(tmp_path)),
        ("pipe.txt", lambda place: os.mkfifo(place)),
        ("optimizer.pt", lambda place: place.write_bytes(b"state")),
        ("notes.txt", lambda place: place.write_text(f"token {TOKEN}")),
        ("config.json", lambda place: place.write_text(json.dumps({"path": f"{Path.home()}/models"}))),
        ("model.safetensors", lambda place: place.write_bytes(b"\xff\0" + TOKEN.encode() + b"\0\xff")),
        ("large.txt", lambda place: place.write_text("x" * (2**20 - 9) + f" {TOKEN} " + "x" * 2**20)),
    ):
        make(folder / name)
        error = refusal(exported)
        assert error.code == "not-allowed" and error.given == name and not hub.seen
        (folder / name).unlink()
    assert len(files_to_push(folder)) == 3


def test_a_visitor_of_a_demo_and_a_member_of_a_team_can_not_use_the_token_of_the_owner(
    exported: Any, hub: UploadHub
) -> None:
    studio, run, _ = exported
    for other in (
        Studio(studio.home, demo=True, shared=studio.shared),
        studio.visitor("default", "editor"),
    ):
        with pytest.raises(StudioError) as caught:
            other.hub.push(run, "adapter", PushRequest(repo="ann/tone"))
        assert caught.value.code == "not-allowed"
    assert not hub.seen


def test_a_format_that_was_not_exported_is_not_uploaded(exported: Any) -> None:
    studio, run, _ = exported
    with pytest.raises(StudioError, match="not been exported"):
        studio.hub.push(run, "merged", PushRequest(repo="ann/tone"))


@pytest.mark.parametrize(
    ("license", "verdict"),
    [
        ("apache-2.0", "free"),
        ("MIT", "free"),
        ("gemma", "conditions"),
        ("cc-by-nc-4.0", "conditions"),
        ("cc-by-nd-4.0", "forbidden"),
        ("cc", "unknown"),
        ("cc-by-nc-nd-4.0", "forbidden"),
        ("", "unknown"),
        ("other", "unknown"),
        ("our-own-license", "unknown"),
    ],
)
def test_the_license_tells_whether_a_model_may_be_shared(license: str, verdict: str) -> None:
    check = check_license(license)
    assert check.verdict == verdict and check.needs_confirmation == (verdict in ("forbidden", "unknown"))
    assert check.sentence


def test_a_license_that_is_unknown_must_be_confirmed_before_anything_is_asked(
    exported: Any, hub: UploadHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio, run, _ = exported
    ref = studio.exports.finished.ref(run)
    bare = ref.model_copy(update={"info": ref.info.model_copy(update={"licence": ""})})
    monkeypatch.setattr(studio.exports.finished, "ref", lambda _: bare)
    error = refusal(exported)
    assert error.field == "license_confirmed" and "--confirm-license" in error.hint and not hub.seen
    assert pushed(exported, license_confirmed=True).status == "done"


def test_a_suggested_name_is_always_valid() -> None:
    for name in ("Support tone!", "../../etc", "--", "Größe 3", "a" * 200, "\u202e", "x.git"):
        check_repo_name(f"ann/{suggested_name(name)}")
    assert suggested_name("Support tone!") == "support-tone"


@pytest.mark.slow
def test_the_command_line_uploads_and_prints_the_link(
    exported: Any, hub: UploadHub, capfd: pytest.CaptureFixture[str]
) -> None:
    studio, run, _ = exported
    call, home = caller(capfd), str(studio.home.root)
    said = call("push", run, "ann/tone", "--json", "--home", home)
    assert said.status == 0, said.err
    assert said.document["url"] == f"{hub.url}/ann/tone" and said.document["private"]
    assert "adapter_model.safetensors" in said.err and "allows sharing" in said.err
    assert TOKEN not in said.out + said.err
    for wrong in (("push", run), ("push", run, "../tone"), ("push", run, "ann/a", "--repo", "ann/b")):
        said = call(*wrong, "--home", home)
        assert said.status == 2 and "OWNER/NAME" in said.err and "Traceback" not in said.err
    said = call("push", run, "--repo", "ann/public", "--public", "--home", home)
    assert said.status == 0 and "public" in said.out and not hub.own["model/ann/public"].private


@pytest.mark.slow
def test_a_space_is_uploaded_as_a_space_on_free_hardware(exported: Any, hub: UploadHub) -> None:
    folder = exported[2]
    (folder / "README.md").write_text(
        "---\nsdk: gradio\nsuggested_hardware: zero-a10g\ntags:\n- finetune-studio\n---\n\n# Tone\n"
    )
    state = pushed(exported)
    repo = hub.own["space/ann/tone"]
    assert state.url == f"{hub.url}/spaces/ann/tone" and (repo.sdk, repo.hardware) == ("gradio", "zero-a10g")
    (folder / "README.md").write_text(
        "---\nsdk: gradio\nsuggested_hardware: cpu-basic\ntags:\n- finetune-studio\n---\n"
    )
    error = refusal(exported, "ann/other")
    assert "paid plan" in error.what and "ZeroGPU" in error.hint


def test_the_panel_tells_visitors_and_other_members_why_they_can_not_upload(exported: Any, visit: Any) -> None:
    studio, run, _ = exported
    record = studio.runs.get(run)
    view = next(each for each in studio.exports.all(run) if each.format == "adapter")
    for other, words in (
        (Studio(studio.home, demo=True, shared=studio.shared), "not available in a public demo"),
        (studio.visitor("default", "editor"), "Only the owner"),
    ):
        seen = visit()
        seen.studio, seen.demo, seen.role = other, other.context.demo, other.context.role
        shown = str(panel(seen, record, view))
        assert words in shown and "hub_token" not in shown and "data-act" not in shown


def test_the_panel_warns_when_the_export_contains_the_rows(exported: Any, visit: Any) -> None:
    studio, run, _ = exported
    record = studio.runs.get(run)
    view = next(each for each in studio.exports.all(run) if each.format == "adapter")
    studio.models.set_hub_token(TOKEN)
    seen = visit()
    seen.studio, seen.role = studio, "owner"
    assert "contains your rows" not in str(panel(seen, record, view))
    assert "contains your rows" in str(panel(seen, record, view.model_copy(update={"has_rows": True})))

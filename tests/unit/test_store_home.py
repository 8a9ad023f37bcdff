"""A home: secrets for its owner alone, and workspaces that know nothing of each other."""

import os
import stat
from pathlib import Path

import pytest

from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetRecord, DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.events import PhaseEvent
from studio.schema.labeling import Fact
from studio.schema.limits import Limits
from studio.schema.models import ModelInfo
from studio.schema.runs import RunSpec
from studio.store import Home
from studio.store.db import now
from studio.store.failures import KEPT, keep_failure
from tests.visitors import new_visitor


def spec() -> RunSpec:
    return RunSpec(
        config=TrainingConfig(task="chat", model="starter-chat"),
        dataset="data-1",
        dataset_version=1,
        data=DatasetSpec(task="chat", roles={"q": "prompt", "a": "reply"}),
        splits=SplitSpec(),
    )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_a_home_is_made_where_it_is_missing(tmp_path: Path) -> None:
    assert Home(tmp_path / "a" / "b").root.is_dir()


def test_the_home_of_the_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "named"))
    assert Home().root == tmp_path / "named"
    monkeypatch.delenv("STUDIO_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert "finetune-studio" in str(Home().root)


@pytest.mark.parametrize("name", ["", "..", "../default", "a/b", "a b", "x" * 65, "a\0b", "ä", ".", "a\n"])
def test_a_name_that_could_lead_elsewhere_is_no_workspace(home: Home, name: str) -> None:
    with pytest.raises(StudioError) as caught:
        home.workspace(name)
    assert caught.value.code == "not-allowed"
    assert not home.workspace_exists(name)


def test_a_secret_opens_one_workspace_and_nothing_is_written_before_it_is_used(home: Home) -> None:
    first, second = home.new_secret(), home.new_secret()
    names = [home.visitor_workspace(secret) for secret in (first, second)]
    assert len({*names, *(home.visitor_workspace(first) for _ in range(3))}) == 2
    assert home.workspaces() == []
    assert Home(home.root).visitor_workspace(first) == names[0], "the same after a restart"


def test_only_secrets_of_this_home_open_a_workspace(home: Home, tmp_path: Path) -> None:
    secret = home.new_secret()
    forged = [secret[:-1] + ("0" if secret[-1] != "0" else "1"), "0" * 48, secret.upper() + "x", "", "../default"]
    assert [home.visitor_workspace(each) for each in forged] == [None] * 5
    assert Home(tmp_path / "another").visitor_workspace(secret) is None


def test_the_name_of_a_workspace_does_not_open_it_and_only_its_owner_can_list_it(home: Home) -> None:
    space = new_visitor(home)
    space.drafts.put("page", {})
    assert home.visitor_workspace(space.name.removeprefix("visitor-")) is None
    assert (home.root / "workspaces").stat().st_mode & 0o077 == 0


def test_a_workspace_of_an_older_version_is_found_by_its_secret_under_a_hidden_name(home: Home) -> None:
    secret = "ab" * 24
    home.workspace(secret).drafts.put("page", {"task": "chat"})
    home.hide_secrets()
    name = home.visitor_workspace(secret)
    assert home.workspaces() == [name] and secret not in str(name)
    assert home.workspace(str(name)).drafts.get("page") == {"task": "chat"}


def test_a_visitor_has_limits_starter_models_and_no_token_and_the_owner_has_all(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    home.keep_demo_limits(Limits(run_minutes=7))
    visitor, owner = new_visitor(home), home.workspace()
    assert (visitor.limits.run_minutes, owner.limits.run_minutes) == (7, 0)
    assert (visitor.hub_token(), owner.hub_token()) == (None, "hf_secret")
    for name in ("/etc", "someone/model", str(home.root)):
        with pytest.raises(StudioError) as refused:
            visitor.find_model(name)
        assert refused.value.code == "not-allowed" and name not in refused.value.message
    assert visitor.find_model("starter-chat").name == "starter-chat"


def test_no_query_of_a_workspace_returns_what_belongs_to_another(home: Home) -> None:
    mine, theirs = new_visitor(home), new_visitor(home)
    run = theirs.runs.create(spec())
    theirs.events.append(run.id, PhaseEvent(phase="loading"))
    record = DatasetRecord(
        id="data-theirs",
        name="secret.csv",
        version=1,
        note="",
        created=now(),
        rows=1,
        columns=("a",),
        bytes=1,
        source="file",
        format="csv",
    )
    theirs.datasets.add(record, theirs.datasets.begin(record.id, 1))
    theirs.labels.add(record.id, [Fact(version=1, row=1, work="label", value="x", labeller="Ann")])
    theirs.drafts.put("prompt", "theirs")
    assert mine.runs.all() == []
    assert mine.datasets.all() == []
    assert mine.events.after(run.id) == []
    assert mine.labels.after(record.id) == [] and len(theirs.labels.after(record.id)) == 1
    assert mine.drafts.get("prompt") is None
    for ask in (lambda: mine.runs.get(run.id), lambda: mine.runs.spec(run.id), lambda: mine.datasets.get(record.id)):
        with pytest.raises(StudioError):
            ask()
    with pytest.raises(StudioError) as caught:
        mine.runs.get("last")
    assert caught.value.what == "There is no run yet."


def test_a_secret_of_the_home_stays_the_same_and_is_for_its_owner_alone(home: Home) -> None:
    first = home.secret("session")
    assert len(first) >= 32
    assert Home(home.root).secret("session") == first
    assert home.secret("other") != first
    assert stat.S_IMODE((home.root / "session.secret").stat().st_mode) == 0o600


def test_a_hub_token_is_kept_for_its_owner_alone_and_can_be_removed(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert home.hub_token() is None
    home.keep_hub_token(" hf_abcdefgh \n")
    assert home.hub_token() == "hf_abcdefgh"
    assert stat.S_IMODE((home.root / "hub-token").stat().st_mode) == 0o600
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_environment")
    assert home.hub_token() == "hf_of_the_environment"
    monkeypatch.delenv("HF_TOKEN")
    home.keep_hub_token("")
    assert home.hub_token() is None
    assert not (home.root / "hub-token").exists()


def test_trust_is_given_to_one_model_at_a_time_as_it_is(home: Home) -> None:
    def model(name: str, fingerprint: str = "1") -> ModelInfo:
        return ModelInfo(
            name=name, title=name, source="hub", kind="causal", needs_trust="It brings code.", fingerprint=fingerprint
        )

    assert home.trusted_models() == {} and not home.trusts(model("owner/a"))
    home.trust_model(model("owner/b"))
    home.trust_model(model("owner/a"))
    assert Home(home.root).trusted_models() == {"owner/a": "1", "owner/b": "1"}
    assert home.trusts(model("owner/a")) and not home.trusts(model("owner/a", "2"))
    assert not home.trusts(model("owner/c")) and not home.trusts(model("owner/a", ""))
    home.trust_model(model("owner/a"), allowed=False)
    assert home.trusted_models() == {"owner/b": "1"}


def test_drafts_are_kept_changed_and_forgotten(home: Home) -> None:
    drafts = home.workspace().drafts
    assert drafts.get("chosen", "nothing") == "nothing"
    drafts.put("chosen", {"model": "starter-chat", "prompts": ["ä", "<b>"]})
    assert home.workspace().drafts.get("chosen") == {"model": "starter-chat", "prompts": ["ä", "<b>"]}
    drafts.put("chosen", [1])
    assert drafts.get("chosen") == [1]
    drafts.put("chosen", None)
    assert drafts.get("chosen") is None


def failure(text: str) -> Exception:
    try:
        raise RuntimeError(text)
    except RuntimeError as error:
        return error


def test_an_unforeseen_error_is_kept_whole_without_tokens(tmp_path: Path) -> None:
    mark, path = keep_failure(failure("token was hf_SECRETSECRETSECRET"), tmp_path)
    assert path is not None
    assert mark in path.name
    text = path.read_text()
    assert "Traceback" in text
    assert "RuntimeError" in text
    assert "SECRET" not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_old_error_logs_go_and_other_logs_stay(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "host.log").write_text("stays")
    for number in range(KEPT + 5):
        old = tmp_path / "logs" / f"error-old{number}.log"
        old.write_text("x")
        os.utime(old, (number, number))
    keep_failure(failure("new"), tmp_path)
    left = list((tmp_path / "logs").glob("error-*.log"))
    assert len(left) == KEPT
    assert not (tmp_path / "logs" / "error-old0.log").exists()
    assert (tmp_path / "logs" / "host.log").exists()


def test_an_error_that_can_not_be_kept_still_has_a_number(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file is in the way")
    mark, path = keep_failure(failure("x"), tmp_path)
    assert mark
    assert path is None

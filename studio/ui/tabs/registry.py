"""The registry of tabs, in their order on the page."""

from collections.abc import Callable
from functools import partial

from studio.machine.plugins import Registry
from studio.ui.tabs import chat, evaluate, export, train
from studio.ui.tabs.base import Components, Tab
from studio.ui.tabs.data import tab as data
from studio.ui.tabs.method import tab as method
from studio.ui.tabs.model import tab as model
from studio.ui.tabs.runs import tab as runs


def _parts(name: str) -> Callable[[], Components]:
    """Builds a tab of a body and an action bar."""
    return partial(Components.build, name)


TABS: Registry[Tab] = Registry(
    "tabs",
    (
        Tab("model", "1 Model", _parts("model"), model.wire, "guides/choose-a-model", frozenset({"look"})),
        Tab("data", "2 Data", _parts("data"), data.wire, "guides/prepare-data", data.VIEWER_ACTIONS),
        Tab("method", "3 Method", _parts("method"), method.wire, "guides/choose-a-method"),
        Tab("train", "4 Train", train.build, train.wire, "guides/read-results", train.VIEWER_ACTIONS),
        Tab(
            "evaluate",
            "5 Evaluate",
            _parts("evaluate"),
            evaluate.wire,
            "guides/read-results#evaluate",
            evaluate.VIEWER_ACTIONS,
        ),
        Tab(
            "chat",
            "6 Chat",
            chat.build,
            chat.wire,
            "guides/read-results#compare-replies-in-the-chat-tab",
            chat.VIEWER_ACTIONS,
        ),
        Tab("export", "7 Export", _parts("export"), export.wire, "guides/use-the-model", export.VIEWER_ACTIONS),
        Tab("runs", "Runs", _parts("runs"), runs.wire, "guides/manage-runs", runs.VIEWER_ACTIONS),
    ),
    name_of=lambda tab: tab.name,
    needs=("name", "title", "short_title", "build", "wire", "help_page", "viewer_actions"),
)

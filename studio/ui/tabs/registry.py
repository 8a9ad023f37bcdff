"""The registry of tabs, in their order on the page."""

from functools import partial

from studio.machine.plugins import Registry
from studio.ui.tabs import chat, evaluate, export, train
from studio.ui.tabs.base import Components, Tab
from studio.ui.tabs.data import tab as data
from studio.ui.tabs.method import tab as method
from studio.ui.tabs.model import tab as model
from studio.ui.tabs.runs import tab as runs

TABS: Registry[Tab] = Registry(
    "tabs",
    (
        Tab("model", "1 Model", partial(Components.build, "model"), model.wire),
        Tab("data", "2 Data", partial(Components.build, "data"), data.wire),
        Tab("method", "3 Method", partial(Components.build, "method"), method.wire),
        Tab("train", "4 Train", train.build, train.wire),
        Tab("evaluate", "5 Evaluate", partial(Components.build, "evaluate"), evaluate.wire),
        Tab("chat", "6 Chat", chat.build, chat.wire),
        Tab("export", "7 Export", partial(Components.build, "export"), export.wire),
        Tab("runs", "Runs", partial(Components.build, "runs"), runs.wire),
    ),
    name_of=lambda tab: tab.name,
    needs=("name", "title", "short_title", "build", "wire"),
)

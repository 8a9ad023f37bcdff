"""The coach: what it has said of a run, and doing what it proposes."""

from studio.api.again import AgainDoor
from studio.schema.errors import StudioError
from studio.schema.events import AdviceEvent
from studio.schema.runs import RunRecord
from studio.services.runs.coach import action_of, standing


class CoachDoor(AgainDoor):
    """The coach: what it has said of a run, and doing what it proposes."""

    def advice(self, run: str) -> list[AdviceEvent]:
        """What the coach says of a run as it stands; nothing when all is well."""
        return standing([each.event for each in self.events(self.run(run).id, kinds=("advice",))])

    def follow(self, run: str, rule: str, choice: int = 1) -> RunRecord:
        """Do what an advice proposes: the run that is stopped, or a fresh one with a change."""
        record = self.run(run)
        action = action_of(self.advice(record.id), rule, choice, record.status)
        if action.kind == "open":
            raise StudioError(
                "bad-setting",
                "This is for a person to look at; nothing can be done by itself.",
                given=action.label,
                hint="See the rows in step 2, or with: studio preview",
                field="choice",
            )
        return self.stop(record.id, "keep") if action.kind == "stop" else self.repeat(record.id, dict(action.changes))

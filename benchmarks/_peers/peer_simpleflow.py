"""simpleflow against the embedded engine: its own commands `decider.start` and `worker.start`."""

import json
import sys

import _bodies
from simpleflow import Workflow, activity, futures
from simpleflow.command import cli

DOMAIN = "simpleflow"
bench = activity.with_attributes(task_list="bench", version="1.0", raises_on_failure=True)


@bench
def work(kind, number):
    """Run the body."""
    _bodies.run(kind, number)


@bench
def end():
    """Note that all is done."""
    _bodies.finish()


class Flow(Workflow):
    """All of it."""

    name = "bench"
    version = "1.0"
    task_list = "decisions"

    def run(self, kind, count):
        """Submit N activities, then the final one."""
        futures.wait(*[self.submit(work, kind, i) for i in range(count)])
        futures.wait(self.submit(end))


if __name__ == "__main__":
    told = json.dumps([sys.argv[1], int(sys.argv[2])])
    where = ["--domain", DOMAIN, "--workflow-id", "w", "--input", told]
    _bodies.begin()
    cli(["workflow.start", *where, "peer_simpleflow.Flow"], standalone_mode=False)
    _bodies.stay()

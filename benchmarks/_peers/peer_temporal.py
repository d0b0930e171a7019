"""Temporal's development server with SQLite and its Python SDK: one workflow of N activities."""

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    import _bodies


@activity.defn
def work(kind: str, number: int) -> None:
    """Run the body."""
    _bodies.run(kind, number)


@activity.defn
def end() -> None:
    """Note that all is done."""
    _bodies.finish()


@workflow.defn
class Flow:
    """All of it."""

    @workflow.run
    async def run(self, kind: str, count: int) -> None:
        """Run N activities, then the final one."""
        bound = {"start_to_close_timeout": timedelta(minutes=10)}
        await asyncio.gather(
            *(workflow.execute_activity(work, args=[kind, i], **bound) for i in range(count))
        )
        await workflow.execute_activity(end, **bound)


async def main() -> None:
    """Serve and start."""
    client = await Client.connect(os.environ["TEMPORAL"])
    with ThreadPoolExecutor(16) as threads:
        worker = Worker(
            client,
            task_queue="q",
            workflows=[Flow],
            activities=[work, end],
            activity_executor=threads,
            max_concurrent_activities=16,
        )
        async with worker:
            await asyncio.sleep(1)
            _bodies.begin()
            await client.execute_workflow(
                Flow.run, args=[sys.argv[1], int(sys.argv[2])], id="w", task_queue="q"
            )
            _bodies.stay()


if __name__ == "__main__":
    asyncio.run(main())

"""Wrong requests by the thousand: an error or a right answer, never a failure or a change."""

from __future__ import annotations

import http.client
import random

from garcon.engine.testing import Engine
from tests.contract.engine.mutate import Mutator, judge, snapshot
from tests.contract.engine.swf import Swf, schedule


def test_two_thousand_mutated_requests_break_nothing(engine: Engine) -> None:
    """Schema-aware and raw: each is answered, none with 500; refused ones change nothing."""
    swf = Swf.prepared(engine)
    run_id = swf.start()
    swf.step(schedule())
    mutator = Mutator(random.Random(20_260_101), run_id)
    connection = http.client.HTTPConnection(engine.url.removeprefix("http://"), timeout=30)
    before = snapshot(connection)
    for number in range(2_000):
        target, body = mutator.request(raw=number % 4 == 0)
        before = judge(connection, target, body, before)
    connection.close()
    assert swf.start("after")

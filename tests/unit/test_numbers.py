"""The numbers of deciding that its documents and other programs rely on."""

from __future__ import annotations

import pytest

from garcon import description, history, manifest, planner
from garcon.deciding import flowdecider, kept
from garcon.planning import batch, pacing, response, sharding, shards, soundness

NUMBERS = {
    (batch, "DECISIONS_MAX"): 100,
    (batch, "BYTES_MAX"): 900_000,
    (description, "LOST_RETRY"): 3,
    (description, "SHARD_SIZE"): 1_000,
    (flowdecider, "HISTORY_SHARE"): 0.5,
    (history, "AGAIN_TIMER"): "garcon.again",
    (kept, "CHECK_EVERY"): 5_000,
    (manifest, "BODY_MAX"): 800_000,
    (manifest, "PART_MAX"): 32_000,
    (pacing, "HOLD_COMPLETIONS"): 60,
    (pacing, "HOLD_MAX_S"): 5.0,
    (pacing, "HOLD_OPEN_MIN"): 100,
    (pacing, "HOLD_SHARE"): 0.25,
    (pacing, "OPEN_MAX"): 900,
    (pacing, "WINDOW_FACTOR"): 3,
    (pacing, "WINDOW_MIN"): 100,
    (planner, "DEATHS_MAX_FREEZING"): 2,
    (planner, "MOVE_EVENTS"): 10_000,
    (response, "CANCEL_GRACE_S"): 60.0,
    (sharding, "DRAIN_EVENTS"): 15_000,
    (shards, "FILLING_MAX"): 4,
    (shards, "INPUT_MAX"): 30_000,
    (shards, "OPEN_MAX"): 200,
    (soundness, "DEATHS_MAX"): 3,
    (soundness, "EVENTS_MAX"): 20_000,
}


@pytest.mark.parametrize(
    ("module", "name", "number"), [(*place, number) for place, number in NUMBERS.items()]
)
def test_a_number_is_what_is_written_of_it(module, name, number):
    """Tests of behaviour use smaller ones; these are what an execution meets."""
    assert number == getattr(module, name)

"""How many polls each task list gets."""

from __future__ import annotations

from collections import Counter

from garcon.pool.polling import PollLevels


def test_every_list_has_one_scout_while_a_worker_is_idle():
    """One idle worker is enough for a poll on each list."""
    levels = PollLevels(["a", "b", "c"])

    due = levels.take_due(idle=1, in_hand=0, workers=4, now_s=0.0)

    assert Counter(due) == {"a": 1, "b": 1, "c": 1}
    assert levels.waiting == 3


def test_no_poll_is_sent_while_nobody_is_idle():
    """A busy pool asks for nothing that it could not run."""
    levels = PollLevels(["a"])

    assert levels.take_due(idle=0, in_hand=0, workers=4, now_s=0.0) == []


def test_tasks_in_hand_count_against_idle_workers():
    """Who is idle may be spoken for already."""
    levels = PollLevels(["a"])

    assert levels.take_due(idle=2, in_hand=2, workers=4, now_s=0.0) == []


def test_a_list_that_brings_tasks_earns_polls_up_to_the_idle_workers():
    """Each task brought earns one more poll; the idle workers bound it."""
    levels = PollLevels(["a"])
    levels.take_due(idle=3, in_hand=0, workers=3, now_s=0.0)

    levels.brought("a", 3, 0.0)
    second = levels.take_due(idle=3, in_hand=0, workers=3, now_s=0.0)
    for _ in range(5):
        levels.brought("a", 3, 0.0)
        levels.take_due(idle=3, in_hand=0, workers=3, now_s=0.0)

    assert len(second) == 2
    assert levels.waiting == 3


def test_an_empty_poll_gives_one_back_down_to_the_scout():
    """A list that has gone quiet ends with its one scout."""
    levels = PollLevels(["a"])
    levels.take_due(idle=8, in_hand=0, workers=8, now_s=0.0)
    for _ in range(4):
        levels.brought("a", 8, 0.0)
        levels.take_due(idle=8, in_hand=0, workers=8, now_s=0.0)

    for _ in range(20):
        if levels.waiting:
            levels.empty("a")
        levels.take_due(idle=8, in_hand=0, workers=8, now_s=0.0)
    while levels.waiting > 1:
        levels.empty("a")

    assert levels.take_due(idle=8, in_hand=0, workers=8, now_s=0.0) == []
    assert levels.waiting == 1


def test_polls_in_all_stay_below_twice_the_workers_plus_the_lists():
    """However many lists bring tasks, the promise stays bounded."""
    names = [f"list{n}" for n in range(10)]
    levels = PollLevels(names)
    for _ in range(6):
        due = levels.take_due(idle=4, in_hand=0, workers=4, now_s=0.0)
        assert levels.waiting <= 2 * 4 + len(names)
        for name in due:
            levels.brought(name, 4, 0.0)

    levels.take_due(idle=4, in_hand=0, workers=4, now_s=0.0)

    assert levels.waiting <= 2 * 4 + len(names)


def test_where_not_all_polls_fit_every_list_gets_as_many_as_the_others():
    """The last of the lists would else get none while the first ones bring tasks."""
    names = ["a", "b", "c", "d", "e"]
    levels = PollLevels(names)
    polls: Counter[str] = Counter()
    for _ in range(10 * len(names)):
        due = levels.take_due(idle=4, in_hand=0, workers=4, now_s=0.0)
        polls.update(due)
        for name in due:
            levels.brought(name, 4, 0.0)

    assert max(polls.values()) <= 1.1 * min(polls[name] for name in names)


def test_a_failed_poll_rests_its_list_and_no_other():
    """A throttled list waits; the others go on."""
    levels = PollLevels(["a", "b"])
    levels.take_due(idle=2, in_hand=0, workers=2, now_s=0.0)

    levels.failed("a", until_s=5.0)
    levels.empty("b")
    early = levels.take_due(idle=2, in_hand=0, workers=2, now_s=4.9)
    late = levels.take_due(idle=2, in_hand=0, workers=2, now_s=5.0)

    assert early == ["b"]
    assert late == ["a"]


def test_a_capped_list_gets_no_more_polls_than_it_may_bring_tasks():
    """Polls under way count: each may bring a task. Other lists are not concerned."""
    levels = PollLevels(["capped", "free"])

    first = levels.take_due(idle=4, in_hand=0, workers=4, now_s=0.0, rooms={"capped": 2})
    levels.brought("capped", 4, 0.0)
    levels.brought("free", 4, 0.0)
    second = levels.take_due(idle=4, in_hand=0, workers=4, now_s=0.0, rooms={"capped": 1})
    third = levels.take_due(idle=4, in_hand=0, workers=4, now_s=0.0, rooms={"capped": 1})

    assert Counter(first) == {"capped": 1, "free": 1}
    assert Counter(second) == {"capped": 1, "free": 2}
    assert third == []


def test_a_list_at_its_cap_is_not_polled():
    """Its task would have to wait here while another pool could run it."""
    levels = PollLevels(["capped"])

    assert levels.take_due(idle=4, in_hand=0, workers=4, now_s=0.0, rooms={"capped": 0}) == []


def busy_pool(levels: PollLevels, *names: str) -> None:
    """Have these lists bring tasks to four workers, and the others nothing; no poll waits then."""
    for _ in range(4):
        for name in levels.take_due(idle=4, in_hand=0, workers=4, now_s=0.0):
            if name in names:
                levels.brought(name, 4, 0.0)
            else:
                levels.empty(name)


def test_polls_are_sent_ahead_for_workers_that_are_about_to_be_idle():
    """As many as are said, those that came and wait for a worker included."""
    levels = PollLevels(["a"])
    busy_pool(levels, "a")

    none = levels.take_due(idle=0, in_hand=3, workers=4, now_s=0.0, ahead=3)
    some = levels.take_due(idle=0, in_hand=1, workers=4, now_s=0.0, ahead=3)
    more = levels.take_due(idle=0, in_hand=1, workers=4, now_s=0.0, ahead=3)

    assert (none, some, more) == ([], ["a", "a"], [])


def test_lists_that_bring_tasks_share_the_polls_that_are_sent_ahead():
    """Each of them may bring a task, and all of these would wait for the same workers."""
    levels = PollLevels(["a", "b", "c"])
    busy_pool(levels, "a", "b", "c")

    due = levels.take_due(idle=0, in_hand=0, workers=4, now_s=0.0, ahead=3)

    assert len(due) == 3


def test_a_list_that_brings_nothing_has_its_scout_also_while_others_keep_all_workers_busy():
    """Nobody is ever idle in such a pool; the quiet list's first task is to be found all the same,
    and each list is the first to be asked at times."""
    levels = PollLevels(["busy", "quiet"])
    busy_pool(levels, "busy")

    seen = []
    for turn in range(4):
        now_s = turn / 10
        due = levels.take_due(idle=0, in_hand=2, workers=4, now_s=now_s, ahead=3)
        for _ in range(due.count("busy")):
            levels.brought("busy", 4, now_s)
        seen += due

    assert seen.count("quiet") == 1
    assert seen.count("busy") >= 2


def test_a_list_that_went_dry_keeps_no_polls_from_those_that_bring_tasks():
    """Its polls wait for up to a minute; for that long the next step would wait as well."""
    levels = PollLevels(["dry", "well"])
    busy_pool(levels, "dry")
    levels.take_due(idle=4, in_hand=0, workers=4, now_s=0.0)
    assert levels.waiting >= 4
    levels.empty("well")
    levels.take_due(idle=1, in_hand=0, workers=4, now_s=9.0)
    levels.brought("well", 4, 9.0)
    levels.take_due(idle=1, in_hand=0, workers=4, now_s=9.0)
    levels.brought("well", 4, 9.0)

    due = levels.take_due(idle=0, in_hand=0, workers=4, now_s=9.0, ahead=2)

    assert due == ["well", "well"]


def test_nothing_is_sent_ahead_for_a_capped_list_or_one_that_rests():
    """A cap is what may be in hand at all; a throttle means that there are too many polls."""
    levels = PollLevels(["a"])
    busy_pool(levels, "a")

    capped = levels.take_due(idle=0, in_hand=0, workers=4, now_s=0.0, rooms={"a": 0}, ahead=3)
    levels.take_due(idle=1, in_hand=0, workers=4, now_s=0.0)
    levels.failed("a", until_s=5.0)
    resting = levels.take_due(idle=0, in_hand=0, workers=4, now_s=4.9, ahead=3)

    assert (capped, resting) == ([], [])


def test_polls_that_are_sent_ahead_keep_the_bound_over_all():
    """Twice the workers beside the scouts, whatever is expected."""
    levels = PollLevels(["a", "b"])
    busy_pool(levels, "a", "b")

    for _ in range(3):
        levels.take_due(idle=0, in_hand=0, workers=4, now_s=0.0, ahead=50)

    assert levels.waiting == 2 * 4 + 2


def test_a_list_keeps_what_it_has_earned_while_nobody_is_idle():
    """A busy pool would else ask for one task at a time, whenever two workers are idle at once."""
    levels = PollLevels(["a"])
    busy_pool(levels, "a")

    assert levels.take_due(idle=3, in_hand=0, workers=4, now_s=0.0) == ["a", "a", "a"]


def test_a_list_has_its_scout_however_many_polls_wait_where_nothing_comes():
    """A step of short tasks leaves as many polls as there are workers, each for up to a minute."""
    names = ["one", "two", "three"]
    levels = PollLevels(names)
    busy_pool(levels, *names)
    levels.take_due(idle=4, in_hand=0, workers=4, now_s=0.0)
    assert levels.waiting == 2 * 4 + 3
    levels.serve([*names, "next"])

    due = levels.take_due(idle=4, in_hand=0, workers=4, now_s=40.0)

    assert due == ["next"]


def test_lists_that_reloads_have_renamed_are_forgotten_once_their_polls_are_over():
    """A pool that is reloaded each night for months keeps no memory of them."""
    levels = PollLevels(["night-0"])
    levels.take_due(idle=1, in_hand=0, workers=1, now_s=0.0)
    for night in range(1, 100):
        levels.serve([f"night-{night}"])
    assert levels.waiting == 1

    levels.empty("night-0")
    levels.serve(["day"])

    assert set(levels._lists) == {"day"}

"""Frozen fan-outs: what goes into markers comes back equal, once, and only whole."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garcon.errors import ManifestError
from garcon.manifest import BODY_MAX, PART_MAX, Manifest, Parts, collect, distinct, encode


def manifest(*lists, **more):
    """Return a manifest of these lists."""
    return Manifest("days", "flow_days", tuple(tuple(one) for one in lists), 7, **more)


def read(parts):
    """Return what the parts, fed one by one, come to."""
    reader = Parts()
    return [found for part in parts if (found := reader.add(part)) is not None]


def test_product_has_the_last_generator_turning_fastest():
    """Instances follow itertools.product, so the order is the one that garcon always had."""
    found = manifest([{"d": 1}, {"d": 2}], [{"c": "a"}, {"c": "b"}])

    assert 4 == found.count
    assert [{"d": 1, "c": "a"}, {"d": 1, "c": "b"}, {"d": 2, "c": "a"}, {"d": 2, "c": "b"}] == [
        found.local_context(index) for index in range(4)
    ]


def test_activity_without_generators_is_one_instance_with_key_1():
    """Its id ends in -1, as in garcon 1.x."""
    found = Manifest("first", "flow_first", None, 3)

    assert (1, "flow_first-1") == (found.count, found.activity_id(0))


def test_schedule_id_ends_the_activity_id():
    """A custom decider's id is appended, as in garcon 1.x."""
    assert "flow_first-1-brew" == Manifest("first", "flow_first", None, 3, "brew").activity_id(0)


def test_equal_entries_of_a_generator_are_one_instance():
    """An id may be open only once, so repetitions are dropped where they are made."""
    assert ({"d": 1}, {"d": "1"}) == collect("days", [{"d": 1}, {"d": "1"}, {"d": 1}])


def test_generators_that_overwrite_each_other_give_each_instance_once():
    """A key that a later generator sets makes products equal; each stays once."""
    lists = distinct("days", [({"d": 1}, {"d": 2}), ({"d": 3},)])

    assert (({"d": 3},),) == lists


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (["d"], "yielded list"),
        ({"d": {1, 2}}, "d is a set"),
        ({"d": float("nan")}, "nan"),
        ({1: "d"}, "keys must be text"),
        ({"garcon.d": 1}, "garcon's own"),
    ],
)
def test_entries_that_are_no_json_dicts_are_refused_by_name(entry, text):
    """The text says which entry, and what is wrong with it."""
    with pytest.raises(ManifestError, match="days") as caught:
        collect("days", [{"d": 0}, entry])

    assert text in str(caught.value)
    assert "entry 2" in str(caught.value) or "garcon's own" in str(caught.value)


def test_an_endless_generator_is_stopped_at_the_bound_with_the_numbers():
    """Reading stops once the bound is passed; nothing waits for an end that never comes."""

    def endless():
        number = 0
        while True:
            number += 1
            yield {"number": f"{number:0>900}"}

    with pytest.raises(ManifestError, match="800,000 bytes") as caught:
        collect("days", endless())

    assert "entries" in str(caught.value)


def test_small_manifest_stays_readable_in_one_marker():
    """The history of a small flow can be read by eye."""
    (part,) = encode(manifest([{"d": 1}]))

    assert '"lists":[[{"d":1}]]' in part


def test_largest_manifest_fits_one_response():
    """Whatever the bound lets through goes into fewer than 100 markers and 900 kB."""
    entry = string.ascii_letters + string.digits
    entries = [{"d": f"{number * 7919 % 1000003:x}{entry}"} for number in range(9_000)]
    assert BODY_MAX > sum(len(one["d"]) + 9 for one in entries) > 0.8 * BODY_MAX

    parts = encode(manifest(entries))

    assert all(len(part) <= 32_768 for part in parts)
    assert sum(len(part.encode()) for part in parts) < 900_000 - 40_000
    assert [manifest(entries)] == read(parts)


def test_manifest_above_the_bound_is_refused():
    """The lists are bounded together, not one by one."""
    entries = [{"d": f"{number:0>100}"} for number in range(6_000)]

    with pytest.raises(ManifestError, match="800,000"):
        encode(manifest(entries, [{"c": one["d"]} for one in entries]))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
    ),
    max_leaves=5,
)
ITEMS = st.dictionaries(st.text("xyz", min_size=1, max_size=3), JSON, max_size=3)


@given(st.lists(st.lists(ITEMS, max_size=5), min_size=1, max_size=3), st.text("ab", max_size=3))
def test_what_is_frozen_comes_back_equal(lists, schedule_id):
    """Any JSON, any schedule id: the history gives back what the generators gave."""
    lists = [collect("days", one) for one in lists]
    frozen = manifest(*lists, schedule_id=schedule_id, input={"a": 1})

    assert [frozen] == read(encode(frozen))


@given(st.lists(st.lists(ITEMS, max_size=4), min_size=1, max_size=3))
def test_instances_of_distinct_lists_have_distinct_ids(lists):
    """No two instances of a fan-out share an activity id, whatever the generators give."""
    frozen = manifest(*distinct("days", [collect("days", one) for one in lists]))

    ids = [frozen.activity_id(index) for index in range(frozen.count)]

    assert len(ids) == len(set(ids))


def test_a_part_missing_means_no_manifest():
    """A manifest counts only whole."""
    parts = encode(manifest([{"d": f"{number**5 * 7919:x}"} for number in range(9_000)]))
    assert len(parts) > 2
    assert all(len(part) <= PART_MAX for part in parts)

    assert [] == read(parts[:-1])
    assert 1 == len(read(parts[::-1]))


def test_damaged_manifest_is_refused():
    """A digest that is wrong fails the run instead of scheduling something else."""
    (part,) = encode(manifest([{"d": 1}]))

    with pytest.raises(ManifestError, match="damaged"):
        Parts().add(part.replace('{"d":1}', '{"d":2}'))


def test_markers_of_others_are_passed_over():
    """The name of a marker belongs to nobody."""
    assert [] == read(["", "hello", "[]", '{"v":1}', "null"])


def test_later_format_is_refused_by_number():
    """An execution of a later garcon is left to that garcon."""
    (part,) = encode(manifest([{"d": 1}]))

    with pytest.raises(ManifestError, match="format 2"):
        Parts().add(part.replace('"v":1', '"v":2'))


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 216), st.integers(1, 60)), min_size=1, max_size=4),
)
def test_a_slice_has_the_same_instances_with_no_more_lists_than_it_needs(lengths, wanted):
    """Contexts, ids and indexes of the whole come back, whatever is cut out."""
    lists = [[{f"k{place}": n} for n in range(length)] for place, length in enumerate(lengths)]
    whole = manifest(*lists)
    chosen = sorted(
        {n for begin, size in wanted for n in range(begin, begin + size) if n < whole.count} or {0}
    )
    ranges = []
    for index in chosen:
        if ranges and ranges[-1][1] == index:
            ranges[-1] = (ranges[-1][0], index + 1)
        else:
            ranges.append((index, index + 1))

    part = whole.part(tuple(ranges))

    assert len(chosen) == part.count
    assert chosen == [part.index_in_whole(index) for index in range(part.count)]
    assert [whole.activity_id(index) for index in chosen] == [
        part.activity_id(index) for index in range(part.count)
    ]
    first = {whole.local_context(index)["k0"] for index in chosen}
    assert max(first) - min(first) + 1 == len(part.lists[0])

"""Flows: loaded by name, checked, described; whatever is wrong is one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from garcon import activity, flow, runner, task
from garcon.description import ActivityDescription, FlowDescription
from garcon.errors import BootError, FlowError

GOOD = """
from garcon import activity, runner
domain = 'dev'
name = 'night'
create = activity.create(domain, name)
first = create(name='first', run=runner.Sync(lambda context, activity: None))
class Workflow:
    pass
workflow = Workflow()
workflow.inner = workflow
"""


def plain(context: Any, activity: Any) -> None:
    """A task that does nothing."""


RUN = runner.Sync(plain)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder that is first in sys.path; what it brings is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    (tmp_path / "nightly").mkdir()
    (tmp_path / "nightly" / "__init__.py").touch()
    (tmp_path / "nightly" / "metrics.py").write_text(GOOD)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def failed(name: str) -> str:
    """Return the line with which the flow of this name is refused."""
    with pytest.raises(FlowError) as refused:
        flow.load_flow(name)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 2
    return str(refused.value)


@pytest.mark.usefixtures("folder")
def test_a_flow_is_a_module_or_an_object_in_one() -> None:
    """Named as in `flows.metrics` or `flows.coffee:workflow`."""
    module = flow.load_flow("nightly.metrics")

    assert module.name == "night"
    assert flow.load_flow("nightly.metrics:workflow") is module.workflow
    assert flow.load_flow("nightly.metrics:workflow.inner") is module.workflow


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("nightly.metrcs", ": no module nightly.metrcs; did you mean nightly.metrics?"),
        ("nihgtly.metrics", ": no module nihgtly; did you mean nightly?"),
        ("nightly.metrics.first", ": nightly.metrics.first is an object, not a module; write"
         " nightly.metrics:first"),
        ("nightly.metrics.a.b", ": no module nightly.metrics.a, for nightly.metrics is no package"),
        (
            "nightly.metrics:creat",
            ": nightly.metrics has no attribute 'creat'; did you mean create?",
        ),
        (
            "nightly.metrics:zzz",
            ": nightly.metrics has no attribute 'zzz'; name a flow that it holds",
        ),
        ("nightly.metrics:Workflow", " is a class; name an object of it, made in its module:"
         " workflow = Workflow(...), then nightly.metrics:workflow"),
        ("nightly/metrics.py", ": a flow is named like a module, not like a file: nightly.metrics"),
        ("./nightly/metrics.py:workflow", ": a flow is named like a module, not like a file:"
         " nightly.metrics:workflow"),
        ("nightly.metrics.py", ": a flow is named like a module, not like a file: nightly.metrics"),
        ("nowhere.py", ": a flow is named like a module, not like a file: nowhere"),
        ("nightly.metrics:name", " is no flow but of type str; name a module with activities, or an"
         " object that has them as attributes"),
        ("nightly.metrics:first", " is no flow but of type Activity; name a module with activities,"
         " or an object that has them as attributes"),
        ("night ly", ": this is no name of a module, such as flows.metrics or"
         " flows.coffee:workflow"),
        ("", ": this is no name of a module, such as flows.metrics or flows.coffee:workflow"),
    ],
)  # fmt: skip
def test_a_flow_that_is_not_there_is_said_with_what_is_near(name: str, line: str) -> None:
    """One line that names the missing part and the mend."""
    assert failed(name) == f"flow {name!r}{line}"


def test_a_flow_with_nothing_near_says_where_it_was_looked_for(folder: Path) -> None:
    """The first place of sys.path."""
    assert failed("zzqqxx") == f"flow 'zzqqxx': no module zzqqxx; looked in {folder}"


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("import os\nraise ValueError('no\\nluck')\n", "ValueError: no luck ({path}:2)"),
        ("def f():\n    return 1 / 0\nf()\n", "ZeroDivisionError: division by zero ({path}:2)"),
        ("import json\njson.loads('x')\n", "JSONDecodeError: Expecting value: line 1 column 1"
         " (char 0) ({path}:2)"),
        ("import no_such_package_here\n", "ModuleNotFoundError: No module named"
         " 'no_such_package_here' ({path}:1)"),
        ("raise SystemExit(3)\n", "SystemExit: 3 ({path}:1)"),
        ("raise SystemExit\n", "SystemExit ({path}:1)"),
        ("x = (\n", "SyntaxError: '(' was never closed ({path}:1)"),
    ],
)  # fmt: skip
def test_a_flow_that_raises_while_it_is_imported_is_a_boot_error(
    folder: Path, source: str, line: str
) -> None:
    """Class, message, and the line of the flow's own file to look at; the original is kept."""
    path = folder / "nightly" / "broken.py"
    path.write_text(source)

    with pytest.raises(BootError) as refused:
        flow.load_flow("nightly.broken")

    expected = f"flow 'nightly.broken' cannot be imported: {line.format(path=path)}"
    assert str(refused.value) == expected
    assert refused.value.exit_code == 3
    assert refused.value.__cause__ is not None


def test_a_package_on_the_way_that_raises_is_a_boot_error_too(folder: Path) -> None:
    """With the line in its own file."""
    (folder / "nightly" / "__init__.py").write_text("\n1 / 0\n")

    with pytest.raises(BootError, match=r"ZeroDivisionError.*nightly/__init__.py:2\)$"):
        flow.load_flow("nightly.metrics")


def test_what_a_flow_says_wrongly_is_a_flow_error_as_it_stands(folder: Path) -> None:
    """garcon's own word needs no other words around it."""
    (folder / "nightly" / "wrong.py").write_text(
        "from garcon import activity\nactivity.create('dev', 'x')(name='a', retires=3)\n"
    )

    assert failed("nightly.wrong").startswith("activity a of flow x: unknown keyword 'retires'")


def a_flow(**attributes: Any) -> SimpleNamespace:
    """Return a flow with these attributes."""
    return SimpleNamespace(**attributes)


def step(name: str = "step", flow_name: str = "flow", **options: Any) -> activity.Activity:
    """Return an activity of domain dev."""
    return activity.create("dev", flow_name)(**{"name": name, "run": RUN, **options})


def test_names_come_from_the_flow_or_else_from_its_activities() -> None:
    """Samples of 0.0.4 set only a domain, or neither."""
    one = step()

    assert (flow.domain_of(a_flow(one=one)), flow.name_of(a_flow(one=one))) == ("dev", "flow")
    own = a_flow(one=one, domain="mine", name="own", version="7")
    assert (flow.domain_of(own), flow.name_of(own), flow.version_of(own)) == ("mine", "own", "7")
    assert (flow.domain_of(a_flow()), flow.name_of(a_flow())) == (None, None)
    assert flow.version_of(a_flow()) == "1.0"


def test_activities_are_known_by_their_names_in_the_flow() -> None:
    """Not by SWF's, which begin with the flow's."""
    one, two = step("one"), step("two")

    assert flow.activities_by_name(a_flow(x=one, y=two)) == {"one": one, "two": two}


def test_a_good_flow_passes() -> None:
    """Of either kind."""
    one = step("one")

    flow.check_flow(a_flow(one=one, two=step("two", requires=[one]), alias=one))
    flow.check_flow(a_flow(decider=lambda schedule: None, activities=[one]))


def circle() -> SimpleNamespace:
    """Return a flow whose activities wait for each other."""
    outside, one, two, three = step("outside"), step("one"), step("two"), step("three")
    outside.requires = [one]
    one.requires, two.requires, three.requires = [two], [three], [one]
    return a_flow(outside=outside, one=one, two=two, three=three)


def waits_for_itself() -> SimpleNamespace:
    """Return a flow with an activity that requires itself."""
    one = step("one")
    one.requires = [one]
    return a_flow(one=one)


def without_domain() -> SimpleNamespace:
    """Return a flow whose activity lost its domain."""
    one = step()
    one.domain = ""
    return a_flow(one=one)


def without_name() -> SimpleNamespace:
    """Return a flow made by hand, without a name anywhere."""
    return a_flow(domain="dev", one=activity.Activity(name="step", run=RUN))


@pytest.mark.parametrize(
    ("checked", "line"),
    [
        (a_flow(), "flow SimpleNamespace has no activity; make one"),
        (without_domain(), "flow SimpleNamespace has no domain; set domain = '...' in it"),
        (without_name(), "flow SimpleNamespace has no name; set name = '...' in it"),
        (a_flow(a=step(), b=step()), "two activities are called 'step'; rename one of them"),
        (a_flow(a=step(), b=step(flow_name="g")), "two activities are called 'step'"),
        (a_flow(a=step(run=None)), "activity step has no runner; give it run=runner.Sync(task)"),
        (a_flow(a=step(requires=[step("gone")])), "activity step requires gone, which is not in the"
         " flow (known: step); make it an attribute of the flow, or list it in flow.activities"),
        (circle(), "activities require each other in a circle: one -> two -> three -> one; take one"
         " requires= out"),
        (waits_for_itself(), "activities require each other in a circle: one -> one; "),
        (a_flow(a=step("a:b")), "activity 'flow_a:b' holds ':', which SWF allows in no name"),
        (a_flow(a=step(flow_name="a/b")), "flow 'a/b' holds '/'"),
        (a_flow(a=step(), domain="a\nb"), "domain 'a\\nb' holds '\\n'"),
        (a_flow(a=step(), name="arn"), "flow 'arn' is a name that SWF keeps for itself; rename it"),
        (a_flow(a=step(), name="a.shard"), "flow 'a.shard' ends with '.shard'"),
        (a_flow(a=step(), name="a "), "flow 'a ' begins or ends with a blank; rename it"),
        (a_flow(a=step("x" * 211)), "has 216 characters; 215 are allowed"),
        (a_flow(a=step(), name="x" * 240), "has 240 characters; 239 are allowed"),
        (a_flow(a=step(), version="1" * 65), "has 65 characters; 64 are allowed"),
    ],
)  # fmt: skip
def test_a_flow_that_cannot_run_is_refused_in_one_line(checked: Any, line: str) -> None:
    """It names the thing and the mend."""
    with pytest.raises(FlowError) as refused:
        flow.check_flow(checked)

    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_longest_names_pass() -> None:
    """Both sides of the edge; the instance's id then has 256 characters."""
    one = step("x" * 210, generators=[lambda context: [{"a": 1}]])
    flow.check_flow(a_flow(one=one, name="y" * 239))

    assert len(one.instances({})[0].id) == 256


def test_an_external_activity_that_lost_its_timeout_is_refused() -> None:
    """Garcon cannot know how long another program takes."""

    class Own(runner.External):
        def timeout(self, context: Any = None) -> int:  # noqa: ARG002 - its signature
            return 0

    one = step(external=True, timeout=5)
    one.runner = Own(timeout=5)

    with pytest.raises(FlowError, match="activity step is external and has no timeout"):
        flow.check_flow(a_flow(one=one))


def test_long_chains_of_requirements_are_no_circle() -> None:
    """Nor do they exhaust the stack."""
    steps = [step("s0")]
    for number in range(1, 3000):
        steps.append(step(f"s{number}", requires=[steps[-1], steps[number // 2]]))

    flow.check_flow(a_flow(activities=steps))


def test_a_flow_is_described_by_names_and_numbers() -> None:
    """All that the supervisor and the planner ever know of it."""

    @task.decorate(timeout=90, heartbeat=20)
    def work(activity: Any, item: Any) -> None: ...

    @task.list
    def chosen(context: Any) -> Any:
        raise AssertionError("a description runs no code of the flow")

    one = step("one", run=runner.Sync(work.fill(item="a")), retry=3, lost_retry=1, max_procs=2)
    two = step("two", requires=[one], generators=[lambda c: [], lambda c: []], threads=8)
    three = step("three", run=runner.Sync(chosen))
    out = step("out", external=True, timeout=300)

    assert flow.describe(a_flow(a=one, b=two, c=three, d=out)) == FlowDescription(
        domain="dev",
        name="flow",
        version="1.0",
        activities=(
            ActivityDescription(
                "one", "flow_one", "1.0", "flow_one", retry=3, lost_retry=1, heartbeat_s=20,
                start_to_close_s=90, max_procs=2,
            ),
            ActivityDescription(
                "two", "flow_two", "1.0", "flow_two", requires=("one",), generators=2, threads=8
            ),
            ActivityDescription("three", "flow_three", "1.0", "flow_three"),
            ActivityDescription(
                "out", "flow_out", "1.0", "flow_out", external=True, heartbeat_s=300,
                start_to_close_s=300,
            ),
        ),
    )  # fmt: skip


def test_an_activity_says_how_much_one_history_runs_of_it() -> None:
    """A thousand instances where it does not; None is a wish as well."""
    flows = [a_flow(one=step()), a_flow(one=step(shard_size=50)), a_flow(one=step(shard_size=None))]

    sizes = [flow.describe(each).activities[0].shard_size for each in flows]

    assert sizes == [1_000, 50, None]


def test_a_flow_says_how_long_a_decision_may_take() -> None:
    """Itself, or where its activities are bound; 30 seconds otherwise."""
    bound = activity.create("dev", "flow", decision_timeout=120)(name="step", run=RUN)
    flows = [a_flow(one=step()), a_flow(one=bound), a_flow(one=bound, decision_timeout=60)]

    assert [flow.describe(each).decision_timeout_s for each in flows] == [30, 120, 60]
    with pytest.raises(FlowError, match="decision_timeout='soon' is no number of seconds"):
        flow.check_flow(a_flow(one=step(), decision_timeout="soon"))


def test_the_client_of_a_1x_flow_tells_its_engine() -> None:
    """On the flow, or given to its activities; one that was never made is not made for this."""
    client = SimpleNamespace(
        meta=SimpleNamespace(endpoint_url="http://127.0.0.1:8700", region_name="eu-west-1")
    )
    bound = activity.create(client, "dev", "flow")(name="step", run=RUN)

    for each in (a_flow(one=bound), a_flow(one=step(), client=client)):
        described = flow.describe(each)
        assert described.client_endpoint == "http://127.0.0.1:8700"
        assert described.client_region == "eu-west-1"
        assert flow.client_of(each) is client
    assert flow.describe(a_flow(one=step())).client_endpoint is None
    assert flow.client_of(a_flow(one=step())) is None


def test_a_custom_decider_is_known() -> None:
    """A flow with a `decider` decides by itself."""
    one = step()

    assert flow.is_custom_decider(a_flow(decider=lambda schedule, context=None: None)) is True
    assert flow.is_custom_decider(a_flow(one=one)) is False
    assert flow.describe(a_flow(one=one, decider=print)).custom_decider is True

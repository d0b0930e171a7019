"""CPUs and memory of made-up machines: control groups of both versions, own and ancestors'."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import psutil
import pytest

from garcon.pool.autosize import bounds_for, first_size
from garcon.pool.resources import Machine, OomWatch, own_memory
from garcon.pool.sizing import default_cap

GIB = 1024**3


@pytest.fixture
def many_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the process 16 CPUs and 64 GiB, most of it free."""
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(16)))
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    memory = psutil.virtual_memory()._replace(total=64 * GIB, available=60 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


def put(root: Path, files: dict[str, str]) -> Machine:
    """Return a machine whose files are these."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return Machine(root)


def version_2(own: str, files: dict[str, str]) -> dict[str, str]:
    """Return a tree with control groups of version 2; `own` is the process's group."""
    mount = "29 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    named = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    return {"proc/self/cgroup": f"0::{own}\n", "proc/self/mountinfo": mount, **named}


def version_1(own: str, files: dict[str, str], mounted: str = "/") -> dict[str, str]:
    """Return a tree with control groups of version 1."""
    mounts = (
        f"31 30 0:27 {mounted} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        f"32 30 0:28 {mounted} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    )
    own_groups = f"4:memory:{own}\n3:cpu,cpuacct:{own}\n"
    named = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    return {"proc/self/cgroup": own_groups, "proc/self/mountinfo": mounts, **named}


@pytest.mark.usefixtures("many_cpus")
def test_without_control_groups_the_machine_itself_is_the_bound(tmp_path: Path) -> None:
    """macOS, or a kernel without them."""
    machine = Machine(tmp_path)

    assert 16 == machine.cpus()
    assert 64 * GIB == machine.memory_limit()
    assert 60 * GIB == machine.memory_free()
    assert machine.oom_kills() is None


@pytest.mark.usefixtures("many_cpus")
def test_a_quota_of_one_cpu_counts_as_one(tmp_path: Path) -> None:
    """`cpu.max` of the own group."""
    tree = version_2("/pod", {"pod/cpu.max": "100000 100000\n", "cpu.stat": ""})

    assert 1 == put(tmp_path, tree).cpus()


@pytest.mark.usefixtures("many_cpus")
def test_an_automatic_pool_goes_by_the_quota_and_not_by_the_machine(tmp_path: Path) -> None:
    """One CPU of sixteen: it starts with one worker, and its floor and cap follow from one."""
    tree = version_2(
        "/slice/pod", {"slice/pod/cpu.max": "max 100000\n", "slice/cpu.max": "100000 100000\n"}
    )
    machine = put(tmp_path, tree)

    assert 1 == first_size(machine, None)
    bounds = bounds_for(machine, None)
    assert (1, default_cap(1)) == (bounds.floor, bounds.cap)


@pytest.mark.usefixtures("many_cpus")
def test_a_part_of_a_cpu_is_rounded_up(tmp_path: Path) -> None:
    """2.5 CPUs feed three processes; half a CPU still feeds one."""
    tree = version_2("/pod", {"pod/cpu.max": "250000 100000\n"})
    assert 3 == put(tmp_path / "a", tree).cpus()

    tree = version_2("/pod", {"pod/cpu.max": "50000 100000\n"})
    assert 1 == put(tmp_path / "b", tree).cpus()


@pytest.mark.usefixtures("many_cpus")
def test_an_ancestor_s_bounds_hold_where_the_own_group_has_none(tmp_path: Path) -> None:
    """Kubernetes bounds the pod, systemd the slice; the least counts."""
    tree = version_2(
        "/slice/pod/app",
        {
            "slice/pod/app/cpu.max": "max 100000\n",
            "slice/pod/app/memory.max": "max\n",
            "slice/pod/cpu.max": "400000 100000\n",
            "slice/pod/memory.max": f"{4 * GIB}\n",
            "slice/pod/memory.current": f"{3 * GIB}\n",
            "slice/pod/memory.stat": f"anon 1\ninactive_file {GIB}\n",
            "slice/cpu.max": "200000 100000\n",
            "slice/memory.max": f"{6 * GIB}\n",
            "slice/memory.current": f"{5 * GIB + GIB // 2}\n",
        },
    )
    machine = put(tmp_path, tree)

    assert 2 == machine.cpus()
    assert 4 * GIB == machine.memory_limit()
    assert GIB // 2 == machine.memory_free()


@pytest.mark.usefixtures("many_cpus")
def test_version_1_is_read_too(tmp_path: Path) -> None:
    """Quota and limit in other files, other words for none."""
    tree = version_1(
        "/docker/abc",
        {
            "cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "150000\n",
            "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n",
            "cpu,cpuacct/docker/cpu.cfs_quota_us": "-1\n",
            "cpu,cpuacct/docker/cpu.cfs_period_us": "100000\n",
            "memory/docker/abc/memory.limit_in_bytes": "9223372036854771712\n",
            "memory/docker/abc/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
            "memory/docker/memory.limit_in_bytes": f"{2 * GIB}\n",
            "memory/docker/memory.usage_in_bytes": f"{GIB}\n",
            "memory/docker/memory.stat": f"cache 1\ntotal_inactive_file {GIB // 2}\n",
        },
    )
    machine = put(tmp_path, tree)

    assert 2 == machine.cpus()
    assert 2 * GIB == machine.memory_limit()
    assert GIB + GIB // 2 == machine.memory_free()
    assert 3 == machine.oom_kills()


@pytest.mark.usefixtures("many_cpus")
def test_a_container_that_sees_its_path_on_the_host_finds_its_group_at_the_mount(
    tmp_path: Path,
) -> None:
    """Docker with version 1 mounts the group itself, while /proc names the host's path."""
    tree = version_1(
        "/docker/abc",
        {
            "cpu,cpuacct/cpu.cfs_quota_us": "300000\n",
            "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
        mounted="/docker/abc",
    )

    assert 3 == put(tmp_path, tree).cpus()


@pytest.mark.usefixtures("many_cpus")
def test_kills_for_want_of_memory_are_counted_in_the_own_group(tmp_path: Path) -> None:
    """An ancestor's count is about others."""
    tree = version_2(
        "/pod/app",
        {
            "pod/app/memory.events": "low 0\nhigh 0\nmax 4\noom 1\noom_kill 2\n",
            "pod/memory.events": "oom_kill 99\n",
        },
    )

    assert 2 == put(tmp_path, tree).oom_kills()


@pytest.mark.usefixtures("many_cpus")
def test_files_that_say_nothing_readable_are_no_bound(tmp_path: Path) -> None:
    """A kernel of tomorrow must not stop the pool of today."""
    tree = version_2("/pod", {"pod/cpu.max": "lots\n", "pod/memory.max": "\n"})
    machine = put(tmp_path, tree)

    assert 16 == machine.cpus()
    assert 64 * GIB == machine.memory_limit()


def test_this_very_machine_has_plausible_figures() -> None:
    """The real files, whatever they are."""
    load = Machine().sample()

    assert 1 <= load.cpus <= (os.cpu_count() or 1)
    assert 0 <= load.busy <= 1
    assert 0 < load.memory_free <= load.memory_limit <= psutil.virtual_memory().total


def test_the_growth_of_a_process_is_what_it_allocates() -> None:
    """Ten megabytes that it writes to are ten megabytes more."""
    before = own_memory(os.getpid())
    # Straight from the kernel: Python's own heap may have room from earlier tests.
    with mmap.mmap(-1, 10_000_000, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as kept:
        kept.write(b"x" * 10_000_000)
        after = own_memory(os.getpid())

    assert before is not None
    assert after is not None
    assert 9_500_000 <= after - before <= 25_000_000


def test_a_process_that_is_gone_has_no_memory() -> None:
    """Its exit is on its way by another road."""
    assert own_memory(2**22 + 1) is None


def an_oom_watch(*counts: int | None) -> OomWatch:
    """Return a watch that reads these counts, one after the other, and the last for ever."""
    left = list(counts)
    return OomWatch(lambda: left.pop(0) if len(left) > 1 else left[0])


def test_each_kill_of_the_kernel_s_explains_one_death() -> None:
    """Two workers may be killed before either is seen; a third death is another matter."""
    watch = an_oom_watch(4, 6)

    assert [watch.explains(10.0) for _ in range(3)] == [True, True, False]


def test_a_kill_of_the_kernel_s_explains_no_death_of_much_later() -> None:
    """It was a program that a task had started, and the worker has lived on."""
    watch = an_oom_watch(4, 5)

    watch.look(10.0)

    assert not watch.explains(20.0)


def test_where_the_kernel_counts_nothing_nothing_is_explained() -> None:
    """No control group, or none that is mounted."""
    watch = an_oom_watch(None)

    assert not watch.explains(10.0)

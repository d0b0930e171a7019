"""What this machine gives the pool: CPUs, memory, and how much of both is in use.

A container's bounds stand in control groups, the process's own and every ancestor's; the least of
them holds, and no library call knows it (cpython issue 80235, psutil issue 2100). Files are read
each time: an orchestrator may resize a running container. Law: what cannot be read is no bound.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil

#: From here on a cgroup v1 limit means none: the kernel writes the largest page-aligned number.
_NO_LIMIT = 1 << 60

#: Deaths of one surge are seen within this time of each other, seconds.
OOM_TOGETHER_S = 2.0


@dataclass(frozen=True)
class Load:
    """The machine at one moment.

    Attributes:
        cpus: how many CPUs' worth of time may be used.
        busy: share of the machine's CPU time in use since the last look, 0 to 1.
        memory_limit: bytes that this process's group may use in all.
        memory_free: bytes of it that are free, caches counted as free.
    """

    cpus: int
    busy: float
    memory_limit: int
    memory_free: int


@dataclass(frozen=True)
class Group:
    """One controller's folders, from the process's own group up to the root of what is mounted."""

    version: int
    folders: tuple[Path, ...]


class Machine:
    """Reads the machine's figures."""

    def __init__(self, root: Path = Path("/")) -> None:
        """Read below `root`, which is another than `/` in tests alone."""
        self._root = root
        psutil.cpu_percent(None)  # the first answer is the mean since boot: thrown away

    def sample(self) -> Load:
        """Return the figures of this moment."""
        limit = self.memory_limit()
        return Load(self.cpus(), psutil.cpu_percent(None) / 100, limit, self.memory_free())

    def cpus(self) -> int:
        """Return the least of affinity and the quotas of own group and ancestors, rounded up."""
        quotas = [quota for group in self._groups("cpu") for quota in _cpu_quotas(group)]
        return max(1, math.ceil(min([float(_affinity()), *quotas])))

    def memory_limit(self) -> int:
        """Return the least of the machine's memory and the limits of own group and ancestors."""
        limits = [limit for limit, _ in self._memory_bounds()]
        return min([psutil.virtual_memory().total, *limits])

    def memory_free(self) -> int:
        """Return the bytes that may still be used before any bound is met."""
        rooms = [max(0, limit - used) for limit, used in self._memory_bounds()]
        return min([psutil.virtual_memory().available, *rooms])

    def oom_kills(self) -> int | None:
        """Return how often the kernel killed for memory in the own group; None if unknown."""
        for group in self._groups("memory"):
            name = "memory.events" if group.version == 2 else "memory.oom_control"
            for folder in group.folders[:1]:
                count = _table(folder / name).get("oom_kill")
                if count is not None:
                    return count
        return None

    def _memory_bounds(self) -> Iterator[tuple[int, int]]:
        """Yield limit and use of every group that has a limit."""
        for group in self._groups("memory"):
            limit_name, used_name, cache_name = (
                ("memory.max", "memory.current", "inactive_file")
                if group.version == 2
                else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            )
            for folder in group.folders:
                limit, used = _number(folder / limit_name), _number(folder / used_name)
                if limit is not None and limit < _NO_LIMIT:
                    # Files' pages that nobody uses are given back before anything is killed.
                    idle = _table(folder / "memory.stat").get(cache_name, 0)
                    yield limit, max(0, (used or 0) - idle)

    def _groups(self, controller: str) -> list[Group]:
        return _groups(self._root, controller)


class OomWatch:
    """Tells whether a death by SIGKILL was the kernel's doing, for want of memory.

    The kernel counts its kills and names nobody. So each kill that was counted stands for one
    death, and for one that is seen within a moment of it: a program that a task has started may
    have been the one, and nobody tells of that.
    """

    def __init__(self, count: Callable[[], int | None]) -> None:
        """Go by `count`, which returns the kernel's kills so far, None where it says nothing."""
        self._count = count
        self._seen = count()
        self._open = 0
        self._counted_s = 0.0

    def look(self, now_s: float) -> None:
        """Take note of the kills by now (monotonic seconds)."""
        seen, self._seen = self._seen, self._count()
        if seen is not None and self._seen is not None and self._seen > seen:
            self._open, self._counted_s = self._seen - seen, now_s
        elif now_s - self._counted_s > OOM_TOGETHER_S:
            self._open = 0

    def explains(self, now_s: float) -> bool:
        """Return whether a death that is seen now was such a kill; each explains one death."""
        self.look(now_s)
        if self._open <= 0:
            return False
        self._open -= 1
        return True


@lru_cache(maxsize=16)
def _groups(root: Path, controller: str) -> list[Group]:
    """Return where a controller's figures stand: in both versions, where a host has both."""
    own = _memberships(root, controller)
    groups = []
    for version, mounted_root, mount in _mounts(root, controller):
        path = own.get(version)
        if path is None:
            continue
        inner = path[len(mounted_root) :] if path.startswith(mounted_root) else path
        parts = [part for part in inner.split("/") if part]
        folders = [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]
        # A container may see its path on the host in /proc, but only its own group mounted.
        here = tuple(folder for folder in folders if folder.is_dir())
        if here:
            groups.append(Group(version, here))
    return groups


def _memberships(root: Path, controller: str) -> dict[int, str]:
    """Return the process's own group for a controller, by version."""
    found: dict[int, str] = {}
    for line in _lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            found[2] = path
        elif controller in controllers.split(","):
            found[1] = path
    return found


def _mounts(root: Path, controller: str) -> Iterator[tuple[int, str, Path]]:
    """Yield version, mounted root and mount point of the file systems that hold a controller.

    Source: proc_pid_mountinfo(5).
    """
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or not kind:
            continue
        options = kind[-1].split(",")
        if kind[0] == "cgroup2" or (kind[0] == "cgroup" and controller in options):
            version = 2 if kind[0] == "cgroup2" else 1
            mounted = "" if fields[3] == "/" else fields[3]
            yield version, mounted, root / fields[4].lstrip("/")


def _cpu_quotas(group: Group) -> Iterator[float]:
    for folder in group.folders:
        if group.version == 2:
            quota, _, period = _text(folder / "cpu.max").partition(" ")
        else:
            quota = _text(folder / "cpu.cfs_quota_us")
            period = _text(folder / "cpu.cfs_period_us")
        with suppress(ValueError, ZeroDivisionError):
            # "max" (v2) is no number, -1 (v1) no quota: both mean that there is no bound.
            if int(quota) > 0:
                yield int(quota) / int(period)


def _affinity() -> int:
    # process_cpu_count (3.13) adds only what -X cpu_count says; macOS has no affinity.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _lines(path: Path) -> list[str]:
    return _text(path).splitlines()


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None


def _table(path: Path) -> Mapping[str, int]:
    """Return a file of `name number` lines."""
    pairs = (line.split() for line in _lines(path))
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def own_memory(pid: int) -> int | None:
    """Return the bytes of memory that process `pid` holds besides files; None if it is gone.

    Pages that it shares with the zygote count too, and stay counted when it writes to them: so the
    growth of this figure is what the process itself has allocated since its birth, to the page,
    and costs a thirtieth of reading its private pages (measured: 23 us against 0.7 ms at 40 MB).
    """
    if not sys.platform.startswith("linux"):
        try:
            return int(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            return None
    fields = _text(Path(f"/proc/{pid}/statm")).split()
    if len(fields) < 3:
        return None
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")

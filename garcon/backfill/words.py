"""The words of a backfill command, checked before anything starts.

Law: whatever is wrong with them is said in one line that names the word and the mend.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timezone, tzinfo
from pathlib import Path
from typing import Any

from garcon.backfill.catchup import catch_up, catch_up_window
from garcon.backfill.days import DayRange, day_before, divide, find_zone, read_days, today_in
from garcon.backfill.keys import format_keys, read_keys, read_setting
from garcon.backfill.ranges import Range, Seen, make_ranges
from garcon.backfill.steps import Overlap, Wish
from garcon.canonical import NotJsonError, canonical_json
from garcon.client import Engine
from garcon.errors import UsageError
from garcon.planning.selection import Selection
from garcon.pool.command import enter_folder
from garcon.pool.config import parse_input


@dataclass(frozen=True)
class Words:
    """What a command was told about ranges.

    Attributes:
        flow: the flow's name as the user wrote it.
        days: the days to run; None where none were named.
        each: how they are divided.
        input: the input beside the days.
        zone: whose days are meant; None for the machine's own.
        today: the date there.
        catch_up: run what no completed execution covers.
        max_days: bound of that.
        wish: what to do with what is there already.
        open_max: ranges open at once.
        selection: what to run of a range that is resumed.
        engine: the `--engine` option.
        report: where the page about all of it goes; None for nowhere.
        folder: the working folder.
        settings: `--set`, `--input` and `--tz` as they were written, for commands to copy.
    """

    flow: str
    days: DayRange | None
    each: str | None
    input: Mapping[str, Any]
    zone: tzinfo | None
    today: date
    catch_up: bool = False
    max_days: int | None = None
    wish: Wish = field(default_factory=Wish)
    open_max: int = 1
    selection: Selection = field(default_factory=Selection)
    engine: str | None = None
    report: Path | None = None
    folder: Path = field(default_factory=Path.cwd)
    settings: tuple[str, ...] = ()

    @property
    def yesterday(self) -> DayRange:
        """The last day that is over."""
        day = day_before(self.today, self.zone)
        return DayRange(day, day)

    def ranges(self, flow_name: str, seen: Sequence[Seen]) -> list[Range]:
        """Return what to work on.

        Args:
            flow_name: the flow's own name.
            seen: executions of the flow; only a catch-up looks at them.
        """
        if self.catch_up:
            window = catch_up_window(self.days, self.max_days, self.yesterday, seen)
            return make_ranges(flow_name, catch_up(window, self.each, seen), self.input)
        days = None if self.days is None else divide(self.days, self.each)
        return make_ranges(flow_name, days, self.input)

    def command_for(self, verb: str, one: Range, engine: Engine) -> str:
        """Return the line that does `verb` for one range, from wherever it is typed."""
        program = [sys.executable, "-m", "garcon.backfill", self.flow, verb]
        days = [] if one.days is None or self.days_in_input else ["--days", str(one.days)]
        where = ["--engine", _engine_word(engine), "--chdir", str(self.folder)]
        return shlex.join([*program, *days, *self.settings, *where])

    @property
    def days_in_input(self) -> bool:
        """Whether the input itself says from when to when."""
        return not self.catch_up and self.days is None


def _engine_word(engine: Engine) -> str:
    if engine.kind == "local":
        return f"local:{engine.path}"
    return engine.url if engine.kind == "url" else "aws"


def read_words(told: Mapping[str, Any], now: datetime | None = None) -> Words:
    """Return the checked form of a command's words; the working folder is entered.

    Args:
        told: the options by name; those that a verb does not have are left out. `keys_option` is
            what the verb calls `--keys`.
        now: the present; the clock's own where it is None.
    Raises:
        UsageError: one of them is wrong.
    """
    zone = find_zone(told.get("tz"))
    today = today_in(zone, now or datetime.now(timezone.utc))
    data, settings = _read_input(told)
    days = None if told.get("days") is None else read_days(told["days"], today, zone)
    is_dayless = days is None and not told.get("catch_up")
    if not is_dayless:
        make_ranges(told["flow"], [], data)  # refuses an input that names the days as well
    if told.get("each") and is_dayless:
        raise UsageError("--each divides days; name them with --days")
    if told.get("max_days") is not None and not told.get("catch_up"):
        raise UsageError("--max-days bounds --catch-up; give that as well")
    option = told.get("keys_option", "--keys")
    selection = Selection(
        bool(told.get("only_failed")),
        tuple(told.get("selected", ())),
        tuple(tuple(read_keys(text, option).items()) for text in told.get("keys", ())),
    )
    report = _read_report(told.get("report"))
    wish = Wish(
        again=bool(told.get("again")),
        overlap=Overlap(told.get("overlap") or "join"),
        resume_only=bool(told.get("resume_only")),
        is_part=bool(selection),
    )
    return Words(
        flow=told["flow"],
        days=days,
        each=told.get("each"),
        input=data,
        zone=zone,
        today=today,
        catch_up=bool(told.get("catch_up")),
        max_days=told.get("max_days"),
        wish=wish,
        open_max=told.get("open_max") or 1,
        selection=selection,
        engine=told.get("engine"),
        report=report,
        settings=settings,
        folder=enter_folder(told.get("chdir")),
    )


def _read_input(told: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the input that the words say, and those words again."""
    data: dict[str, Any] = {}
    words: list[str] = []
    text = told.get("input_text")
    if text is not None:
        data = parse_input(text)
        # A file is named by its full path: the line may be typed in another folder.
        word = f"@{Path(text[1:]).absolute()}" if text.startswith("@") else text
        words += ["--input", word]
    for setting in told.get("settings", ()):
        key, value = read_setting(setting)
        data[key] = value
        words += ["--set", setting]
    try:
        canonical_json(data)
    except NotJsonError as error:
        raise UsageError(f"--set: {error}") from error
    return data, tuple(words)


def _read_report(text: str | None) -> Path | None:
    """Return where the report goes; known to be possible before hours of work are behind it.

    Raises:
        UsageError: there is no such folder, or nothing may be written there.
    """
    if text is None:
        return None
    path = Path(text).absolute()
    if not path.parent.is_dir():
        raise UsageError(f"--report {text!r}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"--report {text!r}: no permission to write into {path.parent}")
    return path


def told_keys(context: Mapping[str, Any]) -> str:
    """Return how `--keys` names an instance; `-` for the only one of its activity."""
    return format_keys(context) or "-"

"""The report: one self-contained HTML page.

Pure: what is to be shown comes in, the page's text goes out. Law: nothing of a history reaches the
page as markup; the page's own policy lets it load nothing and run only the script it came with.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime, timezone
from hashlib import sha256
from html import escape

from garcon.backfill.cells import Mark
from garcon.backfill.paint import (
    LETTERS,
    RETRIED,
    Painting,
    Shown,
    grouped_failures,
    paint,
    rate_curve,
    slowest,
    totals,
)
from garcon.progress import format_duration

#: State, its letter in the data, its colour; in the order of the legend.
STATES = (
    ("done", LETTERS[Mark.DONE], "#3f9b62"),
    ("retried", RETRIED, "#a7c93f"),
    ("failed", LETTERS[Mark.FAILED], "#d0413a"),
    ("running", LETTERS[Mark.RUNNING], "#3b82d0"),
    ("waiting", LETTERS[Mark.WAITING], "#a5c4e8"),
    ("missing", LETTERS[Mark.MISSING], "#b9bfc5"),
)

#: Characters that turn the direction of what stands beside them, or draw nothing at all.
_UNSEEN = {
    code: f"[U+{code:04X}]"
    for code in (
        *range(0x00, 0x20), *range(0x7F, 0xA0), 0x061C, *range(0x200B, 0x2010),
        *range(0x2028, 0x202F), *range(0x2060, 0x206A), 0xFEFF, *range(0xD800, 0xE000),
    )
}  # fmt: skip

_CURVE = (900, 140)  # pixels


def visible(text: str) -> str:
    """Return `text` with characters that nobody could see, or that reorder others, spelt out."""
    return text.translate(_UNSEEN)


def render(title: str, shown: Sequence[Shown], style: str, script: str, now: datetime) -> str:
    """Return the page.

    Args:
        title: what it is about.
        shown: the executions.
        style: the page's CSS.
        script: the page's script.
        now: when it is made.
    """
    paintings = paint(shown)
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<link rel="icon" href="data:,">',
        f"<title>{escape(visible(title))}</title><style>{style}</style></head><body>",
        f"<h1>{_text(title)}</h1>",
        f'<p class="soft">made {_moment(now)}</p>',
        _legend(shown),
        *(_grid_part(number, one) for number, one in enumerate(paintings)),
        _curve_part(shown),
        _failures_part(shown),
        _slowest_part(shown),
        _executions_part(shown),
        '<div class="tip" id="tip" hidden></div>',
        f'<script type="application/json" id="data">{_data(paintings)}</script>',
        f"<script>{script}</script>",
        "</body></html>",
    ]
    return "\n".join(filter(None, parts)) + "\n"


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _text(text: str) -> str:
    return f"<bdi>{escape(visible(text))}</bdi>"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def _data(paintings: Sequence[Painting]) -> str:
    document = {
        "colors": {letter: color for _, letter, color in STATES},
        "names": {letter: name for name, letter, _ in STATES},
        "grids": [_seen(one) for one in paintings],
    }
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"))
    # Inside a script element only its end tag and comments mean anything: no < or & is left.
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _seen(one: Painting) -> dict[str, object]:
    found = one.plain()
    for name in ("rows", "columns", "texts", "wrapped"):
        found[name] = [visible(text) for text in found[name]]
    return found


def _legend(shown: Sequence[Shown]) -> str:
    counts = totals(shown)
    marks = "".join(
        f'<span><i style="background:{color}"></i>{counts[name]:,} {name}</span>'
        for name, _, color in STATES
    )
    return f'<p class="legend">{marks}</p>'


def _grid_part(number: int, one: Painting) -> str:
    size = sum(mark != "-" for mark in one.marks)
    return (
        f"<h2>{_text(one.activity)}: {size:,}</h2>"
        f'<div class="grid"><canvas id="grid-{number}" role="img" '
        f'aria-label="{size} instances by state"></canvas></div>'
    )


def _curve_part(shown: Sequence[Shown]) -> str:
    first, last, rates = rate_curve(shown)
    if not rates:
        return ""
    width, height = _CURVE
    highest = max(rates)
    step = width / (len(rates) - 1)
    points = " L".join(
        f"{place * step:.1f} {height - rate / highest * (height - 20):.1f}"
        for place, rate in enumerate(rates)
    )
    begin, end = (datetime.fromtimestamp(at, timezone.utc) for at in (first, last))
    return (
        f"<h2>Completed a second</h2>"
        f'<svg width="{width}" height="{height + 18}" viewBox="0 0 {width} {height + 18}">'
        f'<path d="M{points}"></path>'
        f'<text x="0" y="11">{highest:,.1f}/s at most</text>'
        f'<text x="0" y="{height + 15}">{_moment(begin)}</text>'
        f'<text x="{width}" y="{height + 15}" text-anchor="end">{_moment(end)}</text></svg>'
    )


def _failures_part(shown: Sequence[Shown]) -> str:
    rows = [
        (_cell(f"{count:,}", "number"), _cell(name), _cell(reason), _cell(keys, "soft"))
        for name, reason, count, keys in grouped_failures(shown)[:100]
    ]
    return _table("Failures", ("instances", "activity", "error", "first"), rows)


def _slowest_part(shown: Sequence[Shown]) -> str:
    rows = [
        (
            _cell(f"{cell.seconds:,.3f} s", "number"),
            _cell(name),
            _cell(keys),
            _cell(f"{cell.attempts}", "number"),
        )
        for name, keys, cell in slowest(shown)
    ]
    return _table("Slowest", ("last attempt", "activity", "keys", "attempts"), rows)


def _executions_part(shown: Sequence[Shown]) -> str:
    rows = []
    for one in shown:
        took = format_duration((one.closed - one.started).total_seconds()) if one.closed else ""
        rows.append(
            (
                _cell(one.title),
                _cell(one.told.status or "OPEN"),
                _cell(_moment(one.started)),
                _cell(took, "number"),
                _cell(f"{one.told.events:,}", "number"),
                _cell(f"{one.told.shards:,}", "number"),
                _cell(f"{one.workflow_id} {one.run_id}", "soft"),
            )
        )
    heads = ("range", "status", "started", "took", "events", "shards", "workflow and run id")
    return _table("Executions", heads, rows)


def _cell(text: str, kind: str = "") -> str:
    return f'<td class="{kind}">{_text(text)}</td>' if kind else f"<td>{_text(text)}</td>"


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{one}</th>" for one in heads)
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f"<h2>{title}</h2><table><tr>{head}</tr>\n{body}</table>"

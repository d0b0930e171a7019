"""Draws tables of states and moves as SVG, for the documentation.

States stand on an ellipse in the order in which they are declared, moves are bent arrows between
them, one for all moves that go the same way. Law: nothing in a picture that is not in the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from math import atan2, cos, hypot, pi, sin

WIDTH, HEIGHT = 760, 520
RADIUS_X, RADIUS_Y = 270, 185
BOX_X, BOX_Y = 62, 20  # half of a state's box
BEND = 0.16  # how far an arrow leaves the straight line, as a share of its length
LOOP = 46  # how far a move that changes nothing reaches out
ROOM = 7  # between an arrow and the box it ends at

Point = tuple[float, float]

_HEAD = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" \
font-family="sans-serif" font-size="14">
<title>{{title}}</title>
<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>
<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" \
orient="auto"><path d="M0 0 10 5 0 10z" fill="#456"/></marker></defs>"""


def draw(title: str, states: list[str], moves: Mapping[tuple[str, str], str]) -> str:
    """Return a picture of a state machine.

    Args:
        title: for those who cannot see it.
        states: names, in the order in which they stand round; the first one on the left.
        moves: for a state and a move, the state that follows.
    """
    places = {name: _place(number, len(states)) for number, name in enumerate(states)}
    ways: dict[tuple[str, str], list[str]] = {}
    for (state, move), following in moves.items():
        ways.setdefault((state, following), []).append(move)
    parts = [_HEAD.format(title=escape(title))]
    parts += [_arrow(places[a], places[b], ", ".join(told)) for (a, b), told in ways.items()]
    parts += [_box(name, place) for name, place in places.items()]
    return "\n".join([*parts, "</svg>", ""])


def _place(number: int, count: int) -> Point:
    angle = pi + 2 * pi * number / count
    return WIDTH / 2 + RADIUS_X * cos(angle), HEIGHT / 2 + RADIUS_Y * sin(angle)


def _box(name: str, place: Point) -> str:
    x, y = place
    return (
        f'<rect x="{x - BOX_X:.1f}" y="{y - BOX_Y:.1f}" width="{2 * BOX_X}" height="{2 * BOX_Y}"'
        ' rx="8" fill="#eef3f8" stroke="#456"/>'
        f'<text x="{x:.1f}" y="{y + 5:.1f}" text-anchor="middle" font-weight="bold" fill="#123">'
        f"{escape(name)}</text>"
    )


def _arrow(begin: Point, end: Point, label: str) -> str:
    if begin == end:
        return _loop(begin, label)
    middle = ((begin[0] + end[0]) / 2, (begin[1] + end[1]) / 2)
    along = (end[0] - begin[0], end[1] - begin[1])
    # Bent to its own left, so that there and back are two arrows.
    control = (middle[0] + BEND * along[1], middle[1] - BEND * along[0])
    first, last = _edge(begin, control), _edge(end, control)
    shown = tuple((first[i] + 2 * control[i] + last[i]) / 4 for i in (0, 1))
    path = f"M{first[0]:.1f} {first[1]:.1f}Q{control[0]:.1f} {control[1]:.1f} "
    return _line(f"{path}{last[0]:.1f} {last[1]:.1f}") + _label(shown[0], shown[1], label)


def _loop(place: Point, label: str) -> str:
    x, y = place
    side = 1 if y >= HEIGHT / 2 else -1
    edge, far = y + side * (BOX_Y + ROOM), y + side * (BOX_Y + LOOP)
    path = f"M{x - 22:.1f} {edge:.1f}C{x - 30:.1f} {far:.1f} {x + 30:.1f} {far:.1f} "
    return _line(f"{path}{x + 22:.1f} {edge:.1f}") + _label(x, y + side * (BOX_Y + 42), label)


def _edge(place: Point, towards: Point) -> Point:
    """Return where a line from the middle of a box towards a point leaves it, and a little more."""
    angle = atan2(towards[1] - place[1], towards[0] - place[0])
    reach = min(
        (BOX_X + ROOM) / max(abs(cos(angle)), 1e-9), (BOX_Y + ROOM) / max(abs(sin(angle)), 1e-9)
    )
    reach = min(reach, hypot(BOX_X, BOX_Y) + ROOM)
    return place[0] + reach * cos(angle), place[1] + reach * sin(angle)


def _line(path: str) -> str:
    return f'<path d="{path}" fill="none" stroke="#456" marker-end="url(#tip)"/>'


def _label(x: float, y: float, text: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" fill="#a33" stroke="#fff"'
        f' stroke-width="4" paint-order="stroke">{escape(text)}</text>'
    )

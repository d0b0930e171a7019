"""Numbers that a program of another language looks at: an external activity.

SWF does not mind who answers a task. garcon schedules `polyglot_is_prime` with its timeouts and
retries; `flows/polyglot_worker.py`, which knows nothing of garcon, polls that list and answers.

    python -m garcon.engine --port 8700 &
    python flows/polyglot_worker.py http://127.0.0.1:8700 &
    python -m garcon.pool flows.polyglot --engine http://127.0.0.1:8700 --input '{"numbers": [7]}'

Input: `numbers`, which to look at, 1 to 10 without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from garcon import activity, runner

domain = "garcon-samples"
name = "polyglot"
create = activity.create(domain, name)


def numbers(context: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield one context a number."""
    for number in context.get("numbers", range(1, 11)):
        yield {"number": number}


def report(context: Mapping[str, Any], activity: Any) -> dict[str, Any]:
    """Say which of the numbers are prime."""
    primes = sorted(int(key[6:]) for key, found in context.items() if key[:6] == "prime." and found)
    print(f"primes: {', '.join(map(str, primes)) or 'none'}")
    return {"primes": primes}


is_prime = create(
    name="is_prime", generators=[numbers], retry=2, external=True, timeout=60, heartbeat=30
)

report_all = create(name="report", requires=[is_prime], run=runner.Sync(report))

"""A coffee shop: a flow with a decider of its own, whose results steer the next step.

Somebody comes in, orders everything at once, takes water for what is sold out, pays and is served
side by side, and leaves; whoever paid enough to leave a tip is thanked first.

    python -m garcon.pool flows.coffee:workflow --engine local --input '{"items": ["tea"]}'

Input: `items`, what to order; `purse`, cents to spend, 2,000 without it. Law: the decider calls
nobody and reads no clock, for it is run from its beginning each time something has happened; what
it knows it has from the states that `schedule` returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from garcon import activity, runner, task
from garcon.activity import ActivityState

#: Prices in cents; what is not on the menu is sold out.
MENU = {"coffee": 399, "cookie": 299, "tea": 349, "water": 0}

#: What is taken instead of something sold out.
INSTEAD = "water"

Schedule = Callable[..., ActivityState]


@task.decorate(timeout=30)
def enter() -> None:
    """Come in."""
    print("come in")


@task.decorate(timeout=30)
def order(item: str) -> dict[str, Any]:
    """Order one thing; `price` is None when it is sold out."""
    price = MENU.get(item)
    print(f"order {item}: {'sold out' if price is None else f'{price / 100:.2f}'}")
    return {"price": price}


@task.decorate(timeout=30)
def pay(total: int, purse: int | None) -> dict[str, Any]:
    """Pay, with a tenth as tip if the purse allows it."""
    left = (2_000 if purse is None else purse) - total
    if left < 0:
        raise ValueError(f"{total / 100:.2f} to pay, {-left / 100:.2f} too much for this purse")
    tip = min(left, total // 10)
    print(f"pay {total / 100:.2f}, tip {tip / 100:.2f}")
    return {"tip": tip}


@task.decorate(timeout=30)
def serve(items: list[str]) -> None:
    """Bring what was ordered."""
    print(f"here you are: {', '.join(items)}")


@task.decorate(timeout=30)
def thank() -> None:
    """Thank for the tip."""
    print("thank you")


@task.decorate(timeout=30)
def leave() -> None:
    """Go."""
    print("goodbye")


class CoffeeShop:
    """The flow.

    Attributes:
        domain: SWF's domain.
        name: SWF's workflow type.
    """

    domain = "garcon-samples"
    name = "coffee"

    def __init__(self) -> None:
        """Make the activities; the pool finds them as attributes."""
        create = activity.create(self.domain, self.name)
        self.enter = create(name="enter", run=runner.Sync(enter.fill()))
        self.order = create(name="order", run=runner.Sync(order.fill(item="item")))
        self.pay = create(name="pay", run=runner.Sync(pay.fill(total="total", purse="purse")))
        self.serve = create(name="serve", run=runner.Sync(serve.fill(items="items")))
        self.thank = create(name="thank", run=runner.Sync(thank.fill()))
        self.leave = create(name="leave", run=runner.Sync(leave.fill()))

    def decider(self, schedule: Schedule, context: Mapping[str, Any] | None = None) -> None:
        """Say what comes next; reading a result that is not there yet ends it for now."""
        items = list((context or {}).get("items", ["coffee", "cookie"]))
        schedule("enter", self.enter).wait()

        orders = [
            schedule(f"item_{number}", self.order, input={"item": item})
            for number, item in enumerate(items)
        ]
        prices = [one.result["price"] for one in orders]

        for number, price in enumerate(prices):
            if price is None:
                items[number] = INSTEAD
                instead = schedule(f"instead_{number}", self.order, input={"item": INSTEAD})
                prices[number] = instead.result["price"]

        paid = schedule("pay", self.pay, input={"total": sum(prices)})
        served = schedule("serve", self.serve, input={"items": items})
        served.wait()
        if paid.result["tip"]:
            schedule("thank", self.thank).wait()
        schedule("leave", self.leave)


workflow = CoffeeShop()

"""The shape of 1.x's other example: an object with a decider, properties that build activities."""

from garcon import activity, runner, task


class Workflow:
    """Somebody has a coffee and a cookie."""

    def __init__(self, client, domain, name):
        """Bind the client."""
        self.name = name
        self.domain = domain
        self.client = client
        self.create_activity = activity.create(client, domain, name)

    def decider(self, schedule, context=None):  # noqa: ARG002 - the documented signature
        """Enter, order both, pay the sum, get the order, leave."""
        enter = schedule("enter", self.create_enter_coffee_activity)
        enter.wait()

        total = 0
        for item in ["coffee", "chocolate_chip_cookie"]:
            ordered = schedule(f"order_{item}", self.create_order_activity, input={"item": item})
            total += ordered.result.get("price")

        pay_activity = schedule("pay", self.create_payment_activity, input={"total": total})
        get_order = schedule("get_order", self.create_get_order_activity)
        pay_activity.wait(), get_order.wait()

        schedule("leave_coffee_shop", self.create_leave_coffee_shop)

    @property
    def create_enter_coffee_activity(self):
        """Enter."""
        return self.create_activity(
            name="enter",
            run=runner.Sync(lambda context, activity: print("entering coffee shop")),
        )

    @property
    def create_order_activity(self):
        """Order one thing."""

        @task.decorate()
        def order(activity, item=None):
            print(f"ordering: {item}")
            return {"price": {"coffee": 3.99, "chocolate_chip_cookie": 2.99}.get(item, 0.00)}

        return self.create_activity(name="order", run=runner.Sync(order.fill(item="item")))

    @property
    def create_payment_activity(self):
        """Pay the bill."""

        @task.decorate()
        def payment(activity, total=None):
            print(f"pay ${total:.2f}")

        return self.create_activity(name="payment", run=runner.Sync(payment.fill(total="total")))

    @property
    def create_get_order_activity(self):
        """Get the order."""

        @task.decorate()
        def get_order(activity):
            print("get order")

        return self.create_activity(name="get_order", run=runner.Sync(get_order.fill()))

    @property
    def create_leave_coffee_shop(self):
        """Leave."""

        @task.decorate()
        def leave(activity):
            print("leaving the coffee shop")

        return self.create_activity(name="leave", run=runner.Sync(leave.fill()))

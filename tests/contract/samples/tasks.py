"""The samples of the page on tasks: one function filled twice, and a list chosen by the context."""

from garcon import activity, runner, task

domain = "dev"
name = "tasks"
create = activity.create(domain, name)


@task.contextify
def increase_throughput(
    activity, context, table_name=None, table_index=None, table_throughput=None
):
    """Say what it was given."""
    print(table_name, table_index, table_throughput)


increase = create(
    name="increase",
    run=runner.Sync(
        increase_throughput.fill(
            table_name="dynamodb.table_name1",
            table_index="dynamodb.table_index1",
            table_throughput="dynamodb.table_throughput1",
        ),
        increase_throughput.fill(
            table_name="dynamodb.table_name2",
            table_index="dynamodb.table_index2",
            table_throughput="dynamodb.table_throughput2",
        ),
    ),
)


@task.decorate(timeout=30)
def create_user(activity, username, email):
    """Make a user."""
    print("user", username, email)
    return {"id": 7}


@task.decorate(timeout=40)
def create_credit_card(activity, username, credit_card):
    """Note a card."""
    print("card", username, credit_card)


@task.decorate(timeout=50)
def send_email(activity, email):
    """Say hello."""
    print("email", email)


@task.list
def create_client(context):
    """Choose by the context."""
    yield create_user.fill(namespace="user", username="context.username", email="context.email")
    if context.get("context.credit_card"):
        yield create_credit_card.fill(
            username="context.username", credit_card="context.credit_card"
        )
    yield send_email.fill(email="context.email")


client_activity = create(name="client", requires=[increase], run=runner.Sync(create_client))

ids = create(
    name="ids",
    requires=[client_activity],
    run=runner.Sync(lambda context, activity: print(context["user.id"])),
)

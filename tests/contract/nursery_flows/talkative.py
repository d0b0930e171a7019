"""A flow that takes the signals for itself at import, as some frameworks do."""

from __future__ import annotations

import signal

from garcon import activity, runner

domain = "tests"
name = "talkative"
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
    signal.signal(number, signal.SIG_DFL)

work = activity.create(domain, name)(name="work", run=runner.Sync(lambda activity, context: {}))

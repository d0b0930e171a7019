"""An activity that does not say what to run."""

from __future__ import annotations

from garcon import activity

domain = "garcon-tests"
name = "no_runner"
create = activity.create(domain, name)

brew = create(name="brew")

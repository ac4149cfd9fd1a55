"""One client's process: `python -m tests.benchmarks.clients NAME JOB`; it prints its result as one line of JSON."""

from __future__ import annotations

import sys
from importlib import import_module

from ..load import Job
from ..meter import Meter
from . import CLIENTS

client = CLIENTS[sys.argv[1]]
job = Job.from_json(sys.argv[2])
run = getattr(import_module(f"{__package__}.{client.module}"), client.function)
run(job, Meter(job))
sys.exit("the client ended before it had read all messages")

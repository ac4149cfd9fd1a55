"""What `tests/peers/README.md` says of other packages, tried on the local KuCoin.

`python -m tests.peers` takes two minutes.

Each scenario is a function that returns what it has seen in a sentence. It runs in a process of its own, because some
of them leave threads behind that never end.
"""

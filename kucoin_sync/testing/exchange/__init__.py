"""A simulated KuCoin: a matching engine, seeded traders, and all feeds of its books and accounts.

For tests, demonstrations and benchmarks without a network. Pure: no I/O, no threads, no real time.
"""

from .exchange import Exchange
from .orders import OrderRejected
from .push import Push

__all__ = ["Exchange", "OrderRejected", "Push"]

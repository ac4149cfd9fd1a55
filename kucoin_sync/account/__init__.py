"""A local account: balances, open orders, fills and positions, kept in step with the exchange. See README.md."""

from .values import AccountBalance, AccountChange, AccountFill, AccountOrder, AccountPosition

__all__ = ["AccountBalance", "AccountChange", "AccountFill", "AccountOrder", "AccountPosition"]

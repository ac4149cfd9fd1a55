"""The accounts of an exchange: a spot ledger and a futures wallet for each user. They render no pushes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from .account_history import AccountHistory
from .ledger import SCALE, SpotLedger
from .margin import FuturesWallet
from .specs import Spec

__all__ = ["Account", "Accounts"]

_FUNDS = {"USDT": 1_000_000, "BTC": 12, "ETH": 250, "KCS": 50_000}
_OTHER_FUNDS = 100_000
_WALLET = 500_000


class Account:
    """One user's money. `index` is the account's number in its exchange; for `marks` see FuturesWallet."""

    def __init__(self, user: str, index: int, currencies: Iterable[str], marks: Mapping[str, int]) -> None:
        self.user = user
        self.index = index
        self.spot = SpotLedger(
            {currency: _FUNDS.get(currency, _OTHER_FUNDS) * 10**SCALE for currency in sorted(currencies)}
        )
        #: The unified balance of each currency that the UTA feed has pushed last: available, hold and equity.
        self.pushed: dict[str, tuple[int, int, int]] = {}
        self.wallet = FuturesWallet(_WALLET * 10**SCALE, marks)
        self.history = AccountHistory()
        self.history.add_balances(self.spot.balances.items(), 0)
        self.history.add_wallet(self.wallet, 0)

    def __repr__(self) -> str:
        return f"Account({self.user}, {self.spot.balances})"

    def account_id(self, currency: str) -> str:
        """Return the id of this account's balance in a currency."""
        place = list(self.spot.balances).index(currency)
        return str(548_674_591_000 + self.index * 100 + place)


class Accounts(Mapping[str, Account]):
    """The accounts by user id. All start with the same funds.

    `marks` holds the last price of each contract; the markets keep it up to date. `has_contracts` says whether
    contracts are traded.
    """

    def __init__(self, users: Iterable[str], specs: Iterable[Spec]) -> None:
        specs = list(specs)
        self.has_contracts = any(spec.futures for spec in specs)
        currencies = {currency for spec in specs if not spec.futures for currency in (spec.base, spec.quote)}
        self.marks: dict[str, int] = {}
        self._accounts = {user: Account(user, index, currencies, self.marks) for index, user in enumerate(users)}
        self._events = 354_689_988_084_000

    def __getitem__(self, user: str) -> Account:
        return self._accounts[user]

    def __iter__(self) -> Iterator[str]:
        return iter(self._accounts)

    def __len__(self) -> int:
        return len(self._accounts)

    def next_event(self) -> int:
        """Return a new id for a balance change."""
        self._events += 1
        return self._events

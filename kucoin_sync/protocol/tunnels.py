"""The multiplex tunnels of one session, each opened by a command before the first topic in it is subscribed.

Source: KuCoin's documentation of 2019 to 2023, "Multiplex".
"""

from __future__ import annotations

from .commands import Command, CommandQueue

__all__ = ["Tunnels"]


class Tunnels:
    """The tunnels that are open or wanted; their commands go into the queue."""

    def __init__(self, commands: CommandQueue) -> None:
        self._commands = commands
        self._orders: dict[str, int] = {}  # queue position of the command that opens each

    def __contains__(self, tunnel: str) -> bool:
        return tunnel in self._orders

    def open(self, tunnel: str | None) -> None:
        """Queue the command that opens a tunnel, unless it is open or there is none."""
        if tunnel is not None and tunnel not in self._orders:
            self._orders[tunnel] = self._commands.add_for_tunnel("openTunnel", tunnel)

    def close(self, tunnel: str) -> None:
        """Queue the command that closes a tunnel, or remove the one that opens it if that was never sent."""
        if not self._commands.remove_unsent(self._orders.pop(tunnel)):
            self._commands.add_for_tunnel("closeTunnel", tunnel)

    def is_wanted(self, command: Command) -> bool:
        """Return whether a command that opens or closes a tunnel is still to be carried out."""
        return (command.kind == "openTunnel") == (command.tunnel in self._orders)

    def refused(self, command: Command) -> bool:
        """Forget a tunnel whose opening was refused; return False if it was closed or opened again meanwhile."""
        tunnel = command.tunnel
        if tunnel is None or self._orders.get(tunnel) != command.order:
            return False
        del self._orders[tunnel]
        return True

"""Trades and candles that were missed during a cut, fetched by REST and merged with the pushes. See README.md."""

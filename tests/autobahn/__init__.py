"""Autobahn's test suite for WebSocket clients, run by hand before a release: `python -m tests.autobahn`."""

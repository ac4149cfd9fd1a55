"""Support for web frameworks: `flask`, `django`, and what both are made of.

`options` reads their settings, `web` is what an application holds of the feed, with `last` values for plain views,
`sse` sends it to browsers, and `feed` is the process that owns the connection to KuCoin where workers share one. None
of these knows a framework.
"""

"""Support for web frameworks: `flask`, `django`, and the modules that both use.

`options` reads the settings. `web` holds the client of an application and limits its use. `last` keeps the newest
message of topics, for plain views. `sse` sends messages to browsers. `feed` runs the process that owns the connection
to KuCoin when workers share one. These modules do not depend on a framework.
"""

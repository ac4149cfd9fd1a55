"""One feed for many processes: a relay publishes it through Redis, and several readers share its connection.

python examples/redis_fanout.py --demo                     on a local KuCoin and a new redis-server
python examples/redis_fanout.py redis://localhost --seconds 30
                                                           behind `kucoin-sync relay --redis redis://localhost`
"""

import contextlib
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

from _common import example_parser
from kucoin_sync import ConnectionFailed, KucoinSyncError, Stream, topics
from kucoin_sync.relay import Relay, RelayStream
from kucoin_sync.testing import local_kucoin

SYMBOLS = ("BTC-USDT", "ETH-USDT")
READERS = 3


def main() -> None:
    parser = example_parser(__doc__)
    parser.add_argument("redis", nargs="?", default="redis://localhost", help="URL of Redis; a relay has to run there")
    options = parser.parse_args()
    if options.demo and not shutil.which("redis-server"):
        print("There is no redis-server on the PATH; install one (Debian: apt-get install redis-server) to see this.")
        return
    with demo() if options.demo else contextlib.nullcontext(options.redis) as url:
        spawn = multiprocessing.get_context("spawn")
        readers = [spawn.Process(target=read, args=(url, name, options.seconds)) for name in range(READERS)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    sys.exit(max(reader.exitcode or 0 for reader in readers))


def read(url: str, name: int, seconds: float) -> None:
    """Read two tickers and a book for some seconds; this is the body of one process."""
    messages, deadline = 0, time.monotonic() + seconds
    try:
        with RelayStream(url) as stream:
            subscription = stream.subscribe(topics.ticker(*SYMBOLS))
            book = stream.book(SYMBOLS[0])
            book.wait_ready(timeout=10)
            while (remaining := deadline - time.monotonic()) > 0:
                with contextlib.suppress(TimeoutError):
                    subscription.get(timeout=remaining)
                    messages += 1
            print(f"reader {name}: {messages} tickers; {SYMBOLS[0]} is at {book.best_bid.price} bid", flush=True)
    except KucoinSyncError as error:
        sys.exit(f"reader {name}: {error}")


@contextlib.contextmanager
def demo() -> Iterator[str]:
    """Yield the URL of a new Redis to which a relay publishes a simulated market."""
    with (
        redis_server() as url,
        local_kucoin(*SYMBOLS) as server,
        Stream(**server.stream_options) as stream,
        Relay(stream, url) as relay,
    ):
        relay.wait_lease(timeout=10)
        yield url
        print(f"relay: {relay.stats()['published']} messages of {len(relay.topics)} topics, passed on once", flush=True)
        print(f"KuCoin had {len(server.connections)} connection", flush=True)


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """Run a redis-server without persistence; yield its URL."""
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/socket"
        command = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", directory]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                wait_for(f"unix://{path}")
                yield f"unix://{path}"
            finally:
                process.terminate()


def wait_for(url: str) -> None:
    """Wait until Redis answers."""
    from redis import ConnectionError, Redis

    pause, deadline = threading.Event(), time.monotonic() + 20
    with Redis.from_url(url) as client:
        while True:
            try:
                client.ping()
                return
            except ConnectionError:
                if time.monotonic() > deadline:
                    raise ConnectionFailed("redis-server does not answer") from None
                pause.wait(0.02)


if __name__ == "__main__":
    main()

"""`python -m kucoin_sync` is the command `kucoin-sync`."""

import sys

from .cli import main

sys.exit(main())

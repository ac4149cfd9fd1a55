"""The promises of the table in `tests/reliability/README.md`, each shown from outside, with its faults."""

"""Whether a venue is as this package believes: what `kucoin-sync verify` runs. It has no public names."""

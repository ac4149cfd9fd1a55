"""The promises of the README's table "Reliability", each shown from outside, with the faults that call for it."""

"""`Stream` side by side with its peers: `python -m tests.benchmarks`, with the extra `[bench]` installed.

Every run takes two processes on this machine: the blaster (`blaster`), which plays KuCoin with frames made
beforehand, and one client (`clients`), which reads a fixed number of messages. All clients of a scenario take turns
(A B C A B C …), so that what else the machine does meets all of them alike, and ratios are taken within a round.

What makes it fair: the same frames for all; each message is decoded, and its topic and price are read, by a function
of the user's; each client is set up at its best (no compression, no logging, no UTF-8 check twice); a warm-up is
read to its end before the measured messages leave the blaster; time and CPU (user and system, the whole
client process) run from the first measured message to the last, as the user's code reads them. A client that
loses a message does not end, which the table shows.
"""

"""Everything between a decided order and a broker: the port, the sender, tickets by hand, and what came back.

``port`` says what a broker must promise and ``kit`` holds an adapter to it. ``desk`` sends over the port, ``caps``
says what may be sent at all. ``tickets`` and ``exports`` are for people who type their orders in. ``reconcile``
compares what was intended, what the broker says and what the ledger holds. ``simulated`` and ``adversary`` are
brokers for tests; ``qmt`` speaks to xtquant.
"""

"""What people and programs read of the counters: ``metrics()``, Prometheus' ``/metrics`` and ``snapshot()``."""

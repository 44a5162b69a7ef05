"""Whether a model may stay on a backend: the forecast, the gate, and what takes its place."""

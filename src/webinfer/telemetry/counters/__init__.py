"""The one store of counters: what happened since an accelerator was made, by labels, and its state at this moment."""

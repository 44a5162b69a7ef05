"""The package name of the resource pool guide; see ``webinfer.compat``."""

"""The agent: converges its own instance when told to, and proves it."""

VERSION = "0.1.0"
"""The distribution's version as a value, since `importlib.metadata` would cost a wing 1 MB for good."""

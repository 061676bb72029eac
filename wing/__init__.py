"""The agent: converges its own instance when told to, and proves it."""

"""The HTTP face of the orchestrator."""

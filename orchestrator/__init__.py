"""The orchestrator: what the fleet shall be, and what it was seen to be."""

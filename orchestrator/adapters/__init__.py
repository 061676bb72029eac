"""The real thing behind each of the orchestrator's ports."""

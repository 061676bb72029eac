"""The pure heart of the orchestrator: values, events, effects and decisions."""

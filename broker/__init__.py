"""The mesh that orchestrator and wings speak; imports none of our other packages."""

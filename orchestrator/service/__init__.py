"""The orchestrator at work: inbox → handle → persist → interpret."""

"""Kubernetes as the orchestrator sees it: by a credential that only reads, and that it can do without."""

"""Providers: who makes a cluster's machines. docs/operations/providers.md says how to write one."""

"""Puppet on one host: bundles, runs, reports and what they prove."""

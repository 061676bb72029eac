"""Rollouts: taking the instances of roles from the bundle they have to another, unnoticed. Pure."""

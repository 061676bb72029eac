"""The local provider: real hosts on this very machine, for trying things out and for tests.

Each host is a systemd-nspawn container with its own systemd, network and disk, all made from one root image.
"""

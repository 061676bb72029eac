"""The description that `tarmak cluster init` writes: it can be applied as it is, and explains itself."""

from typing import Final

HEAD: Final = """\
# yaml-language-server: $schema=./cluster.schema.json
# (make that file with `tarmak cluster schema > cluster.schema.json`; editors complete and check with it)
#
# A cluster: `tarmak cluster plan` shows what would be done, `tarmak cluster apply` does it.

# Lower-case letters, digits and inner hyphens. Another name is another cluster.
name: {name}
"""

LOCAL: Final = """
# local: hosts on this very machine (Linux, root), each with its own systemd, network and disk.
provider:
  kind: local

# Instances get addresses of it, from the tenth on. No site routes 198.18.0.0/15; local must stay within.
network:
  cidr: 198.18.4.0/24

# Instances made alike; they are called NAME-1, NAME-2 and so on. A pool's role may be left out where its
# name is one: bastion, vault, etcd, master, worker. Exactly one instance is the bastion.
pools:
  - name: bastion
    count: 1
    size: small # small, medium or large

  - name: etcd
    count: 3 # odd: an even number outlives no more losses

  - name: master
    count: 1

  - name: worker
    role: worker
    count: 3
    size: medium
    labels:
      zone: a
"""

STATIC: Final = """
# static: hosts that exist already. They are reached over SSH and never made or ended.
provider:
  kind: static
  # identity: ~/.ssh/id_ed25519 # the key to reach them with [one that is made for the cluster]
  # jump: true # reach all others by way of the bastion

# The hosts of each pool. `ssh-keyscan -t ed25519 ADDRESS` shows a host's key: compare it with
# /etc/ssh/ssh_host_ed25519_key.pub there before you write it down. A pool's role may be left out where its
# name is one: bastion, vault, etcd, master, worker. Exactly one instance is the bastion.
pools:
  - name: bastion
    hosts:
      - name: bastion-1
        address: 192.0.2.10
        user: root # anyone else must be able to `sudo` without a password
        port: 22
        host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHqI0fSV3gXGL2VWnt6LKyzt5fTmA4tQ0CrvZfWn4bEx

  - name: worker
    role: worker
    labels:
      zone: a
    hosts:
      - name: worker-1
        address: 192.0.2.21
        host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5wS8zJv1L3Qb6oT5yV6M8mXkq9o8cR3b1d2ZyC4uFa
"""

TAIL: Final = """
# What the bundle is told to install; free texts, in quotes.
versions: {}
#  kubernetes: "1.34.1"
#  etcd: "3.5.16"

# The Puppet code that the instances converge to: a source tree, or a bundle's digest (sha256:…).
# bundle: ./site
"""


def template(name: str, provider: str) -> str:
    """Return the text of a description for a provider, `local` or `static`."""
    return HEAD.format(name=name) + (LOCAL if provider == "local" else STATIC) + TAIL

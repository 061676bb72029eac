"""Small bundles that each end a run in their own way, laid out as an unpacked bundle is."""

from pathlib import Path

HIERA = "version: 5\nhierarchy:\n  - name: role\n    path: '%{facts.tarmak.role}.yaml'\n"

SETTLES = """
$root = $facts['tarmak']['root']
file { "${root}/motd": content => "${lookup('greeting')} ${facts['tarmak']['labels']['zone']}\\n" }
"""
SYNTAX_ERROR = "file { '/tmp/x':\n  ensure => => present,\n}\n"
FAILS = "exec { '/bin/false': }\n-> notify { 'never': }\n"
NEVER_SETTLES = "exec { 'again':\n  command => '/bin/true',\n}\n"
HANGS = "exec { 'hang':\n  command => '/bin/sleep 1000',\n  timeout => 0,\n}\n"


def write(bundle: Path, manifest: str) -> Path:
    """Write a bundle with this site.pp at `bundle`, and return it."""
    for folder in ("manifests", "data", "modules"):
        (bundle / folder).mkdir(parents=True)
    (bundle / "hiera.yaml").write_text(HIERA)
    (bundle / "data" / "worker.yaml").write_text("greeting: hello worker\n")
    (bundle / "manifests" / "site.pp").write_text(manifest)
    return bundle

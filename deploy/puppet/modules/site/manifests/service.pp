# A service that runs and is enabled, where there are services: not in a developer's directory, and
# not on a host (or in a container) without systemd.
#
# @param ensure Whether it runs.
# @param enable Whether it starts with the host.
define site::service (
  Stdlib::Ensure::Service $ensure = 'running',
  Boolean                 $enable = true,
) {
  if site::is_host() and $facts['service_provider'] == 'systemd' {
    service { $title:
      ensure => $ensure,
      enable => $enable,
    }
  }
}

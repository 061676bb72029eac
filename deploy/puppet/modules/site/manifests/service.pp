# A service that runs and is enabled, where it can be: `site::runs` says where.
#
# @param ensure Whether it runs.
# @param enable Whether it starts with the host.
define site::service (
  Stdlib::Ensure::Service $ensure = 'running',
  Boolean                 $enable = true,
) {
  if site::runs($title) {
    service { $title:
      ensure => $ensure,
      enable => $enable,
    }
  }
}

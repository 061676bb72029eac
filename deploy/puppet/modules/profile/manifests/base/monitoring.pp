# The node exporter, what it is to leave alone, and what this host says of itself.
#
# @param listen Where it listens.
# @param collectors Collectors to turn on besides the usual ones.
# @param ignored_mounts Mounts below these are not looked at.
class profile::base::monitoring (
  String                      $listen,
  Array[String]               $collectors     = [],
  Array[Stdlib::Absolutepath] $ignored_mounts = [],
) {
  $settings = {
    'listen'         => $listen,
    'collectors'     => $collectors,
    'ignored_mounts' => $ignored_mounts,
  }
  site::file {
    '/etc/default/prometheus-node-exporter':
      content => epp('profile/node-exporter.epp', $settings),
      restart => 'prometheus-node-exporter';
    '/var/lib/node_exporter/site.prom':
      content => epp('profile/site.prom.epp', { 'release' => lookup('profile::base::motd::release') });
    '/etc/cron.d/node-exporter-smart':
      content => "17 * * * * root test -x /usr/sbin/smartctl && /usr/sbin/smartctl --scan > /dev/null\n";
  }
  site::service { 'prometheus-node-exporter': }
}

# Clocks agree: certificates, leases and logs depend on it.
#
# @param servers NTP servers.
# @param pools Pools of NTP servers.
class profile::base::time (
  Array[Stdlib::Host] $servers = [],
  Array[Stdlib::Host] $pools   = [],
) {
  site::file {
    '/etc/chrony/chrony.conf':
      content => epp('profile/chrony.conf.epp', { 'servers' => $servers, 'pools' => $pools }),
      restart => 'chrony';
    '/etc/chrony/conf.d/10-makestep.conf':
      content => "makestep 1 3\n",
      restart => 'chrony';
    '/etc/timezone':
      content => "Etc/UTC\n";
    '/etc/default/chrony':
      content => "DAEMON_OPTS=\"-F 1\"\n",
      restart => 'chrony';
  }
  site::service { 'chrony': }
}

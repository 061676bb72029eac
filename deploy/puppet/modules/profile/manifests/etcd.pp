# A member of the etcd cluster that holds the state of Kubernetes.
#
# @param members Every member of the cluster: its name, and its address.
# @param address Where this member listens; its own entry among the members if not given.
# @param quota_bytes How large the database may grow.
# @param heartbeat_ms How often the leader speaks.
# @param election_ms How long members wait for it.
class profile::etcd (
  Hash[String, Stdlib::Host] $members,
  Optional[Stdlib::Host]     $address      = undef,
  Integer                    $quota_bytes  = 8589934592,
  Integer                    $heartbeat_ms = 100,
  Integer                    $election_ms  = 1000,
) {
  $instance = $facts['tarmak']['instance']
  $own = pick($address, $members[$instance], $instance)
  $settings = {
    'instance'     => $instance,
    'address'      => $own,
    'members'      => $members + { $instance => $own },
    'state'        => '/var/lib/etcd',
    'quota_bytes'  => $quota_bytes,
    'heartbeat_ms' => $heartbeat_ms,
    'election_ms'  => $election_ms,
  }
  site::account { 'etcd':
    home => '/var/lib/etcd',
  }
  site::dir {
    default:
      require => Site::Account['etcd'];
    ['/etc/etcd', '/usr/local/lib/etcd']:
      ;
    ['/etc/etcd/pki', '/var/lib/etcd']:
      owner => 'etcd',
      mode  => '0700';
  }
  site::file {
    '/etc/etcd/etcd.conf.yml':
      content => epp('profile/etcd.conf.yml.epp', $settings),
      restart => 'etcd';
    '/etc/default/etcd':
      content => "ETCD_CONFIG_FILE=/etc/etcd/etcd.conf.yml\n",
      restart => 'etcd';
    '/etc/etcd/etcdctl.env':
      content => epp('profile/etcdctl.env.epp', { 'address' => $own });
    '/usr/local/lib/etcd/defragment':
      content => "#!/bin/sh\nset -a; . /etc/etcd/etcdctl.env\nexec etcdctl defrag\n",
      mode    => '0755';
    '/etc/cron.d/etcd-defragment':
      content => "23 3 * * 0 root /usr/local/lib/etcd/defragment\n";
  }
  site::unit { 'etcd.service':
    content => epp('profile/unit.epp', {
      'description' => 'etcd, the state of Kubernetes',
      'command'     => '/usr/local/bin/etcd',
      'user'        => 'etcd',
      'environment' => '/etc/default/etcd',
      'settings'    => { 'Type' => 'notify', 'Nice' => -5, 'IOSchedulingClass' => 'best-effort' },
    }),
    service => 'etcd',
  }
}

# A member of the etcd cluster that holds the state of Kubernetes: Debian's packages, this site's unit.
#
# Only Puppet starts and restarts it (`policy-rc.d` keeps the package's scripts from it), once for all that
# changed; and no run is a good one that ends without a healthy member. It identifies itself to peers and
# clients with the certificate by which its wing is known.
#
# @param members Every member of the cluster: its name, and its address.
# @param address Where this member listens.
# @param version The version of Debian's packages; whichever is there if not given.
# @param allowed_name A name that must be in the certificates of peers and clients; if not given, every
#   certificate of the authority is as good as the next.
# @param authority Who signs certificates, as a file of this host.
# @param certificate The certificate of this member, as a file of this host.
# @param key Its key, as a file of this host.
# @param patience_s How long the member may take to become healthy: on a first start it waits for the others. A wing
#   tries three times before it gives up.
# @param snapshots How many of the snapshots that are taken before changes are kept.
# @param quota_bytes How large the database may grow.
# @param heartbeat_ms How often the leader speaks.
# @param election_ms How long members wait for it.
class profile::etcd (
  Hash[String, Stdlib::Host] $members       = site::members('etcd'),
  Stdlib::Host               $address       = site::address(),
  String                     $version       = 'installed',
  Optional[Stdlib::Fqdn]     $allowed_name  = undef,
  Stdlib::Absolutepath       $authority     = '/etc/tarmak/ca.pem',
  Stdlib::Absolutepath       $certificate   = '/etc/tarmak/wing.pem',
  Stdlib::Absolutepath       $key           = '/etc/tarmak/wing.key',
  Integer[1]                 $patience_s    = 60,
  Integer[1]                 $snapshots     = 10,
  Integer                    $quota_bytes   = 8589934592,
  Integer                    $heartbeat_ms  = 100,
  Integer                    $election_ms   = 1000,
) {
  $instance = $facts['tarmak']['instance']
  $peers = ($members + { $instance => $address }).reduce({}) |$known, $member| {
    $known + { $member[0] => "https://${member[1]}:2380" }
  }
  $data = '/var/lib/etcd/default'

  contain profile::etcd::programs

  site::account { 'etcd':
    home => '/var/lib/etcd',
  }
  site::dir {
    default:
      require => Site::Account['etcd'];
    '/etc/etcd':
      ;
    ['/etc/etcd/pki', '/var/lib/etcd']:
      owner => 'etcd',
      mode  => '0700';
  }
  site::file {
    # Variables, not a configuration file: with one etcd takes no notice of the names that it may ask for.
    '/etc/etcd/etcd.env':
      content => epp('profile/etcd.env.epp', {
        'instance'      => $instance,
        'address'       => $address,
        'peers'         => $peers,
        'data'          => $data,
        'allowed_name'  => $allowed_name,
        'quota_bytes'   => $quota_bytes,
        'heartbeat_ms'  => $heartbeat_ms,
        'election_ms'   => $election_ms,
      }),
      restart => 'etcd';
    '/etc/etcd/member.json':
      content => to_json_pretty({
        'name'        => $instance,
        'endpoint'    => "https://${address}:2379",
        'members'     => $peers,
        'token'       => $facts['tarmak']['cluster'],
        'data'        => $data,
        'snapshots'   => "${lookup('profile::backup::target')}/etcd",
        'keep'        => $snapshots,
        'ca'          => '/etc/etcd/pki/ca.crt',
        'certificate' => '/etc/etcd/pki/member.crt',
        'key'         => '/etc/etcd/pki/member.key',
      });
    '/etc/etcd/etcdctl.env':
      content => epp('profile/etcdctl.env.epp', { 'address' => $address });
    '/usr/sbin/policy-rc.d':
      content => "#!/bin/sh\n# Only the site starts and stops these.\ncase \$1 in etcd | etcd.service) exit 101 ;; esac\n",
      mode    => '0755',
      before  => Site::Package['etcd-server', 'etcd-client'];
  }
  if site::is_host() {
    # etcd reads its certificate and key anew for every connection, so that a renewal needs no restart; the
    # authority is read once.
    site::file {
      default:
        owner => 'etcd';
      '/etc/etcd/pki/ca.crt':
        source  => $authority,
        restart => 'etcd';
      '/etc/etcd/pki/member.crt':
        source => $certificate,
        before => Site::Service['etcd'];
      '/etc/etcd/pki/member.key':
        source => $key,
        mode   => '0600',
        before => Site::Service['etcd'];
    }
  }
  # `exec`: started means started. Whether it is a good member is for the check to say, in its own words.
  site::unit { 'etcd.service':
    content => epp('profile/unit.epp', {
      'description' => 'etcd, the state of Kubernetes',
      'command'     => '/usr/local/lib/etcd/start',
      'user'        => 'etcd',
      'environment' => '/etc/etcd/etcd.env',
      'settings'    => { 'Type' => 'exec', 'Nice' => -5, 'IOSchedulingClass' => 'best-effort' },
    }),
    service => 'etcd',
    require => Class['profile::etcd::programs'],
  }
  site::package { ['etcd-server', 'etcd-client']:
    version => $version,
  }
  ~> Site::Service['etcd']

  if site::runs('etcd') {
    site_check { "${instance} is a healthy member of its cluster":
      command => ['/usr/local/lib/etcd/healthy'],
      wait    => ['/usr/local/lib/etcd/healthy', String($patience_s)],
      require => [Class['profile::etcd::programs'], Site::Service['etcd'], Site::File['/etc/etcd/member.json']],
    }
  }
}

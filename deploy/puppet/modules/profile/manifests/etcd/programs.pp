# The programs that keep an etcd member, each with its use at its top.
class profile::etcd::programs {
  site::dir { ['/usr/local/lib/etcd', '/etc/tarmak', '/etc/tarmak/hooks']: }
  site::file {
    default:
      mode => '0755';
    '/usr/local/lib/etcd/member.py':
      content => file('profile/etcd/member.py'),
      mode    => '0644';
    '/usr/local/lib/etcd/start':
      content => file('profile/etcd/start.py');
    '/usr/local/lib/etcd/healthy':
      content => file('profile/etcd/healthy.py');
    '/usr/local/lib/etcd/snapshot':
      content => file('profile/etcd/snapshot.py');
    '/usr/local/lib/etcd/before-change':
      content => file('profile/etcd/before_change.py');
    # What the wing does before each change of this host.
    '/etc/tarmak/hooks/drain':
      content => "#!/bin/sh\nexec /usr/local/lib/etcd/before-change\n";
    '/usr/local/lib/etcd/restore':
      content => file('profile/etcd/restore.py');
    '/usr/local/lib/etcd/defragment':
      content => "#!/bin/sh\nset -a; . /etc/etcd/etcdctl.env\nexec etcdctl defrag\n";
    '/etc/cron.d/etcd-defragment':
      content => "23 3 * * 0 root /usr/local/lib/etcd/defragment\n",
      mode    => '0644';
  }
}

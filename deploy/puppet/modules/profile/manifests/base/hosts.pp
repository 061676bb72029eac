# /etc/hosts, put together from what the site knows and what other profiles add.
#
# @param entries Addresses, and the names of each.
class profile::base::hosts (
  Hash[Stdlib::IP::Address, Array[String]] $entries,
) {
  $file = site::path('/etc/hosts')

  concat { $file:
    ensure => present,
    owner  => site::owner(),
    group  => site::owner(),
    mode   => '0644',
  }
  concat::fragment { 'hosts: head':
    target  => $file,
    order   => '00',
    content => epp('profile/hosts_head.epp', { 'instance' => $facts['tarmak']['instance'] }),
  }
  $entries.each |$address, $names| {
    concat::fragment { "hosts: ${address}":
      target  => $file,
      order   => '50',
      content => "${address}\t${join($names, ' ')}\n",
    }
  }
}

# /etc/hosts: the site's hosts, what else it knows, and what other profiles add.
#
# @param domain The domain of the site's hosts.
# @param hosts The site's hosts, by name.
# @param entries Other addresses, and the names of each.
class profile::base::hosts (
  Stdlib::Fqdn                             $domain,
  Hash[String, Struct[{
    address => Stdlib::IP::Address,
    role    => String,
  }]]                                      $hosts   = lookup('site::hosts'),
  Hash[Stdlib::IP::Address, Array[String]] $entries = {},
) {
  $file = site::path('/etc/hosts')
  $instance = $facts['tarmak']['instance']
  $listed = $hosts.reduce({}) |$known, $host| {
    $address = $host[1]['address']
    $known + { $address => pick($known[$address], []) + ["${host[0]}.${domain}", $host[0]] }
  }

  concat { $file:
    ensure => present,
    owner  => site::owner(),
    group  => site::owner(),
    mode   => '0644',
  }
  concat::fragment { 'hosts: head':
    target  => $file,
    order   => '00',
    content => epp('profile/hosts_head.epp', { 'instance' => $instance, 'listed' => $instance in $hosts }),
  }
  $entries.reduce($listed) |$known, $entry| {
    $known + { $entry[0] => pick($known[$entry[0]], []) + $entry[1] }
  }.each |$address, $names| {
    concat::fragment { "hosts: ${address}":
      target  => $file,
      order   => '50',
      content => "${address}\t${join($names, ' ')}\n",
    }
  }
}

# The way in: the operators' jump host and the clusters' load balancer.
class role::bastion {
  contain profile::base
  contain profile::haproxy
  contain profile::backup

  Class['profile::base'] -> Class['profile::haproxy']
  Class['profile::base'] -> Class['profile::backup']
}

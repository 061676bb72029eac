# Keeps the state of Kubernetes.
class role::etcd {
  contain profile::base
  contain profile::etcd
  contain profile::backup

  Class['profile::base'] -> Class['profile::etcd']
  Class['profile::base'] -> Class['profile::backup']
}

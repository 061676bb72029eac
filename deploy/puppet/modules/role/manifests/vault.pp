# Keeps the cluster's secrets and signs its certificates.
class role::vault {
  contain profile::base
  contain profile::vault
  contain profile::backup

  Class['profile::base'] -> Class['profile::vault']
  Class['profile::base'] -> Class['profile::backup']
}

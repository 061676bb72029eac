# What every host of the site has, whatever its role.
class profile::base {
  contain profile::base::directories
  contain profile::base::packages
  contain profile::base::hosts
  contain profile::base::motd
  contain profile::base::kernel
  contain profile::base::limits
  contain profile::base::time
  contain profile::base::cron
  contain profile::base::ssh
  contain profile::base::users
  contain profile::base::logging
  contain profile::base::audit
  contain profile::base::updates
  contain profile::base::monitoring

  # A package's own files come first, so that this site's word is the last.
  Class['profile::base::directories']
  -> Class['profile::base::packages']
  -> [
    Class['profile::base::time'],
    Class['profile::base::cron'],
    Class['profile::base::logging'],
    Class['profile::base::audit'],
    Class['profile::base::updates'],
    Class['profile::base::monitoring'],
  ]
}

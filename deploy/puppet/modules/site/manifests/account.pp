# The account that a service runs as, on a host; nothing where that is none.
#
# @param home Its state.
define site::account (
  Stdlib::Absolutepath $home,
) {
  if site::is_host() {
    user { $title:
      ensure => present,
      system => true,
      home   => $home,
      shell  => '/usr/sbin/nologin',
    }
  }
}

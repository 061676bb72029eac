# Whether this site installs packages here: on a host, if the site's data say so. Where they do not,
# images bring them.
function site::installs_packages() >> Boolean {
  site::is_host() and lookup('profile::base::packages::manage')
}

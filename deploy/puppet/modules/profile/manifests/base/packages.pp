# Packages, where there is a package manager to be asked and a mirror behind it.
#
# @param manage Whether this site installs packages; false where images bring them.
# @param names The packages.
class profile::base::packages (
  Boolean       $manage,
  Array[String] $names,
) {
  if $manage and site::is_host() {
    package { $names:
      ensure => installed,
    }
  }
}

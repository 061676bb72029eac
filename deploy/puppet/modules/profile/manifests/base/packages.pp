# Packages of every host, where this site installs packages.
#
# @param manage Whether it does, on a host that reaches a mirror; false where images bring them.
# @param names The packages.
class profile::base::packages (
  Boolean       $manage,
  Array[String] $names,
) {
  site::package { $names: }
}

# The addresses of all hosts of a role, by name, as `site::hosts` lists them.
#
# @param role The role.
function site::members(String $role) >> Hash[String, Stdlib::Host] {
  lookup('site::hosts')
  .filter |$name, $host| { $host['role'] == $role }
  .reduce({}) |$known, $entry| { $known + { $entry[0] => $entry[1]['address'] } }
}

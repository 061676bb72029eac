# Whether this is a host of its own, with services, packages and root's files, and not a directory
# of a developer's machine.
function site::is_host() >> Boolean {
  $facts['tarmak']['root'] == '/'
}

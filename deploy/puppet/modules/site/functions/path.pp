# Where a path of the host lies: below the instance's own directory under `tarmak dev up`, in its
# place on a real host. Nothing in this site names a path without asking here.
#
# @param path An absolute path, such as /etc/motd.
function site::path(Stdlib::Absolutepath $path) >> Stdlib::Absolutepath {
  $facts['tarmak']['root'] ? {
    '/'     => $path,
    default => "${regsubst($facts['tarmak']['root'], '/+\\z', '')}${path}",
  }
}

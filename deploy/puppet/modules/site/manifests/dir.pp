# A directory of the host, named by its path there.
#
# @param owner Whose it is, on a host; its group is root's.
# @param mode Its permission bits; as they are if not given.
define site::dir (
  String                     $owner = 'root',
  Optional[Stdlib::Filemode] $mode  = undef,
) {
  file { site::path($title):
    ensure => directory,
    owner  => site::owner($owner),
    group  => site::owner(),
    mode   => $mode,
  }
}
